//! Local workers that die are started again, as long as that helps.

use common::event::Event;
use nix::sys::signal::Signal::SIGKILL;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use std::time::{Duration, Instant};
use tests::golden::{Bench, assert_golden};
use tests::process::Process;
use tests::told::joined;

/// Timeout for a process to have a child.
const PATIENCE: Duration = Duration::from_secs(60);

/// The processes that a process has started and that have not ended.
fn children(of: u32) -> Vec<Pid> {
    let tasks = std::fs::read_dir(format!("/proc/{of}/task")).into_iter().flatten().flatten();
    let text = tasks.map(|task| std::fs::read_to_string(task.path().join("children")).unwrap_or_default());
    let ids: Vec<String> = text.collect();
    ids.iter()
        .flat_map(|ids| ids.split_whitespace())
        .map(|id| Pid::from_raw(id.parse().expect("a number")))
        .collect()
}

fn local(bench: &Bench, workers: &str) -> Process {
    bench.coordinator(&["--workers", workers, "--local", "--threads", "1"]).0
}

#[test]
fn a_local_worker_that_is_killed_is_started_again() {
    let bench = Bench::new();
    let mut run = local(&bench, "2:2");
    run.wait_for_checkpoint(bench.folder(), 5);
    kill(children(run.id())[0], SIGKILL).unwrap();
    run.wait_for_events(3, "has the worker back", |event| matches!(event, Event::WorkerJoined { .. }));
    let outcome = run.wait();
    assert_golden(&outcome);
    assert!(outcome.errors.contains("starting a local worker again"), "{}", outcome.errors);
}

#[test]
fn a_local_worker_that_dies_before_it_has_joined_is_started_again() {
    let bench = Bench::new();
    let mut run = local(&bench, "1");
    // It may have joined by now; where it has not, nobody has missed it but its parent.
    kill(children(run.id())[0], SIGKILL).unwrap();
    run.wait_for_event("has a worker", joined("local-0"));
    assert_golden(&run.wait());
}

#[test]
fn a_local_worker_that_dies_again_and_again_ends_the_run_with_a_word() {
    let bench = Bench::new();
    let mut run = local(&bench, "1");
    let deadline = Instant::now() + PATIENCE;
    while run.is_running() {
        assert!(Instant::now() < deadline, "{}", run.errors());
        for child in children(run.id()) {
            // It may have ended by itself.
            let _ = kill(child, SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let outcome = run.wait();
    assert_eq!(outcome.code, Some(1), "{}", outcome.errors);
    for words in ["dies again and again", "all local workers have ended"] {
        assert!(outcome.errors.contains(words), "{words}: {}", outcome.errors);
    }
}
