//! With `--log-format json` standard error has JSON lines and nothing else, whatever happens.

use nix::sys::signal::Signal::{SIGKILL, SIGTERM};
use nix::sys::signal::kill;
use nix::unistd::Pid;
use std::net::TcpListener;
use tests::golden::{Bench, assert_golden};
use tests::process::{JSON, Process, with_argument};
use tests::told::any_joined;

#[track_caller]
fn assert_json(errors: &str) {
    assert!(!errors.is_empty());
    for line in errors.lines() {
        let value: Result<serde_json::Value, _> = serde_json::from_str(line);
        let has = |value: &serde_json::Value, field| value.get(field).is_some();
        let is_line = value.as_ref().is_ok_and(|value| has(value, "level") && has(value, "fields"));
        assert!(is_line, "{line:?} in\n{errors}");
    }
}

#[test]
fn a_run_with_a_killed_local_worker_writes_json_only() {
    let bench = Bench::new();
    let mut run =
        bench.coordinator(&["--workers", "2", "--local", "--threads", "1", "--warmup-steps", "0"]).0;
    run.wait_for_event("has a worker", any_joined);
    let own = format!("unix:@lockstep-{}-", run.id());
    let worker = with_argument(&own).into_iter().next().expect("a local worker");
    kill(Pid::from_raw(worker as i32), SIGKILL).unwrap();
    let outcome = run.wait();
    assert_golden(&outcome);
    assert_json(&outcome.errors);
}

#[test]
fn failures_stops_and_odd_settings_are_json_too() {
    let bench = Bench::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for mistake in [
        &["--speed", "3"][..],
        &["--bind", &taken],
        &["--val-split", "99999"],
        &["--audit-rollback"],
        &["--dataset", "/no/such/folder", "--batch-size", "9999"],
    ] {
        let outcome = Process::start("coordinator", &[&bench.flags(JSON), mistake].concat()).wait();
        assert_ne!(outcome.code, Some(0));
        assert_json(&outcome.errors);
    }
    let absent = Process::start("worker", &[&["--connect", &taken, "--give-up", "1s"], JSON].concat());
    drop(taken);
    let bad = Process::start("worker", &[&["--connect", "nowhere"], JSON].concat());
    for outcome in [absent.wait(), bad.wait()] {
        assert_ne!(outcome.code, Some(0));
        assert_json(&outcome.errors);
    }
    let stopped = bench.stopped(1, 10, SIGTERM);
    assert_json(&stopped.errors);
    let again =
        bench.coordinator(&["--workers", "9", "--local", "--threads", "1", "--progress", "plain"]).0.wait();
    assert!(again.errors.contains("is this meant?"), "{}", again.errors);
    assert_golden(&again);
    assert_json(&again.errors);
}
