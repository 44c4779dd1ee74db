//! A bounded queue between threads: what comes first is taken first, and what does not fit is handed back.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A queue of at most so many things.
#[derive(Debug)]
pub struct Lane<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    most: usize,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<T>,
    is_closed: bool,
}

impl<T> Lane<T> {
    /// An empty one, for at most so many things.
    #[must_use]
    pub fn new(most: usize) -> Self {
        let state = State { waiting: VecDeque::new(), is_closed: false };
        Self { state: Mutex::new(state), changed: Condvar::new(), most }
    }

    /// Puts a thing at the end.
    ///
    /// # Errors
    /// Hands it back when the lane is full or closed.
    pub fn push(&self, thing: T) -> Result<(), T> {
        let mut state = self.state();
        if state.is_closed || state.waiting.len() >= self.most {
            return Err(thing);
        }
        state.waiting.push_back(thing);
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for the first thing and takes it; `None` once the lane is closed.
    pub fn pop(&self) -> Option<T> {
        let mut state = self.state();
        loop {
            if state.is_closed {
                return None;
            }
            if let Some(thing) = state.waiting.pop_front() {
                return Some(thing);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes the first thing if one is there, and `fits`.
    pub fn pop_if(&self, fits: impl FnOnce(&mut T) -> bool) -> Option<T> {
        self.state().waiting.pop_front_if(fits)
    }

    /// Number of things that wait.
    pub fn len(&self) -> usize {
        self.state().waiting.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops what waits, and lets nothing in any more.
    pub fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        state.waiting.clear();
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_keeps_the_order_and_hands_back_what_does_not_fit() {
        let lane = Lane::new(2);
        assert_eq!((lane.push(1), lane.push(2), lane.push(3)), (Ok(()), Ok(()), Err(3)));
        assert_eq!((lane.pop_if(|first| *first > 1), lane.pop()), (None, Some(1)));
        assert_eq!((lane.push(4), lane.pop_if(|_| true), lane.len()), (Ok(()), Some(2), 1));
        lane.close();
        assert_eq!((lane.push(5), lane.pop(), lane.is_empty()), (Err(5), None, true));
    }

    #[test]
    fn who_waits_is_woken_by_a_thing_and_by_the_end() {
        let lane = Lane::new(1);
        std::thread::scope(|scope| {
            let taken = scope.spawn(|| (lane.pop(), lane.pop()));
            lane.push(7).unwrap();
            while !lane.is_empty() {
                std::thread::yield_now();
            }
            lane.close();
            assert_eq!(taken.join().unwrap(), (Some(7), None));
        });
    }
}
