//! Logs: `tracing` events on standard error, or above a progress bar, as text or JSON, filtered by
//! `RUST_LOG`. Each event is written as one line without control characters, because its text may come from
//! any peer.

use crate::printable::Printable;
use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Plain text for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Installs the logger for the whole process. A second call does nothing.
///
/// `default` is the filter if `RUST_LOG` is unset or invalid.
pub fn init<W>(format: LogFormat, default: &str, writer: W)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Printable(writer));
    // It would report a failed write on standard error, and panic if that fails too.
    let builder = builder.log_internal_errors(false);
    // It fails if a subscriber is installed already, as in tests with several clusters.
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
