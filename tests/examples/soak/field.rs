//! The programs of a soak: one coordinator, workers that each have a faulty network, and a folder of
//! checkpoints.

use common::event::Event;
use nix::sys::signal::Signal::SIGTERM;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tests::golden::STOPPED;
use tests::process::{Outcome, Process, checkpoints};
use tests::proxy::{Proxy, Way};

/// Silence after which a worker is dropped.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(3);
/// Timeout of everything that must follow a fault by itself.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// Bytes of the CNN's parameters on the wire, which each worker in a step receives.
const PARAMETERS_BYTES: u64 = 373_288;

/// All processes of the soak, and the proxies between them.
pub(crate) struct Field {
    data: PathBuf,
    folder: TempDir,
    address: String,
    pub(crate) coordinator: Process,
    pub(crate) slots: Vec<Slot>,
}

/// A worker, and the proxy through which it connects.
pub(crate) struct Slot {
    pub(crate) name: String,
    pub(crate) proxy: Proxy,
    pub(crate) worker: Process,
}

/// Result of a run.
pub(crate) struct Verdict {
    pub(crate) steps: String,
    pub(crate) digests: [String; 2],
}

impl Slot {
    /// A new process under the same name.
    pub(crate) fn restart(&mut self) {
        self.worker = start_worker(&self.proxy, &self.name);
    }
}

impl Field {
    pub(crate) fn new(data: &Path, workers: u32) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let data = data.to_owned();
        // More epochs than any soak lasts.
        let (coordinator, address) = start(&data, folder.path(), "127.0.0.1:0", 1_000_000, &elastic(workers));
        let slots = (0..workers).map(|index| {
            let name = format!("worker-{index}");
            let proxy = Proxy::start(&address);
            let worker = start_worker(&proxy, &name);
            Slot { name, proxy, worker }
        });
        let slots = slots.collect();
        Self { data, folder, address, coordinator, slots }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the coordinator listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Starts the coordinator again on its address. Returns the time until a first new step was done.
    pub(crate) fn restart(&mut self) -> Duration {
        let began = Instant::now();
        let before = self.down();
        self.coordinator = start(
            &self.data,
            self.folder.path(),
            &self.address,
            1_000_000,
            &elastic(self.slots.len() as u32),
        )
        .0;
        // Twice the parameters for one worker: of the first step, and of the next.
        self.wait_for("a first new step", |field| {
            field.down().iter().zip(&before).any(|(now, then)| now - then > 2 * PARAMETERS_BYTES)
        });
        began.elapsed()
    }

    /// Number of bytes that each worker has received.
    pub(crate) fn down(&self) -> Vec<u64> {
        self.slots.iter().map(|slot| slot.proxy.arrived(Way::Down)).collect()
    }

    /// Waits until a worker has received the parameters of a step that had not begun before.
    pub(crate) fn wait_for_next_step(&mut self) {
        let before = self.down();
        self.wait_for("the next step", |field| {
            field.down().iter().zip(&before).any(|(now, then)| now - then > PARAMETERS_BYTES)
        });
    }

    /// # Panics
    /// When it does not happen in time; the message has the coordinator's log.
    pub(crate) fn wait_for(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(Instant::now() < deadline, "waited in vain for {what}:\n{}", self.coordinator.errors());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// # Panics
    /// When a program has panicked, or has ended unasked.
    pub(crate) fn check_alive(&mut self) {
        let slots = self.slots.iter_mut().map(|slot| &mut slot.worker);
        for process in slots.chain([&mut self.coordinator]) {
            let errors = process.errors();
            assert!(process.is_running(), "it has ended:\n{errors}");
            assert!(!errors.contains("panicked"), "{errors}");
        }
    }

    /// Lets the run end with its present epoch. Returns the number of epochs, and the run's result.
    pub(crate) fn finish(self) -> (u64, Verdict) {
        let Self { data, folder, address, coordinator, slots } = self;
        coordinator.signal(SIGTERM);
        let stopped = coordinator.wait();
        assert_eq!(stopped.code, Some(STOPPED), "{}", stopped.errors);
        let steps = stopped.events.iter().find_map(|event| match event {
            Event::RunStarted(run) | Event::RunResumed(run) => Some(run.steps_per_epoch),
            _ => None,
        });
        let steps = steps.expect("it says how long an epoch is");
        let epochs = checkpoints(folder.path()).last().copied().unwrap_or(0) / steps + 1;
        let (last, _) = start(&data, folder.path(), &address, epochs, &elastic(slots.len() as u32));
        (epochs, verdict(&last.wait_for(LONG)))
    }
}

/// Timeout of a run's end.
const LONG: Duration = Duration::from_secs(4 * 3600);

/// Trains a number of epochs without faults.
pub(crate) fn undisturbed(data: &Path, epochs: u64) -> Verdict {
    let folder = tempfile::tempdir().expect("a folder");
    let local = ["--workers", "2", "--local", "--threads", "1"].map(str::to_owned);
    verdict(&start(data, folder.path(), "127.0.0.1:0", epochs, &local).0.wait_for(LONG))
}

fn start(data: &Path, folder: &Path, bind: &str, epochs: u64, more: &[String]) -> (Process, String) {
    let text = |path: &Path| path.to_str().expect("a readable name").to_owned();
    let data = text(data);
    let folder = text(folder);
    let epochs = epochs.to_string();
    let numbers =
        ["--dataset", "mnist", "--data-dir", &data, "--checkpoint-dir", &folder, "--epochs", &epochs];
    let rest = ["--schedule", "constant", "--checkpoint-every", "20"];
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    Process::coordinator(bind, &[&numbers[..], &rest, &more].concat())
}

/// Flags with which one worker is enough to continue, and a newcomer finds a place.
fn elastic(workers: u32) -> [String; 4] {
    let timeout = TIMEOUT.as_secs().to_string();
    ["--workers".to_owned(), format!("1:{}", workers + 1), "--heartbeat-timeout".to_owned(), timeout]
}

fn start_worker(proxy: &Proxy, name: &str) -> Process {
    let flags = ["--connect", &proxy.address(), "--name", name, "--threads", "1", "--give-up", "600"];
    Process::start("worker", &flags)
}

fn verdict(outcome: &Outcome) -> Verdict {
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    let word = |start: &str| {
        let line = outcome.output.lines().find(|line| line.starts_with(start));
        line.map_or(String::new(), |line| line[start.len()..].trim().to_owned())
    };
    let digest = |file: &str| word(file).trim_start_matches("sha256 ").to_owned();
    let digests = ["model.safetensors", "optimizer.safetensors"].map(digest);
    assert!(digests.iter().all(|digest| digest.len() == 64), "{}", outcome.output);
    Verdict { steps: word("steps "), digests }
}
