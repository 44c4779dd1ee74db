//! `events.jsonl`: what happened to a run over all its starts, one JSON object a line.
//!
//! A line is an event as [`Event`] is serialized, with `time` beside it: seconds since 1970. The file only
//! grows, and each line is written at once, so that it shows what happened before a coordinator was killed.
//! What is told of every round is left out: `metrics.jsonl` has the steps. Who is not admitted can't make it
//! grow without limit ([`Rate`]).
//!
//! A file that can't be written is abandoned with a warning; the training continues.

use super::Observer;
use super::rate::Rate;
use common::event::Event;
use host::clock::wall_seconds;
use host::files::{FileError, open_to_grow};
use serde::Serialize;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;
use tracing::warn;

/// The observer that writes the file.
pub(crate) struct EventLog {
    path: PathBuf,
    /// The open file; `None` once it was abandoned.
    file: Option<File>,
    rate: Rate,
}

/// A line of the file.
#[derive(Serialize)]
struct Line<'a> {
    time: f64,
    #[serde(flatten)]
    event: &'a Event,
    /// Number of such events before it that have no line.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<u64>,
}

impl EventLog {
    /// Opens or creates the file.
    ///
    /// # Errors
    /// When it is no regular file, or the system refuses.
    pub(crate) fn open(path: &Path) -> Result<Self, FileError> {
        let file = open_to_grow(path)?;
        Ok(Self { path: path.to_owned(), file: Some(file), rate: Rate::default() })
    }

    fn write(&mut self, line: &Line<'_>) {
        let Some(file) = &mut self.file else { return };
        let written = serde_json::to_vec(line).map_err(io::Error::from).and_then(|mut line| {
            line.push(b'\n');
            file.write_all(&line)
        });
        if let Err(error) = written {
            let path = self.path.display();
            warn!(%path, %error, "no events are kept from here on; the training goes on");
            self.file = None;
        }
    }
}

impl Observer for EventLog {
    fn observe(&mut self, event: &Event) {
        if matches!(event, Event::Step(_) | Event::Round(_) | Event::WorkersUsage { .. }) {
            return;
        }
        let mut rate = std::mem::take(&mut self.rate);
        rate.pass(event, Instant::now(), |left_out| {
            self.write(&Line { time: wall_seconds(), event, left_out });
        });
        self.rate = rate;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::step_record;
    use common::ids::Step;
    use serde_json::Value;
    use std::fs;

    fn stopping(step: u64) -> Event {
        Event::Stopping { step: Step(step) }
    }

    #[test]
    fn lines_are_events_with_their_time_and_are_there_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut log = EventLog::open(&path).unwrap();
        log.observe(&stopping(3));
        log.observe(&Event::Step(step_record(3, 0)));
        let text = fs::read_to_string(&path).unwrap();
        let line: Value = serde_json::from_str(&text).unwrap();
        assert!(line["time"].as_f64().unwrap() > 1.7e9, "{line}");
        assert_eq!(serde_json::from_value::<Event>(line).unwrap(), stopping(3));
    }

    #[test]
    fn the_file_only_grows_and_a_torn_line_stays_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        fs::write(&path, "{\"torn\": ").unwrap();
        EventLog::open(&path).unwrap().observe(&stopping(4));
        let text = fs::read_to_string(&path).unwrap();
        let (torn, line) = text.split_once('\n').unwrap();
        assert_eq!(torn, "{\"torn\": ");
        assert_eq!(serde_json::from_str::<Event>(line).unwrap(), stopping(4));
    }
}
