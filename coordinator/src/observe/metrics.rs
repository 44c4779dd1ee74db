//! Events as lines of `metrics.jsonl`: which of them are kept, and in which form. `jsonl` manages the file.
//!
//! A file that can't be written is abandoned with a warning; the training continues.

use super::Observer;
use super::jsonl::{MetricsError, MetricsFile, Record, RunEvent, Timed};
use super::rate::Rate;
use common::event::{Event, Phases};
use common::ids::Step;
use host::clock::wall_seconds;
use std::time::Instant;
use tracing::warn;

/// The observer that writes the metrics.
pub(crate) struct Metrics {
    /// The open file; `None` once it was abandoned.
    file: Option<MetricsFile>,
    rate: Rate,
    /// Step of the last event that had one. Events without a step of their own are kept with it.
    step: Step,
    /// Parts of the time of the round whose step is told next.
    phases: Option<Phases>,
}

impl Metrics {
    pub(crate) fn new(file: MetricsFile) -> Self {
        Self { file: Some(file), rate: Rate::default(), step: Step(0), phases: None }
    }

    fn attempt(&mut self, attempt: impl FnOnce(MetricsFile) -> Result<MetricsFile, MetricsError>) {
        let Some(file) = self.file.take() else { return };
        match attempt(file) {
            Ok(file) => self.file = Some(file),
            Err(error) => warn!(%error, "no metrics are written from here on; the training goes on"),
        }
    }

    fn write(&mut self, record: &Record<'_>) {
        self.write_with(record, None);
    }

    fn write_with(&mut self, record: &Record<'_>, phases: Option<Phases>) {
        let time = wall_seconds();
        self.attempt(|mut file| file.write(&Timed { record, time, phases }).map(|()| file));
    }
}

impl Observer for Metrics {
    fn observe(&mut self, event: &Event) {
        match event {
            Event::RunStarted(run) => self.write(&Record::run(RunEvent::Start, run)),
            Event::RunResumed(run) => self.write(&Record::run(RunEvent::Resume, run)),
            Event::RunRolledBack { run, .. } => {
                self.attempt(|file| file.roll_back(&run.fingerprint, run.step));
                self.step = run.step;
                self.write(&Record::run(RunEvent::Rollback, run));
            }
            Event::Step(record) => {
                self.step = record.step;
                let phases = self.phases.take();
                self.write_with(&Record::step(record), phases);
            }
            Event::Validation(record) => self.write(&Record::validation(record)),
            Event::Test(record) => self.write(&Record::test(record)),
            Event::PseudoLabels(record) => self.write(&Record::pseudo_labels(record)),
            Event::Round(round) => self.phases = Some(round.phases()),
            // These are of no use once the run is over, or could be caused without limit by workers that are
            // not admitted.
            Event::Listening { .. } | Event::WorkerRefused { .. } | Event::WorkersUsage { .. } => {}
            event => {
                let mut rate = std::mem::take(&mut self.rate);
                rate.pass(event, Instant::now(), |left_out| {
                    self.write(&Record::other(event, self.step, left_out));
                });
                self.rate = rate;
            }
        }
    }

    fn precedes_checkpoints(&self) -> bool {
        true
    }

    fn keep(&mut self) {
        self.attempt(|mut file| file.flush().map(|()| file));
    }
}
