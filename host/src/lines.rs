//! The thread that writes to stderr, and the queue of lines for it. A stopped terminal, a pipe that nobody
//! reads, a full disk: they hold up this thread and nothing else, and end no program.
//!
//! Lines that do not fit are left out and counted; the count is shown as soon as there is room.

use crate::logging::LogFormat;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tracing::Level;

/// Largest size of the queue in bytes: thousands of lines, and a negligible part of a run's memory.
const WAITING_BYTES_MAX: usize = 1 << 20;

/// A handle to the thread. When it is dropped, the thread writes the waiting lines and ends.
#[derive(Debug)]
pub struct Lines {
    shared: Arc<Shared>,
    /// Format of the line that tells how many were left out.
    format: LogFormat,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Vec<u8>>,
    bytes: usize,
    left_out: u64,
    is_writing: bool,
    is_closed: bool,
}

impl Lines {
    /// Starts the thread, which calls `write` with whole lines. What becomes of them is not asked: there is
    /// nowhere left to report it.
    ///
    /// # Errors
    /// When the thread can't be started.
    pub fn start(format: LogFormat, write: impl FnMut(&[u8]) + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new().name("console".into()).spawn(move || theirs.write(write))?;
        Ok(Self { shared, format })
    }

    /// Lines on the process's stderr.
    ///
    /// # Errors
    /// When the thread can't be started.
    pub fn on_stderr(format: LogFormat) -> io::Result<Self> {
        Self::start(format, |lines| {
            let mut stderr = io::stderr().lock();
            let _ = stderr.write_all(lines).and_then(|()| stderr.flush());
        })
    }

    /// Queues whole lines, without waiting for the terminal.
    pub fn push(&self, lines: Vec<u8>) {
        let mut state = self.shared.lock();
        if state.bytes + lines.len() > WAITING_BYTES_MAX {
            state.left_out += 1;
            return;
        }
        let left_out = std::mem::take(&mut state.left_out);
        if left_out > 0 {
            let text = format!("{left_out} lines were left out: they came faster than they could be written");
            state.push(self.format.lines(Level::WARN, "console", &text).into());
        }
        state.push(lines);
        self.shared.changed.notify_all();
    }

    /// Waits until all lines are written, at most for `grace`.
    pub fn flush(&self, grace: Duration) {
        let is_busy = |state: &mut State| state.is_writing || !state.waiting.is_empty();
        drop(self.shared.changed.wait_timeout_while(self.shared.lock(), grace, is_busy));
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.changed.notify_all();
    }
}

/// Writes whole lines; never fails or waits.
impl Write for &Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl State {
    fn push(&mut self, lines: Vec<u8>) {
        self.bytes += lines.len();
        self.waiting.push_back(lines);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, mut write: impl FnMut(&[u8])) {
        while let Some(lines) = self.next() {
            write(&lines);
        }
    }

    /// The next lines; `None` once closed and empty. Waits without a deadline until the owner pushes or
    /// closes.
    fn next(&self) -> Option<Vec<u8>> {
        let mut state = self.lock();
        state.is_writing = false;
        loop {
            if let Some(lines) = state.waiting.pop_front() {
                state.bytes -= lines.len();
                state.is_writing = true;
                return Some(lines);
            }
            self.changed.notify_all();
            if state.is_closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_stopped_terminal_holds_nobody_up_and_hears_how_much_it_missed() {
        let (go, leave) = mpsc::channel::<()>();
        let (written, heard) = mpsc::channel();
        let (entered, writes) = mpsc::channel();
        let lines = Lines::start(LogFormat::Text, move |bytes| {
            // Nobody waits for the later ones.
            let _ = entered.send(());
            // It waits for permission; once its owner has gone, it writes at once.
            let _ = leave.recv();
            written.send(String::from_utf8_lossy(bytes).into_owned()).unwrap();
        });
        let lines = lines.unwrap();
        let line = vec![b'x'; WAITING_BYTES_MAX / 4];
        lines.push(line.clone());
        writes.recv().unwrap();
        (1..9).for_each(|_| lines.push(line.clone()));
        lines.flush(Duration::from_millis(1));
        drop(go);
        lines.flush(Duration::from_secs(60));
        lines.push(b"on it goes\n".to_vec());
        drop(lines);
        let heard: Vec<String> = heard.iter().collect();
        let [whole @ .., count, last] = &heard[..] else { panic!("{heard:?}") };
        assert!(whole.iter().all(|text| text.len() == line.len()), "{}", whole.len());
        let left_out: usize = count.split(' ').next().unwrap().parse().unwrap();
        assert_eq!((whole.len() + left_out, last.as_str()), (9, "on it goes\n"));
        assert!(left_out >= 4, "{left_out}");
    }
}
