//! `metrics.jsonl`: one JSON object per line, in the order of the events.
//!
//! Every record belongs to a step. A run that resumes at step `n` repeats step `n` and all later ones, so
//! opening the file for it drops the results of those steps. After any number of crashes each step is in the
//! file once. Events of the cluster are kept, because a repeated step does not undo them. Buffered lines are
//! lost when the coordinator is killed, so [`MetricsFile::flush`] precedes each checkpoint. The checkpoint
//! thread waits for that, not the driver.
//!
//! A FIFO or device that a person has named is appended to, and must be ready. A reader that falls behind by
//! more than the system buffers ends the metrics, not the run.
//!
//! A file is never emptied: a new one replaces it. This module does not decide what is recorded when. A
//! number that is not finite becomes `null`, because JSON can't represent it.

mod record;

pub use self::record::{Record, RunEvent};

use common::ids::Step;
use host::files::{FileError, Kind, Links, is_unsupported, open_regular, open_to_append, open_to_rewrite};
use serde::Deserialize;
use std::fs::{self, File, Permissions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Longest line that can be a record, in bytes: a thousand times the longest that is written.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// Largest file that is read, in bytes: two hundred million steps.
const FILE_BYTES_MAX: u64 = 1 << 36;
/// Buffer size that needs few system calls for a file of megabytes.
const BUFFER_BYTES: usize = 64 << 10;
/// Prefix of a file's name before it replaces another one.
const TEMPORARY_PREFIX: &str = ".metrics-";
/// Permissions for everybody, less the umask.
const FILE_MODE: u32 = 0o666;

/// Path of the metrics, and who chose it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A name in the checkpoint folder, which is ours. A file there is from an earlier start; a link is
    /// refused.
    Own(PathBuf),
    /// A path that a person chose. A link is followed, a FIFO or device is appended to, and the file of
    /// another run is left alone.
    Named(PathBuf),
}

impl Place {
    /// Path of the file, for either variant.
    #[must_use]
    pub fn path(&self) -> &Path {
        let (Self::Own(path) | Self::Named(path)) = self;
        path
    }
}

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

/// A place that can be used for a run's metrics, as it was found: nothing there has been changed yet.
#[derive(Debug)]
pub struct UsablePlace {
    place: Place,
    existing: Existing,
}

/// What exists at a place.
#[derive(Debug)]
enum Existing {
    /// A FIFO, a device, or an open file of a process such as `/dev/stdout`. It is appended to and never
    /// replaced.
    Stream(File),
    /// A regular file at that path, or none, and the file that is to replace it. The path is not a link's.
    File { path: PathBuf, old: Option<File>, new: NamedTempFile },
}

impl UsablePlace {
    /// Looks at a place on behalf of the run with that fingerprint.
    ///
    /// # Errors
    /// When no file can be written there, or the existing one is not this run's.
    pub fn find(place: &Place, fingerprint: &str) -> Result<Self, MetricsError> {
        Ok(Self { place: place.clone(), existing: open_existing(place, fingerprint)? })
    }

    /// Path of the file, as it was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// Begins the file of a fresh run. It replaces a file of an earlier start of the run.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn create(self) -> Result<MetricsFile, MetricsError> {
        let Self { place, existing } = self;
        match existing {
            Existing::Stream(file) => Ok(MetricsFile::on(place, file)),
            Existing::File { path, new, .. } => MetricsFile::put(place, new, path),
        }
    }

    /// Opens the file of a run that continues with `step`. Results of that step and later ones are dropped,
    /// and so are lines that can't be read. A crash in this function leaves the file as it was.
    ///
    /// # Errors
    /// When the file can't be read, or its successor can't be written beside it.
    pub fn resume(self, step: Step) -> Result<(MetricsFile, Found), MetricsError> {
        let Self { place, existing } = self;
        let (path, old, new) = match existing {
            Existing::Stream(file) => return Ok((MetricsFile::on(place, file), Found::default())),
            Existing::File { path, old, new } => (path, old, new),
        };
        let mut found = Found::default();
        if let Some(old) = old {
            let mut out = BufWriter::new(new.as_file());
            let copied = copy_earlier(BufReader::with_capacity(BUFFER_BYTES, old), &mut out, step);
            found = copied
                .and_then(|found| out.flush().map(|()| found))
                .map_err(|source| io_error("rewrite", &path, source))?;
            // Without it the rename could reach the disk before the lines do. Where the file system has no
            // sync, there is nothing that could be done.
            match new.as_file().sync_all() {
                Err(error) if !is_unsupported(&error) => return Err(io_error("sync", &path, error)),
                _ => {}
            }
        }
        Ok((MetricsFile::put(place, new, path)?, found))
    }
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

    /// Renames the new file to `path`, replacing an existing one. Where the file system has no rename, the
    /// content is copied, and the new file stays until that is done.
    fn put(place: Place, new: NamedTempFile, path: PathBuf) -> Result<Self, MetricsError> {
        let file = match new.persist(&path) {
            Ok(file) => file,
            Err(failed) => {
                copy_over(failed.file, &path).map_err(|_| io_error("replace", &path, failed.error))?
            }
        };
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

    /// Appends a line, which may stay in the buffer.
    ///
    /// # Errors
    /// When the file system reports an error.
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
    /// When the file system reports an error.
    pub fn flush(&mut self) -> Result<(), MetricsError> {
        self.out.flush().map_err(|source| io_error("write to", &self.path, source))
    }
}

