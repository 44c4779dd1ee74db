//! Logs: `tracing` events on standard error, or above a progress bar, as text or JSON, filtered by
//! `RUST_LOG`. Each event is written as one line without control characters, because its text may come from
//! any peer.
//!
//! With [`LogFormat::Json`] standard error has JSON lines and nothing else: what a program says there by
//! other ways than `tracing` is put into their form by [`LogFormat::lines`].

use crate::printable::Printable;
use crate::printable_lines;
use clap::ValueEnum;
use serde_json::{Value, json};
use std::io::Write as _;
use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// Where the HTTP client logs each byte that it sends, with the headers by which it logs in. Nobody gets to
/// read that, whatever `RUST_LOG` asks for.
const BYTES_SENT: &str = "ureq_proto::util";

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Plain text for people.
    Text,
    /// One JSON object per line.
    Json,
}

impl LogFormat {
    /// A message as it is written to standard error: its lines with control characters escaped, or one line
    /// of JSON. `target` is the program that says it.
    #[must_use]
    pub fn lines(self, level: Level, target: &str, message: &str) -> String {
        match self {
            Self::Text => format!("{}\n", printable_lines(message)),
            Self::Json => json_line(level, target, json!({ "message": message })),
        }
    }
}

/// A line of the log in JSON, with the line feed: the form that `tracing_subscriber` gives its own.
#[must_use]
pub fn json_line(level: Level, target: &str, fields: Value) -> String {
    let line =
        json!({ "timestamp": timestamp(), "level": level.as_str(), "fields": fields, "target": target });
    format!("{line}\n")
}

/// Installs the logger for the whole process. A second call does nothing.
///
/// Where `RUST_LOG` is unset or invalid, `info` and above are logged, and of `quiet` targets only warnings.
pub fn init<W>(format: LogFormat, quiet: &[&str], writer: W)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let asked = std::env::var("RUST_LOG").ok();
    // It would report a failed write on standard error, and panic if that fails too.
    let lines = tracing_subscriber::fmt::layer().with_writer(Printable(writer)).log_internal_errors(false);
    if format == LogFormat::Json {
        std::panic::set_hook(Box::new(move |panic| {
            let line = format.lines(Level::ERROR, "panic", &panic.to_string());
            // If standard error is closed there is nowhere to report it.
            let _ = std::io::stderr().lock().write_all(line.as_bytes());
        }));
    }
    let lines = match format {
        LogFormat::Text => lines.with_target(false).with_ansi(false).boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    // It fails if a subscriber is installed already, as in tests with several clusters.
    let _ =
        tracing_subscriber::registry().with(lines.with_filter(filter(asked.as_deref(), quiet))).try_init();
}

/// What is logged: `asked` is the text of `RUST_LOG`, such as `debug` or `info,h2=warn`.
fn filter(asked: Option<&str>, quiet: &[&str]) -> Targets {
    let asked = asked.filter(|text| !text.trim().is_empty());
    let asked: Targets = asked.and_then(|text| text.parse().ok()).unwrap_or_else(|| {
        let all = Targets::new().with_default(Level::INFO);
        all.with_targets(quiet.iter().map(|&target| (target, Level::WARN)))
    });
    asked.with_target(BYTES_SENT, LevelFilter::OFF)
}

/// The present time in the form that lines of the log have.
fn timestamp() -> String {
    let mut text = String::new();
    // Writing to a string can't fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_several_lines_is_one_line_of_json() {
        let lines = |format: LogFormat| format.lines(Level::WARN, "worker", "one\ntwo \u{1b}[31m");
        assert_eq!(lines(LogFormat::Text), "one\ntwo \\u001b[31m\n");
        let json = lines(LogFormat::Json);
        assert_eq!(json.matches('\n').count(), 1);
        let value: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["fields"]["message"], "one\ntwo \u{1b}[31m");
        assert_eq!((&value["level"], &value["target"]), (&"WARN".into(), &"worker".into()));
    }

    #[test]
    fn what_is_logged_where_rust_log_says_nothing_usable() {
        for asked in [None, Some(""), Some(" "), Some("a=b=c")] {
            let filter = filter(asked, &["object_store"]);
            assert!(filter.would_enable("coordinator", &Level::INFO), "{asked:?}");
            assert!(!filter.would_enable("coordinator", &Level::DEBUG), "{asked:?}");
            assert!(!filter.would_enable("object_store::client", &Level::INFO), "{asked:?}");
        }
        for asked in ["trace", "ureq_proto=trace", "ureq_proto::util=trace"] {
            assert!(!filter(Some(asked), &[]).would_enable("ureq_proto::util", &Level::TRACE), "{asked}");
        }
        let filter = filter(Some("warn,worker=trace"), &["object_store"]);
        assert!(filter.would_enable("worker::net", &Level::TRACE));
        assert!(!filter.would_enable("coordinator", &Level::INFO));
    }
}
