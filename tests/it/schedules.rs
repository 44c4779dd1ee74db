//! A schedule is a function of the step and of what checkpoints keep: whoever computes, and wherever a run is
//! stopped and resumed, the bits are the same.

use common::checkpoint::{MANIFEST_FILE, Manifest};
use common::train::schedule::PlateauState;
use coordinator::run::Summary;
use std::path::Path;
use tests::cluster::train;
use tests::small_data::SmallData;

/// Settings with which an epoch has 13 steps, and a run 65.
const NUMBERS: [&str; 10] = [
    "--val-split",
    "41",
    "--batch-size",
    "50",
    "--micro-batch",
    "7",
    "--checkpoint-every",
    "4",
    "--epochs",
    "5",
];

fn run_in(folder: &Path, data: &SmallData, flags: &[&str], threads: &[u32]) -> Summary {
    let folder = folder.to_str().expect("a readable name");
    let place = ["--dataset", data.folder(), "--checkpoint-dir", folder];
    train(&[&place[..], &NUMBERS, flags].concat(), threads)
}

fn manifest(summary: &Summary) -> Manifest {
    let bytes = std::fs::read(summary.checkpoint.join(MANIFEST_FILE)).expect("a manifest");
    Manifest::parse(&bytes).expect("a whole manifest")
}

/// Trains with one worker, with three, and with one, then three from step `at` on. All must end with the same
/// manifest, which has the digests of the other files. Returns it.
fn same_bits(flags: &[&str], at: &str) -> Manifest {
    let data = SmallData::write();
    let [alone, together, resumed] = [(); 3].map(|()| tempfile::tempdir().expect("a folder"));
    let expected = manifest(&run_in(alone.path(), &data, flags, &[1]));
    assert_eq!(expected.position.step.0, 65);
    let of_three = manifest(&run_in(together.path(), &data, flags, &[1, 2, 1]));
    assert_eq!(of_three, expected, "three workers");
    let first = run_in(resumed.path(), &data, &[flags, &["--max-steps", at]].concat(), &[1]);
    assert_eq!(first.steps.to_string(), at);
    let rest = manifest(&run_in(resumed.path(), &data, flags, &[1, 1, 1]));
    assert_eq!(rest, expected, "resumed at step {at}");
    expected
}

#[test]
fn one_cycle_ends_with_the_same_bits_whoever_computes_and_after_a_resume() {
    for optimizer in [&["--optimizer", "sgd"][..], &["--optimizer", "rmsprop", "--lr", "0.001"]] {
        let flags = [&["--model", "mlp", "--hidden", "17", "--schedule", "one-cycle"], optimizer].concat();
        let manifest = same_bits(&flags, "30");
        assert_eq!(manifest.position.plateau, None);
    }
}

#[test]
fn a_plateau_with_lion_ends_with_the_same_bits_whoever_computes_and_after_a_resume() {
    // No loss is better than the first, so that the rate falls after the third validation and the fifth.
    let plateau = ["--schedule", "plateau", "--plateau-patience", "1", "--plateau-threshold", "0.99"];
    let flags = [&["--model", "mlp", "--hidden", "17", "--optimizer", "lion"], &plateau[..]].concat();
    // Within the third epoch: the best loss and an epoch without a better one are known.
    let manifest = same_bits(&flags, "30");
    let state = manifest.position.plateau.expect("a plateau's state");
    assert!(matches!(state, PlateauState { epochs: 0, falls: 2, .. }), "{state:?}");
}