/// Opens the file at the place, if it exists. For a regular file that a person chose, the first line must be
/// this run's.
fn open_existing(place: &Place, fingerprint: &str) -> Result<Existing, MetricsError> {
    let failed = |source| MetricsError::File { path: place.path().to_owned(), source };
    let path = match place {
        Place::Own(path) => path.clone(),
        Place::Named(path) if leads_to_open_file(path) => {
            return open_to_append(path).map(|(file, _)| Existing::Stream(file)).map_err(failed);
        }
        Place::Named(path) => match fs::canonicalize(path) {
            Ok(path) => path,
            // A dangling link is not followed; it is classified below.
            Err(error) if error.kind() == io::ErrorKind::NotFound => path.clone(),
            Err(source) => return Err(io_error("find", path, source)),
        },
    };
    let old = match open_regular(&path, FILE_BYTES_MAX, Links::Refused) {
        Ok(old) => old,
        Err(error) if error.is_missing() => {
            let new = successor(&path)?;
            return Ok(Existing::File { path, old: None, new });
        }
        Err(FileError::NotRegular(Kind::Fifo | Kind::Device)) if matches!(place, Place::Named(_)) => {
            return open_to_append(&path).map(|(file, _)| Existing::Stream(file)).map_err(failed);
        }
        Err(source) => return Err(failed(source)),
    };
    if matches!(place, Place::Named(_)) && !begins_with_run(&old, fingerprint) {
        return Err(MetricsError::Foreign(path));
    }
    let new = successor(&path)?;
    Ok(Existing::File { path, old: Some(old), new })
}

/// Whether the path leads to an open file of a process, such as `/dev/stdout`, which others use too.
fn leads_to_open_file(path: &Path) -> bool {
    let in_proc = |path: &Path| {
        let folder = path.parent().and_then(|folder| fs::canonicalize(folder).ok());
        folder.is_some_and(|folder| folder.starts_with("/proc"))
    };
    in_proc(path) || fs::read_link(path).is_ok_and(|target| in_proc(&target))
}

/// Whether the file is empty, or its first line is a record of a run with that fingerprint. Leaves the file
/// at its start.
fn begins_with_run(mut file: &File, fingerprint: &str) -> bool {
    /// The part of the record that matters here.
    #[derive(Deserialize)]
    struct Run {
        fingerprint: String,
    }

    let mut line = Vec::new();
    let read = BufReader::new(file).take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
    let own = match read {
        Ok(0) => true,
        Ok(_) => serde_json::from_slice::<Run>(&line).is_ok_and(|run| run.fingerprint == fingerprint),
        Err(_) => false,
    };
    own && file.rewind().is_ok()
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

    let is_computed = |place: &Place| {
        place.kind.as_deref().is_none_or(|kind| ["step", "validation", "test"].contains(&kind))
    };
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

/// A temporary file beside `path` that replaces it once complete; it is removed when dropped earlier.
fn successor(path: &Path) -> Result<NamedTempFile, MetricsError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let new = tempfile::Builder::new()
        .prefix(TEMPORARY_PREFIX)
        .permissions(Permissions::from_mode(FILE_MODE))
        .tempfile_in(folder);
    new.map_err(|source| io_error("create", path, source))
}

/// Writes a temporary file's content to `path`, where there is a regular file or none. Returns the file there,
/// at its end.
fn copy_over(from: NamedTempFile, path: &Path) -> io::Result<File> {
    let mut content = from.reopen()?;
    let mut to = open_to_rewrite(path).map_err(io::Error::other)?;
    to.set_len(0)?;
    io::copy(&mut content, &mut to)?;
    from.close()?;
    Ok(to)
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> MetricsError {
    MetricsError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
