//! The bounded queue of an observer. Events that do not fit are counted. It knows no observer and no thread.
//!
//! 1. Pushing never waits. An event that finds the queue full is left out and counted; the next one that
//!    finds room has the count told before it, in its place.
//! 2. Rounds and steps wake nobody: they are taken up with whatever comes next, or a moment later. Else each
//!    step would cost the cores that compute it a change of threads for each observer.
//! 3. A mark asks that all before it be kept. Marks are not counted: two in a row become one.
//! 4. Whoever waited for a mark in vain waits no more until the observer has come to one again.

use common::event::Event;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Largest number of waiting events: the steps of some seconds of the fastest run, a few megabytes.
pub(super) const EVENTS_MAX: usize = 4096;

/// Longest delay before a step is shown. A bar is not drawn more often.
const STEP_DELAY: Duration = Duration::from_millis(50);

/// The queue of one observer.
#[derive(Debug)]
pub(super) struct Queue {
    name: &'static str,
    state: Mutex<State>,
    /// Signals that something was queued, or that the queue was closed.
    filled: Condvar,
    /// Signals that a mark was reached, or that the observer has ended.
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    events: usize,
    lost: u64,
    marks: u64,
    /// Number of the newest mark that was reached.
    reached: u64,
    /// Whether a wait for a mark has timed out.
    is_stuck: bool,
    is_closed: bool,
    has_ended: bool,
}

/// An item for an observer.
#[derive(Debug)]
pub(super) enum Item {
    /// An event to observe.
    Event(Arc<Event>),
    /// A mark: all events before it are to be kept.
    Mark(u64),
}

impl Queue {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, state: Mutex::default(), filled: Condvar::new(), emptied: Condvar::new() }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues an event, or counts it as lost. Returns the loss event that is queued with it, for the other
    /// observers.
    pub(super) fn push(&self, event: &Arc<Event>) -> Option<Arc<Event>> {
        let mut state = self.lock();
        if state.is_closed || state.has_ended {
            return None;
        }
        if state.events >= EVENTS_MAX {
            state.lost += 1;
            return None;
        }
        let told = self.tell_loss(&mut state);
        state.push(event);
        if !matches!(**event, Event::Step(_) | Event::Round(_)) {
            self.filled.notify_all();
        }
        told
    }

    fn tell_loss(&self, state: &mut State) -> Option<Arc<Event>> {
        let events = std::mem::take(&mut state.lost);
        let told =
            (events > 0).then(|| Arc::new(Event::EventsLost { observer: self.name.to_owned(), events }));
        told.inspect(|told| state.push(told))
    }

    /// Asks the observer to keep all queued events; returns the mark to [wait](Self::wait_for) for.
    pub(super) fn mark(&self) -> u64 {
        let mut state = self.lock();
        state.marks += 1;
        let mark = state.marks;
        match state.items.back_mut() {
            Some(Item::Mark(last)) => *last = mark,
            _ => state.items.push_back(Item::Mark(mark)),
        }
        self.filled.notify_all();
        mark
    }

    /// Waits until the mark is reached, at most until `deadline`. Returns whether the observer has just
    /// become stuck.
    pub(super) fn wait_for(&self, mark: u64, deadline: Instant) -> bool {
        let state = self.lock();
        let was_stuck = state.is_stuck;
        let is_due = |state: &mut State| state.reached < mark && !state.has_ended && !state.is_stuck;
        let left = deadline.saturating_duration_since(Instant::now());
        let waited = self.emptied.wait_timeout_while(state, left, is_due);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        let is_reached = state.reached >= mark || state.has_ended;
        state.is_stuck = !is_reached;
        !is_reached && !was_stuck
    }

    /// The next item; `None` when the queue is closed and empty. Waits without a deadline until the owner
    /// pushes or closes.
    pub(super) fn next(&self) -> Option<Item> {
        let mut state = self.lock();
        loop {
            if let Some(item) = state.items.pop_front() {
                state.events -= usize::from(matches!(item, Item::Event(_)));
                return Some(item);
            }
            if state.is_closed {
                return None;
            }
            let woken = self.filled.wait_timeout(state, STEP_DELAY);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Reports that the observer has kept all events before this mark.
    pub(super) fn reach(&self, mark: u64) {
        let mut state = self.lock();
        state.reached = mark;
        state.is_stuck = false;
        self.emptied.notify_all();
    }

    /// Closes the queue to new events; the last losses are still reported.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        if !state.is_closed {
            self.tell_loss(&mut state);
        }
        state.is_closed = true;
        self.filled.notify_all();
    }

    /// Reports that the observer has ended.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.has_ended = true;
        state.items.clear();
        self.emptied.notify_all();
    }

    /// Waits until the observer has ended, at most for `grace`. If it has not, returns the number of events
    /// that it was not told.
    pub(super) fn wait_for_end(&self, grace: Duration) -> Result<(), u64> {
        let waited = self.emptied.wait_timeout_while(self.lock(), grace, |state| !state.has_ended);
        let state = waited.unwrap_or_else(PoisonError::into_inner).0;
        if state.has_ended { Ok(()) } else { Err(state.events as u64 + state.lost) }
    }
}

impl State {
    fn push(&mut self, event: &Arc<Event>) {
        self.items.push_back(Item::Event(Arc::clone(event)));
        self.events += 1;
    }
}
