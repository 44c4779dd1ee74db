//! `metrics.jsonl`: one JSON object a line, in the order in which things happened to the run.
//!
//! Every record belongs to a step. A run that is resumed at step `n` will do step `n` and all later ones
//! again, so opening the file for it drops what was computed in them: after any number of crashes each step
//! stands in the file once. What happened to the cluster stays: no step that is done again undoes it. What
//! was in the buffer when the coordinator was killed is gone, so [`MetricsFile::flush`] comes before each
//! checkpoint. The checkpoint thread waits for that, not the driver.
//!
//! A FIFO or device that a person has named is added to, and must be ready. A reader that falls behind by
//! more than the system buffers ends the metrics, not the run.
//!
//! A file is never emptied: a new one takes its place. It does not decide what is recorded when. A number
//! that isn't finite becomes `null`: JSON has no other word for it.

mod record;

pub use self::record::{Record, RunEvent};

use common::ids::Step;
use host::files::{FileError, Kind, Links, open_regular, open_to_append};
use serde::Deserialize;
use std::fs::{self, File, Permissions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Longest line that can be a record: a thousand times the longest that is written.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// Largest file that is read: the steps of two hundred million.
const FILE_BYTES_MAX: u64 = 1 << 36;
/// Few system calls for a file of megabytes.
const BUFFER_BYTES: usize = 64 << 10;
/// What a file is called before it takes the place of another one.
const TEMPORARY_PREFIX: &str = ".metrics-";
/// For everybody, less what the umask takes away.
const FILE_MODE: u32 = 0o666;

/// Where metrics go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// This name in the checkpoint folder is ours: what is there is an earlier life's, and a link at it is
    /// refused.
    Own(PathBuf),
    /// A person chose it: a link is followed, a FIFO or device is added to, and the file of another run is
    /// left alone.
    Named(PathBuf),
}

impl Place {
    /// The name.
    #[must_use]
    pub fn path(&self) -> &Path {
        let (Self::Own(path) | Self::Named(path)) = self;
        path
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
    /// It can't be opened, or is something else than a file.
    #[error("cannot use the metrics file {}: {source}", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// What is wrong.
        source: FileError,
    },
    /// What is there was not written by this run.
    #[error("{} does not hold this run's metrics; move it away, or choose another --metrics", .0.display())]
    Foreign(PathBuf),
}

/// What [`MetricsFile::resume`] found, in lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Kept: earlier than the resumed step, or not computed in one.
    pub kept: u64,
    /// Dropped: steps that will be done again.
    pub later: u64,
    /// Dropped: torn, or no record. More than 1 means that something else wrote to the file or the disk lost
    /// some.
    pub unreadable: u64,
}

/// The open file.
#[derive(Debug)]
pub struct MetricsFile {
    place: Place,
    path: PathBuf,
    out: BufWriter<File>,
}

/// What is at a place.
enum Existing {
    /// A FIFO or a device, or an open file of a process, such as `/dev/stdout`: it is added to and never
    /// replaced.
    Stream(File),
    /// A file or nothing at that path, which is no link's.
    File(PathBuf, Option<File>),
}

impl MetricsFile {
    /// The file of a fresh run of that fingerprint, in place of one that an earlier start of it has left.
    ///
    /// # Errors
    /// When it can't be created, or what is there is not this run's.
    pub fn create(place: &Place, fingerprint: &str) -> Result<Self, MetricsError> {
        match look(place, fingerprint)? {
            Existing::Stream(file) => Ok(Self::on(place, file)),
            Existing::File(path, _) => {
                let new = successor(&path)?;
                Self::put(place, new, path)
            }
        }
    }

    /// The file of a run that goes on with `step`: what was computed in it or later is dropped, what can't
    /// be read too.
    ///
    /// A crash in here leaves the file as it was. Where there is none, one is created.
    ///
    /// # Errors
    /// When it can't be read, its successor not be written beside it, or what is there is not this run's.
    pub fn resume(place: &Place, fingerprint: &str, step: Step) -> Result<(Self, Found), MetricsError> {
        let (path, old) = match look(place, fingerprint)? {
            Existing::Stream(file) => return Ok((Self::on(place, file), Found::default())),
            Existing::File(path, old) => (path, old),
        };
        let new = successor(&path)?;
        let mut found = Found::default();
        if let Some(old) = old {
            let mut out = BufWriter::new(new.as_file());
            let copied = copy_earlier(BufReader::with_capacity(BUFFER_BYTES, old), &mut out, step);
            found = copied
                .and_then(|found| out.flush().map(|()| found))
                .map_err(|source| io_error("rewrite", &path, source))?;
            // Without it the rename could reach the disk before the lines do.
            new.as_file().sync_all().map_err(|source| io_error("sync", &path, source))?;
        }
        Ok((Self::put(place, new, path)?, found))
    }

