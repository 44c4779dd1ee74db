//! The thread that writes checkpoints while the training goes on, one in flight, one waiting, and looks at earlier ones.
//!
//! A checkpoint that comes while one waits takes its place: the newer is worth more. Ends when the [`Writer`] is
//! dropped, after what waits has been written; a disk that hangs is not waited for longer than `END_GRACE`.

use super::{Expected, Store, StoreError};
use crate::observe::events::Kept;
use common::checkpoint::{Checkpoint, Verified};
use common::ids::Step;
use common::model::params::Layout;
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
    /// What `Writer::submit` returned for it.
    pub ticket: Ticket,
    /// Which.
    pub step: Step,
    /// Its directory, or why there is none.
    pub result: Result<PathBuf, StoreError>,
}

/// A look at the checkpoints from before a step.
#[derive(Clone, Debug)]
pub struct LookBack {
    /// Whose checkpoints.
    pub expected: Expected,
    /// A checkpoint of this step or an earlier one is looked for.
    pub until: Step,
    /// Whether the run goes back to it: then later ones are moved aside, and what waits is not written.
    pub goes_back: bool,
}

/// What a [`LookBack`] found.
#[derive(Debug)]
pub struct LookedBack {
    /// What was asked.
    pub asked: LookBack,
    /// The newest valid one with its directory, if there is one.
    pub result: Result<Option<(PathBuf, Verified)>, StoreError>,
}

/// What the thread has done.
#[derive(Debug)]
pub enum Done {
    /// A checkpoint.
    Written(Written),
    /// A look at earlier ones.
    LookedBack(Box<LookedBack>),
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

enum Task {
    Save(Ticket, Checkpoint, Kept),
    LookBack(LookBack),
}

#[derive(Debug, Default)]
struct State {
    waiting: Option<(Ticket, Checkpoint, Kept)>,
    look_back: Option<LookBack>,
    submitted: u64,
    closed: bool,
    /// The thread has ended.
    ended: bool,
}

impl Writer {
    /// Starts the thread; `done` is called on it after each task.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        store: Store,
        layout: Layout,
        mut done: impl FnMut(Done) + Send + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new().name("checkpoint".into()).spawn(move || {
            let _ended = Ended(Arc::clone(&theirs));
            // Unlocked before the end is told.
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

    /// Has a checkpoint written after what was told `before` it is kept, in place of one that still waits.
    pub(crate) fn submit(&self, checkpoint: Checkpoint, before: Kept) -> Ticket {
        let mut state = self.shared.lock();
        state.submitted += 1;
        let ticket = Ticket(state.submitted);
        state.waiting = Some((ticket, checkpoint, before));
        self.shared.wake.notify_all();
        ticket
    }

    /// Has earlier checkpoints looked at, before what waits is written.
    pub fn look_back(&self, asked: LookBack) {
        let mut state = self.shared.lock();
        if asked.goes_back {
            state.waiting = None;
        }
        state.look_back = Some(asked);
        self.shared.wake.notify_all();
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

    /// Waits for something to do; `None` when the writer is dropped and nothing waits. Nothing to write is no deadline's
    /// business.
    fn next(&self) -> Option<Task> {
        let mut state = self.lock();
        loop {
            if let Some(asked) = state.look_back.take() {
                return Some(Task::LookBack(asked));
            }
            if let Some((ticket, checkpoint, before)) = state.waiting.take() {
                return Some(Task::Save(ticket, checkpoint, before));
            }
            if state.closed {
                return None;
            }
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
