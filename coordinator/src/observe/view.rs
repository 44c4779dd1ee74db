//! What there is to see of a run, bounded in memory: the state behind the page, the metrics for Prometheus
//! and the terminal.
//!
//! Events go in with the time of day at which they happened, live or from the files of earlier starts. It
//! does no I/O, and how anything looks is decided elsewhere. A run of any length keeps as many numbers as a
//! picture can show: [`curve`] merges steps, and lists forget their oldest entries.
//!
//! Besides all that it has seen ([`Snapshot`]), it keeps what is new since the last [`Update`] was taken, so
//! that a reader gets everything once and then little at a time.

pub mod curve;
pub mod mistakes;
pub mod pieces;
pub mod snapshot;
pub mod workers;

pub use snapshot::{Snapshot, Update};

use super::log::level;
use common::event::{Evaluation, Event, Phases, RunOutcome, RunRecord, StepRecord};
use common::train::average::Weights;
use curve::{Curve, Point};
use host::logging::LogFormat;
use mistakes::Mistakes;
use pieces::Pieces;
use serde::Serialize;
use std::collections::VecDeque;
use tracing::Level;
use workers::Workers;

/// Most evaluations that are kept.
const EVALUATIONS_MAX: usize = 2048;
/// Most checkpoints, restarts and rollbacks that are kept.
const MARKS_MAX: usize = 512;
/// Most messages that are kept.
const MESSAGES_MAX: usize = 200;
/// Shortest time between two messages about refusals, in seconds.
const REFUSALS_S: f64 = 10.0;
/// Classes up to which a test's whole confusion matrix is shown.
const CONFUSION_CLASSES_MAX: usize = 64;

/// All that there is to see of a run.
#[derive(Debug, Default)]
pub struct View {
    /// The run's description, once it has begun.
    pub run: Option<RunRecord>,
    /// What the run is doing.
    pub state: State,
    /// Where workers can connect.
    pub connect: Vec<String>,
    /// Steps that are done.
    pub steps_done: u64,
    /// Counts since this coordinator's start, for metrics.
    pub counts: Counts,
    /// The newest step.
    pub last: Option<Point>,
    /// The training's numbers.
    pub curve: Curve,
    /// The workers.
    pub workers: Workers,
    pieces: Pieces,
    evaluations: VecDeque<Evaluated>,
    marks: VecDeque<Mark>,
    messages: VecDeque<Message>,
    test: Option<Tested>,
    mistakes: Option<Mistakes>,
    /// Parts of the round whose step is told next.
    phases: Option<Phases>,
    /// When a refusal was said last: whoever is not admitted can cause any number of them.
    refusal_said: f64,
    fresh: Fresh,
}

/// What a run is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It has not begun.
    #[default]
    Preparing,
    /// There are too few workers.
    Waiting,
    /// It trains, or evaluates.
    Training,
    /// It was asked to stop.
    Stopping,
    /// All is done.
    Complete,
    /// It was stopped.
    Stopped,
    /// It could not go on, for this reason.
    Failed(String),
}

/// Counts of what happened since this coordinator's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Counts {
    pub steps: u64,
    pub rounds: u64,
    pub joined: u64,
    pub left: u64,
    pub dropped: u64,
    pub refused: u64,
    pub late: u64,
    pub backups: u64,
    pub doubted: u64,
    pub rolled_back: u64,
    pub checkpoints: u64,
    pub checkpoints_failed: u64,
    pub events_lost: u64,
}

/// An evaluation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Evaluated {
    pub time: f64,
    pub step: u64,
    pub epoch: u64,
    /// `validation` or `test`.
    pub kind: &'static str,
    pub weights: Weights,
    pub views: bool,
    pub loss: f64,
    pub accuracy: f64,
    pub macro_f1: f64,
    pub best: bool,
}

/// The test of the last weights in full.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tested {
    /// Precision, recall, F1 and support of each class.
    pub classes: Vec<common::event::NamedQuality>,
    /// Rows of the confusion matrix; empty where there are too many classes.
    pub confusion: Vec<Vec<u64>>,
}

