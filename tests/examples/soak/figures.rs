//! Statistics of a soak: the faults of each kind, and how long the run took to recover from some of them.

use crate::fault::Fault;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Counts and times of the faults.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    faults: BTreeMap<Fault, u32>,
    noticed: Vec<Duration>,
    stepped: Vec<Duration>,
    restarted: Vec<Duration>,
}

impl Figures {
    pub(crate) fn count(&mut self, fault: Fault) {
        *self.faults.entry(fault).or_default() += 1;
    }

    /// Notes a worker's death: the times until its pieces were given back, and until the others had the next
    /// step's parameters.
    pub(crate) fn worker_died(&mut self, noticed: Duration, stepped: Duration) {
        self.noticed.push(noticed);
        self.stepped.push(stepped);
    }

    /// Notes a coordinator's restart: the time from starting the program to the end of its first step.
    pub(crate) fn coordinator_restarted(&mut self, took: Duration) {
        self.restarted.push(took);
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (fault, count) in &self.faults {
            writeln!(f, "{:<30} {count:>5}", format!("{fault:?}"))?;
        }
        let kinds = self.faults.len();
        let faults = self.faults.values().sum::<u32>();
        writeln!(f, "{:<30} {faults:>5}, of {kinds} kinds", "faults")?;
        writeln!(f, "{:<30} {:>5}", "coordinator restarts", self.restarted.len())?;
        for (what, times) in [
            ("worker killed to pieces back", &self.noticed),
            ("worker killed to next step", &self.stepped),
            ("restart to first new step", &self.restarted),
        ] {
            let mut times = times.clone();
            times.sort_unstable();
            if let (Some(median), Some(most)) = (times.get(times.len() / 2), times.last()) {
                writeln!(f, "{what:<30} median {median:.1?}, most {most:.1?}, of {}", times.len())?;
            }
        }
        Ok(())
    }
}
