//! What the workers' process of the bench `growth` sees of a run: times, CPU times, answers and bytes of each step.
//!
//! CPU times are Linux's `/proc/PID/stat`: user and system, all threads, also those that have ended, in hundredths of a
//! second. Over the seconds of a run that is fine enough.

pub(super) mod relay;

use anyhow::Context;
use std::time::Instant;
use tests::instant::Seen;

/// What `/proc/PID/stat` counts in: `USER_HZ`, which is 100 on every architecture that Rust has a Linux for.
const MS_PER_TICK: f64 = 10.0;

/// Means over the steps that count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    /// Of the clock, a step.
    pub(super) ms: f64,
    /// The coordinator's CPU, a step.
    pub(super) own_ms: f64,
    /// All workers' CPU, a step.
    pub(super) workers_ms: f64,
    /// Pieces answered, a step.
    pub(super) answers: f64,
    /// Both ways through the relay, a step.
    pub(super) bytes: f64,
}

impl Measured {
    /// For the other process.
    pub(super) fn line(&self) -> String {
        let Self { ms, own_ms, workers_ms, answers, bytes } = self;
        format!("{ms} {own_ms} {workers_ms} {answers} {bytes}")
    }

    /// From the other process.
    pub(super) fn parse(line: &str) -> anyhow::Result<Self> {
        let numbers = line.split(' ').map(str::parse::<f64>).collect::<Result<Vec<_>, _>>();
        let numbers = numbers.with_context(|| format!("the workers have printed {line:?}"))?;
        let [ms, own_ms, workers_ms, answers, bytes] = numbers[..] else {
            anyhow::bail!("the workers have printed {line:?}");
        };
        Ok(Self { ms, own_ms, workers_ms, answers, bytes })
    }
}

/// The most memory that this process has had, in MB of 10^6 bytes.
pub(super) fn peak_mb() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024.0 / 1e6)
}

/// Everything at one moment.
#[derive(Debug)]
struct Look {
    at: Instant,
    own_ms: f64,
    workers_ms: f64,
    answers: u64,
    bytes: u64,
}

/// Looks twice.
#[derive(Debug)]
pub(super) struct Meter {
    first: u64,
    last: u64,
    answers: u64,
    counted: relay::Counted,
    looks: Vec<anyhow::Result<Look>>,
}

impl Meter {
    /// For the steps from version `first` of the parameters to version `last`.
    pub(super) fn new(first: u64, last: u64, counted: relay::Counted) -> Self {
        Self { first, last, answers: 0, counted, looks: Vec::new() }
    }

    /// Takes what a worker sees. The first to see a version counts.
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

    /// The means.
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

/// CPU time of a process so far.
fn cpu_ms(process: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{process}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    // The name, in brackets, may hold anything; after it come state (field 3) and numbers.
    let (_, fields) = text.rsplit_once(')').context("a stat line has brackets")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |field: usize| anyhow::Ok(fields.get(field - 3).context("too short")?.parse::<u64>()?);
    Ok((ticks(14)? + ticks(15)?) as f64 * MS_PER_TICK)
}