/// A moment on the time axis.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mark {
    /// When, in seconds since 1970.
    pub time: f64,
    /// `start`, `restart`, `rollback`, `checkpoint`, `checkpoint_failed` or `end`.
    pub kind: &'static str,
    /// Step that it belongs to.
    pub step: u64,
}

/// A line for people.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Message {
    pub time: f64,
    pub is_warning: bool,
    pub text: String,
}

/// What is new since the last update was taken.
#[derive(Debug, Default)]
struct Fresh {
    points: Vec<Point>,
    evaluations: usize,
    marks: usize,
    messages: usize,
    /// Whether what was shown before is not so any more.
    is_other: bool,
}

impl View {
    /// Takes an event that happened at `time`, in seconds since 1970.
    pub fn apply(&mut self, time: f64, event: &Event) {
        match event {
            Event::RunStarted(run) => self.begin(time, run, "start"),
            Event::RunResumed(run) => self.begin(time, run, "restart"),
            Event::RunRolledBack { run, .. } => {
                self.counts.rolled_back += 1;
                self.begin(time, run, "rollback");
            }
            Event::RunEnded { outcome, steps_done, .. } => {
                self.state = match outcome {
                    RunOutcome::Complete => State::Complete,
                    RunOutcome::Stopped => State::Stopped,
                    RunOutcome::Failed { problem } => State::Failed(problem.clone()),
                };
                self.mark(time, "end", *steps_done);
                self.workers.end(time, "the run ended");
            }
            Event::Listening { connect, .. } => self.connect.clone_from(connect),
            Event::Round(round) => {
                self.counts.rounds += 1;
                self.counts.backups += round.pieces.iter().filter(|piece| piece.is_backup).count() as u64;
                self.state = State::Training;
                self.phases = Some(round.phases());
                self.workers.computed(round);
                self.pieces.add(time, round, &self.workers);
            }
            Event::WorkersUsage { workers, .. } => self.workers.usage(time, workers),
            Event::Step(step) => {
                let phases = self.phases.take();
                self.step(time, step, phases);
            }
            Event::Validation(record) => self.evaluation(time, "validation", &record.evaluation, record.best),
            Event::Test(record) => self.test(time, record),
            Event::Mistakes(record) => {
                self.mistakes = Some(Mistakes::of(record));
                self.fresh.is_other = true;
            }
            _ => self.other(time, event),
        }
        self.say(time, event);
    }

    /// Takes a step with the parts of its time, if they are known.
    pub fn step(&mut self, time: f64, step: &StepRecord, phases: Option<Phases>) {
        let point = Point::new(time, step, phases);
        self.counts.steps += 1;
        self.steps_done = step.step.0 + 1;
        self.curve.add(&point);
        if self.fresh.points.len() < curve::BUCKETS_MAX {
            self.fresh.points.push(point.clone());
        } else {
            self.fresh.is_other = true;
        }
        self.last = Some(point);
    }

    /// What happened, the oldest first.
    pub fn messages(&self) -> impl DoubleEndedIterator<Item = &Message> {
        self.messages.iter()
    }

    /// Seconds until the last step at the present speed, while the run trains.
    #[must_use]
    pub fn eta_s(&self) -> Option<f64> {
        let left = self.run.as_ref()?.steps_total.saturating_sub(self.steps_done);
        let speed = self.curve.steps_per_s().filter(|speed| *speed > 0.0)?;
        (self.state == State::Training).then(|| left as f64 / speed)
    }

    /// Puts what was taken from several files in the order of its time.
    pub(super) fn sort(&mut self) {
        self.messages.make_contiguous().sort_by(|one, other| one.time.total_cmp(&other.time));
    }

    /// The newest evaluation of each kind.
    pub fn newest_evaluations(&self) -> impl Iterator<Item = &Evaluated> {
        let is_newest = |evaluated: &&Evaluated| {
            let key = |other: &Evaluated| (other.kind, other.weights, other.views);
            let newest = self.evaluations.iter().rev().find(|other| key(other) == key(evaluated));
            newest.is_some_and(|newest| std::ptr::eq(newest, *evaluated))
        };
        self.evaluations.iter().filter(is_newest).filter(|evaluated| !evaluated.views)
    }

