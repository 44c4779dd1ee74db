//! What the mirror's thread shares with those who hand it checkpoints.
//!
//! One checkpoint is in flight, and one waits. A newer one replaces the one that waits, because it is worth
//! more. Nobody but the end of the run waits for the thread.

use super::candidate::Candidate;
use super::key::Attempt;
use super::lease::Owner;
use super::owner::OwnerFile;
use super::request::RequestError;
use super::source::Source;
use super::upload::Saved;
use common::ids::Step;
use std::path::PathBuf;
use std::sync::mpsc::SyncSender;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tracing::warn;

/// Longest pause between two tries while the run's end waits.
const CLOSING_PAUSE: Duration = Duration::from_secs(1);

/// State of the thread, and signals.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Wakes the thread.
    wake: Notify,
    /// Wakes those who wait for its end.
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    owner: OwnerFile,
    fetch: Option<Fetch>,
    /// Whether the prefix is to be tidied, and which checkpoint of the run is there.
    tidy: Option<Option<Saved>>,
    /// First of the steps that are to be removed.
    forget: Option<Step>,
    waiting: Option<Source>,
    /// When the thread ends at the latest, once it is to end.
    closing: Option<Instant>,
    standing: Standing,
    has_begun: bool,
    has_ended: bool,
}

/// What became of the checkpoints so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    /// The last one that was handed over.
    pub(super) submitted: Option<Step>,
    /// The last one that is in the bucket.
    pub(super) saved: Option<Step>,
    /// Why the last one that was tried is not.
    pub(super) problem: Option<String>,
    /// Whether another coordinator has the lock now.
    pub(super) is_lost: bool,
}

/// A download that somebody waits for.
#[derive(Debug)]
pub(super) struct Fetch {
    pub(super) candidate: Candidate,
    pub(super) attempt: Attempt,
    /// Empty folder for the files.
    pub(super) into: PathBuf,
    pub(super) done: SyncSender<Result<(), RequestError>>,
}

/// What the thread does next.
pub(super) enum Task {
    Fetch(Box<Fetch>),
    Tidy(Option<Saved>),
    Forget(Step),
    Upload(Box<Source>),
    End,
}

impl Shared {
    pub(super) fn new(owner: OwnerFile) -> Self {
        let state = State {
            forget: owner.forget_from(),
            owner,
            fetch: None,
            tidy: None,
            waiting: None,
            closing: None,
            standing: Standing::default(),
            has_begun: false,
            has_ended: false,
        };
        Self { state: Mutex::new(state), wake: Notify::new(), changed: Condvar::new() }
    }

    /// Asks for a download.
    pub(super) fn fetch(&self, fetch: Fetch) {
        self.change(|state| {
            if !state.has_ended {
                state.fetch = Some(fetch);
            }
        });
    }

    /// Asks to remove what earlier starts have left. `saved` is the checkpoint that the run goes on from, if
    /// it is there.
    pub(super) fn tidy(&self, saved: Option<Saved>) {
        self.change(|state| {
            state.tidy = Some(saved);
            state.standing.saved = saved.map(|(step, _)| step);
        });
    }

    /// Hands over a checkpoint, which replaces one that waits.
    pub(super) fn submit(&self, source: Source) {
        self.change(|state| {
            state.standing.submitted = Some(source.step);
            if !state.standing.is_lost {
                state.waiting = Some(source);
            }
        });
    }

    /// The run goes back to that checkpoint, or to its beginning: later ones do not count any more.
    pub(super) fn went_back(&self, kept: Option<Step>) {
        self.change(|state| {
            let from = Step(kept.map_or(0, |kept| kept.0 + 1));
            let from = state.forget.map_or(from, |before| before.min(from));
            if let Err(error) = state.owner.set_forget_from(Some(from)) {
                warn!(%error, "it is not kept that the mirror has checkpoints that do not count any more");
            }
            state.forget = Some(from);
            state.waiting = None;
            let standing = &mut state.standing;
            standing.submitted = standing.submitted.filter(|&step| step < from);
            standing.saved = standing.saved.filter(|&step| step < from);
        });
    }

    /// Who mirrors, and from which step on the bucket's checkpoints do not count.
    pub(super) fn owner(&self) -> (Owner, Option<Step>) {
        let state = self.lock();
        (state.owner.owner(), state.owner.forget_from())
    }

