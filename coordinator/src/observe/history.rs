//! What earlier starts of a run have left: steps and evaluations from `metrics.jsonl`, which a resumed run
//! has cut to where it goes on, and the rest from `events.jsonl`.
//!
//! Both may have been written by a program that was killed, or by another one: a line that is none is passed
//! over. Of long files the end is read.

use crate::observe::view::{Counts, View};
use crate::record::lines::{self, Line as Read};
use common::event::{Evaluation, Event, Phases, StepRecord, ValidationRecord};
use host::files::{Links, open_regular};
use serde::Deserialize;
use std::io::{BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use tracing::warn;

/// Most bytes that are read of a file, from its end: a million steps.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// Largest file of which a part is read.
const LENGTH_MAX: u64 = 1 << 40;

/// The files of a run that goes on. A run that begins has none.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// `metrics.jsonl`, without what is going to be repeated.
    pub metrics: Option<PathBuf>,
    /// `events.jsonl`.
    pub events: Option<PathBuf>,
}

/// A line of `metrics.jsonl`, as far as it matters here.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Line {
    Step(Timed<StepLine>),
    Validation(Timed<ValidationRecord>),
    Test(Timed<Evaluation>),
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Timed<T> {
    /// Files of earlier programs have no times.
    #[serde(default)]
    time: f64,
    #[serde(flatten)]
    record: T,
}

#[derive(Deserialize)]
struct StepLine {
    #[serde(flatten)]
    step: StepRecord,
    #[serde(flatten)]
    phases: Option<Phases>,
}

impl History {
    /// Reads the files into a view that has seen nothing yet.
    pub(super) fn read_into(&self, view: &mut View) {
        let events = self.events.as_deref().map_or_else(Vec::new, events);
        for (time, event) in events {
            view.apply(time, &event);
        }
        if let Some(path) = &self.metrics {
            each_line(path, |line| match serde_json::from_slice(line) {
                Ok(Line::Step(Timed { time, record: StepLine { step, phases } })) => {
                    view.step(time, &step, phases);
                }
                Ok(Line::Validation(Timed { time, record })) => view.apply(time, &Event::Validation(record)),
                Ok(Line::Test(Timed { time, record })) => view.apply(time, &Event::Test(record)),
                Ok(Line::Other) | Err(_) => {}
            });
        }
        view.sort();
        // Whoever reads from now on gets it with everything.
        let _ = view.take_update(0.0);
        // These are counted from this start on.
        view.counts = Counts::default();
    }
}

/// The events of the run that was begun last, without evaluations, which may have been repeated.
fn events(path: &Path) -> Vec<(f64, Event)> {
    let mut events = Vec::new();
    each_line(path, |line| {
        let Ok(Timed { time, record }) = serde_json::from_slice::<Timed<Event>>(line) else { return };
        match record {
            Event::RunStarted(_) => events = vec![(time, record)],
            Event::Validation(_) | Event::Test(_) => {}
            _ => events.push((time, record)),
        }
    });
    events
}

/// Calls `take` with each line of a file, or of its end.
fn each_line(path: &Path, mut take: impl FnMut(&[u8])) {
    let file = match open_regular(path, LENGTH_MAX, Links::Refused) {
        Ok(file) => file,
        Err(error) if error.is_missing() => return,
        Err(error) => return warn!(path = %path.display(), %error, "the page lacks what was before"),
    };
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let length = reader.get_ref().metadata().map_or(0, |metadata| metadata.len());
    // What is left of the line there is no record, and passed over.
    let from = length.saturating_sub(FILE_BYTES_MAX);
    if let Err(error) = reader.seek(SeekFrom::Start(from)) {
        return warn!(path = %path.display(), %error, "the page lacks what was before");
    }
    let read = lines::each(reader, |_, line| {
        if let Read::Whole(line) = line {
            take(line);
        }
    });
    if let Err(error) = read {
        warn!(path = %path.display(), %error, "the page lacks a part of what was before");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::event_log::EventLog;
    use crate::observe::jsonl::{MetricsFile, Place};
    use crate::observe::metrics::Metrics;
    use crate::observe::{Observer, step_record};
    use common::event::{PieceTime, RoundKind, RoundRecord, RunRecord};
    use common::ids::{Incarnation, Rank, Round, Step};
    use common::reduce::tree::Node;
    use std::io::Write;

    fn round(step: u64) -> Event {
        let piece = PieceTime {
            worker: Incarnation(1),
            piece: Node::leaf(0),
            leaves: 1,
            is_backup: false,
            given_us: 0,
            answered_us: Some(3_000),
        };
        Event::Round(RoundRecord {
            step: Step(step),
            round: Round(step),
            kind: RoundKind::Train,
            begun_us: 0,
            summed_us: 4_000,
            done_us: 6_000,
            pieces: vec![piece],
        })
    }

    #[test]
    fn the_next_coordinator_sees_what_the_killed_one_has_seen() {
        let folder = tempfile::tempdir().unwrap();
        let [metrics, events] = ["metrics.jsonl", "events.jsonl"].map(|name| folder.path().join(name));
        let run = RunRecord { fingerprint: "f".into(), steps_total: 9, ..RunRecord::default() };
        let mut file = Metrics::new(MetricsFile::create(&Place::Own(metrics.clone()), "f").unwrap());
        let mut log = EventLog::open(&events).unwrap();
        let joined = Event::WorkerJoined {
            worker: "a".into(),
            rank: Rank(0),
            incarnation: Incarnation(1),
            step: Step(0),
            workers: 1,
        };
        let told = [
            // An earlier run in the same folder.
            joined.clone(),
            Event::RunStarted(run),
            joined,
            round(0),
            Event::Step(step_record(0, 0)),
            round(1),
            Event::Step(step_record(1, 0)),
        ];
        for event in &told {
            log.observe(event);
            file.observe(event);
        }
        file.keep();
        std::fs::OpenOptions::new()
            .append(true)
            .open(&events)
            .unwrap()
            .write_all(b"{\"time\": 3, torn")
            .unwrap();
        let mut view = View::default();
        History { metrics: Some(metrics), events: Some(events) }.read_into(&mut view);
        let snapshot = view.snapshot(0.0);
        assert_eq!(snapshot.shown.curve.step, [0, 1]);
        assert_eq!(snapshot.shown.curve.phases.map(|part| part[1]), [3.0, 0.0, 1.0, 2.0]);
        assert!(snapshot.shown.curve.time[0] > 1.7e9);
        let workers: Vec<_> = snapshot.shown.status.workers.iter().map(|row| row.stays.len()).collect();
        assert_eq!((workers, snapshot.shown.marks[0].kind), (vec![1], "start"));
    }
}
