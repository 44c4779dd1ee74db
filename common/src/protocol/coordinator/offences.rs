//! Who has sent bad answers, by name, and who has sent too many. Knows no connections.

use std::collections::BTreeMap;

/// A worker that was dropped so often for an invalid or non-finite answer is refused for the rest of the run: once may
/// be a torn message, three times is a machine to look at.
pub const QUARANTINE_AFTER: u32 = 3;
/// Names that are remembered: as many as there can be members, so that no member's record is lost to passers-by. At a
/// name's longest it is 128 kB.
pub(super) const NAMES_MAX: usize = 1024;

/// The record.
#[derive(Debug, Default)]
pub(super) struct Offences {
    by_name: BTreeMap<String, Offender>,
    recorded: u64,
}

#[derive(Debug)]
struct Offender {
    times: u32,
    /// Orders the names by their last offence.
    last: u64,
}

impl Offences {
    /// Notes one more; whether it is the one that brings quarantine. Where the record is full, the name with the fewest
    /// offences is forgotten, of equals the one whose last is the longest ago.
    pub(super) fn note(&mut self, name: &str) -> bool {
        self.recorded += 1;
        if !self.by_name.contains_key(name) && self.by_name.len() >= NAMES_MAX {
            let least = self.by_name.iter().min_by_key(|(_, offender)| (offender.times, offender.last));
            if let Some(least) = least.map(|(name, _)| name.clone()) {
                self.by_name.remove(&least);
            }
        }
        let offender = self.by_name.entry(name.to_owned()).or_insert(Offender { times: 0, last: 0 });
        offender.times = offender.times.saturating_add(1);
        offender.last = self.recorded;
        offender.times == QUARANTINE_AFTER
    }

    pub(super) fn is_quarantined(&self, name: &str) -> bool {
        self.by_name.get(name).is_some_and(|offender| offender.times >= QUARANTINE_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_names_can_not_make_the_record_grow_or_forget_the_worst() {
        let mut offences = Offences::default();
        let noted = (0..QUARANTINE_AFTER).map(|_| offences.note("liar"));
        assert_eq!(noted.filter(|&news| news).count(), 1);
        for passer_by in 0..2 * NAMES_MAX {
            assert!(!offences.note(&format!("passer-by {passer_by}")));
        }
        assert_eq!(offences.by_name.len(), NAMES_MAX);
        assert!(offences.is_quarantined("liar") && !offences.is_quarantined("passer-by 0"));
    }
}
