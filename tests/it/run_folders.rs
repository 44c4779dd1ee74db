//! `--run-dir` leaves all that a run was in one folder, whatever happened meanwhile, and the run can be
//! repeated from it.

use common::event::Event;
use nix::sys::signal::Signal::SIGKILL;
use serde_json::Value;
use std::fs;
use std::path::Path;
use tests::golden::{Bench, SLOW, STEPS, assert_golden, golden};
use tests::process::Process;
use tests::proxy::Proxy;

fn text(path: &Path) -> &str {
    path.to_str().expect("a readable name")
}

/// The bench's flags with a run's folder in place of that of the checkpoints.
fn flags<'a>(bench: &'a Bench, folder: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let mut flags = bench.flags(more);
    let at = flags.iter().position(|flag| *flag == "--checkpoint-dir").expect("the flag");
    flags.splice(at..at + 2, ["--run-dir", text(folder)]);
    flags
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("a file");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn a_killed_run_leaves_one_record_and_repeats_from_it() {
    let (bench, home) = (Bench::new(), tempfile::tempdir().unwrap());
    let folder = home.path().join("runs/a");
    let (mut run, address) = Process::coordinator("127.0.0.1:0", &flags(&bench, &folder, &[]));
    let proxy = Proxy::start(&address);
    proxy.set_both(SLOW);
    let worker = Process::worker(&proxy.address(), "a");
    run.wait_for_checkpoint(&folder.join("checkpoints"), 10);
    run.signal(SIGKILL);
    let _ = run.wait();
    drop(worker);
    let local = flags(&bench, &folder, &["--local", "--threads", "1"]);
    assert_golden(&Process::coordinator("127.0.0.1:0", &local).0.wait());

    let events = lines(&folder.join("events.jsonl"));
    let times: Vec<f64> = events.iter().map(|line| line["time"].as_f64().expect("a time")).collect();
    assert!(times.is_sorted() && times[0] > 1.7e9, "{times:?}");
    let events: Vec<Event> =
        events.into_iter().map(|line| serde_json::from_value(line).expect("an event")).collect();
    let of = |is_it: fn(&Event) -> bool| events.iter().filter(|event| is_it(event)).count();
    assert_eq!(of(|event| matches!(event, Event::RunStarted(_))), 1);
    assert_eq!(of(|event| matches!(event, Event::RunResumed(_))), 1);
    assert_eq!(of(|event| matches!(event, Event::WorkerJoined { .. })), 2, "it was written at once");
    assert_eq!(of(|event| matches!(event, Event::RunEnded { .. })), 1);
    assert_eq!(of(|event| matches!(event, Event::Step(_) | Event::Round(_))), 0);

    let metrics = lines(&folder.join("metrics.jsonl"));
    assert!(metrics.iter().all(|line| line["time"].as_f64().is_some_and(|time| time > 1.7e9)));
    let steps = metrics.iter().filter(|line| line["kind"] == "step");
    let steps: Vec<u64> = steps.map(|line| line["step"].as_u64().expect("a step")).collect();
    assert_eq!(steps, (0..STEPS).collect::<Vec<_>>());

    let report = fs::read_to_string(folder.join("report.html")).expect("a report");
    for part in [
        "<span class=\"state complete\">",
        "resumed, after one that ended without a word",
        "--run-dir OTHER",
        "src=\"data:image/png;base64,",
    ] {
        assert!(report.contains(part), "{part}:\n{report}");
    }
    assert!(report.contains(&golden()[0]), "the digest that it must give: {report}");
    let card = fs::read_to_string(folder.join("README.md")).expect("a card");
    assert!(card.contains("model-index:") && card.contains("| faults survived | 1 |"), "{card}");

    let (config, other) = (folder.join("config.toml"), home.path().join("runs/b"));
    let again = ["--config", text(&config), "--run-dir", text(&other), "--progress", "off"];
    assert_golden(&Process::start("coordinator", &again).wait());
    let config = |folder: &Path| fs::read_to_string(folder.join("config.toml")).expect("the flags");
    let shown = |folder: &Path| config(folder).replace(text(folder), "FOLDER").replace("\"off\"", "\"auto\"");
    assert_eq!(shown(&folder), shown(&other));
    assert_they_are_read_as_equal(home.path(), [&folder, &other]);
}

/// `lockstep` reads both runs as complete and of the same bits, of which the first met a fault.
fn assert_they_are_read_as_equal(home: &Path, folders: [&Path; 2]) {
    let said = |args: &[&str]| {
        let outcome = Process::start("lockstep", args).wait();
        assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
        outcome.output
    };
    let runs = said(&["runs", text(home), "--json"]);
    let runs: Vec<Value> = runs.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let seen =
        runs.iter().map(|run| ["name", "state", "faults", "model_sha256"].map(|field| run[field].clone()));
    let expected = [("runs/a", 1), ("runs/b", 0)];
    let expected = expected.map(|(name, faults)| {
        [name.into(), "complete".into(), Value::from(faults), golden()[0].clone().into()]
    });
    assert_eq!(seen.collect::<Vec<_>>(), expected);
    let compared = said(&["compare", text(folders[0]), text(folders[1])]);
    assert!(compared.contains("the final models have the same bits"), "{compared}");
    let module = home.join("network.py");
    let exported = ["--format", "pytorch-module", "--output", text(&module)];
    let said = said(&[&["export", "--checkpoint", text(folders[0])], &exported[..]].concat());
    assert!(said.contains(&format!("step {STEPS}")), "{said}");
}

#[test]
fn a_run_folder_takes_the_place_of_other_folders() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["--run-dir", text(folder.path()), "--checkpoint-dir", "x"];
    let outcome = Process::start("coordinator", &args).wait();
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.errors.contains("cannot be used with"), "{}", outcome.errors);
}