    /// The run begins: the owner is kept.
    pub(super) fn begin(&self) -> Result<(), super::MirrorError> {
        let mut state = self.lock();
        state.has_begun = true;
        state.owner.save()
    }

    /// Whether the run has begun. (thread)
    pub(super) fn has_begun(&self) -> bool {
        self.lock().has_begun
    }

    /// Lets the thread end once nothing waits, or at the deadline. A nearer deadline replaces a farther one.
    pub(super) fn close(&self, deadline: Instant) {
        self.change(|state| state.closing = Some(state.closing.map_or(deadline, |at| at.min(deadline))));
    }

    /// Waits for the thread's end, up to `most`. Returns whether it has ended.
    pub(super) fn has_ended_within(&self, most: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), most, |state| !state.has_ended);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    pub(super) fn standing(&self) -> Standing {
        self.lock().standing.clone()
    }

    /// The next task. (thread)
    pub(super) async fn next(&self) -> Task {
        loop {
            if let Some(task) = self.lock().take() {
                return task;
            }
            self.wake.notified().await;
        }
    }

    /// Waits for the deadline of an end that was asked for. (thread)
    pub(super) async fn until_deadline(&self) {
        loop {
            let closing = self.lock().closing;
            match closing {
                None => self.wake.notified().await,
                Some(at) => tokio::select! {
                    () = tokio::time::sleep_until(at.into()) => return,
                    () = self.wake.notified() => {}
                },
            }
        }
    }

    /// Pauses after a failure, but not for long once an end is asked for. (thread)
    pub(super) async fn pause(&self, pause: Duration) {
        let until = Instant::now() + pause;
        loop {
            let is_closing = self.lock().closing.is_some();
            let until = if is_closing { until.min(Instant::now() + CLOSING_PAUSE) } else { until };
            tokio::select! {
                () = tokio::time::sleep_until(until.into()) => return,
                () = self.wake.notified(), if !is_closing => {}
            }
        }
    }

    /// A checkpoint is in the bucket. (thread)
    pub(super) fn saved(&self, step: Step) {
        self.change(|state| {
            state.standing.saved = Some(step);
            state.standing.problem = None;
        });
    }

    /// A checkpoint could not be uploaded; it waits again, unless a newer one does. (thread)
    pub(super) fn failed(&self, source: Option<Source>, problem: String) {
        self.change(|state| {
            state.standing.problem = Some(problem);
            if let Some(source) = source
                && state.waiting.is_none()
                && state.forget.is_none_or(|from| source.step < from)
            {
                state.waiting = Some(source);
            }
        });
    }

    /// Steps that do not count any more could not be removed. (thread)
    pub(super) fn failed_to_forget(&self, from: Step, problem: String) {
        self.change(|state| {
            state.forget = Some(state.forget.map_or(from, |newer| newer.min(from)));
            state.standing.problem = Some(problem);
        });
    }

    /// Steps that do not count any more are gone. (thread)
    pub(super) fn forgotten(&self) {
        self.change(|state| {
            if state.forget.is_none()
                && let Err(error) = state.owner.set_forget_from(None)
            {
                warn!(%error, "later starts look once more for checkpoints in the mirror that do not count");
            }
        });
    }

    /// Another coordinator has the lock. (thread)
    pub(super) fn lost(&self, problem: String) {
        self.change(|state| {
            state.waiting = None;
            state.standing.problem = Some(problem);
            state.standing.is_lost = true;
        });
    }

    /// The thread has ended, also by a panic.
    pub(super) fn ended(&self) {
        self.change(|state| {
            state.has_ended = true;
            // Whoever waits for it learns that it does not come.
            state.fetch = None;
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.wake.notify_one();
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self) -> Option<Task> {
        if let Some(fetch) = self.fetch.take() {
            return Some(Task::Fetch(Box::new(fetch)));
        }
        // What does not count any more goes before anything newer comes.
        if let Some(from) = self.forget.take() {
            return Some(Task::Forget(from));
        }
        if let Some(saved) = self.tidy.take() {
            return Some(Task::Tidy(saved));
        }
        if let Some(source) = self.waiting.take() {
            return Some(Task::Upload(Box::new(source)));
        }
        self.closing.map(|_| Task::End)
    }
}
