//! A run's file for TensorBoard: opened, gone back in, appended to.
//!
//! 1. There is one file, for any number of starts. TensorBoard may be reading it, so it is never replaced by
//!    another one, and no record that was read changes its place.
//! 2. A run that goes on with step `n` repeats that step and all later ones. Their records are made blank
//!    where they stand, and a record that says "a session starts with step `n`" has a TensorBoard that has
//!    read them already drop them. So each step is in the file once.
//! 3. What is torn or damaged is cut off, with all after it: nobody can read on there.
//! 4. The first record names the run. A file of another run or program is moved aside, under a name that
//!    TensorBoard does not read.
//! 5. Only whole records are handed to the system, many at a time.

use super::proto::{Event, SESSION_START, Seen, SessionLog, SourceMetadata};
use super::record::{self, FRAME_BYTES, Next, RECORD_BYTES_MAX};
use super::say;
use crate::folder;
use common::ids::Step;
use host::files::{FileError, open_to_update};
use prost::Message;
use std::fs::File;
use std::io::{self, BufReader, Seek};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tracing::{debug, info, warn};

/// Name of the file; TensorBoard reads those with `tfevents` in their name.
pub(crate) const EVENTS_FILE: &str = "events.out.tfevents.lockstep";
/// Name of a file that was moved aside, before its number.
const ASIDE: &str = "tensorboard.earlier-";
/// Format of the file, as its first record says.
const FILE_VERSION: &str = "brain.Event:2";
/// What the first record says of who has written it, before the run's fingerprint.
const WRITER: &str = "lockstep ";
/// Largest file that is gone on with, in bytes: a hundred million steps.
const FILE_BYTES_MAX: u64 = 1 << 36;
/// Buffer size that needs few system calls.
const BUFFER_BYTES: usize = 64 << 10;

/// Why there is no file for TensorBoard, or none any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EventFileError {
    /// The file system reported an error.
    #[error("cannot {action} TensorBoard's file {}: {source}", path.display())]
    Io {
        /// Operation that failed, as a verb.
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// What is there can't be opened, or is no file.
    #[error("cannot use TensorBoard's file {}: {source}", path.display())]
    File { path: PathBuf, source: FileError },
}

/// An open file.
#[derive(Debug)]
pub(super) struct EventFile {
    path: PathBuf,
    file: File,
    /// Where the next record that is handed to the system begins.
    end: u64,
    /// Whole records that the system does not have yet.
    waiting: Vec<u8>,
    /// Whether the file says what is known of the run from its beginning on.
    is_introduced: bool,
}

impl EventFile {
    /// Opens the file of the run with that fingerprint, which goes on with `step`. If there is none, it is
    /// created.
    ///
    /// # Errors
    /// When something else than a file has its name, or the file system refuses.
    pub(super) fn open(
        folder: &Path,
        fingerprint: &str,
        step: Step,
        now: f64,
    ) -> Result<Self, EventFileError> {
        let path = folder.join(EVENTS_FILE);
        let opened = || {
            open_to_update(&path, FILE_BYTES_MAX)
                .map_err(|source| EventFileError::File { path: path.clone(), source })
        };
        let failed = |action| {
            let path = path.clone();
            move |source| EventFileError::Io { action, path, source }
        };
        let mut file = opened()?;
        let first = first_record(&mut file).map_err(failed("read"))?;
        let writer = format!("{WRITER}{fingerprint}");
        let is_ours = first.is_some_and(|first| first.source_metadata.is_some_and(|by| by.writer == writer));
        if !is_ours && file.metadata().map_err(failed("read"))?.len() > 0 {
            move_aside(&path).map_err(failed("move aside"))?;
            file = opened()?;
        }
        let mut opened = Self { path: path.clone(), file, end: 0, waiting: Vec::new(), is_introduced: false };
        if is_ours {
            opened.drop_from(step)?;
        } else {
            let file_version = Some(FILE_VERSION.to_owned());
            let source_metadata = Some(SourceMetadata { writer });
            opened.append(&Event { wall_time: now, file_version, source_metadata, ..Event::default() })?;
        }
        opened.start_session(step, now)?;
        opened.flush()?;
        Ok(opened)
    }

    /// Whether the file says what is known of the run from its beginning on.
    pub(super) fn is_introduced(&self) -> bool {
        self.is_introduced
    }

