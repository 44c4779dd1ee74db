//! Where a run's metrics can be written, seen before anything there is changed.
//!
//! 1. A file in the checkpoint folder is ours. One of another run or program is moved aside when this run
//!    begins.
//! 2. A path that a person chose may be a link, a FIFO or a device. A file there is used if this run has
//!    written it, and else refused.
//! 3. A regular file is replaced by a new one, which is made beside it, never emptied.

use super::{Found, LINE_BYTES_MAX, MetricsError, MetricsFile, copy_earlier, io_error};
use crate::folder;
use common::ids::Step;
use host::files::{FileError, Kind, Links, is_unsupported, open_regular, open_to_append};
use serde::Deserialize;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;
use tracing::info;

/// Largest file that is read, in bytes: two hundred million steps.
const FILE_BYTES_MAX: u64 = 1 << 36;
/// Buffer size that needs few system calls for a file of megabytes.
const BUFFER_BYTES: usize = 64 << 10;
/// Prefix of a file's name before it replaces another one.
const TEMPORARY_PREFIX: &str = ".metrics-";

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
    File { path: PathBuf, old: Option<(File, Writer)>, new: NamedTempFile },
}

/// Who has written a file, by its first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writer {
    /// This run, or nobody: it is empty.
    ThisRun,
    OtherRun,
    /// The first line is no record of a run's beginning.
    Unknown,
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

    /// Begins the file of a fresh run. It replaces a file of an earlier start of the run; one of another run
    /// or program is moved aside.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn create(self) -> Result<MetricsFile, MetricsError> {
        let Self { place, existing } = self;
        match existing {
            Existing::Stream(file) => Ok(MetricsFile::on(place, file)),
            Existing::File { path, old, new } => {
                if old.is_some_and(|(_, writer)| writer != Writer::ThisRun) {
                    move_aside(&path)?;
                }
                MetricsFile::put(place, new, path)
            }
        }
    }

    /// Opens the file of a run that continues with `step`. Results of that step and later ones are dropped,
    /// and so are lines that can't be read; a file of another run is moved aside. A crash in this function
    /// leaves the file as it was.
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
        if old.as_ref().is_some_and(|(_, writer)| *writer == Writer::OtherRun) {
            move_aside(&path)?;
        } else if let Some((old, _)) = old {
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
    let writer = writer_of(&old, fingerprint);
    if matches!(place, Place::Named(_)) && writer != Writer::ThisRun {
        return Err(MetricsError::Foreign(path));
    }
    let new = successor(&path)?;
    Ok(Existing::File { path, old: Some((old, writer)), new })
}

/// Whether the path leads to an open file of a process, such as `/dev/stdout`, which others use too.
fn leads_to_open_file(path: &Path) -> bool {
    let in_proc = |path: &Path| {
        let folder = path.parent().and_then(|folder| fs::canonicalize(folder).ok());
        folder.is_some_and(|folder| folder.starts_with("/proc"))
    };
    in_proc(path) || fs::read_link(path).is_ok_and(|target| in_proc(&target))
}

/// Who has written the file, as seen by the run with that fingerprint. Leaves the file at its start.
fn writer_of(mut file: &File, fingerprint: &str) -> Writer {
    /// The part of the record that matters here.
    #[derive(Deserialize)]
    struct Run {
        fingerprint: String,
    }

    let mut line = Vec::new();
    let read = BufReader::new(file).take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
    let writer = match read {
        Ok(0) => Writer::ThisRun,
        Ok(_) => match serde_json::from_slice::<Run>(&line) {
            Ok(run) if run.fingerprint == fingerprint => Writer::ThisRun,
            Ok(_) => Writer::OtherRun,
            Err(_) => Writer::Unknown,
        },
        Err(_) => Writer::Unknown,
    };
    if file.rewind().is_ok() { writer } else { Writer::Unknown }
}

/// Renames a file that this run has not written to `NAME.earlier-<n>`, beside it, unless it was moved with
/// the checkpoints that it belongs to.
fn move_aside(path: &Path) -> Result<(), MetricsError> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut names = (1..).map(|n: u32| path.with_file_name(format!("{name}.earlier-{n}")));
    let aside = names.find(|path| path.symlink_metadata().is_err()).expect("numbers do not run out");
    folder::rename(path, &aside).map_err(|source| io_error("move aside", path, source))?;
    info!(to = %aside.display(), "moved metrics aside that this run has not written");
    Ok(())
}

/// A temporary file beside `path` that replaces it once complete; it is removed when dropped earlier.
fn successor(path: &Path) -> Result<NamedTempFile, MetricsError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let new = tempfile::Builder::new()
        .prefix(TEMPORARY_PREFIX)
        .permissions(folder::permissions())
        .tempfile_in(folder);
    new.map_err(|source| io_error("create", path, source))
}
