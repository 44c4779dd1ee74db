//! The effect of a checkpoint that can't be written: by default a warning and another try, with
//! `--checkpoint-required` the end of the run.

use std::path::Path;
use std::time::Duration;
use tests::process::{Process, checkpoints};
use tests::proxy::{Link, Proxy};
use tests::small_data::SmallData;
use tests::told::no_checkpoint;

/// A coordinator without workers yet, whose checkpoint folder has just been moved away.
fn without_folder(data: &SmallData, folder: &Path, gone: &Path, more: &[&str]) -> (Process, String) {
    let flags = [
        "--dataset",
        data.folder(),
        "--checkpoint-dir",
        folder.to_str().expect("a readable name"),
        "--model",
        "linear",
        "--val-split",
        "43",
        "--batch-size",
        "50",
        "--epochs",
        "60",
        "--checkpoint-every",
        "1",
    ];
    let started = Process::coordinator("127.0.0.1:0", &[&flags, more].concat());
    std::fs::rename(folder, gone).expect("the folder is there");
    started
}

#[test]
fn a_checkpoint_that_can_not_be_written_ends_a_run_that_requires_it() {
    let data = SmallData::write();
    let home = tempfile::tempdir().unwrap();
    let [folder, gone] = ["checkpoints", "gone"].map(|name| home.path().join(name));
    let (run, address) = without_folder(&data, &folder, &gone, &["--checkpoint-required"]);
    // It is so slow that no later checkpoint replaces the first one before it is tried.
    let proxy = Proxy::start(&address);
    proxy.set_both(Link { delay: Duration::from_millis(500), ..Link::default() });
    let _worker = Process::worker(&proxy.address(), "w");
    let outcome = run.wait();
    assert_eq!(outcome.code, Some(1), "{}", outcome.errors);
    let message = outcome.errors.lines().find(|line| line.contains("--checkpoint-required"));
    let told = ["the checkpoint of step 1 ", "last good checkpoint: none yet"];
    assert!(message.is_some_and(|line| told.iter().all(|told| line.contains(told))), "{}", outcome.errors);
}

#[test]
fn a_run_goes_on_without_a_checkpoint_and_writes_the_next_one() {
    let data = SmallData::write();
    let home = tempfile::tempdir().unwrap();
    let [folder, gone] = ["checkpoints", "gone"].map(|name| home.path().join(name));
    let (mut run, address) = without_folder(&data, &folder, &gone, &[]);
    let _worker = Process::worker(&address, "w");
    run.wait_for_event("says that there is no checkpoint", no_checkpoint);
    std::fs::rename(&gone, &folder).unwrap();
    let outcome = run.wait();
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    assert!(!checkpoints(&folder).is_empty());
}
