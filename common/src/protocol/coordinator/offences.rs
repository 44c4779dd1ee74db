//! The record of bad answers, and quarantine. Offences are counted against the process, across its
//! connections. Its name does not count: anybody may use it. Nor does its instance without its key.

use crate::ids::Process;
use std::collections::BTreeMap;

/// Dropped connections, for an invalid or non-finite answer, after which a worker is refused for the rest of
/// the run. One may be a torn message; three mean a machine that should be looked at.
pub const QUARANTINE_AFTER: u32 = 3;
/// Processes that are remembered: as many as there can be members, so that passers-by displace no member's
/// record.
pub(super) const PROCESSES_MAX: usize = 1024;

/// Offences of each worker process.
#[derive(Debug, Default)]
pub(super) struct Offences {
    by_process: BTreeMap<Process, Offender>,
    recorded: u64,
}

#[derive(Debug)]
struct Offender {
    times: u32,
    /// Orders the processes by their last offence.
    last: u64,
}

impl Offences {
    /// Notes one more; whether it is the one that brings quarantine. Where the record is full, the process
    /// with the fewest offences is forgotten, of equals the one whose last is the longest ago.
    pub(super) fn note(&mut self, who: Process) -> bool {
        self.recorded += 1;
        if !self.by_process.contains_key(&who) && self.by_process.len() >= PROCESSES_MAX {
            let least = self.by_process.iter().min_by_key(|(_, offender)| (offender.times, offender.last));
            if let Some(least) = least.map(|(&who, _)| who) {
                self.by_process.remove(&least);
            }
        }
        let offender = self.by_process.entry(who).or_insert(Offender { times: 0, last: 0 });
        offender.times = offender.times.saturating_add(1);
        offender.last = self.recorded;
        offender.times == QUARANTINE_AFTER
    }

    pub(super) fn is_quarantined(&self, who: Process) -> bool {
        self.by_process.get(&who).is_some_and(|offender| offender.times >= QUARANTINE_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Instance;

    #[test]
    fn many_workers_can_not_make_the_record_grow_or_forget_the_worst() {
        let mut offences = Offences::default();
        let process = |number| Process { key: None, instance: Instance(number) };
        let liar = process(0);
        let first = 1;
        let noted = (0..QUARANTINE_AFTER).map(|_| offences.note(liar));
        assert_eq!(noted.filter(|&news| news).count(), 1);
        for passer_by in first..2 * PROCESSES_MAX as u64 {
            assert!(!offences.note(process(passer_by)));
        }
        assert_eq!(offences.by_process.len(), PROCESSES_MAX);
        assert!(offences.is_quarantined(liar) && !offences.is_quarantined(process(first)));
    }
}
