//! Within a machine tensors automatically go through shared memory. Every test with local workers shows that
//! this never affects the bits.

use nix::sys::signal::Signal::SIGTERM;
use std::time::{Duration, Instant};
use tests::golden::STOPPED;
use tests::process::Process;

/// Timeout for memories to be opened.
const PATIENCE: Duration = Duration::from_secs(120);

/// Number of shared memories that a process has open, including its own.
fn memories(process: &Process) -> usize {
    let files = std::fs::read_dir(format!("/proc/{}/fd", process.id())).expect("a process that runs");
    let links = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    links.filter(|link| link.to_string_lossy().contains("memfd:lockstep")).count()
}

#[test]
fn only_a_local_worker_and_the_coordinator_open_each_others_memory() {
    let long = ["--dataset", "digits", "--model", "linear", "--epochs", "1000000", "--schedule", "constant"];
    for (more, worker, expected) in [(&["--local", "--threads", "1"][..], None, 2), (&[], Some("far"), 1)] {
        let checkpoints = tempfile::tempdir().expect("a folder");
        let folder = ["--checkpoint-dir", checkpoints.path().to_str().expect("a readable name")];
        let own = ["--workers", "1", "--checkpoint-every", "5"];
        let flags = [&own[..], &folder, more, &long].concat();
        let (mut run, address) = Process::coordinator("127.0.0.1:0", &flags);
        let worker = worker.map(|name| Process::worker(&address, name));
        run.wait_for_checkpoint(checkpoints.path(), 5);
        let deadline = Instant::now() + PATIENCE;
        while memories(&run) < expected {
            assert!(Instant::now() < deadline, "{} of {expected} memories are open", memories(&run));
            std::thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(memories(&run), expected);
        run.signal(SIGTERM);
        assert_eq!(run.wait().code, Some(STOPPED));
        drop(worker);
    }
}
