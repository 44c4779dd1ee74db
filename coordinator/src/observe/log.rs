//! Events as lines of the log: `title key=value ...` for people, the event's own fields under `fields` in
//! JSON.
//!
//! This file decides the level of each event. `RUST_LOG` filters them like all other lines, by their target.

use super::Observer;
use super::console::Console;
use super::rate::Rate;
use common::event::Event;
use host::logging::{LogFormat, json_line};
use std::time::Instant;
use tracing::Level;

/// Target of events, for `RUST_LOG`.
const TARGET: &str = "coordinator::event";

/// The observer that writes the log.
pub(super) struct Log {
    console: Console,
    format: LogFormat,
    rate: Rate,
}

impl Log {
    pub(super) fn new(console: Console, format: LogFormat) -> Self {
        Self { console, format, rate: Rate::default() }
    }
}

impl Observer for Log {
    fn observe(&mut self, event: &Event) {
        let level = level(event, self.format);
        if !is_enabled(level) {
            return;
        }
        let Self { console, format, rate } = self;
        rate.pass(event, Instant::now(), |left_out| match format {
            LogFormat::Text => write(level, &with_count(event, left_out)),
            LogFormat::Json => console.write_whole(line(level, event, left_out).into_bytes()),
        });
    }
}

/// The level at which an event is logged.
pub(super) fn level(event: &Event, format: LogFormat) -> Level {
    match event {
        Event::Round(_) | Event::WorkersUsage { .. } | Event::Step(_) => Level::DEBUG,
        // The reporter, the summary or the program's last line shows these to people.
        Event::RunStarted(_)
        | Event::RunResumed(_)
        | Event::RunEnded { .. }
        | Event::Listening { .. }
        | Event::Validation(_)
        | Event::Test(_)
        | Event::Mistakes(_)
        | Event::PseudoLabels(_)
        | Event::CheckpointWritten { .. } => match format {
            LogFormat::Text => Level::DEBUG,
            LogFormat::Json => Level::INFO,
        },
        Event::WorkerJoined { .. }
        | Event::WorkerKeptAsSpare { .. }
        | Event::WorkerLeft(_)
        | Event::WorkerLate { .. }
        | Event::Stopping { .. } => Level::INFO,
        Event::RunRolledBack { .. }
        | Event::WorkerDropped { .. }
        | Event::WorkerRefused { .. }
        | Event::OtherNumerics { .. }
        | Event::WorkerQuarantined { .. }
        | Event::GradientDoubted { .. }
        | Event::GradientConfirmed { .. }
        | Event::AuditWaits { .. }
        | Event::WorkerMiscomputes { .. }
        | Event::MiscomputedWorkKept { .. }
        | Event::WaitingForWorkers { .. }
        | Event::EventsLost { .. } => Level::WARN,
        Event::CheckpointFailed { .. } => Level::ERROR,
    }
}

fn is_enabled(level: Level) -> bool {
    match level {
        Level::ERROR => tracing::enabled!(target: TARGET, Level::ERROR),
        Level::WARN => tracing::enabled!(target: TARGET, Level::WARN),
        Level::INFO => tracing::enabled!(target: TARGET, Level::INFO),
        _ => tracing::enabled!(target: TARGET, Level::DEBUG),
    }
}

fn write(level: Level, line: &str) {
    match level {
        Level::ERROR => tracing::error!(target: TARGET, "{line}"),
        Level::WARN => tracing::warn!(target: TARGET, "{line}"),
        Level::INFO => tracing::info!(target: TARGET, "{line}"),
        _ => tracing::debug!(target: TARGET, "{line}"),
    }
}

fn with_count(event: &Event, left_out: Option<u64>) -> String {
    left_out.map_or_else(|| event.to_string(), |left_out| format!("{event} left_out={left_out}"))
}

/// The event in the JSON form of the other log lines.
fn line(level: Level, event: &Event, left_out: Option<u64>) -> String {
    // An event consists of maps with text keys, so it has a JSON form.
    let mut fields: serde_json::Value = serde_json::to_value(event).unwrap_or_default();
    fields["message"] = with_count(event, left_out).into();
    if let Some(left_out) = left_out {
        fields["left_out"] = left_out.into();
    }
    json_line(level, TARGET, fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::ids::Step;
    use serde_json::Value;

    #[test]
    fn a_line_of_json_reads_back_as_the_event() {
        let event = Event::WaitingForWorkers { live: 0, needed: 1, step: Step(7) };
        let line: Value = serde_json::from_str(&line(Level::WARN, &event, Some(3))).unwrap();
        assert_eq!(line["fields"]["event"], "waiting_for_workers");
        assert_eq!((&line["level"], &line["fields"]["left_out"]), (&"WARN".into(), &3.into()));
        assert_eq!(serde_json::from_value::<Event>(line["fields"].clone()).unwrap(), event);
    }
}
