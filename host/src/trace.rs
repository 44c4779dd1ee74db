//! Traces: spans of both programs in one file, for Perfetto (ui.perfetto.dev) or chrome://tracing.
//!
//! The file is a JSON array of "complete" events, one a line. Its closing bracket is missing, which the
//! format allows, because several processes append to the file. Without a trace, which is the default, a span
//! costs the test of a flag. With a trace, it costs a lock and a line of text. A separate thread writes the
//! lines every second. A full or slow disk costs events, but never stops the run.
//!
//! Times are microseconds since 1970. The wall clock is read once, and a monotonic clock from then on. So the
//! processes of one machine agree, unless the wall clock is set between their starts.

mod line;

use crate::files::{FileError, Kind, Links, open_regular, open_to_append};
use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Interval between two writes to the file.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// Most bytes of lines that wait to be written. While a disk does not keep up, further lines are dropped.
const PENDING_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Number of attempts to read both clocks at the same moment.
const CLOCK_LOOKS: usize = 16;

static TRACE: OnceLock<Trace> = OnceLock::new();

/// Whether a trace file is begun or joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// The regular file of an earlier trace is truncated.
    Anew,
    /// Lines are appended to those of other processes; a missing file is created.
    Join,
}

/// Checks that a trace could be written to `path`, and leaves everything there as it is.
///
/// # Errors
/// When the file is something else than a trace, or its folder is missing.
pub fn check(path: &Path) -> Result<(), FileError> {
    match is_trace(path) {
        Ok(true) | Err(FileError::NotRegular(Kind::Fifo | Kind::Device)) => Ok(()),
        Ok(false) => Err(no_trace()),
        Err(error) if error.is_missing() => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            folder.map_or(Ok(()), |folder| Ok(folder.metadata().map(drop)?))
        }
        Err(error) => Err(error),
    }
}

/// Starts to trace this process to `path`, under the name `process`. A second call does nothing.
///
/// # Errors
/// When the file can't be opened, such as a FIFO without a reader, or is something else than a trace, or the
/// thread can't be started. A later failure is a warning and ends the trace.
pub fn start(path: &Path, process: &str, begin: Begin) -> Result<(), FileError> {
    let trace = Trace::open(path, process, begin)?;
    if TRACE.set(trace).is_ok() {
        std::thread::Builder::new().name("trace".into()).spawn(|| TRACE.get().map(Trace::keep_writing))?;
    }
    Ok(())
}

/// Writes the remaining lines. Spans that end later are lost.
pub fn finish() {
    if let Some(trace) = TRACE.get() {
        trace.close();
    }
}

/// A span of this thread, which ends when it is dropped on this thread.
#[must_use]
pub fn span(name: &'static str) -> Span {
    begin(name, None)
}

/// Runs `work` within a span and returns its result.
pub fn within<T>(name: &'static str, work: impl FnOnce() -> T) -> T {
    let _span = span(name);
    work()
}

/// `iterator` with a span around each of its steps.
pub fn each<I: Iterator>(name: &'static str, mut iterator: I) -> impl Iterator<Item = I::Item> {
    std::iter::from_fn(move || within(name, || iterator.next()))
}

/// A separate row for spans of tasks that wait; these may overlap with those of other tasks.
#[derive(Clone, Copy, Debug)]
pub struct Track(Option<u32>);

impl Track {
    /// A new row with this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(active().map(|trace| trace.row(name)))
    }

    /// A span in this row. It may end on any thread.
    #[must_use]
    pub fn span(self, name: &'static str) -> Span {
        begin(name, self.0)
    }
}

/// A time span, recorded when it is dropped.
#[derive(Debug)]
pub struct Span(Option<Open>);

#[derive(Debug)]
struct Open {
    trace: &'static Trace,
    name: &'static str,
    row: Option<u32>,
    begin: Instant,
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(Open { trace, name, row, begin }) = self.0.take() {
            let row = row.unwrap_or_else(|| trace.this_thread());
            trace.record(row, name, begin, Instant::now());
        }
    }
}

fn begin(name: &'static str, row: Option<u32>) -> Span {
    Span(active().map(|trace| Open { trace, name, row, begin: Instant::now() }))
}

fn active() -> Option<&'static Trace> {
    TRACE.get().filter(|trace| trace.on.load(Ordering::Relaxed))
}

/// A trace file and the lines that wait to be written.
#[derive(Debug)]
struct Trace {
    path: String,
    process: u32,
    origin: Instant,
    /// Microseconds from 1970 to the origin.
    origin_us: u64,
    rows: AtomicU32,
    on: AtomicBool,
    pending: Mutex<Pending>,
    wake: Condvar,
    file: Mutex<File>,
}

