use super::state::STATE_FILE;
use super::*;
use crate::observe::login::Login;
use crate::run_folder::METRICS_FILE;
use common::event::{RunOutcome, RunRecord};
use common::ids::Step;
use fake::Fake;
use serde_json::json;
use std::fs;
use std::io::Write;
use tempfile::TempDir;

mod fake;

fn run() -> RunRecord {
    let config = [("seed".to_owned(), "1".to_owned()), ("long".to_owned(), "x".repeat(1000))].into();
    RunRecord { run_id: "a".into(), fingerprint: "f0".into(), config, ..RunRecord::default() }
}

fn start(fake: &Fake, folder: &TempDir) -> MlFlow {
    let mut observer = MlFlow::start(&fake.server(), folder.path()).unwrap();
    observer.observe(&Event::RunStarted(run()));
    observer
}

/// Tells the end, and waits for the last number as the program does.
fn end(mut observer: MlFlow, folder: &TempDir, outcome: RunOutcome) {
    observer.observe(&Event::RunEnded { step: Step(0), steps_done: 1, outcome });
    append(folder, &[json!({"kind": "run_ended", "step": 0})]);
    drop(observer);
}

fn append(folder: &TempDir, lines: &[serde_json::Value]) {
    let path = folder.path().join(METRICS_FILE);
    let mut file = fs::File::options().append(true).create(true).open(path).unwrap();
    lines.iter().for_each(|line| writeln!(file, "{line}").unwrap());
}

/// Lines of steps, whose speed is another one at each attempt.
fn steps(steps: std::ops::Range<u64>, speed: f64) -> Vec<serde_json::Value> {
    let line = |step| json!({"kind": "step", "step": step, "loss": 1.0 / (1.0 + step as f64), "accuracy": null, "samples_per_s": speed});
    steps.map(line).collect()
}

/// Steps of a number, in the order in which the tracker got them.
fn of_key(fake: &Fake, key: &str) -> Vec<u64> {
    let metrics = fake.metrics();
    metrics
        .iter()
        .filter(|metric| metric["key"] == key)
        .map(|metric| metric["step"].as_u64().unwrap())
        .collect()
}

#[test]
fn a_run_has_its_settings_its_numbers_and_its_end() {
    let (fake, folder) = (Fake::start(), tempfile::tempdir().unwrap());
    let observer = start(&fake, &folder);
    append(&folder, &steps(0..1200, 10.0));
    let evaluation = json!({"kind": "validation", "step": 1199, "weights": "averaged", "views": true, "loss": 0.5, "confusion": [[1]]});
    append(&folder, &[evaluation, json!({"kind": "worker_joined", "step": 3})]);
    end(observer, &folder, RunOutcome::Complete);
    assert_eq!(of_key(&fake, "train/loss"), (0..1200).collect::<Vec<_>>());
    assert_eq!(of_key(&fake, "validation/averaged/views/loss"), [1199]);
    let metrics = fake.metrics();
    assert_eq!(metrics[1]["value"], "NaN", "what is not finite");
    let base = metrics[0]["timestamp"].as_u64().unwrap();
    for metric in &metrics {
        assert_eq!(metric["timestamp"].as_u64().unwrap() - base, metric["step"].as_u64().unwrap());
    }
    assert!(fake.largest_batch() <= 1000);
    let info = fake.info();
    assert_eq!((&info["status"], &info["start_time"]), (&"FINISHED".into(), &base.into()));
    assert_eq!(info["tags"]["lockstep.fingerprint"], "f0");
    assert_eq!(info["params"]["seed"], "1");
    assert_eq!(info["params"]["long"].as_str().unwrap().len(), 500);
}

#[test]
fn each_step_is_there_once_however_often_both_sides_break_off() {
    let (fake, folder) = (Fake::start(), tempfile::tempdir().unwrap());
    for (attempt, at) in [0, 7, 5, 11].into_iter().enumerate() {
        // The run goes on with that step, as a checkpoint has it: what follows is computed again.
        fs::write(folder.path().join(METRICS_FILE), "").unwrap();
        append(&folder, &steps(0..at, 1.0));
        let observer = start(&fake, &folder);
        append(&folder, &steps(at..at + 9, attempt as f64));
        fake.when_steps(at + 5);
        // It stores the next batch and says nothing of it.
        fake.break_off();
        append(&folder, &steps(at + 9..at + 12, attempt as f64));
        fake.when_steps(at + 12);
        drop(observer);
    }
    end(start(&fake, &folder), &folder, RunOutcome::Stopped);
    for key in ["train/loss", "train/accuracy", "train/samples_per_s"] {
        assert_eq!(of_key(&fake, key), (0..23).collect::<Vec<_>>(), "{key}");
    }
    assert_eq!(fake.runs(), 1);
    assert_eq!(fake.info()["status"], "KILLED");
}

#[test]
fn what_a_tracker_missed_while_it_was_away_it_gets_from_a_later_start() {
    let (fake, folder) = (Fake::start(), tempfile::tempdir().unwrap());
    fake.go_away(true);
    let observer = start(&fake, &folder);
    append(&folder, &steps(0..9, 1.0));
    end(observer, &folder, RunOutcome::Stopped);
    assert_eq!(fake.runs(), 0);
    fake.go_away(false);
    end(start(&fake, &folder), &folder, RunOutcome::Complete);
    assert_eq!(of_key(&fake, "train/loss"), (0..9).collect::<Vec<_>>());
    assert_eq!(fake.info()["status"], "FINISHED");
}

