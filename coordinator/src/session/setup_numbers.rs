//! Which number a run's setup gets.
//!
//! 1. Numbers are below [`SETUPS_MAX`], because workers and decoders keep something for each.
//! 2. They are handed out in turn, and one that is in use is skipped. So a number comes to mean another run
//!    as late as possible: an answer that is still on its way to a run that is over is not taken for
//!    another's.

use common::ids::SetupId;
use proto::setup::SETUPS_MAX;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The numbers of a session's setups; clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct SetupNumbers(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// The number that is tried first.
    next: u32,
    in_use: BTreeSet<u32>,
}

/// A number that is in use until this is dropped.
#[derive(Debug)]
pub(super) struct SetupNumber {
    number: u32,
    all: SetupNumbers,
}

impl SetupNumbers {
    /// A number that is not in use, if there is one.
    pub(super) fn take(&self) -> Option<SetupNumber> {
        let mut state = self.lock();
        let in_turn = (0..SETUPS_MAX).map(|ahead| (state.next + ahead) % SETUPS_MAX);
        let number = in_turn.into_iter().find(|number| !state.in_use.contains(number))?;
        state.in_use.insert(number);
        state.next = (number + 1) % SETUPS_MAX;
        Some(SetupNumber { number, all: self.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SetupNumber {
    /// The number as a setup's id.
    pub(super) fn id(&self) -> SetupId {
        SetupId(self.number)
    }
}

impl Drop for SetupNumber {
    fn drop(&mut self) {
        self.all.lock().in_use.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_used_again_as_late_as_possible() {
        let numbers = SetupNumbers::default();
        let long = numbers.take().unwrap();
        assert_eq!(long.id(), SetupId(0));
        for expected in (1..SETUPS_MAX).chain(1..SETUPS_MAX) {
            assert_eq!(numbers.take().unwrap().id(), SetupId(expected));
        }
    }

    #[test]
    fn there_is_none_while_all_are_in_use() {
        let numbers = SetupNumbers::default();
        let mut all: Vec<_> = (0..SETUPS_MAX).map(|_| numbers.take().unwrap()).collect();
        assert!(numbers.take().is_none());
        let given_back = all.swap_remove(7).id();
        assert_eq!(numbers.take().unwrap().id(), given_back);
    }
}
