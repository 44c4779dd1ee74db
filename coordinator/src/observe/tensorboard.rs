//! A file for TensorBoard in a run's folder: curves, the confusion matrix as a picture, histograms of the
//! model, and the configuration.
//!
//! `file` has one file for any number of starts, `say` decides what stands in it. A file that can't be used
//! or written is given up with a warning; the training goes on. What the system was not handed yet is lost
//! when the coordinator is killed, so that precedes each checkpoint, as with the metrics.

mod file;
mod histogram;
mod picture;
mod proto;
mod record;
mod say;

use self::file::{EventFile, EventFileError};
use self::proto::Event as Record;
use super::Observer;
use common::event::Event;
use common::ids::Step;
use host::clock::wall_seconds;
use std::path::Path;
use std::time::{Duration, Instant};
use tracing::{debug, warn};

/// Time after which what has happened is shown to a TensorBoard that reads along.
const SHOWN_AFTER: Duration = Duration::from_secs(1);

/// The observer that writes the file.
pub(crate) struct TensorBoard {
    /// The open file; `None` once it was given up.
    file: Option<EventFile>,
    /// When the system was last handed all records.
    shown: Instant,
}

impl TensorBoard {
    /// Opens the file in the folder of a run with that fingerprint, which goes on with `step`. Without a
    /// file that can be used there is no observer, and a warning says why.
    pub(crate) fn begin(folder: &Path, fingerprint: &str, step: Step) -> Option<Self> {
        match EventFile::open(folder, fingerprint, step, now()) {
            Ok(file) => Some(Self { file: Some(file), shown: Instant::now() }),
            Err(error) => {
                warn!(%error, "there is no file for TensorBoard; the training goes on");
                None
            }
        }
    }

    fn attempt(&mut self, attempt: impl FnOnce(&mut EventFile) -> Result<(), EventFileError>) {
        let Some(file) = &mut self.file else { return };
        if let Err(error) = attempt(file) {
            warn!(%error, "nothing more is written for TensorBoard; the training goes on");
            self.file = None;
        }
    }

    fn append(&mut self, record: &Record) {
        self.attempt(|file| file.append(record));
    }
}

impl Observer for TensorBoard {
    fn observe(&mut self, event: &Event) {
        if self.file.is_none() {
            return;
        }
        let now = now();
        match event {
            Event::RunStarted(run) | Event::RunResumed(run) => {
                if self.file.as_ref().is_some_and(|file| !file.is_introduced()) {
                    self.attempt(|file| file.introduce(&say::introduction(run, now)));
                }
            }
            Event::RunRolledBack { run, .. } => self.attempt(|file| file.go_back(run.step, now)),
            Event::Step(step) => self.append(&say::record(step.step, say::of_step(step), now)),
            Event::Validation(record) => {
                let evaluation = &record.evaluation;
                let picture = picture::of_confusion(&evaluation.confusion);
                let values = say::of_evaluation("validation", evaluation, picture);
                self.append(&say::record(evaluation.step, values, now));
            }
            Event::Test(test) => {
                let picture = picture::of_confusion(&test.confusion);
                let record = say::record(test.step, say::of_evaluation("test", test, picture), now);
                // A run that was complete already tests again.
                self.attempt(|file| file.replace(&record));
            }
            Event::PseudoLabels(labels) => {
                self.append(&say::record(labels.step, say::of_pseudo_labels(labels), now));
            }
            Event::CheckpointWritten { step, path, .. } => match histogram::of_checkpoint(Path::new(path)) {
                Ok(values) => self.append(&say::record(*step, values, now)),
                Err(error) => debug!(path, error, "no histograms of a checkpoint"),
            },
            Event::RunEnded { step, outcome, .. } => {
                say::ending(*step, outcome, now).iter().for_each(|record| self.append(record));
            }
            _ => return,
        }
        if self.shown.elapsed() >= SHOWN_AFTER {
            self.keep();
        }
    }

    fn precedes_checkpoints(&self) -> bool {
        true
    }

    fn keep(&mut self) {
        self.attempt(EventFile::flush);
        self.shown = Instant::now();
    }
}

/// Seconds since 1970 by the wall clock, for a person who reads a curve; above 0, which a record has always.
fn now() -> f64 {
    wall_seconds().max(1e-3)
}

#[cfg(test)]
mod tests;
