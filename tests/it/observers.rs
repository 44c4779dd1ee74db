//! An observer can neither block nor change a run, and what it keeps is there after a kill.

use common::event::Event;
use coordinator::observe::Observer;
use nix::sys::signal::Signal::SIGKILL;
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tests::cluster::train_prepared;
use tests::golden::{Bench, STEPS, golden};
use tests::process::{Process, checkpoints, program};
use tests::told::any_joined;

/// Timeout for a whole run on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// An observer that never returns from the first event, as long as its other end is there.
struct Stuck(mpsc::Receiver<()>);

impl Observer for Stuck {
    fn observe(&mut self, _: &Event) {
        let _ = self.0.recv();
    }

    fn precedes_checkpoints(&self) -> bool {
        true
    }
}

/// An observer that panics at each event.
struct Panics;

impl Observer for Panics {
    fn observe(&mut self, event: &Event) {
        panic!("as it is meant to, at: {event}");
    }

    fn precedes_checkpoints(&self) -> bool {
        true
    }
}

/// An observer that passes on all events.
struct Passes(mpsc::Sender<Event>);

impl Observer for Passes {
    fn observe(&mut self, event: &Event) {
        let _ = self.0.send(event.clone());
    }
}

#[test]
fn observers_that_block_or_panic_neither_stop_nor_change_a_run() {
    let bench = Bench::new();
    let (_held, leave) = mpsc::channel();
    let (told, heard) = mpsc::channel();
    let summary = train_prepared(&bench.flags(&[]), &[1, 1], |prepared| {
        prepared.observe("stuck", Stuck(leave));
        prepared.observe("panics", Panics);
        prepared.observe("passes", Passes(told));
    });
    assert_eq!([summary.model_sha256, summary.optimizer_sha256], *golden());
    let heard: Vec<Event> = heard.iter().collect();
    let steps = heard.iter().filter(|event| matches!(event, Event::Step(_))).count();
    assert_eq!(steps as u64, STEPS);
    assert!(matches!(heard.first(), Some(Event::RunStarted(_))), "{:?}", heard.first());
    assert!(matches!(heard.last(), Some(Event::RunEnded { .. })), "{:?}", heard.last());
}

#[test]
fn a_standard_error_that_nobody_reads_does_not_hold_the_run_up() {
    let bench = Bench::new();
    let flags = bench.flags(&["--workers", "2", "--local", "--threads", "1", "--log-format", "json"]);
    let mut command = Command::new(program("coordinator"));
    // So many lines that the pipe is soon full.
    command.args(flags).env("RUST_LOG", "debug");
    let pipes = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut run = pipes.spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = run.try_wait().unwrap() {
            break Some(status);
        }
        if Instant::now() > deadline {
            run.kill().unwrap();
            run.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let status = status.expect("it ends though nobody reads what it says");
    let mut output = String::new();
    run.stdout.take().unwrap().read_to_string(&mut output).unwrap();
    assert!(status.success(), "{output}");
    assert!(golden().iter().all(|digest| output.contains(digest)), "{output}");
}

/// Steps in the metrics, in their order; a torn last line does not count.
fn steps(bench: &Bench) -> Vec<u64> {
    let metrics = std::fs::read_to_string(bench.folder().join("metrics.jsonl")).expect("metrics");
    let records = metrics.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let steps = records.filter(|record| record["kind"] == "step");
    steps.map(|record| record["step"].as_u64().expect("a number")).collect()
}

#[test]
fn after_a_kill_the_metrics_have_every_step_of_the_checkpoint() {
    let bench = Bench::new();
    for at in [5, 23, 60] {
        let (mut run, proxy) = bench.slowed(&["--workers", "1"]);
        let _worker = Process::worker(&proxy.address(), "w");
        run.wait_for_event("lets it in", any_joined);
        run.wait_for_checkpoint(bench.folder(), at);
        run.signal(SIGKILL);
        run.wait_for_end();
        let newest = checkpoints(bench.folder()).last().copied().unwrap();
        let steps = steps(&bench);
        let expected: Vec<u64> = (0..steps.len() as u64).collect();
        assert_eq!(steps, expected);
        assert!(steps.len() as u64 >= newest, "{} steps of {newest}", steps.len());
    }
}

#[test]
fn the_metrics_name_who_came_and_went_and_which_checkpoints_there_were() {
    let bench = Bench::new();
    let outcome = bench.local("2").wait();
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    assert_eq!(steps(&bench), (0..STEPS).collect::<Vec<_>>());
    let metrics = std::fs::read_to_string(bench.folder().join("metrics.jsonl")).unwrap();
    let records = metrics.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let records: Vec<_> = records.collect();
    let of_kind = |kind: &str| records.iter().filter(|record| record["kind"] == kind).collect::<Vec<_>>();
    assert_eq!(records[0]["kind"], "run");
    assert_eq!(of_kind("worker_joined").len(), 2, "{metrics}");
    let written = of_kind("checkpoint_written");
    assert_eq!(written.last().unwrap()["checkpoint"], STEPS);
    assert_eq!(written.last().unwrap()["step"], STEPS - 1);
    assert_eq!(records.last().unwrap()["kind"], "run_ended");
    assert_eq!(records.last().unwrap()["outcome"], "complete");
    assert!(records.iter().all(|record| record["step"].is_u64()), "each belongs to a step");
}
