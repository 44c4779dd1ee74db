//! Access to the terminal: log lines go above the progress bar instead of through it.
//!
//! Every line to stderr goes through a [`Console`], so that none lands in the middle of a drawn bar. A
//! separate thread writes the lines ([`Lines`]), so that no writer has to wait. This file decides whether
//! there can be a bar; [`progress`](super::progress) decides what it shows.

use host::lines::Lines;
use host::logging::{LogFormat, json_line};
use indicatif::{MultiProgress, ProgressDrawTarget};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tracing::Level;
use tracing_subscriber::fmt::MakeWriter;

/// Most bytes of lines that are kept back while something else has the terminal.
const HELD_BYTES_MAX: usize = 1 << 18;

/// Form in which a run's progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ProgressMode {
    /// A bar on a terminal, else lines.
    #[default]
    Auto,
    /// Lines, also on a terminal.
    Plain,
    /// No progress; the log and messages are still shown.
    Off,
}

/// A handle to stderr; clones share it. `tracing_subscriber` takes one as its writer.
#[derive(Clone)]
pub struct Console(Arc<Inner>);

struct Inner {
    mode: ProgressMode,
    format: LogFormat,
    bars: MultiProgress,
    /// Queue of lines; `None` if nothing is shown.
    lines: Option<Lines>,
    held: Arc<Mutex<HeldLines>>,
}

/// Lines that are kept back while something else has the terminal.
#[derive(Debug, Default)]
struct HeldLines {
    is_holding: bool,
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
}

/// Keeps lines back until it is dropped. Of many the newest are kept.
pub struct Held(Console);

impl HeldLines {
    /// Keeps lines if lines are to be kept. Returns whether it has.
    fn keep(&mut self, lines: &[u8]) -> bool {
        if self.is_holding {
            self.bytes += lines.len();
            self.lines.push_back(lines.to_vec());
            while self.bytes > HELD_BYTES_MAX {
                self.bytes -= self.lines.pop_front().map_or(self.bytes, |oldest| oldest.len());
            }
        }
        self.is_holding
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let held = std::mem::take(&mut *self.0.held());
        held.lines.into_iter().for_each(|lines| self.0.write_whole(lines));
    }
}

impl Console {
    /// A console on the process's stderr. With [`LogFormat::Json`] there is no bar, and each message is a
    /// line of JSON.
    ///
    /// # Errors
    /// When the thread can't be started.
    pub fn new(mode: ProgressMode, format: LogFormat) -> io::Result<Self> {
        let target = match (mode, format) {
            (ProgressMode::Auto, LogFormat::Text) => ProgressDrawTarget::stderr(),
            _ => ProgressDrawTarget::hidden(),
        };
        Self::on(mode, format, target, Box::new(io::stderr()))
    }

    /// A console that shows nothing, for a run inside another program.
    #[must_use]
    pub fn silent() -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        let held = Arc::default();
        Self(Arc::new(Inner { mode: ProgressMode::Off, format: LogFormat::Text, bars, lines: None, held }))
    }

    /// A console with a bar on `target` and lines to `out`, which should be the same terminal.
    pub(super) fn on(
        mode: ProgressMode,
        format: LogFormat,
        target: ProgressDrawTarget,
        mut out: Box<dyn Write + Send>,
    ) -> io::Result<Self> {
        let bars = MultiProgress::with_draw_target(target);
        let theirs = bars.clone();
        let held: Arc<Mutex<HeldLines>> = Arc::default();
        let their_held = Arc::clone(&held);
        let lines = Some(Lines::start(format, move |lines| {
            if their_held.lock().unwrap_or_else(PoisonError::into_inner).keep(lines) {
                return;
            }
            theirs.suspend(|| {
                // A closed stderr is no reason to stop the training, and there is nowhere left to report it.
                let _ = out.write_all(lines).and_then(|()| out.flush());
            });
        })?);
        Ok(Self(Arc::new(Inner { mode, format, bars, lines, held })))
    }

    /// Keeps lines back until the returned value is dropped: something else has the terminal.
    pub(super) fn hold(&self) -> Held {
        self.held().is_holding = true;
        Held(self.clone())
    }

    fn held(&self) -> MutexGuard<'_, HeldLines> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Place for a progress bar, if one can be drawn.
    pub(crate) fn bars(&self) -> Option<&MultiProgress> {
        (!self.0.bars.is_hidden()).then_some(&self.0.bars)
    }

    /// Whether steps are shown as lines.
    pub(super) fn tells_steps(&self) -> bool {
        self.bars().is_none() && self.0.mode != ProgressMode::Off
    }

    /// Prints one or more lines above the bar; control characters are escaped. Never waits for the terminal.
    pub fn line(&self, text: &str) {
        self.write_whole(self.0.format.lines(Level::INFO, "coordinator", text).into_bytes());
    }

    /// Prints a line that a local worker has written.
    pub(crate) fn forward(&self, worker: &str, line: &str) {
        match (self.0.format, serde_json::from_str(line)) {
            (LogFormat::Text, _) => self.line(&format!("[{worker}] {line}")),
            (LogFormat::Json, Ok(Value::Object(mut own))) => {
                own.insert("worker".to_owned(), worker.into());
                self.write_whole(format!("{}\n", Value::Object(own)).into_bytes());
            }
            (LogFormat::Json, _) => {
                let fields = json!({ "message": line, "worker": worker });
                self.write_whole(json_line(Level::INFO, "worker", fields).into_bytes());
            }
        }
    }

    /// Form of the lines.
    pub(super) fn format(&self) -> LogFormat {
        self.0.format
    }

    /// Waits until all lines are written, at most for `grace`. A stopped terminal shows them when it
    /// continues.
    pub fn flush(&self, grace: Duration) {
        self.0.lines.iter().for_each(|lines| lines.flush(grace));
    }

    pub(super) fn write_whole(&self, bytes: Vec<u8>) {
        if let Some(lines) = &self.0.lines {
            lines.push(bytes);
        }
    }
}

/// Writes whole lines above the bar; what one call writes stays together.
impl Write for &Console {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_whole(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Console {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}
