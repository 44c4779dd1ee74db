//! Future events by time; events at the same time come in the order in which they were entered.

use std::collections::BTreeMap;

/// A queue of future events.
#[derive(Debug)]
pub(crate) struct EventQueue<T> {
    entries: BTreeMap<(u64, u64), T>,
    entered: u64,
}

impl<T> EventQueue<T> {
    pub(crate) fn new() -> Self {
        Self { entries: BTreeMap::new(), entered: 0 }
    }

    pub(crate) fn enter(&mut self, at_us: u64, what: T) {
        self.entries.insert((at_us, self.entered), what);
        self.entered += 1;
    }

    /// The time of the next event.
    pub(crate) fn next_us(&self) -> Option<u64> {
        self.entries.first_key_value().map(|(&(at_us, _), _)| at_us)
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        self.entries.pop_first().map(|(_, what)| what)
    }
}
