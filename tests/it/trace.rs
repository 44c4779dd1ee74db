//! `--trace`: one file that shows where the time of a step went, on both sides.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use tests::process::{Outcome, Process};
use tests::small_data::SmallData;

const COORDINATOR: [&str; 7] = ["add", "checkpoint copy", "decode", "encode", "optimizer", "send", "wait"];
const WORKER: [&str; 6] = ["add", "compute", "decode", "encode", "send", "wait"];

/// A run of 12 steps with 5 leaves each, by two local workers.
fn run(trace: &Path) -> Outcome {
    let data = SmallData::write();
    let checkpoints = tempfile::tempdir().expect("a folder");
    let readable = |path: &Path| path.to_str().expect("a readable name").to_owned();
    let trace = readable(trace);
    let checkpoints_path = readable(checkpoints.path());
    let folders = ["--dataset", data.folder(), "--checkpoint-dir", &checkpoints_path];
    let numbers = ["--model", "linear", "--val-split", "43", "--batch-size", "50", "--micro-batch", "10"];
    let more = ["--epochs", "1", "--workers", "2", "--local", "--threads", "1"];
    let trace = ["--trace", &trace];
    Process::coordinator("127.0.0.1:0", &[&folders[..], &numbers, &more, &trace].concat()).0.wait()
}

/// A span of the trace, in microseconds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    begin: u64,
    end: u64,
    name: String,
}

/// Spans by process and row.
type Rows = BTreeMap<(u64, u64), Vec<Span>>;

/// Names of the processes, and all spans.
fn read(path: &Path) -> (BTreeMap<u64, String>, Rows) {
    let text = std::fs::read_to_string(path).expect("a trace");
    // The format leaves the end open.
    let text = format!("{}]", text.trim_end().trim_end_matches(','));
    let events: Vec<Value> = serde_json::from_str(&text).expect("an array of events");
    let mut processes = BTreeMap::new();
    let mut rows = Rows::new();
    let mut named = BTreeSet::new();
    for event in &events {
        let number = |field: &str| event[field].as_u64().unwrap_or_else(|| panic!("{field} in {event}"));
        let row = (number("pid"), number("tid"));
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{event}")).to_owned();
        let name = text(&event["name"]);
        match (text(&event["ph"]).as_str(), name.as_str()) {
            ("X", _) => {
                let begin = number("ts");
                let end = begin + number("dur");
                rows.entry(row).or_default().push(Span { begin, end, name });
            }
            ("M", "process_name") => {
                processes.insert(row.0, text(&event["args"]["name"]));
            }
            ("M", "thread_name") => assert!(named.insert(row), "a row has one name"),
            other => panic!("{other:?}"),
        }
    }
    assert!(rows.keys().all(|row| named.contains(row)), "a row has a name");
    (processes, rows)
}

#[test]
fn a_trace_shows_both_sides_of_every_step_on_one_clock() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json");
    let outcome = run(&path);
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    let (processes, rows) = read(&path);
    let names: BTreeSet<&str> = processes.values().map(String::as_str).collect();
    assert_eq!(names, ["coordinator", "worker local-0", "worker local-1"].into());
    for (&process, name) in &processes {
        let own = rows.iter().filter(|((of, _), _)| *of == process).flat_map(|(_, spans)| spans);
        let own: BTreeSet<&str> = own.map(|span| span.name.as_str()).collect();
        let expected = if name == "coordinator" { &COORDINATOR[..] } else { &WORKER };
        assert_eq!(own, expected.iter().copied().collect(), "{name}");
    }
    rows.values().for_each(|spans| assert_nested(spans));
    let of = |name: &str| -> Vec<Span> {
        let mut found: Vec<Span> =
            rows.values().flatten().filter(|span| span.name == name).cloned().collect();
        found.sort();
        found
    };
    let updates = of("optimizer");
    let leaves = of("compute");
    assert_eq!(updates.len(), 12, "one a step: 600 samples in steps of 50");
    // The workers' leaves of a step lie between the coordinator's updates: both use one clock.
    for pair in updates.windows(2) {
        let within = |leaf: &&Span| pair[0].end <= leaf.begin && leaf.end <= pair[1].begin;
        assert!(leaves.iter().filter(within).count() >= 5, "{pair:?}");
    }
}

/// Asserts that each span of a row lies within another, or beside it.
fn assert_nested(spans: &[Span]) {
    let mut spans = spans.to_vec();
    // The longest of those that begin together comes first.
    spans.sort_by_key(|span| (span.begin, std::cmp::Reverse(span.end)));
    let mut open: Vec<Span> = Vec::new();
    for span in spans {
        open.retain(|outer| outer.end > span.begin);
        if let Some(outer) = open.last() {
            assert!(span.end <= outer.end, "{span:?} ends after {outer:?}");
        }
        open.push(span);
    }
}

#[test]
fn a_full_disk_ends_the_trace_and_not_the_run() {
    let outcome = run(Path::new("/dev/full"));
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    assert!(outcome.errors.contains("going on without it"), "{}", outcome.errors);
}

#[test]
fn a_place_where_no_trace_can_be_is_named() {
    let outcome = Process::start("coordinator", &["--dataset", "digits", "--trace", "/no/such/trace"]).wait();
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.errors.contains("--trace /no/such/trace"), "{}", outcome.errors);
    let worker = ["--connect", "127.0.0.1:1", "--trace", "/no/such/trace"];
    let outcome = Process::start("worker", &worker).wait();
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.errors.contains("--trace /no/such/trace"), "{}", outcome.errors);
}
