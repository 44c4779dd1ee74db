//! Real programs, real signals: who is killed, stopped or started when leaves no trace in the bits.

use nix::sys::signal::Signal::{SIGINT, SIGKILL, SIGTERM};
use std::path::Path;
use std::sync::OnceLock;
use tests::process::{Outcome, Process, checkpoints};
use tests::small_data::SmallData;

/// A run of small steps, long enough to be disturbed.
const NUMBERS: [&str; 16] = [
    "--model",
    "mlp",
    "--hidden",
    "64",
    "--val-split",
    "43",
    "--batch-size",
    "50",
    "--micro-batch",
    "7",
    "--epochs",
    "40",
    "--checkpoint-every",
    "5",
    "--keep",
    "2",
];
/// Its last step.
const STEPS: u64 = 480;

/// What the programs train on, and the end of an undisturbed run with one worker.
fn golden() -> &'static (SmallData, [String; 2]) {
    static GOLDEN: OnceLock<(SmallData, [String; 2])> = OnceLock::new();
    GOLDEN.get_or_init(|| {
        let data = SmallData::write();
        let folder = tempfile::tempdir().unwrap();
        let flags = ["--dataset", data.folder(), "--checkpoint-dir", folder.path().to_str().unwrap()];
        let summary = tests::cluster::train(&[&flags[..], &NUMBERS].concat(), &[1]);
        assert_eq!(summary.steps, STEPS);
        (data, [summary.model_sha256, summary.optimizer_sha256])
    })
}

fn coordinator(folder: &Path, more: &[&str]) -> (Process, String) {
    coordinator_on("127.0.0.1:0", folder, more)
}

fn coordinator_on(address: &str, folder: &Path, more: &[&str]) -> (Process, String) {
    let data = &golden().0;
    let flags = ["--dataset", data.folder(), "--checkpoint-dir", folder.to_str().unwrap()];
    Process::coordinator(address, &[&flags[..], &NUMBERS, more].concat())
}

fn assert_golden(outcome: &Outcome) {
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    for digest in &golden().1 {
        assert!(outcome.output.contains(digest), "{} is not in\n{}", digest, outcome.output);
    }
}

#[test]
fn a_killed_worker_and_a_late_one_leave_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let (mut run, address) = coordinator(folder.path(), &["--workers", "2:3"]);
    let doomed = Process::worker(&address, "doomed");
    let faithful = Process::worker(&address, "faithful");
    run.wait_for_checkpoint(folder.path(), 10);
    doomed.signal(SIGKILL);
    let late = Process::worker(&address, "late");
    let _ = run.wait_for_line("worker dropped worker=doomed");
    let outcome = run.wait();
    assert_golden(&outcome);
    assert!(outcome.errors.contains("worker joined worker=late"), "{}", outcome.errors);
    assert_eq!((faithful.wait().code, late.wait().code), (Some(0), Some(0)));
}

#[test]
fn a_stopped_run_goes_on_in_mid_epoch_with_other_workers() {
    let folder = tempfile::tempdir().unwrap();
    for (signal, workers, at) in [(SIGTERM, "1", 17), (SIGINT, "3", 203)] {
        let (mut run, _) = coordinator(folder.path(), &["--workers", workers, "--local", "--threads", "1"]);
        run.wait_for_checkpoint(folder.path(), at);
        run.signal(signal);
        let outcome = run.wait();
        assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
        assert!(outcome.output.contains("stopped; the same command goes on"), "{}", outcome.output);
        assert!(checkpoints(folder.path()).last().is_some_and(|&step| step < STEPS), "it was over already");
    }
    let (run, _) = coordinator(folder.path(), &["--workers", "2", "--local", "--threads", "2"]);
    assert_golden(&run.wait());
}

#[test]
fn a_killed_coordinator_goes_on_and_its_workers_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let (mut run, address) = coordinator(folder.path(), &["--workers", "2"]);
    let workers = ["a", "b"].map(|name| Process::worker(&address, name));
    run.wait_for_checkpoint(folder.path(), 30);
    run.signal(SIGKILL);
    assert_eq!(run.wait().code, None);
    let (run, again) = coordinator_on(&address, folder.path(), &["--workers", "2"]);
    assert_eq!(again, address);
    assert!(run.errors().contains("resuming from"), "{}", run.errors());
    assert_golden(&run.wait());
    for worker in workers {
        assert_eq!(worker.wait().code, Some(0));
    }
}

#[test]
fn a_worker_asked_to_leave_hands_back_and_ends_well() {
    let folder = tempfile::tempdir().unwrap();
    let (mut run, address) = coordinator(folder.path(), &["--workers", "2"]);
    let workers = ["leaving", "staying"].map(|name| Process::worker(&address, name));
    run.wait_for_checkpoint(folder.path(), 10);
    workers[0].signal(SIGTERM);
    let [leaving, staying] = workers;
    assert_eq!(leaving.wait().code, Some(0));
    let _ = run.wait_for_line("worker left worker=leaving");
    assert_golden(&run.wait());
    assert_eq!(staying.wait().code, Some(0));
}

#[test]
fn a_damaged_checkpoint_is_refused_by_name_and_the_one_before_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (mut run, _) = coordinator(folder.path(), &["--workers", "1", "--local", "--threads", "1"]);
    run.wait_for_checkpoint(folder.path(), 40);
    run.signal(SIGTERM);
    assert_eq!(run.wait().code, Some(0));
    let kept = checkpoints(folder.path());
    let newest = folder.path().join(format!("step-{:012}", kept.last().unwrap()));
    let model = newest.join("model.safetensors");
    let mut bytes = std::fs::read(&model).unwrap();
    bytes[5000] ^= 1;
    std::fs::write(&model, bytes).unwrap();
    let (run, _) = coordinator(folder.path(), &["--workers", "2", "--local", "--threads", "1"]);
    let outcome = run.wait();
    assert_golden(&outcome);
    let refusal = outcome.errors.lines().find(|line| line.contains("passing over a checkpoint"));
    let name = newest.file_name().unwrap().to_str().unwrap();
    assert!(refusal.is_some_and(|line| line.contains(name)), "{}", outcome.errors);
}

#[test]
fn another_configuration_is_refused_with_what_differs() {
    let folder = tempfile::tempdir().unwrap();
    let (mut run, _) = coordinator(folder.path(), &["--workers", "1", "--local", "--threads", "1"]);
    run.wait_for_checkpoint(folder.path(), 10);
    run.signal(SIGTERM);
    assert_eq!(run.wait().code, Some(0));
    let flags = ["--dataset", golden().0.folder(), "--checkpoint-dir", folder.path().to_str().unwrap()];
    let other = ["--lr", "0.5", "--seed", "9"];
    let outcome = Process::start("coordinator", &[&flags[..], &NUMBERS, &other].concat()).wait();
    assert_eq!(outcome.code, Some(1), "{}", outcome.errors);
    for difference in ["lr: saved 0.001, now 0.5", "seed: saved 1, now 9"] {
        assert!(outcome.errors.contains(difference), "{}", outcome.errors);
    }
}
