//! The lines for a program outside, written by a thread of their own. Whoever has one to tell never waits,
//! and none is left out: a program that reads nothing for [`READER_GRACE`], or leaves [`WAITING_BYTES_MAX`]
//! unread, ends the search.

use super::line::Answer;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Longest time without a line read while one waits.
pub(super) const READER_GRACE: Duration = Duration::from_secs(60);
/// Most bytes that wait to be read: thousands of lines.
const WAITING_BYTES_MAX: usize = 1 << 20;

/// Why no more lines can be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum OutputError {
    /// The program does not read.
    #[error("nobody reads standard output: no line for {} s, and more wait", READER_GRACE.as_secs())]
    NotRead,
    /// The program reads too slowly.
    #[error("standard output is read too slowly: more than {WAITING_BYTES_MAX} bytes wait")]
    TooMuch,
    /// The system can't write.
    #[error("standard output can't be written: {0}")]
    System(String),
}

/// A handle to the thread; clones share it. When all are dropped it writes what waits, and ends.
#[derive(Clone, Debug)]
pub(super) struct Output(Arc<Handle>);

/// Closes the output when it is dropped.
#[derive(Debug)]
struct Handle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Signals that a line waits, or that there will be no more.
    filled: Condvar,
}

#[derive(Debug)]
struct State {
    waiting: VecDeque<Vec<u8>>,
    bytes: usize,
    is_writing: bool,
    /// When the thread last had written all, or a line.
    moved: Instant,
    error: Option<OutputError>,
    is_closed: bool,
}

impl Output {
    /// Starts the thread.
    ///
    /// # Errors
    /// When it can't be started.
    pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let state = State {
            waiting: VecDeque::new(),
            bytes: 0,
            is_writing: false,
            moved: Instant::now(),
            error: None,
            is_closed: false,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), filled: Condvar::new() });
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new().name("tell".into()).spawn(move || theirs.write(out))?;
        Ok(Self(Arc::new(Handle(shared))))
    }

    /// Queues a line.
    pub(super) fn tell(&self, answer: &Answer) {
        let line = answer.to_line();
        let mut state = self.0.0.lock();
        if state.error.is_some() {
            return;
        }
        if state.bytes + line.len() > WAITING_BYTES_MAX {
            state.error = Some(OutputError::TooMuch);
            return;
        }
        if state.is_idle() {
            state.moved = Instant::now();
        }
        state.bytes += line.len();
        state.waiting.push_back(line);
        self.0.0.filled.notify_all();
    }

    /// Why the program outside is told nothing more, if that is so now.
    pub(super) fn error(&self, now: Instant) -> Option<OutputError> {
        let mut state = self.0.0.lock();
        if !state.is_idle() && now.saturating_duration_since(state.moved) >= READER_GRACE {
            state.error.get_or_insert(OutputError::NotRead);
        }
        state.error.clone()
    }

    /// Whether all lines are written.
    pub(super) fn is_idle(&self) -> bool {
        self.0.0.lock().is_idle()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.lock().is_closed = true;
        self.0.filled.notify_all();
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && !self.is_writing
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Body of the thread.
    fn write(&self, mut out: impl Write) {
        let mut state = self.lock();
        loop {
            let Some(line) = state.waiting.pop_front() else {
                if state.is_closed {
                    return;
                }
                state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            state.bytes -= line.len();
            state.is_writing = true;
            drop(state);
            let written = out.write_all(&line).and_then(|()| out.flush());
            state = self.lock();
            state.is_writing = false;
            state.moved = Instant::now();
            if let Err(error) = written {
                state.error.get_or_insert(OutputError::System(error.to_string()));
                state.waiting.clear();
                state.bytes = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn line(line: u64) -> Answer {
        Answer::Refused { line, refused: "why".to_owned() }
    }

    /// Writes a line whenever it may, and passes it on.
    struct Gate {
        may: mpsc::Receiver<()>,
        written: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.may.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
            self.written.send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gated() -> (Output, mpsc::Sender<()>, mpsc::Receiver<Vec<u8>>) {
        let (open, may) = mpsc::channel();
        let (written, lines) = mpsc::channel();
        (Output::start(Gate { may, written }).unwrap(), open, lines)
    }

    #[test]
    fn lines_are_written_in_order_and_who_tells_waits_for_none() {
        let (output, open, lines) = gated();
        (1..=3).for_each(|number| output.tell(&line(number)));
        assert!(!output.is_idle());
        (1..=3).for_each(|_| open.send(()).unwrap());
        // The thread ends when it has written what waits.
        drop(output);
        let all: Vec<Vec<u8>> = lines.iter().collect();
        assert_eq!(all, [1, 2, 3].map(|number| line(number).to_line()));
    }

    #[test]
    fn a_program_that_does_not_read_is_noticed() {
        let (output, open, lines) = gated();
        let began = Instant::now();
        assert_eq!(output.error(began + 9 * READER_GRACE), None, "nothing waits");
        output.tell(&line(1));
        output.tell(&line(2));
        assert_eq!(output.error(began), None);
        open.send(()).unwrap();
        lines.recv().unwrap();
        assert_eq!(output.error(Instant::now() + 2 * READER_GRACE), Some(OutputError::NotRead));
        // It stays so.
        assert_eq!(output.error(began), Some(OutputError::NotRead));
    }

    #[test]
    fn a_program_that_leaves_too_much_unread_is_noticed() {
        let (output, _open, _lines) = gated();
        let many = WAITING_BYTES_MAX / line(1).to_line().len() + 2;
        (0..many).for_each(|_| output.tell(&line(1)));
        assert_eq!(output.error(Instant::now()), Some(OutputError::TooMuch));
    }

    #[test]
    fn a_closed_output_is_noticed() {
        let (output, open, lines) = gated();
        drop((open, lines));
        output.tell(&line(1));
        while !output.is_idle() {
            std::thread::yield_now();
        }
        assert!(matches!(output.error(Instant::now()), Some(OutputError::System(_))));
    }
}
