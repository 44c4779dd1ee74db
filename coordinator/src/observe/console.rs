//! Who may write to the terminal when: log lines go above the progress bar instead of through it.
//!
//! Every line to stderr goes through a [`Console`], so that none lands in the middle of a drawn bar, and none
//! holds up whoever has something to say: a thread of its own writes them (`writer`). It decides whether
//! there can be a bar at all; what the bar says is [`progress`](super::progress)'s.

mod writer;

use self::writer::Lines;
use host::printable_lines;
use indicatif::{MultiProgress, ProgressDrawTarget};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;
use tracing_subscriber::fmt::MakeWriter;

/// How a run's progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ProgressMode {
    /// A bar on a terminal, else lines.
    #[default]
    Auto,
    /// Lines, on a terminal too.
    Plain,
    /// Not at all; the log and messages still are.
    Off,
}

/// The way to stderr; clones share it. `tracing_subscriber` takes one as its writer.
#[derive(Clone)]
pub struct Console(Arc<Inner>);

struct Inner {
    mode: ProgressMode,
    bars: MultiProgress,
    /// `None` where nothing is shown.
    lines: Option<Lines>,
}

impl Console {
    /// The process's stderr.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn new(mode: ProgressMode) -> io::Result<Self> {
        let target = match mode {
            ProgressMode::Auto => ProgressDrawTarget::stderr(),
            ProgressMode::Plain | ProgressMode::Off => ProgressDrawTarget::hidden(),
        };
        Self::on(mode, target, Box::new(io::stderr()))
    }

    /// Nowhere: for a run inside another program.
    #[must_use]
    pub fn silent() -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        Self(Arc::new(Inner { mode: ProgressMode::Off, bars, lines: None }))
    }

    /// A bar on `target` and lines to `out`, which should be the same terminal.
    pub(super) fn on(
        mode: ProgressMode,
        target: ProgressDrawTarget,
        out: Box<dyn Write + Send>,
    ) -> io::Result<Self> {
        let bars = MultiProgress::with_draw_target(target);
        let lines = Some(Lines::start(bars.clone(), out)?);
        Ok(Self(Arc::new(Inner { mode, bars, lines })))
    }

    /// The place for a bar, where one can be drawn.
    pub(crate) fn bars(&self) -> Option<&MultiProgress> {
        (!self.0.bars.is_hidden()).then_some(&self.0.bars)
    }

    /// Whether steps are told in lines.
    pub(super) fn tells_steps(&self) -> bool {
        self.bars().is_none() && self.0.mode != ProgressMode::Off
    }

    /// Prints a line, or several, above the bar; control characters are escaped. Never waits for the
    /// terminal.
    pub fn line(&self, text: &str) {
        self.write_whole(format!("{}\n", printable_lines(text)).into_bytes());
    }

    /// Waits until all lines are written, or for so long. A terminal that was stopped shows them when it goes
    /// on.
    pub fn flush(&self, grace: Duration) {
        self.0.lines.iter().for_each(|lines| lines.flush(grace));
    }

    fn write_whole(&self, bytes: Vec<u8>) {
        if let Some(lines) = &self.0.lines {
            lines.push(bytes);
        }
    }
}

/// Whole lines: what one call writes stays together, above the bar.
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
