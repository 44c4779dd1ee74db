//! Measurements of the workers' process in the bench `growth`: times, CPU times, answers and bytes of each
//! step.
//!
//! CPU times are those of Linux's `/proc/PID/stat`: user and system, of all threads including ended ones, in
//! hundredths of a second. That is fine enough over the seconds of a run.

pub(super) mod relay;

use anyhow::Context;
use std::time::Instant;
use tests::instant::Seen;

/// Milliseconds of a tick in `/proc/PID/stat`. `USER_HZ` is 100 on every architecture for which Rust has a
/// Linux.
const MS_PER_TICK: f64 = 10.0;

/// Means over the measured steps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    /// Wall-clock time of a step.
    pub(super) ms: f64,
    /// The coordinator's CPU time in a step.
    pub(super) own_ms: f64,
    /// All workers' CPU time in a step.
    pub(super) workers_ms: f64,
    /// Number of pieces answered in a step.
    pub(super) answers: f64,
    /// Bytes through the relay in a step, in both directions.
    pub(super) bytes: f64,
}

impl Measured {
    /// Encodes the means for the other process.
    pub(super) fn line(&self) -> String {
        let Self { ms, own_ms, workers_ms, answers, bytes } = self;
        format!("{ms} {own_ms} {workers_ms} {answers} {bytes}")
    }

    /// Decodes the means of the other process.
    pub(super) fn parse(line: &str) -> anyhow::Result<Self> {
        let numbers = line.split(' ').map(str::parse::<f64>).collect::<Result<Vec<_>, _>>();
        let numbers = numbers.with_context(|| format!("the workers have printed {line:?}"))?;
        let [ms, own_ms, workers_ms, answers, bytes] = numbers[..] else {
            anyhow::bail!("the workers have printed {line:?}");
        };
        Ok(Self { ms, own_ms, workers_ms, answers, bytes })
    }
}

/// Peak memory of this process, in MB of 10^6 bytes.
pub(super) fn peak_mb() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024.0 / 1e6)
}

/// Readings of all counters at one moment.
#[derive(Debug)]
struct Look {
    at: Instant,
    own_ms: f64,
    workers_ms: f64,
    answers: u64,
    bytes: u64,
}

/// The difference between two readings of the counters.
#[derive(Debug)]
pub(super) struct Meter {
    first: u64,
    last: u64,
    answers: u64,
    counted: relay::Counted,
    looks: Vec<anyhow::Result<Look>>,
}

impl Meter {
    /// A meter for the steps from version `first` of the parameters to version `last`.
    pub(super) fn new(first: u64, last: u64, counted: relay::Counted) -> Self {
        Self { first, last, answers: 0, counted, looks: Vec::new() }
    }

    /// Notes a worker's progress. The first worker to see a version counts.
    pub(super) fn see(&mut self, seen: Seen) {
        match seen {
            Seen::Answered => self.answers += 1,
            Seen::Parameters(version) => {
                let due = if self.looks.is_empty() { self.first } else { self.last };
                if version.0 == due && self.looks.len() < 2 {
                    self.looks.push(self.look());
                }
            }
        }
    }

    /// The means over all measured steps.
    pub(super) fn measured(&self) -> anyhow::Result<Measured> {
        let [Ok(from), Ok(to)] = &self.looks[..] else {
            anyhow::bail!("could not look at both ends: {:?}", self.looks);
        };
        let steps = (self.last - self.first) as f64;
        Ok(Measured {
            ms: (to.at - from.at).as_secs_f64() * 1e3 / steps,
            own_ms: (to.own_ms - from.own_ms) / steps,
            workers_ms: (to.workers_ms - from.workers_ms) / steps,
            answers: (to.answers - from.answers) as f64 / steps,
            bytes: (to.bytes - from.bytes) as f64 / steps,
        })
    }

    fn look(&self) -> anyhow::Result<Look> {
        Ok(Look {
            own_ms: cpu_ms(std::os::unix::process::parent_id())?,
            workers_ms: cpu_ms(std::process::id())?,
            answers: self.answers,
            bytes: self.counted.bytes(),
            at: Instant::now(),
        })
    }
}

/// The CPU time of a process so far.
fn cpu_ms(process: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{process}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    // The name, in brackets, may hold any character. After it come the state (field 3) and numbers.
    let (_, fields) = text.rsplit_once(')').context("a stat line has brackets")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |field: usize| anyhow::Ok(fields.get(field - 3).context("too short")?.parse::<u64>()?);
    Ok((ticks(14)? + ticks(15)?) as f64 * MS_PER_TICK)
}
