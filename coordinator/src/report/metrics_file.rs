//! `metrics.jsonl`: one JSON object a line, in the order in which things happened to the run.
//!
//! Every record belongs to a step. A run that is resumed at step `n` will do step `n` and all later ones again, so opening
//! the file for it drops what belongs to them: after any number of crashes each step stands in the file once. What was
//! in the buffer when the coordinator was killed is gone, so [`MetricsFile::flush`] comes before each checkpoint.
//!
//! It does not decide what is recorded when. A number that isn't finite becomes `null`: JSON has no other word for it.

use super::StepView;
use common::ids::{Epoch, Step};
use common::metrics::{ClassQuality, Confusion};
use common::sample::CLASSES;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

/// A line of the file; `kind` is the variant's name.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Record<'a> {
    /// The coordinator began to train.
    Run(RunView<'a>),
    /// A step was committed.
    Step(&'a StepView),
    /// The model met the validation samples.
    Validation(Evaluation),
    /// The model met the test samples.
    Test(Evaluation),
}

/// A run's beginning or its continuation.
#[derive(Clone, Debug, Serialize)]
pub struct RunView<'a> {
    /// Which of them.
    pub event: RunEvent,
    /// The first step to be done.
    pub step: Step,
    /// Its name.
    pub run_id: &'a str,
    /// Digest of `config`.
    pub fingerprint: &'a str,
    /// What its numbers depend on.
    pub config: &'a BTreeMap<String, String>,
}

/// Whether a run begins or goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RunEvent {
    /// From nothing.
    Start,
    /// From a checkpoint.
    Resume,
}

/// How good the model was after a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// The last step committed before: its number is one below that of the checkpoint it describes.
    pub step: Step,
    /// That step's epoch.
    pub epoch: Epoch,
    /// Mean cross-entropy, in nats.
    pub loss: f64,
    /// Share classified right, in `[0, 1]`.
    pub accuracy: f64,
    /// Unweighted mean over the classes.
    pub macro_precision: f64,
    /// Unweighted mean over the classes.
    pub macro_recall: f64,
    /// Unweighted mean over the classes.
    pub macro_f1: f64,
    /// Class 0 first.
    pub per_class: Vec<ClassQuality>,
    /// Row: true class. Column: predicted class.
    pub confusion: Confusion,
}

impl Evaluation {
    /// All that follows from the counts.
    #[must_use]
    pub fn new(step: Step, epoch: Epoch, loss: f64, confusion: Confusion) -> Self {
        let mean = confusion.macro_average();
        Self {
            step,
            epoch,
            loss,
            accuracy: confusion.accuracy(),
            macro_precision: mean.precision,
            macro_recall: mean.recall,
            macro_f1: mean.f1,
            per_class: (0..CLASSES).map(|class| confusion.class(class)).collect(),
            confusion,
        }
    }
}

/// Why metrics could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The file system refused.
    #[error("cannot {action} the metrics file {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The path names no file, such as `..`.
    #[error("{} is no name for a metrics file; give one such as metrics.jsonl", path.display())]
    Name {
        /// The path given.
        path: PathBuf,
    },
}

/// What [`MetricsFile::resume`] found, in lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Kept: earlier than the resumed step.
    pub kept: u64,
    /// Dropped: steps that will be done again.
    pub later: u64,
    /// Dropped: torn, or no record. More than 1 means that something else wrote to the file or the disk lost some.
    pub unreadable: u64,
}

/// The open file.
#[derive(Debug)]
pub struct MetricsFile {
    path: PathBuf,
    out: BufWriter<File>,
}

impl MetricsFile {
    /// An empty file for a fresh run; one that is there already is emptied.
    ///
    /// # Errors
    /// When it can't be created.
    pub fn create(path: &Path) -> Result<Self, MetricsError> {
        let file = File::create(path).map_err(|source| io_error("create", path, source))?;
        Ok(Self { path: path.to_owned(), out: BufWriter::new(file) })
    }

    /// The file of a run that goes on with `step`: what belongs to it or a later one is dropped, what can't be read too.
    ///
    /// A crash in here leaves the file as it was. Where there is none, one is created.
    ///
    /// # Errors
    /// When it can't be read, or its successor not be written beside it.
    pub fn resume(path: &Path, step: Step) -> Result<(Self, Found), MetricsError> {
        // The link's target, lest the rename replace the link.
        let path = match fs::canonicalize(path) {
            Ok(path) => path,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Ok((Self::create(path)?, Found::default()));
            }
            Err(source) => return Err(io_error("find", path, source)),
        };
        let successor = beside(&path)?;
        let old = File::open(&path).map_err(|source| io_error("open", &path, source))?;
        let mut new = Self::create(&successor)?;
        let found = copy_earlier(BufReader::new(old), &mut new.out, step)
            .map_err(|source| io_error("rewrite", &path, source))?;
        new.flush()?;
        // Without it the rename could reach the disk before the lines do.
        new.out.get_ref().sync_all().map_err(|source| io_error("sync", &successor, source))?;
        fs::rename(&successor, &path).map_err(|source| io_error("replace", &path, source))?;
        new.path = path;
        Ok((new, found))
    }

    /// Adds a line, which may stay in the buffer.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn write(&mut self, record: &Record<'_>) -> Result<(), MetricsError> {
        let line = serde_json::to_vec(record).map_err(io::Error::from);
        line.and_then(|mut line| {
            line.push(b'\n');
            self.out.write_all(&line)
        })
        .map_err(|source| io_error("write to", &self.path, source))
    }

    /// Hands the buffer to the operating system: the lines survive this process, but not a power failure.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn flush(&mut self) -> Result<(), MetricsError> {
        self.out.flush().map_err(|source| io_error("write to", &self.path, source))
    }
}

/// Copies the lines of steps below `step`.
fn copy_earlier(mut from: impl BufRead, to: &mut impl Write, step: Step) -> io::Result<Found> {
    /// All that counts of a record here.
    #[derive(Deserialize)]
    struct Place {
        step: Step,
    }

    let mut found = Found::default();
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        match serde_json::from_slice::<Place>(&line) {
            // A torn line may still parse, and an array stand for the object: first and last byte show it.
            Ok(place) if line.starts_with(b"{") && line.ends_with(b"\n") => {
                if place.step < step {
                    to.write_all(&line)?;
                    found.kept += 1;
                } else {
                    found.later += 1;
                }
            }
            _ => found.unreadable += 1,
        }
        line.clear();
    }
    Ok(found)
}

/// `metrics.jsonl.new` for `metrics.jsonl`. One left by a crash is overwritten.
fn beside(path: &Path) -> Result<PathBuf, MetricsError> {
    let name = path.file_name().ok_or_else(|| MetricsError::Name { path: path.to_owned() })?;
    let mut name = OsString::from(name);
    name.push(".new");
    Ok(path.with_file_name(name))
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> MetricsError {
    MetricsError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