    /// Appends what is known of the run from its beginning on.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(super) fn introduce(&mut self, event: &Event) -> Result<(), EventFileError> {
        self.is_introduced = true;
        self.append(event)
    }

    /// Goes back to `step`: what the file has of it and of later steps is dropped.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(super) fn go_back(&mut self, step: Step, now: f64) -> Result<(), EventFileError> {
        self.flush()?;
        self.drop_from(step)?;
        self.start_session(step, now)
    }

    /// Appends a record, and drops one of the same step and tags.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(super) fn replace(&mut self, event: &Event) -> Result<(), EventFileError> {
        self.flush()?;
        let tags: Vec<&str> =
            event.summary.iter().flat_map(|all| &all.value).map(|v| v.tag.as_str()).collect();
        let same = |other: &Seen| other.step == event.step && say::tags(other).eq(tags.iter().copied());
        self.blank(same).map_err(|source| self.failed("go back in", source))?;
        self.append(event)
    }

    /// Appends a record, which the system gets with the next ones. One that is too large for a reader is left
    /// out.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(super) fn append(&mut self, event: &Event) -> Result<(), EventFileError> {
        if event.encoded_len() as u64 > RECORD_BYTES_MAX {
            debug!(
                step = event.step,
                bytes = event.encoded_len(),
                "left out what is too large for TensorBoard"
            );
            return Ok(());
        }
        record::write(&event.encode_to_vec(), &mut self.waiting);
        if self.waiting.len() > BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    /// Hands all records to the system: they survive this process, but not a power failure.
    ///
    /// # Errors
    /// When the file system refuses. What was written of them is cut off again, if that can be done.
    pub(super) fn flush(&mut self) -> Result<(), EventFileError> {
        if let Err(source) = self.file.write_all_at(&self.waiting, self.end) {
            let _ = self.file.set_len(self.end);
            return Err(self.failed("write to", source));
        }
        self.end += self.waiting.len() as u64;
        self.waiting.clear();
        Ok(())
    }

    fn start_session(&mut self, step: Step, now: f64) -> Result<(), EventFileError> {
        let session_log = Some(SessionLog { status: SESSION_START });
        self.append(&Event { wall_time: now, step: say::step(step), session_log, ..Event::default() })
    }

    /// Makes the results of `step` and later ones blank, and cuts off what can't be read.
    fn drop_from(&mut self, step: Step) -> Result<(), EventFileError> {
        let is_done_again = |event: &Seen| say::is_done_again(event, step);
        self.end = self.blank(is_done_again).map_err(|source| self.failed("go back in", source))?;
        let bytes = self.file.metadata().map_err(|source| self.failed("read", source))?.len() - self.end;
        if bytes > 0 {
            warn!(path = %self.path.display(), bytes, "cut off the end of TensorBoard's file, which is torn or damaged");
            self.file.set_len(self.end).map_err(|source| self.failed("cut", source))?;
        }
        Ok(())
    }

    /// Makes some records blank. Returns where the last whole one ends.
    fn blank(&mut self, is_dropped: impl Fn(&Seen) -> bool) -> io::Result<u64> {
        self.file.rewind()?;
        let mut from = BufReader::with_capacity(BUFFER_BYTES, &self.file);
        let (mut at, mut data) = (0, Vec::new());
        self.is_introduced = false;
        while record::read(&mut from, &mut data)? == Next::Record {
            let Ok(event) = Seen::decode(&data[..]) else { break };
            if is_dropped(&event)
                && let Some(blank) = record::blank(&data)
            {
                let mut framed = Vec::with_capacity(data.len() + FRAME_BYTES as usize);
                record::write(&blank, &mut framed);
                self.file.write_all_at(&framed, at)?;
            }
            self.is_introduced |= say::is_introduction(&event);
            at += data.len() as u64 + FRAME_BYTES;
        }
        Ok(at)
    }

    fn failed(&self, action: &'static str, source: io::Error) -> EventFileError {
        EventFileError::Io { action, path: self.path.clone(), source }
    }
}

/// The first record, if there is a whole one.
fn first_record(file: &mut File) -> io::Result<Option<Seen>> {
    let mut data = Vec::new();
    file.rewind()?;
    let next = record::read(BufReader::new(&*file), &mut data)?;
    Ok((next == Next::Record).then(|| Seen::decode(&data[..]).ok()).flatten())
}

/// Renames a file that this run has not written.
fn move_aside(path: &Path) -> io::Result<()> {
    let mut names = (1..).map(|n: u32| path.with_file_name(format!("{ASIDE}{n}")));
    let aside = names.find(|path| path.symlink_metadata().is_err()).expect("numbers do not run out");
    folder::rename(path, &aside)?;
    info!(to = %aside.display(), "moved a file of TensorBoard aside that this run has not written");
    Ok(())
}