#[test]
fn a_coordinator_that_was_killed_before_it_knew_its_run_finds_it_again() {
    let (fake, folder) = (Fake::start(), tempfile::tempdir().unwrap());
    append(&folder, &steps(0..3, 1.0));
    end(start(&fake, &folder), &folder, RunOutcome::Stopped);
    let path = folder.path().join(STATE_FILE);
    let mut state: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    state["run_id"] = serde_json::Value::Null;
    fs::write(&path, state.to_string()).unwrap();
    end(start(&fake, &folder), &folder, RunOutcome::Complete);
    assert_eq!((fake.runs(), of_key(&fake, "train/loss")), (1, vec![0, 1, 2]));
}

#[test]
fn a_run_that_rolls_back_begins_another_one_with_what_holds() {
    let (fake, folder) = (Fake::start(), tempfile::tempdir().unwrap());
    let mut observer = start(&fake, &folder);
    append(&folder, &steps(0..9, 1.0));
    fake.when_steps(9);
    observer.observe(&Event::RunRolledBack { from: Step(9), checkpoint: None, run: run() });
    let new = folder.path().join("new");
    fs::write(&new, steps(0..4, 1.0).iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    fs::rename(&new, folder.path().join(METRICS_FILE)).unwrap();
    append(&folder, &steps(4..6, 2.0));
    end(observer, &folder, RunOutcome::Complete);
    assert_eq!(fake.runs(), 2);
    assert_eq!(of_key(&fake, "train/loss"), (0..6).collect::<Vec<_>>(), "of the second one");
    assert_eq!(fake.info_of(0)["status"], "KILLED");
    assert_eq!(fake.info_of(0)["tags"]["lockstep.rolled_back"], "true");
}

#[test]
fn another_file_in_the_place_of_its_own_costs_the_tracker_or_the_file_and_nothing_else() {
    let (fake, folder) = (Fake::start(), tempfile::tempdir().unwrap());
    let path = folder.path().join(STATE_FILE);
    fs::write(
        &path,
        r#"{"tracker":"http://other","fingerprint":"f0","key":"f0-1","base_ms":1,"run_id":"../x"}"#,
    )
    .unwrap();
    append(&folder, &steps(0..2, 1.0));
    end(start(&fake, &folder), &folder, RunOutcome::Complete);
    assert_eq!(of_key(&fake, "train/loss"), [0, 1]);
    fs::remove_file(&path).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let asked = fake.asked();
    end(start(&fake, &folder), &folder, RunOutcome::Complete);
    assert_eq!(fake.asked(), asked);
}

#[test]
fn an_address_is_that_of_a_server_and_has_no_secret() {
    let parse = |text: &str| text.parse::<Uri>().map(|uri| uri.to_string());
    assert_eq!(parse("http://127.0.0.1:5000/").unwrap(), "http://127.0.0.1:5000");
    assert_eq!(parse("https://tracker.example/mlflow").unwrap(), "https://tracker.example/mlflow");
    for bad in [
        "",
        "mlruns",
        "file:///tmp",
        "http://",
        "http:///x",
        "http://a:b@c",
        "http://a b",
        "http://a?x",
        "http://a\n",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_run_that_goes_on_where_nothing_is_left_has_its_checkpoint() {
    let (fake, folder) = (Fake::start(), tempfile::tempdir().unwrap());
    let checkpoint = folder.path().join("checkpoints/step-000000000005");
    fs::create_dir_all(&checkpoint).unwrap();
    let mut observer = MlFlow::start(&fake.server(), folder.path()).unwrap();
    observer.observe(&Event::RunResumed(RunRecord { step: Step(5), ..run() }));
    append(&folder, &steps(0..5, 10.0));
    end(observer, &folder, RunOutcome::Complete);
    assert_eq!(fake.info()["tags"]["lockstep.checkpoint"], checkpoint.display().to_string());
}

#[test]
fn a_tracker_that_wants_a_login_gets_it_with_each_request() {
    for (variables, header) in [
        (&["MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"][..], "authorization: Basic YTph"),
        (&["MLFLOW_TRACKING_TOKEN"], "authorization: Bearer a"),
    ] {
        let (fake, folder) = (Fake::start(), tempfile::tempdir().unwrap());
        fake.want(header);
        append(&folder, &steps(0..3, 1.0));
        end(start(&fake, &folder), &folder, RunOutcome::Stopped);
        assert_eq!(fake.runs(), 0, "without one it lets nobody in");
        let login = Login::of_mlflow(&|name| variables.contains(&name).then(|| "a".into())).unwrap();
        let mut observer = MlFlow::start(&fake.server_for(login), folder.path()).unwrap();
        observer.observe(&Event::RunStarted(run()));
        end(observer, &folder, RunOutcome::Complete);
        assert_eq!(of_key(&fake, "train/loss"), [0, 1, 2]);
        assert_eq!(fake.info()["status"], "FINISHED");
        let kept = fs::read_to_string(folder.path().join(STATE_FILE)).unwrap();
        assert!(!kept.contains("Basic") && !kept.contains("Bearer"), "{kept}");
    }
}

#[test]
fn a_tracker_that_lets_nobody_in_is_said_to_do_so() {
    let fake = Fake::start();
    fake.want("authorization: Bearer other");
    let login =
        Login::of_mlflow(&|name| (name == "MLFLOW_TRACKING_TOKEN").then(|| "hunter2".into())).unwrap();
    let error = Tracker::new(&fake.server_for(login)).run("k", "n", 0).unwrap_err();
    assert!(error.to_string().contains("how to log in"), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
}
