//! Who was there and what went wrong, folded from a run's events.

use common::event::{Departure, Event, RunOutcome, RunRecord};

/// Most workers of which a history is kept.
const WORKERS_MAX: usize = 512;
/// Most stays of a worker that are kept.
const STAYS_MAX: usize = 128;
/// Most starts of the coordinator that are kept.
const STARTS_MAX: usize = 1024;
/// Most characters of a text that is kept.
const TEXT_CHARS_MAX: usize = 400;

/// When something happened.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct At {
    /// Seconds since 1970; files of earlier programs lack it.
    pub time: Option<f64>,
    /// Step in progress.
    pub step: u64,
}

/// How the coordinator began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Beginning {
    Start,
    Resume,
    Rollback,
}

/// A beginning of the run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Start {
    /// When it was.
    pub at: At,
    /// How it began.
    pub how: Beginning,
    /// Whether the coordinator before ended without a word.
    pub after_crash: bool,
}

/// Why a worker was there no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parting {
    /// It said goodbye.
    Left,
    /// It was dropped, for this reason.
    Dropped(String),
    /// The coordinator ended well.
    RunEnded,
    /// The coordinator ended without a word; that is the last moment that is known of it.
    CoordinatorLost,
    /// Nothing is known of its end: it is there still, or the coordinator was killed.
    Unknown,
}

/// A time during which a worker was a member.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Stay {
    pub from: At,
    /// End; the last moment that is known, while it goes on.
    pub to: At,
    pub parting: Parting,
}

/// A worker, by its name.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Worker {
    pub name: String,
    pub stays: Vec<Stay>,
    /// Whether it is a member at the moment.
    is_there: bool,
    /// Times that others computed its pieces too.
    pub late: u64,
}

/// What a run had to bear, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Faults {
    /// Workers that were dropped.
    pub deaths: u64,
    /// Workers that said goodbye while the run went on.
    pub goodbyes: u64,
    /// Coordinators that ended without a word.
    pub crashes: u64,
    /// Stops that were asked for, after which the run went on.
    pub stops: u64,
    pub rollbacks: u64,
    /// Audits that found a worker that computes wrongly.
    pub miscomputing: u64,
    /// Times that what such a worker had computed stayed in the model.
    pub wrong_kept: u64,
    /// Workers of other numerics that were let in.
    pub other_numerics: u64,
    pub quarantined: u64,
    pub doubted: u64,
    pub late: u64,
    pub unsaved_checkpoints: u64,
    /// Events that an observer was too slow for.
    pub lost_events: u64,
}

/// The history of a run.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs, reason = "field names say all")]
pub struct History {
    pub starts: Vec<Start>,
    pub workers: Vec<Worker>,
    pub faults: Faults,
    /// How the run ended, unless it goes on or was killed.
    pub outcome: Option<RunOutcome>,
    /// Most members at a time.
    pub most_workers: u32,
    /// Workers, stays and starts that were too many to be kept.
    pub left_out: u64,
    pub last: At,
}

impl Faults {
    /// The numbers with their names, those that are 0 too.
    #[must_use]
    pub fn rows(&self) -> [(&'static str, u64); 13] {
        [
            ("workers that were dropped", self.deaths),
            ("workers that said goodbye", self.goodbyes),
            ("coordinators that ended without a word", self.crashes),
            ("stops after which the run went on", self.stops),
            ("rollbacks", self.rollbacks),
            ("audits that found a worker that miscomputes", self.miscomputing),
            ("wrong results that stayed in the model", self.wrong_kept),
            ("workers of other numerics that were let in", self.other_numerics),
            ("workers let in no more", self.quarantined),
            ("gradients that were computed again", self.doubted),
            ("workers whose pieces others computed too", self.late),
            ("checkpoints that could not be written", self.unsaved_checkpoints),
            ("events that were not kept", self.lost_events),
        ]
    }

    /// What may have changed the run's bits.
    #[must_use]
    pub fn wrong_bits(&self) -> u64 {
        self.wrong_kept.saturating_add(self.other_numerics)
    }

    /// What counts as a fault in one number: deaths, crashes, rollbacks and checkpoints that were not
    /// written.
    #[must_use]
    pub fn total(&self) -> u64 {
        let all = [self.deaths, self.crashes, self.rollbacks, self.unsaved_checkpoints];
        all.into_iter().fold(0, u64::saturating_add)
    }
}

impl History {
    /// Adds an event, with its time.
    pub(super) fn tell(&mut self, time: Option<f64>, event: &Event) {
        let step = step_of(event).unwrap_or(self.last.step);
        let at = At { time: time.or(self.last.time), step };
        match event {
            Event::RunStarted(run) => self.begin(at, Beginning::Start, run),
            Event::RunResumed(run) => self.begin(at, Beginning::Resume, run),
            Event::RunRolledBack { run, .. } => self.roll_back(At { step: run.step.0, ..at }),
            Event::RunEnded { outcome, .. } => {
                self.all_leave(at, &Parting::RunEnded);
                self.outcome = Some(shortened_outcome(outcome));
            }
            Event::WorkerJoined { worker, workers, .. } => self.join(at, worker, *workers),
            Event::WorkerLeft(departure) => {
                let counts = self.leave(at, departure, Parting::Left) && self.outcome.is_none();
                self.faults.goodbyes += u64::from(counts);
            }
            Event::WorkerDropped { cause, departure } => {
                let parting = Parting::Dropped(shortened(&cause.to_string()));
                let counts = self.leave(at, departure, parting) && self.outcome.is_none();
                self.faults.deaths += u64::from(counts);
            }
            Event::WorkerLate { worker, .. } => {
                self.faults.late += 1;
                self.workers.iter_mut().filter(|own| own.name == *worker).for_each(|own| own.late += 1);
            }
            Event::WorkerMiscomputes { .. } => self.faults.miscomputing += 1,
            Event::MiscomputedWorkKept { .. } => self.faults.wrong_kept += 1,
            Event::OtherNumerics { .. } => self.faults.other_numerics += 1,
            Event::WorkerQuarantined { .. } => self.faults.quarantined += 1,
            Event::CheckpointFailed { .. } => self.faults.unsaved_checkpoints += 1,
            Event::EventsLost { events, .. } => {
                self.faults.lost_events = self.faults.lost_events.saturating_add(*events);
            }
            _ => {}
        }
        self.last = at;
        self.workers.iter_mut().filter(|worker| worker.is_there).for_each(|worker| worker.is_seen(at));
    }

