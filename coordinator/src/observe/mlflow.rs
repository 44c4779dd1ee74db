//! A run in an MLflow tracker: its parameters, its numbers, how it ended.
//!
//! Nothing is queued in memory. A thread of its own reads `metrics.jsonl` and sends what the tracker does not
//! have, which the tracker itself says: the last step of each number. So a tracker or a coordinator that was
//! away loses nothing, and each step is there once.
//!
//! 1. `state` keeps in the run's folder which of the tracker's runs is this one, and its time.
//! 2. The time of a number is a function of its step. MLflow keeps one of two numbers that are equal with
//!    their times, so a batch that was sent twice counts once.
//! 3. A tracker that is away costs one warning. It is asked again, less and less often.
//! 4. A run that rolls back computes other numbers for its later steps, and MLflow can't drop any: the
//!    tracker's run is ended, and another one begins with all that holds.

mod lines;
mod sender;
mod state;
mod tracker;

use self::sender::{Sender, Told};
use self::tracker::Tracker;
pub use self::tracker::Uri;
use super::Observer;
use super::server::Server;
use crate::run_folder;
use crate::store::directory;
use common::event::Event;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::warn;

/// Longest wait at the end of a run until the tracker has all. What it lacks then, it gets when the same
/// command is started again.
const TRACKER_GRACE: Duration = Duration::from_secs(4);

/// The observer that tells the sender's thread what has happened.
pub(crate) struct MlFlow {
    shared: Arc<Shared>,
    /// Folder of the run's checkpoints.
    checkpoints: PathBuf,
}

/// What the observer and the sender's thread share.
#[derive(Default)]
struct Shared {
    told: Mutex<Told>,
    /// Signals that something was told, or that the sender has ended.
    changed: Condvar,
}

impl MlFlow {
    /// Starts the thread that sends. The run's folder has the metrics.
    ///
    /// # Errors
    /// When the thread can't be started.
    pub(crate) fn start(tracker: &Server, folder: &Path) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let mut sender = Sender::new(Tracker::new(tracker), folder);
        let thread = std::thread::Builder::new().name("mlflow-send".to_owned());
        thread.spawn(move || theirs.send(&mut sender))?;
        Ok(Self { shared, checkpoints: run_folder::checkpoints(folder) })
    }

    fn tell(&self, tell: impl FnOnce(&mut Told)) {
        tell(&mut self.shared.told.lock().unwrap_or_else(PoisonError::into_inner));
        self.shared.changed.notify_all();
    }
}

impl Observer for MlFlow {
    fn observe(&mut self, event: &Event) {
        match event {
            Event::RunStarted(run) => self.tell(|told| told.run = Some(run.clone())),
            Event::RunResumed(run) => {
                // Where nothing is left to do, no other one is written.
                let from = Some(self.checkpoints.join(directory(run.step))).filter(|folder| folder.is_dir());
                self.tell(|told| (told.run, told.checkpoint) = (Some(run.clone()), from));
            }
            Event::RunRolledBack { .. } => self.tell(|told| told.rollbacks += 1),
            Event::CheckpointWritten { path, .. } => self.tell(|told| told.checkpoint = Some(path.into())),
            Event::RunEnded { outcome, .. } => self.tell(|told| told.ended = Some(outcome.clone())),
            _ => {}
        }
    }
}

impl Drop for MlFlow {
    /// Waits a while until all is sent. The thread of the metrics may still be writing the last lines.
    fn drop(&mut self) {
        let deadline = Instant::now() + TRACKER_GRACE;
        let mut told = self.shared.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.is_closing = true;
        self.shared.changed.notify_all();
        while !told.is_over {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                if !told.is_away {
                    warn!(
                        "MLflow's tracker is slow; it gets the rest when the same command is started again"
                    );
                }
                return;
            }
            told = self.shared.changed.wait_timeout(told, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Shared {
    /// Body of the sender's thread.
    fn send(&self, sender: &mut Sender) {
        loop {
            let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            let pause = sender.pause(&told);
            let was_closing = told.is_closing;
            let waited = self.changed.wait_timeout_while(told, pause, |told| told.is_closing == was_closing);
            let (told, _) = waited.unwrap_or_else(PoisonError::into_inner);
            let now = told.clone();
            drop(told);
            let is_over = sender.pass(&now);
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            told.is_over = is_over;
            told.is_away = sender.is_away();
            self.changed.notify_all();
            if is_over {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
