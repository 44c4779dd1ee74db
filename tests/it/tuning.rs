//! Whatever changes the images or the loss is a function of the seed and the sample's place in the run: the bits
//! never depend on who computes.

use coordinator::run::Summary;
use nix::sys::signal::Signal;
use tests::cluster::train;
use tests::golden::{Bench, assert_ends_in};
use tests::process::Process;
use tests::small_data::SmallData;

const STEPS: [&str; 8] = ["--val-split", "43", "--batch-size", "100", "--micro-batch", "25", "--epochs", "2"];

/// Everything that changes a sample's image or target.
const AUGMENTED: [&str; 8] = [
    "--model",
    "mlp(33)",
    "--augment",
    "digits flip(0.3) crop(1) erase(0.5,0.3) mixup(0.4)",
    "--label-smoothing",
    "0.1",
    "--class-weights",
    "balanced",
];

fn run(flags: &[&str], threads: &[u32]) -> Summary {
    let data = SmallData::write();
    let checkpoints = tempfile::tempdir().expect("a folder");
    let place =
        ["--dataset", data.folder(), "--checkpoint-dir", checkpoints.path().to_str().expect("a name")];
    train(&[&place[..], &STEPS, flags].concat(), threads)
}

fn digests(summary: &Summary) -> [String; 2] {
    [summary.model_sha256.clone(), summary.optimizer_sha256.clone()]
}

#[test]
fn augmented_and_weighted_samples_have_the_same_bits_for_any_number_of_workers() {
    let alone = digests(&run(&AUGMENTED, &[1]));
    for threads in [&[2][..], &[1, 2, 1]] {
        assert_eq!(digests(&run(&AUGMENTED, threads)), alone, "{threads:?}");
    }
}

#[test]
fn augmented_samples_have_the_same_bits_after_a_resume_with_other_workers() {
    let bench = Bench::of(&AUGMENTED);
    bench.stopped(2, 10, Signal::SIGTERM);
    let (run, address) = bench.coordinator(&["--workers", "1"]);
    let _worker = Process::worker(&address, "another");
    assert_ends_in(&bench.undisturbed(), &run.wait());
}

#[test]
fn each_change_to_the_samples_changes_the_bits() {
    let plain = digests(&run(&AUGMENTED[..2], &[1]));
    for flags in [
        &["--augment", "rotate(5)"][..],
        &["--augment", "erase(0.5,0.2)"],
        &["--augment", "mixup(0.2)"],
        &["--label-smoothing", "0.1"],
        &["--class-weights", "balanced"],
        &["--class-weights", "2,1,1,1,1,1,1,1,1,1"],
    ] {
        assert_ne!(digests(&run(&[&AUGMENTED[..2], flags].concat(), &[1])), plain, "{flags:?}");
    }
    let equal = ["--class-weights", "1,1,1,1,1,1,1,1,1,1"];
    assert_eq!(digests(&run(&[&AUGMENTED[..2], &equal].concat(), &[1])), plain, "equal weights are none");
}
