//! Real programs, real signals: who is killed, stopped or started when leaves no trace in the bits.

use nix::sys::signal::Signal::{self, SIGINT, SIGKILL, SIGTERM};

use std::path::Path;
use std::sync::OnceLock;
use tempfile::TempDir;
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

/// The digests of an undisturbed run with one worker.
fn golden() -> &'static [String; 2] {
    static GOLDEN: OnceLock<[String; 2]> = OnceLock::new();
    GOLDEN.get_or_init(|| {
        let bench = Bench::new();
        let summary = tests::cluster::train(&bench.flags(&[]), &[1]);
        assert_eq!(summary.steps, STEPS);
        [summary.model_sha256, summary.optimizer_sha256]
    })
}

/// What a run reads and writes; gone when dropped.
struct Bench {
    data: SmallData,
    checkpoints: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { data: SmallData::write(), checkpoints: tempfile::tempdir().expect("a folder") }
    }

    fn flags<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let own = [
            "--dataset",
            self.data.folder(),
            "--checkpoint-dir",
            self.folder().to_str().expect("a readable name"),
        ];
        [&own, &NUMBERS[..], more].concat()
    }

    fn folder(&self) -> &Path {
        self.checkpoints.path()
    }

    fn coordinator(&self, more: &[&str]) -> (Process, String) {
        self.coordinator_on("127.0.0.1:0", more)
    }

    fn coordinator_on(&self, address: &str, more: &[&str]) -> (Process, String) {
        Process::coordinator(address, &self.flags(more))
    }

    /// A coordinator with local workers of one thread.
    fn local(&self, workers: &str) -> Process {
        self.coordinator(&["--workers", workers, "--local", "--threads", "1"]).0
    }

    /// Stops a run of local workers once it has a checkpoint of step `at` or later.
    fn stopped(&self, workers: &str, at: u64, signal: Signal) {
        let mut run = self.local(workers);
        run.wait_for_checkpoint(self.folder(), at);
        run.signal(signal);
        let outcome = run.wait();
        assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
        assert!(outcome.output.contains("stopped; the same command goes on"), "{}", outcome.output);
    }
}

fn assert_golden(outcome: &Outcome) {
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    for digest in golden() {
        assert!(outcome.output.contains(digest), "{} is not in\n{}", digest, outcome.output);
    }
}

#[test]
fn a_killed_worker_and_a_late_one_leave_no_trace() {
    let bench = Bench::new();
    let (mut run, address) = bench.coordinator(&["--workers", "2:3"]);
    let doomed = Process::worker(&address, "doomed");
    let faithful = Process::worker(&address, "faithful");
    run.wait_for_checkpoint(bench.folder(), 10);
    doomed.signal(SIGKILL);
    let late = Process::worker(&address, "late");
    let dropped = run.wait_for_line("worker dropped worker=doomed");
    assert!(dropped.contains("step=") && dropped.contains("pieces="), "{dropped}");
    let outcome = run.wait();
    assert_golden(&outcome);
    assert!(outcome.errors.contains("worker joined worker=late"), "{}", outcome.errors);
    assert_eq!((faithful.wait().code, late.wait().code), (Some(0), Some(0)));
}

#[test]
fn a_stopped_run_goes_on_in_mid_epoch_with_other_workers() {
    let bench = Bench::new();
    for (workers, at, signal) in [("1", 17, SIGTERM), ("3", 203, SIGINT)] {
        bench.stopped(workers, at, signal);
        let newest = checkpoints(bench.folder()).last().copied();
        assert!(newest.is_some_and(|step| step < STEPS), "it was over already");
    }
    let (run, _) = bench.coordinator(&["--workers", "2", "--local", "--threads", "2"]);
    assert_golden(&run.wait());
}

#[test]
fn a_killed_coordinator_goes_on_and_its_workers_come_back() {
    let bench = Bench::new();
    let (mut run, address) = bench.coordinator(&["--workers", "2"]);
    let workers = ["a", "b"].map(|name| Process::worker(&address, name));
    run.wait_for_checkpoint(bench.folder(), 30);
    run.signal(SIGKILL);
    assert_eq!(run.wait().code, None);
    let (run, again) = bench.coordinator_on(&address, &["--workers", "2"]);
    assert_eq!(again, address);
    assert!(run.errors().contains("resuming from"), "{}", run.errors());
    assert_golden(&run.wait());
    for worker in workers {
        assert_eq!(worker.wait().code, Some(0));
    }
}

#[test]
fn a_worker_asked_to_leave_hands_back_and_ends_well() {
    let bench = Bench::new();
    let (mut run, address) = bench.coordinator(&["--workers", "2"]);
    let [leaving, staying] = ["leaving", "staying"].map(|name| Process::worker(&address, name));
    run.wait_for_checkpoint(bench.folder(), 10);
    leaving.signal(SIGTERM);
    assert_eq!(leaving.wait().code, Some(0));
    let _ = run.wait_for_line("worker left worker=leaving");
    assert_golden(&run.wait());
    assert_eq!(staying.wait().code, Some(0));
}

#[test]
fn a_damaged_checkpoint_is_refused_by_name_and_the_one_before_taken() {
    let bench = Bench::new();
    bench.stopped("1", 40, SIGTERM);
    let kept = checkpoints(bench.folder());
    let newest = format!("step-{:012}", kept.last().unwrap());
    let model = bench.folder().join(&newest).join("model.safetensors");
    let mut bytes = std::fs::read(&model).unwrap();
    bytes[5000] ^= 1;
    std::fs::write(&model, bytes).unwrap();
    let outcome = bench.local("2").wait();
    assert_golden(&outcome);
    let refusal = outcome.errors.lines().find(|line| line.contains("passing over a checkpoint"));
    assert!(refusal.is_some_and(|line| line.contains(&newest)), "{}", outcome.errors);
}

#[test]
fn another_configuration_is_refused_with_what_differs() {
    let bench = Bench::new();
    bench.stopped("1", 10, SIGTERM);
    let outcome = Process::start("coordinator", &bench.flags(&["--lr", "0.5", "--seed", "9"])).wait();
    assert_eq!(outcome.code, Some(1), "{}", outcome.errors);
    for difference in ["lr: saved 0.001, now 0.5", "seed: saved 1, now 9"] {
        assert!(outcome.errors.contains(difference), "{}", outcome.errors);
    }
}
