//! The thread that writes checkpoints while the training goes on: one in flight, one waiting.
//!
//! A checkpoint that comes while one waits takes its place: the newer is worth more. Ends when the [`Writer`] is
//! dropped, after what waits has been written.

use super::{Store, StoreError};
use common::checkpoint::Checkpoint;
use common::ids::Step;
use common::params::Layout;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

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
    thread: Option<JoinHandle<()>>,
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
        let thread = std::thread::Builder::new().name("checkpoint".into()).spawn(move || {
            while let Some((ticket, checkpoint)) = theirs.next() {
                let step = checkpoint.position.step;
                let result = store.save(&checkpoint, &layout);
                done(Written { ticket, step, result });
            }
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Has a checkpoint written, in place of one that still waits.
    pub fn submit(&self, checkpoint: Checkpoint) -> Ticket {
        let mut state = self.shared.lock();
        state.submitted += 1;
        let ticket = Ticket(state.submitted);
        state.waiting = Some((ticket, checkpoint));
        self.shared.wake.notify_one();
        ticket
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic in it has been printed; there is nothing to save from it.
            let _ = thread.join();
        }
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
