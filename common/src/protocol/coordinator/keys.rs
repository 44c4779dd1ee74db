//! Quarantine of keys. A worker that is refused can start again as another process. What it keeps is the
//! token that it was given, and with it the key.
//!
//! 1. A key is refused for the rest of the run once [`KEY_QUARANTINE_AFTER`] processes with it were
//!    quarantined or found to miscompute. Members and spares that have it stay; they are refused when they
//!    connect again.
//! 2. Only who has proved the key can bring it there: what others do with the same instance numbers does not
//!    count.
//! 3. Connections without a key are never refused for it.

use crate::ids::{Instance, KeyId, Process};
use std::collections::{BTreeMap, BTreeSet};

/// Quarantined or miscomputing processes of a key, after which it is refused. A broken worker may be started
/// again once before somebody looks at its machine. Three mean a token in the wrong hands, or on a machine
/// that nobody looks at.
pub const KEY_QUARANTINE_AFTER: usize = 3;
/// Keys that are remembered: as many as there can be members. An operator has to issue a token for each.
const KEYS_MAX: usize = 1024;

/// Processes of each key that are refused, at most [`KEY_QUARANTINE_AFTER`].
#[derive(Debug, Default)]
pub(super) struct Keys(BTreeMap<KeyId, BTreeSet<Instance>>);

impl Keys {
    /// Notes a process that is refused from now on. Where the record is full, a key with the fewest is
    /// forgotten.
    pub(super) fn note(&mut self, who: Process) {
        let Some(key) = who.key else { return };
        if !self.0.contains_key(&key)
            && self.0.len() >= KEYS_MAX
            && let Some((&least, _)) = self.0.iter().min_by_key(|(_, instances)| instances.len())
        {
            self.0.remove(&least);
        }
        let instances = self.0.entry(key).or_default();
        if instances.len() < KEY_QUARANTINE_AFTER {
            instances.insert(who.instance);
        }
    }

    pub(super) fn is_quarantined(&self, key: Option<KeyId>) -> bool {
        let instances = key.and_then(|key| self.0.get(&key));
        instances.is_some_and(|instances| instances.len() >= KEY_QUARANTINE_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(key: u64, instance: u64) -> Process {
        Process { key: Some(KeyId(key)), instance: Instance(instance) }
    }

    #[test]
    fn many_keys_can_not_make_the_record_grow_or_forget_the_worst() {
        let mut keys = Keys::default();
        (0..9).for_each(|instance| keys.note(process(0, instance)));
        (1..2 * KEYS_MAX as u64).for_each(|key| keys.note(process(key, 0)));
        assert_eq!((keys.0.len(), keys.0[&KeyId(0)].len()), (KEYS_MAX, KEY_QUARANTINE_AFTER));
        assert!(keys.is_quarantined(Some(KeyId(0))));
    }

    #[test]
    fn a_process_counts_once_and_only_against_its_own_key() {
        let mut keys = Keys::default();
        (0..9).for_each(|_| keys.note(process(1, 1)));
        (0..9).for_each(|instance| keys.note(Process { key: None, instance: Instance(instance) }));
        keys.note(process(1, 2));
        assert!(!keys.is_quarantined(Some(KeyId(1))) && !keys.is_quarantined(None));
        keys.note(process(1, 3));
        assert!(keys.is_quarantined(Some(KeyId(1))) && !keys.is_quarantined(Some(KeyId(2))));
    }
}
