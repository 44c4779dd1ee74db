//! Who may write to the terminal when: log lines go above the progress bar instead of through it.
//!
//! Every line to stderr goes through a [`Console`], so that none lands in the middle of a drawn bar. It decides whether
//! there can be a bar at all; what the bar says is [`progress`](super::progress)'s.

use host::printable_lines;
use indicatif::{MultiProgress, ProgressDrawTarget};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
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
    out: Mutex<Box<dyn Write + Send>>,
}

impl Console {
    /// The process's stderr.
    #[must_use]
    pub fn new(mode: ProgressMode) -> Self {
        let target = match mode {
            ProgressMode::Auto => ProgressDrawTarget::stderr(),
            ProgressMode::Plain | ProgressMode::Off => ProgressDrawTarget::hidden(),
        };
        Self::on(mode, target, Box::new(io::stderr()))
    }

    /// Nowhere: for a run inside another program.
    #[must_use]
    pub fn silent() -> Self {
        Self::on(ProgressMode::Off, ProgressDrawTarget::hidden(), Box::new(io::sink()))
    }

    /// A bar on `target` and lines to `out`, which should be the same terminal.
    pub(super) fn on(mode: ProgressMode, target: ProgressDrawTarget, out: Box<dyn Write + Send>) -> Self {
        let bars = MultiProgress::with_draw_target(target);
        Self(Arc::new(Inner { mode, bars, out: Mutex::new(out) }))
    }

    /// The place for a bar, where one can be drawn.
    pub(crate) fn bars(&self) -> Option<&MultiProgress> {
        (!self.0.bars.is_hidden()).then_some(&self.0.bars)
    }

    /// Whether steps are told in lines.
    pub(super) fn tells_steps(&self) -> bool {
        self.bars().is_none() && self.0.mode != ProgressMode::Off
    }

    /// Prints a line, or several, above the bar; control characters are escaped.
    pub fn line(&self, text: &str) {
        // A closed stderr is no reason to stop the training, and there is nowhere left to report it.
        let _ = (&*self).write_all(format!("{}\n", printable_lines(text)).as_bytes());
    }
}

/// Whole lines: what one call writes stays together, above the bar.
impl Write for &Console {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.bars.suspend(|| {
            // A writer that panicked half-way leaves at worst half a line.
            let mut out = self.0.out.lock().unwrap_or_else(PoisonError::into_inner);
            out.write_all(bytes)?;
            out.flush()
        })
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
