//! A scheduler repeats a job's command. With `--resume FOLDER` the first start takes the folder, and later
//! ones go on from the run's own newer checkpoints.

use common::event::Event;
use nix::sys::signal::Signal::{SIGKILL, SIGTERM};
use std::path::{Path, PathBuf};
use tests::golden::SLOW;
use tests::golden::{Bench, assert_golden};
use tests::process::{Process, checkpoints};
use tests::proxy::Proxy;

/// The step at which a coordinator began or went on.
fn began_at(run: &mut Process) -> u64 {
    let event =
        run.wait_for_event("begins", |event| matches!(event, Event::RunResumed(_) | Event::RunStarted(_)));
    match event {
        Event::RunResumed(run) | Event::RunStarted(run) => run.step.0,
        event => panic!("{event}"),
    }
}

/// Starts the same command twice and a third time, killed in between; returns where each start began.
fn requeued(bench: &Bench, flags: &[&str], folder: &Path, until: u64) -> Vec<u64> {
    let mut begun = Vec::new();
    for further in [5, 10] {
        let (mut run, address) = bench.coordinator(flags);
        begun.push(began_at(&mut run));
        let proxy = Proxy::start(&address);
        proxy.set_both(SLOW);
        let _worker = Process::worker(&proxy.address(), "a");
        run.wait_for_checkpoint(folder, until + further);
        run.signal(SIGKILL);
        let _ = run.wait();
    }
    let (mut run, _) = bench.coordinator(&[flags, &["--local", "--threads", "1"]].concat());
    begun.push(began_at(&mut run));
    assert_golden(&run.wait());
    begun
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a readable name")
}

#[test]
fn a_requeued_job_takes_the_named_folder_once() {
    let bench = Bench::new();
    let _ = bench.stopped(1, 30, SIGTERM);
    let from = bench.newest();
    let home = tempfile::tempdir().unwrap();
    let own: PathBuf = home.path().join("own");
    // What another run has left there is no reason to go on with it.
    let other =
        ["--checkpoint-dir", text(&own), "--seed", "2", "--workers", "1", "--local", "--max-steps", "70"];
    assert_eq!(bench.coordinator(&other).0.wait().code, Some(0));
    let theirs = checkpoints(&own);
    let flags = ["--checkpoint-dir", text(&own), "--resume", text(bench.folder())];
    let begun = requeued(&bench, &flags, &own, from);
    assert_eq!(begun[0], from);
    assert!(begun[1] > from && begun[2] > begun[1], "{begun:?}");
    assert_eq!(checkpoints(&own.join("earlier-1")), theirs, "moved aside, not removed");
    assert!(own.join("earlier-1/metrics.jsonl").is_file());
    assert_eq!(bench.newest(), from, "the named folder is as it was");
}

#[test]
fn a_requeued_job_that_goes_back_does_so_once() {
    let bench = Bench::new();
    let _ = bench.stopped(1, 30, SIGTERM);
    let steps = checkpoints(bench.folder());
    let from = steps[steps.len() - 2];
    let named = bench.folder().join(format!("step-{from:012}"));
    let begun = requeued(&bench, &["--resume", text(&named)], bench.folder(), from);
    assert_eq!(begun[0], from);
    assert!(begun[1] > from && begun[2] > begun[1], "{begun:?}");
    assert_eq!(checkpoints(&bench.folder().join("earlier-1")), [*steps.last().unwrap()]);
}