    fn begin(&mut self, time: f64, run: &RunRecord, kind: &'static str) {
        let step = run.step.0;
        self.mark(time, kind, step);
        if kind == "restart" {
            // A coordinator that was killed has told nobody that its workers are gone.
            self.workers.end(time, "the coordinator was restarted");
        }
        self.curve.cut(step);
        self.evaluations.retain(|evaluated| evaluated.step < step);
        self.test = None;
        self.mistakes = None;
        self.steps_done = step;
        self.state = State::Waiting;
        self.run = Some(run.clone());
        self.fresh.is_other = true;
    }

    fn other(&mut self, time: f64, event: &Event) {
        let counts = &mut self.counts;
        match event {
            Event::WorkerJoined { .. } => counts.joined += 1,
            Event::WorkerLeft(_) => counts.left += 1,
            Event::WorkerDropped { .. } => counts.dropped += 1,
            Event::WorkerRefused { .. } => counts.refused += 1,
            Event::WorkerLate { .. } => counts.late += 1,
            Event::GradientDoubted { .. } => counts.doubted += 1,
            Event::EventsLost { events, .. } => counts.events_lost += events,
            Event::WaitingForWorkers { .. } => self.state = State::Waiting,
            Event::Stopping { .. } => self.state = State::Stopping,
            Event::CheckpointWritten { checkpoint, .. } => {
                counts.checkpoints += 1;
                self.mark(time, "checkpoint", checkpoint.0);
            }
            Event::CheckpointFailed { checkpoint, .. } => {
                counts.checkpoints_failed += 1;
                self.mark(time, "checkpoint_failed", checkpoint.0);
            }
            _ => {}
        }
        self.workers.apply(time, event);
    }

    fn test(&mut self, time: f64, record: &Evaluation) {
        self.evaluation(time, "test", record, false);
        if record.weights == Weights::Last && !record.views {
            let count = record.per_class.len();
            let confusion = if count <= CONFUSION_CLASSES_MAX {
                (0..count).map(|class| record.confusion.row(class).to_vec()).collect()
            } else {
                Vec::new()
            };
            self.test = Some(Tested { classes: record.per_class.clone(), confusion });
            self.fresh.is_other = true;
        }
    }

    fn evaluation(&mut self, time: f64, kind: &'static str, record: &Evaluation, best: bool) {
        let Evaluation { weights, views, loss, accuracy, macro_f1, .. } = *record;
        let [step, epoch] = [record.step.0, record.epoch.0];
        let evaluated = Evaluated { time, step, epoch, kind, weights, views, loss, accuracy, macro_f1, best };
        push(&mut self.evaluations, evaluated, EVALUATIONS_MAX);
        self.fresh.evaluations += 1;
    }

    fn mark(&mut self, time: f64, kind: &'static str, step: u64) {
        push(&mut self.marks, Mark { time, kind, step }, MARKS_MAX);
        self.fresh.marks += 1;
    }

    fn say(&mut self, time: f64, event: &Event) {
        match event {
            Event::Round(_)
            | Event::Step(_)
            | Event::Mistakes(_)
            | Event::WorkersUsage { .. }
            | Event::Listening { .. }
            | Event::CheckpointWritten { .. } => return,
            Event::WorkerRefused { .. } if time < self.refusal_said + REFUSALS_S => return,
            _ => {}
        }
        let is_warning = matches!(level(event, LogFormat::Text), Level::WARN | Level::ERROR);
        if matches!(event, Event::WorkerRefused { .. }) {
            self.refusal_said = time;
        }
        push(&mut self.messages, Message { time, is_warning, text: event.to_string() }, MESSAGES_MAX);
        self.fresh.messages += 1;
    }
}

/// Appends to a list that forgets its oldest entry where it is full.
fn push<T>(list: &mut VecDeque<T>, entry: T, most: usize) {
    if list.len() >= most {
        list.pop_front();
    }
    list.push_back(entry);
}

#[cfg(test)]
mod tests;
