//! The thread that writes checkpoints during the training and searches earlier ones.
//!
//! One checkpoint is in flight, and one waits. A newer one replaces the one that waits, because it is worth
//! more. The thread ends when the [`Writer`] is dropped, after the last checkpoint has been written. If the
//! disk hangs, the writer waits `END_GRACE` at most.

use super::{Expected, Saved, Store, StoreError};
use crate::observe::events::Kept;
use common::checkpoint::{Checkpoint, Verified};
use common::ids::Step;
use common::model::params::Layout;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tracing::warn;

/// Longest wait for the thread's end. A run that is complete or was asked to stop has already waited for its
/// last checkpoint. A run that failed must not be held up by a disk that hangs.
const END_GRACE: Duration = Duration::from_secs(30);

/// Number of a checkpoint among those of one writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

/// Result of writing a checkpoint. A checkpoint that was replaced while it waited has none.
#[derive(Debug)]
pub struct Written {
    /// The ticket that `Writer::submit` returned.
    pub ticket: Ticket,
    /// Completed steps in the checkpoint.
    pub step: Step,
    /// Where the checkpoint is, or why there is none.
    pub result: Result<Saved, StoreError>,
}

/// Request to search the checkpoints up to a step.
#[derive(Clone, Debug)]
pub struct LookBack {
    /// Settings that the checkpoint must have.
    pub expected: Expected,
    /// Last step that is searched.
    pub until: Step,
    /// Whether the run goes back to the checkpoint. Then later ones are moved aside, and one that waits is
    /// not written.
    pub goes_back: bool,
}

/// Result of a [`LookBack`].
#[derive(Debug)]
pub struct LookedBack {
    /// The request that was answered.
    pub asked: LookBack,
    /// The newest valid checkpoint and its directory, if there is one.
    pub result: Result<Option<(PathBuf, Verified)>, StoreError>,
}

/// Result of one of the thread's tasks.
#[derive(Debug)]
pub enum Done {
    /// A checkpoint was written, or failed.
    Written(Written),
    /// Earlier checkpoints were searched.
    LookedBack(Box<LookedBack>),
}

/// Handle to the checkpoint thread.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

enum Task {
    Save(Ticket, Box<Checkpoint>, Kept),
    LookBack(LookBack),
}

#[derive(Debug, Default)]
struct State {
    waiting: Option<(Ticket, Checkpoint, Kept)>,
    look_back: Option<LookBack>,
    submitted: u64,
    closed: bool,
    /// Whether the thread has ended.
    ended: bool,
}

impl Writer {
    /// Starts the thread; `done` is called on it after each task.
    ///
    /// # Errors
    /// When the thread can't be started.
    pub fn start(
        store: Store,
        layout: Layout,
        mut done: impl FnMut(Done) + Send + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new().name("checkpoint".into()).spawn(move || {
            let _ended = Ended(Arc::clone(&theirs));
            // Dropped, and so unlocked, before `_ended` reports the end.
            let store = store;
            while let Some(task) = theirs.next() {
                done(match task {
                    Task::Save(ticket, checkpoint, before) => {
                        before.wait();
                        let step = checkpoint.position.step;
                        let result = store.save(&checkpoint, &layout);
                        Done::Written(Written { ticket, step, result })
                    }
                    Task::LookBack(asked) => {
                        let result = store.look_back(&asked);
                        Done::LookedBack(Box::new(LookedBack { asked, result }))
                    }
                });
            }
        })?;
        Ok(Self { shared })
    }

    /// Submits a checkpoint, which is written once the events before it are kept. It replaces one that still
    /// waits.
    pub(crate) fn submit(&self, checkpoint: Checkpoint, before: Kept) -> Ticket {
        let mut state = self.shared.lock();
        state.submitted += 1;
        let ticket = Ticket(state.submitted);
        state.waiting = Some((ticket, checkpoint, before));
        self.shared.wake.notify_all();
        ticket
    }

    /// Requests a search of earlier checkpoints, which is done before a waiting checkpoint is written.
    pub fn look_back(&self, asked: LookBack) {
        let mut state = self.shared.lock();
        if asked.goes_back {
            state.waiting = None;
        }
        state.look_back = Some(asked);
        self.shared.wake.notify_all();
    }

    /// Lets the thread end after the waiting tasks. Returns whether it has ended within `grace`.
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
            warn!(waited_s = END_GRACE.as_secs(), "the checkpoint disk hangs; its thread is left behind");
        }
    }
}

/// Reports the thread's end when it is dropped, also by a panic.
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

    /// Waits for a task, without a deadline. `None` when the writer is dropped and no task waits.
    fn next(&self) -> Option<Task> {
        let mut state = self.lock();
        loop {
            if let Some(asked) = state.look_back.take() {
                return Some(Task::LookBack(asked));
            }
            if let Some((ticket, checkpoint, before)) = state.waiting.take() {
                return Some(Task::Save(ticket, Box::new(checkpoint), before));
            }
            if state.closed {
                return None;
            }
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