#[derive(Debug, Default)]
struct Pending {
    lines: String,
    dropped: u64,
}

thread_local! {
    /// This thread's row; 0 if it has none yet.
    static ROW: Cell<u32> = const { Cell::new(0) };
}

impl Trace {
    fn open(path: &Path, process: &str, begin: Begin) -> Result<Self, FileError> {
        let is_new = match begin {
            Begin::Anew => true,
            Begin::Join => File::create_new(path).is_ok(),
        };
        let (file, is_regular) = open_to_append(path)?;
        if is_regular && !is_trace(path)? {
            return Err(no_trace());
        }
        if begin == Begin::Anew && is_regular {
            file.set_len(0)?;
        }
        let (origin, origin_us) = clocks();
        let trace = Self {
            path: path.display().to_string(),
            process: std::process::id(),
            origin,
            origin_us,
            rows: AtomicU32::new(1),
            on: AtomicBool::new(true),
            pending: Mutex::default(),
            wake: Condvar::new(),
            file: Mutex::new(file),
        };
        let bracket = if is_new { line::BEGIN } else { "" };
        trace.push(&format!("{bracket}{}", line::process_name(trace.process, process)));
        // The bracket must be written before another process joins.
        trace.write();
        Ok(trace)
    }

    /// The number of a new row.
    fn row(&self, name: &str) -> u32 {
        let row = self.rows.fetch_add(1, Ordering::Relaxed);
        self.push(&line::thread_name(self.process, row, name));
        row
    }

    fn this_thread(&self) -> u32 {
        ROW.with(|row| {
            if row.get() == 0 {
                row.set(self.row(std::thread::current().name().unwrap_or("thread")));
            }
            row.get()
        })
    }

    fn record(&self, row: u32, name: &str, begin: Instant, end: Instant) {
        self.push(&line::complete(self.process, row, name, self.micros(begin), self.micros(end)));
    }

    fn micros(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.origin).as_micros();
        self.origin_us.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
    }

    fn push(&self, line: &str) {
        let mut pending = lock(&self.pending);
        if pending.lines.len() + line.len() <= PENDING_BYTES_MAX {
            pending.lines.push_str(line);
        } else {
            pending.dropped += 1;
        }
    }

    /// Writes all waiting lines in one call, so that other processes' lines stay intact.
    fn write(&self) {
        let mut file = lock(&self.file);
        let lines = std::mem::take(&mut lock(&self.pending).lines);
        if let Err(error) = file.write_all(lines.as_bytes()) {
            if self.on.swap(false, Ordering::Relaxed) {
                tracing::warn!(file = %self.path, %error, "the trace can't be written; going on without it");
            }
            *lock(&self.pending) = Pending::default();
        }
    }

    /// Writes lines until the trace is closed or fails.
    fn keep_writing(&self) {
        while self.on.load(Ordering::Relaxed) {
            let pending = lock(&self.pending);
            drop(self.wake.wait_timeout(pending, WRITE_EVERY).unwrap_or_else(PoisonError::into_inner));
            self.write();
        }
    }

    fn close(&self) {
        self.on.store(false, Ordering::Relaxed);
        self.wake.notify_all();
        self.write();
        let dropped = lock(&self.pending).dropped;
        if dropped > 0 {
            tracing::warn!(file = %self.path, dropped, "the disk was too slow for some of the trace's spans");
        }
    }
}

/// Whether a regular file is empty or has the beginning of a trace.
fn is_trace(path: &Path) -> Result<bool, FileError> {
    let mut beginning = Vec::new();
    let file = open_regular(path, u64::MAX, Links::Followed)?;
    file.take(line::FILE_BEGIN.len() as u64).read_to_end(&mut beginning)?;
    // A process that has just joined may see the first one's bracket alone.
    Ok(line::FILE_BEGIN.as_bytes().starts_with(&beginning))
}

fn no_trace() -> FileError {
    io::Error::other("it is there already and is no trace; choose another file").into()
}

/// Both clocks at the same moment: the quickest of several attempts, in case the thread is suspended between
/// two reads.
fn clocks() -> (Instant, u64) {
    let look = |_| {
        let origin = Instant::now();
        #[allow(
            clippy::disallowed_methods,
            reason = "read once, to put processes on one axis; nothing is decided by it"
        )]
        let wall = SystemTime::now();
        (origin.elapsed(), origin, wall)
    };
    let (_, origin, wall) =
        (0..CLOCK_LOOKS).map(look).min_by_key(|look| look.0).expect("there are some looks");
    let since_1970 = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (origin, u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