    /// Counts a gradient that was computed again. Its numbers may be none that JSON has.
    pub(super) fn doubt(&mut self) {
        self.faults.doubted += 1;
    }

    /// Notes that a step was seen at this time.
    pub(super) fn step(&mut self, time: Option<f64>, step: u64) {
        self.last = At { time: time.or(self.last.time), step };
    }

    /// The file is at its end: who is there was seen last with the last line.
    pub(super) fn finish(&mut self) {
        let last = self.last;
        self.workers.iter_mut().filter(|worker| worker.is_there).for_each(|worker| worker.is_seen(last));
    }

    /// The history of a run that goes on, which other lines have shown later than its events.
    pub(super) fn seen_until(mut self, at: At) -> Self {
        if self.outcome.is_none() && at.time > self.last.time {
            self.last = at;
            self.finish();
        }
        self
    }

    fn begin(&mut self, at: At, how: Beginning, run: &RunRecord) {
        let after_crash = !self.starts.is_empty() && self.outcome.is_none();
        self.faults.crashes += u64::from(after_crash);
        self.faults.stops += u64::from(self.outcome == Some(RunOutcome::Stopped));
        self.all_leave(self.last, &Parting::CoordinatorLost);
        self.outcome = None;
        self.add_start(Start { at: At { step: run.step.0, ..at }, how, after_crash });
    }

    fn roll_back(&mut self, at: At) {
        self.faults.rollbacks += 1;
        self.add_start(Start { at, how: Beginning::Rollback, after_crash: false });
    }

    fn add_start(&mut self, start: Start) {
        if self.starts.len() < STARTS_MAX { self.starts.push(start) } else { self.left_out += 1 }
    }

    fn join(&mut self, at: At, name: &str, workers: u32) {
        self.most_workers = self.most_workers.max(workers);
        let name = shortened(name);
        let place = match self.workers.iter().position(|worker| worker.name == name) {
            Some(place) => place,
            None if self.workers.len() < WORKERS_MAX => {
                self.workers.push(Worker { name, stays: Vec::new(), is_there: false, late: 0 });
                self.workers.len() - 1
            }
            None => return self.left_out += 1,
        };
        let worker = &mut self.workers[place];
        worker.part(at, Parting::Unknown);
        if worker.stays.len() >= STAYS_MAX {
            self.left_out += 1;
            return;
        }
        worker.is_there = true;
        worker.stays.push(Stay { from: at, to: at, parting: Parting::Unknown });
    }

    /// A worker is there no more; returns whether it was a member. Spares have no history.
    fn leave(&mut self, at: At, departure: &Departure, parting: Parting) -> bool {
        let name = shortened(&departure.worker);
        let found = self.workers.iter_mut().find(|worker| worker.name == name);
        if departure.rank.is_some() {
            found.into_iter().for_each(|worker| worker.part(at, parting.clone()));
        }
        departure.rank.is_some()
    }

    fn all_leave(&mut self, at: At, parting: &Parting) {
        self.workers.iter_mut().for_each(|worker| worker.part(at, parting.clone()));
    }
}

impl Worker {
    fn is_seen(&mut self, at: At) {
        if let Some(stay) = self.stays.last_mut() {
            stay.to = at;
        }
    }

    fn part(&mut self, at: At, parting: Parting) {
        if !std::mem::take(&mut self.is_there) {
            return;
        }
        self.is_seen(at);
        if let Some(stay) = self.stays.last_mut() {
            stay.parting = parting;
        }
    }
}

/// The step that an event belongs to, if it has one.
fn step_of(event: &Event) -> Option<u64> {
    let step = match event {
        Event::RunStarted(run) | Event::RunResumed(run) | Event::RunRolledBack { run, .. } => run.step,
        Event::WorkerLeft(departure) | Event::WorkerDropped { departure, .. } => departure.step,
        Event::RunEnded { step, .. }
        | Event::WorkerJoined { step, .. }
        | Event::WorkerLate { step, .. }
        | Event::WorkerMiscomputes { step, .. }
        | Event::MiscomputedWorkKept { step, .. }
        | Event::OtherNumerics { step, .. }
        | Event::WorkerQuarantined { step, .. }
        | Event::CheckpointWritten { step, .. }
        | Event::CheckpointFailed { step, .. }
        | Event::Stopping { step } => *step,
        _ => return None,
    };
    Some(step.0)
}

fn shortened_outcome(outcome: &RunOutcome) -> RunOutcome {
    match outcome {
        RunOutcome::Failed { problem } => RunOutcome::Failed { problem: shortened(problem) },
        other => other.clone(),
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}
