//! The run that process tests disturb, and the digests with which every disturbed run must end.

use crate::process::{Outcome, Process, checkpoints};
use crate::proxy::{Link, Proxy};
use crate::small_data::SmallData;
use nix::sys::signal::Signal;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;
use tempfile::TempDir;

/// Flags of a run of small steps, long enough to be disturbed.
const NUMBERS: [&str; 12] = [
    "--val-split",
    "43",
    "--batch-size",
    "50",
    "--micro-batch",
    "7",
    "--epochs",
    "24",
    "--checkpoint-every",
    "5",
    "--keep",
    "2",
];
/// The network of that run.
const MLP: &[&str] = &["--model", "mlp", "--hidden", "64"];
/// Exit code of a coordinator that was asked to stop.
pub const STOPPED: i32 = 75;
/// Exit code of a worker that was refused for good.
pub const REFUSED: i32 = 77;
/// The number of steps of that run.
pub const STEPS: u64 = 288;

/// A link with which a step takes at least 50 ms, so that even on a busy machine a fault comes before the run
/// is over.
pub const SLOW: Link = Link { delay: Duration::from_millis(25), rate: None, fate: None };

/// Hexadecimal digests of the model and the optimizer after an undisturbed run with one worker.
///
/// # Panics
/// When that run fails.
#[must_use]
pub fn golden() -> &'static [String; 2] {
    static GOLDEN: OnceLock<[String; 2]> = OnceLock::new();
    GOLDEN.get_or_init(|| Bench::new().undisturbed())
}

/// Data and checkpoint folder of a run, removed when dropped.
#[derive(Debug)]
pub struct Bench {
    data: SmallData,
    checkpoints: TempDir,
    network: &'static [&'static str],
}

impl Bench {
    /// A data set, and an empty folder for checkpoints.
    ///
    /// # Panics
    /// When the temporary folders can't be written.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "it writes files, which a default should not")]
    pub fn new() -> Self {
        Self::of(MLP)
    }

    /// The same for another network.
    ///
    /// # Panics
    /// When the temporary folders can't be written.
    #[must_use]
    pub fn of(network: &'static [&'static str]) -> Self {
        Self { data: SmallData::write(), checkpoints: tempfile::tempdir().expect("a folder"), network }
    }

    /// The coordinator's flags for this run, and `more`.
    ///
    /// # Panics
    /// When the folder for temporary files has a name that is not UTF-8.
    #[must_use]
    pub fn flags<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let folder = self.folder().to_str().expect("a readable name");
        let own = ["--dataset", self.data.folder(), "--checkpoint-dir", folder];
        [&own, self.network, &NUMBERS, more].concat()
    }

    /// The digests of an undisturbed run of this network, in another folder.
    ///
    /// # Panics
    /// When that run fails.
    #[must_use]
    pub fn undisturbed(&self) -> [String; 2] {
        let bench = Self::of(self.network);
        let summary = crate::cluster::train(&bench.flags(&[]), &[1]);
        assert_eq!(summary.steps, STEPS);
        [summary.model_sha256, summary.optimizer_sha256]
    }

    /// The folder of the checkpoints.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.checkpoints.path()
    }

    /// A coordinator on a free port, and its address.
    #[must_use]
    pub fn coordinator(&self, more: &[&str]) -> (Process, String) {
        self.coordinator_on("127.0.0.1:0", more)
    }

    /// A coordinator on that address.
    #[must_use]
    pub fn coordinator_on(&self, address: &str, more: &[&str]) -> (Process, String) {
        Process::coordinator(address, &self.flags(more))
    }

    /// A coordinator whose workers connect through a [`SLOW`] link.
    #[must_use]
    pub fn slowed(&self, more: &[&str]) -> (Process, Proxy) {
        let (run, address) = self.coordinator(more);
        let proxy = Proxy::start(&address);
        proxy.set_both(SLOW);
        (run, proxy)
    }

    /// A coordinator with local workers of one thread.
    #[must_use]
    pub fn local(&self, workers: &str) -> Process {
        self.coordinator(&["--workers", workers, "--local", "--threads", "1"]).0
    }

    /// Stops a run of `workers` once it has a checkpoint of step `at` or later. Returns its outcome.
    ///
    /// # Panics
    /// When the run fails, or was complete before.
    pub fn stopped(&self, workers: u32, at: u64, signal: Signal) -> Outcome {
        let (mut run, proxy) = self.slowed(&["--workers", &workers.to_string()]);
        let names = (0..workers).map(|index| format!("worker-{index}"));
        let _workers: Vec<Process> = names.map(|name| Process::worker(&proxy.address(), &name)).collect();
        run.wait_for_checkpoint(self.folder(), at);
        run.signal(signal);
        let outcome = run.wait();
        assert_eq!(outcome.code, Some(STOPPED), "{}", outcome.errors);
        assert!(outcome.output.contains("stopped; the same command goes on"), "{}", outcome.output);
        assert!(self.newest() < STEPS, "it was over already");
        outcome
    }

    /// Step of the newest checkpoint; 0 if there is none.
    #[must_use]
    pub fn newest(&self) -> u64 {
        checkpoints(self.folder()).last().copied().unwrap_or(0)
    }
}

/// Asserts that the run succeeded with the golden digests.
///
/// # Panics
/// When it did not.
#[track_caller]
pub fn assert_golden(outcome: &Outcome) {
    assert_ends_in(golden(), outcome);
}

/// Asserts that the run succeeded with those digests.
///
/// # Panics
/// When it did not.
#[track_caller]
pub fn assert_ends_in(digests: &[String; 2], outcome: &Outcome) {
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    assert!(!outcome.errors.contains("panicked"), "{}", outcome.errors);
    for digest in digests {
        assert!(outcome.output.contains(digest), "{} is not in\n{}", digest, outcome.output);
    }
}
