//! Folders of runs for tests, as text.

use crate::run_folder::{EVENTS_FILE, METRICS_FILE};
use common::event::{Departure, Event, RunOutcome, RunRecord};
use common::ids::{Incarnation, Rank, Step};
use common::protocol::coordinator::{Cause, Disconnect};
use serde_json::{Value, json};
use std::fs;
use tempfile::TempDir;

/// A folder with these lines.
pub(crate) fn folder(metrics: &str, events: Option<&str>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(METRICS_FILE), metrics).unwrap();
    events.iter().for_each(|events| fs::write(folder.path().join(EVENTS_FILE), events).unwrap());
    folder
}

/// A run of 100 steps.
pub(crate) fn run(step: u64) -> RunRecord {
    let config = [
        ("dataset", "digits"),
        ("optimizer", "adam(beta1=0.9)"),
        ("lr", "0.002"),
        ("model", "flatten dense(8) relu dense"),
    ];
    RunRecord {
        step: Step(step),
        run_id: "83fd45d5819b".to_owned(),
        fingerprint: "83fd".to_owned(),
        config: config.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        steps_total: 100,
        steps_per_epoch: 50,
        epochs: 2,
        parameters: 6370,
        train_samples: 800,
        validation_samples: 100,
        unlabelled_samples: 0,
    }
}

/// A line of kind `run`.
pub(crate) fn run_line(event: &str, step: u64) -> String {
    let mut line = serde_json::to_value(run(step)).unwrap();
    line["kind"] = "run".into();
    line["event"] = event.into();
    format!("{line}\n")
}

/// A line of kind `step`.
pub(crate) fn step_line(step: u64, seconds: f64, loss: Option<f64>) -> String {
    let line = json!({
        "kind": "step", "step": step, "epoch": step / 50, "loss": loss, "accuracy": 0.9, "learning_rate": 0.002,
        "samples_per_s": 1000.0, "train_seconds": seconds, "workers": 2, "time": 1e9 + seconds,
    });
    format!("{line}\n")
}

/// A line of an evaluation of two classes, with names.
pub(crate) fn evaluation_line(kind: &str, step: u64, accuracy: f64, names: [&str; 2]) -> String {
    let quality =
        |name: &str| json!({"name": name, "precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 10});
    let line = json!({
        "kind": kind, "step": step, "epoch": 0, "loss": 0.5, "accuracy": accuracy,
        "per_class": names.map(quality), "confusion": [[9, 1], [2, 8]], "best": true,
    });
    format!("{line}\n")
}

/// A line of `events.jsonl`.
pub(crate) fn event_line(time: f64, event: &Event) -> String {
    let mut line = serde_json::to_value(event).unwrap();
    line["time"] = Value::from(time);
    format!("{line}\n")
}

/// A worker that joins.
pub(crate) fn joined(worker: &str, step: u64, workers: u32) -> Event {
    let worker = worker.to_owned();
    Event::WorkerJoined {
        worker,
        rank: Rank(0),
        incarnation: Incarnation(1 << 60),
        step: Step(step),
        workers,
    }
}

/// A worker that is dropped, because its connection broke with these words.
pub(crate) fn dropped(worker: &str, step: u64, what: &str) -> Event {
    let departure = Departure {
        worker: worker.to_owned(),
        rank: Some(Rank(0)),
        incarnation: Incarnation(1),
        pieces: Vec::new(),
        has_helped: true,
        step: Step(step),
        workers: 0,
    };
    Event::WorkerDropped { cause: Cause::Gone(Disconnect::Broken { what: what.to_owned() }), departure }
}

/// The end of a run.
pub(crate) fn ended(step: u64, outcome: RunOutcome) -> Event {
    Event::RunEnded { step: Step(step), steps_done: step + 1, outcome }
}
