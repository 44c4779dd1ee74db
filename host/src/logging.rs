//! Logs: `tracing` events to standard error (or above a progress bar), as text or JSON, filtered by `RUST_LOG`. What they
//! hold may come from anywhere, so each is written as one line without control characters.

use crate::printable::Printable;
use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Installs the logs for the whole process; a second call does nothing.
///
/// `default` filters where `RUST_LOG` is unset. A `RUST_LOG` that can't be read counts as unset.
pub fn init<W>(format: LogFormat, default: &str, writer: W)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Printable(writer));
    // Err means that a subscriber is there already, which is the case in tests with several clusters.
    let _ = match format {
        LogFormat::Text => builder.with_target(false).with_ansi(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}

/// The present time in the form that lines of the log have, for lines that do not come by `tracing`.
#[must_use]
pub fn timestamp() -> String {
    let mut text = String::new();
    // Writing to a string can't fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}
