//! `metrics.jsonl`: one JSON object per line, in the order of the events.
//!
//! Every record belongs to a step. A run that resumes at step `n` repeats step `n` and all later ones, so
//! opening the file for it drops the results of those steps. After any number of crashes each step is in the
//! file once. Events of the cluster are kept, because a repeated step does not undo them. Buffered lines are
//! lost when the coordinator is killed, so [`MetricsFile::flush`] precedes each checkpoint. The checkpoint
//! thread waits for that, not the driver.
//!
//! A FIFO or device that a person has named is appended to, and must be ready. A reader that falls behind by
//! more than the system buffers ends the metrics, not the run. [`UsablePlace`] decides what may be there.
//!
//! This module does not decide what is recorded when. A number that is not finite becomes `null`, because
//! JSON can't represent it.

mod place;
mod record;

pub use self::place::{Place, UsablePlace};
pub use self::record::{Record, RunEvent, Timed};

use crate::folder;
use common::ids::Step;
use host::files::FileError;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufRead, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Longest line that can be a record, in bytes: a thousand times the longest that is written.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// Kinds of lines that a run writes anew where it repeats their steps.
const COMPUTED: [&str; 4] = ["step", "validation", "test", "pseudo_labels"];

/// Reason why metrics can't be kept.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum MetricsError {
    /// The file system reported an error.
    #[error("cannot {action} the metrics file {}: {source}", path.display())]
    Io {
        /// Operation that failed, as a verb.
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// The path can't be opened, or is not a file.
    #[error("cannot use the metrics file {}: {source}", path.display())]
    File { path: PathBuf, source: FileError },
    /// The file there was not written by this run.
    #[error("{} does not hold this run's metrics; move it away, or choose another --metrics", .0.display())]
    Foreign(PathBuf),
}

/// Numbers of lines that [`MetricsFile::resume`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Lines kept: earlier than the resumed step, or not computed in a step.
    pub kept: u64,
    /// Lines dropped because their steps will be repeated.
    pub later: u64,
    /// Lines dropped because they are torn or no records. More than 1 means that another program wrote to the
    /// file, or that the disk lost data.
    pub unreadable: u64,
}

/// An open metrics file.
#[derive(Debug)]
pub struct MetricsFile {
    place: Place,
    path: PathBuf,
    out: BufWriter<File>,
}

impl MetricsFile {
    /// Creates the file of a fresh run with that fingerprint. It replaces a file of an earlier start of the
    /// run.
    ///
    /// # Errors
    /// When the file can't be created, or the existing one is not this run's.
    pub fn create(place: &Place, fingerprint: &str) -> Result<Self, MetricsError> {
        UsablePlace::find(place, fingerprint)?.create()
    }

    /// Opens the file of a run that continues with `step`, as [`UsablePlace::resume`] does. If there is none,
    /// one is created.
    ///
    /// # Errors
    /// When the file can't be read, its successor can't be written beside it, or the file is not this run's.
    pub fn resume(place: &Place, fingerprint: &str, step: Step) -> Result<(Self, Found), MetricsError> {
        UsablePlace::find(place, fingerprint)?.resume(step)
    }

    fn on(place: Place, file: File) -> Self {
        Self { path: place.path().to_owned(), place, out: BufWriter::new(file) }
    }

    /// Puts the new file in the place of an existing one.
    fn put(place: Place, new: NamedTempFile, path: PathBuf) -> Result<Self, MetricsError> {
        let file = folder::put(new, &path).map_err(|source| io_error("replace", &path, source))?;
        Ok(Self { place, path, out: BufWriter::new(file) })
    }

    /// The same file without the results of `step` and later ones.
    ///
    /// # Errors
    /// As for [`resume`](Self::resume).
    pub fn roll_back(mut self, fingerprint: &str, step: Step) -> Result<Self, MetricsError> {
        self.flush()?;
        Ok(Self::resume(&self.place, fingerprint, step)?.0)
    }

    /// Appends a record as a line, which may stay in the buffer.
    ///
    /// # Errors
    /// When the file system reports an error.
    pub fn write(&mut self, record: &impl Serialize) -> Result<(), MetricsError> {
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
    /// When the file system reports an error.
    pub fn flush(&mut self) -> Result<(), MetricsError> {
        self.out.flush().map_err(|source| io_error("write to", &self.path, source))
    }
}

/// Copies all lines but the results of `step` and later ones.
fn copy_earlier(mut from: impl BufRead, to: &mut impl Write, step: Step) -> io::Result<Found> {
    /// The part of a record that matters here.
    #[derive(Deserialize)]
    struct Place {
        step: Step,
        /// Kind of the record; this program writes no line without one.
        kind: Option<String>,
    }

    let is_computed = |place: &Place| place.kind.as_deref().is_none_or(|kind| COMPUTED.contains(&kind));
    let mut found = Found::default();
    let mut line = Vec::new();
    while from.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? > 0 {
        match serde_json::from_slice::<Place>(&line) {
            // A torn line may still parse, and an array may stand for the object: the first and last byte
            // show it.
            Ok(place) if line.starts_with(b"{") && line.ends_with(b"\n") => {
                if place.step < step || !is_computed(&place) {
                    to.write_all(&line)?;
                    found.kept += 1;
                } else {
                    found.later += 1;
                }
            }
            _ => found.unreadable += 1,
        }
        if line.len() as u64 == LINE_BYTES_MAX && !line.ends_with(b"\n") {
            from.skip_until(b'\n')?;
        }
        line.clear();
    }
    Ok(found)
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> MetricsError {
    MetricsError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