    fn on(place: &Place, file: File) -> Self {
        Self { place: place.clone(), path: place.path().to_owned(), out: BufWriter::new(file) }
    }

    /// Gives the new file its name, which another one may have had.
    fn put(place: &Place, new: NamedTempFile, path: PathBuf) -> Result<Self, MetricsError> {
        let file = new.persist(&path).map_err(|failed| io_error("replace", &path, failed.error))?;
        Ok(Self { place: place.clone(), path, out: BufWriter::new(file) })
    }

    /// The same file without what was computed in `step` or later.
    ///
    /// # Errors
    /// As for [`resume`](Self::resume).
    pub fn go_back(mut self, fingerprint: &str, step: Step) -> Result<Self, MetricsError> {
        self.flush()?;
        Ok(Self::resume(&self.place, fingerprint, step)?.0)
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

/// Looks at what bears the name, and opens it; of a regular file that a person named, the first line must be
/// this run's.
fn look(place: &Place, fingerprint: &str) -> Result<Existing, MetricsError> {
    let failed = |source| MetricsError::File { path: place.path().to_owned(), source };
    let path = match place {
        Place::Own(path) => path.clone(),
        Place::Named(path) if leads_to_open_file(path) => {
            return open_to_append(path).map(|(file, _)| Existing::Stream(file)).map_err(failed);
        }
        Place::Named(path) => match fs::canonicalize(path) {
            Ok(path) => path,
            // A link to nothing is not followed: it is told below what it is.
            Err(error) if error.kind() == io::ErrorKind::NotFound => path.clone(),
            Err(source) => return Err(io_error("find", path, source)),
        },
    };
    let old = match open_regular(&path, FILE_BYTES_MAX, Links::Refused) {
        Ok(old) => old,
        Err(error) if error.is_missing() => return Ok(Existing::File(path, None)),
        Err(FileError::NotRegular(Kind::Fifo | Kind::Device)) if matches!(place, Place::Named(_)) => {
            return open_to_append(&path).map(|(file, _)| Existing::Stream(file)).map_err(failed);
        }
        Err(source) => return Err(failed(source)),
    };
    if matches!(place, Place::Named(_)) && !begins_with_run(&old, fingerprint) {
        return Err(MetricsError::Foreign(path));
    }
    Ok(Existing::File(path, Some(old)))
}

/// Whether the name leads to an open file of some process, such as `/dev/stdout`: that is in use by others.
fn leads_to_open_file(path: &Path) -> bool {
    let in_proc = |path: &Path| {
        let folder = path.parent().and_then(|folder| fs::canonicalize(folder).ok());
        folder.is_some_and(|folder| folder.starts_with("/proc"))
    };
    in_proc(path) || fs::read_link(path).is_ok_and(|target| in_proc(&target))
}

/// Whether the file is empty or its first line is a record of a run of that fingerprint. The file is at its
/// start again.
fn begins_with_run(mut file: &File, fingerprint: &str) -> bool {
    /// All that counts of the record here.
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

/// Copies all lines but those of what is computed again from `step` on.
fn copy_earlier(mut from: impl BufRead, to: &mut impl Write, step: Step) -> io::Result<Found> {
    /// All that counts of a record here.
    #[derive(Deserialize)]
    struct Place {
        step: Step,
        /// Absent in no line that this program has written.
        kind: Option<String>,
    }

    let is_computed = |place: &Place| {
        place.kind.as_deref().is_none_or(|kind| ["step", "validation", "test"].contains(&kind))
    };
    let mut found = Found::default();
    let mut line = Vec::new();
    while from.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? > 0 {
        match serde_json::from_slice::<Place>(&line) {
            // A torn line may still parse, and an array stand for the object: first and last byte show it.
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

/// A new file that takes the place of `path` once it is whole; gone if it does not.
fn successor(path: &Path) -> Result<NamedTempFile, MetricsError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let new = tempfile::Builder::new()
        .prefix(TEMPORARY_PREFIX)
        .permissions(Permissions::from_mode(FILE_MODE))
        .tempfile_in(folder);
    new.map_err(|source| io_error("create", path, source))
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> MetricsError {
    MetricsError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
