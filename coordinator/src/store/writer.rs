//! The thread that writes checkpoints while the training goes on: one in flight, one waiting.
//!
//! A checkpoint that comes while one waits takes its place: the newer is worth more. Ends when the [`Writer`] is
//! dropped, after what waits has been written; a disk that hangs is not waited for longer than `END_GRACE`.

use super::{Store, StoreError};
use common::checkpoint::Checkpoint;
use common::ids::Step;
use common::params::Layout;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tracing::warn;

/// For what is being written once nobody submits any more. A run that is complete or was asked to stop has waited for its
/// last checkpoint already; one that failed leaves a disk that hangs no longer than this in its way.
const END_GRACE: Duration = Duration::from_secs(30);

/// Numbers the checkpoints of one writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

/// What became of a checkpoint. There is no word of one whose place was taken.
#[derive(Debug)]
pub struct Written {
    /// What [`Writer::submit`] returned for it.
    pub ticket: Ticket,
    /// Which.
    pub step: Step,
    /// Its directory, or why there is none.
    pub result: Result<PathBuf, StoreError>,
}

/// The way to the thread.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Option<(Ticket, Checkpoint)>,
    submitted: u64,
    closed: bool,
    /// The thread has ended.
    ended: bool,
}

impl Writer {
    /// Starts the thread; `done` is called on it after each checkpoint.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        store: Store,
        layout: Layout,
        mut done: impl FnMut(Written) + Send + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new().name("checkpoint".into()).spawn(move || {
            let _ended = Ended(Arc::clone(&theirs));
            // Unlocked before the end is told.
            let store = store;
            while let Some((ticket, checkpoint)) = theirs.next() {
                let step = checkpoint.position.step;
                let result = store.save(&checkpoint, &layout);
                done(Written { ticket, step, result });
            }
        })?;
        Ok(Self { shared })
    }

    /// Has a checkpoint written, in place of one that still waits.
    pub fn submit(&self, checkpoint: Checkpoint) -> Ticket {
        let mut state = self.shared.lock();
        state.submitted += 1;
        let ticket = Ticket(state.submitted);
        state.waiting = Some((ticket, checkpoint));
        self.shared.wake.notify_all();
        ticket
    }

    /// Lets the thread end after what waits; whether it has ended within `grace`.
    pub(super) fn ends_within(&self, grace: Duration) -> bool {
        let mut state = self.shared.lock();
        state.closed = true;
        self.shared.wake.notify_all();
        let ended = self.shared.wake.wait_timeout_while(state, grace, |state| !state.ended);
        !ended.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.ends_within(END_GRACE) {
            warn!(waited_s = END_GRACE.as_secs(), "the disk of checkpoints hangs; leaving its thread behind");
        }
    }
}

/// Says at the thread's end that it has ended, also by a panic.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.wake.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a checkpoint; `None` when the writer is dropped and nothing waits. Nothing to write is no deadline's
    /// business.
    fn next(&self) -> Option<(Ticket, Checkpoint)> {
        let mut state = self.lock();
        loop {
            if let Some(next) = state.waiting.take() {
                return Some(next);
            }
            if state.closed {
                return None;
            }
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
