//! Whatever changes the images or the loss is a function of the seed and the sample's place in the run: the
//! bits never depend on who computes.

use common::train::average::Weights;
use coordinator::run::Summary;
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tests::cluster::{digests, train};
use tests::golden::{Bench, assert_ends_in};
use tests::process::Process;
use tests::small_data::SmallData;

const STEPS: [&str; 6] = ["--val-split", "43", "--batch-size", "100", "--micro-batch", "25"];

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

/// A run that averages its weights and ends early: its rate is so high that it soon gets no better.
const VERSIONS: [&str; 10] = [
    "--model",
    "mlp(33)",
    "--average",
    "ema(0.9)",
    "--patience",
    "2",
    "--epochs",
    "30",
    "--schedule",
    "constant",
];

#[test]
fn a_run_ends_early_with_the_same_bits_for_any_number_of_workers() {
    let alone = run(&VERSIONS, &[1]);
    assert!(alone.steps < 30 * 6, "{} steps", alone.steps);
    assert_eq!(alone.waited_in_vain, Some(2));
    let tested: Vec<Weights> = alone.other_tests.iter().map(|test| test.weights).collect();
    assert_eq!(tested, [Weights::Averaged, Weights::Best]);
    for threads in [&[2][..], &[1, 2, 1]] {
        let together = run(&VERSIONS, threads);
        assert_eq!((together.steps, digests(&together)), (alone.steps, digests(&alone)), "{threads:?}");
        let confusion = |summary: &Summary| {
            summary.other_tests.iter().map(|test| test.confusion.clone()).collect::<Vec<_>>()
        };
        assert_eq!(confusion(&together), confusion(&alone));
    }
}

#[test]
fn all_versions_of_the_weights_have_the_same_bits_after_a_resume() {
    let data = SmallData::write();
    let [whole, parts] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let run = |folder: &TempDir, more: &[&str], threads: &[u32]| {
        let place = ["--dataset", data.folder(), "--checkpoint-dir", folder.path().to_str().expect("a name")];
        train(&[&place[..], &STEPS, &VERSIONS, more].concat(), threads)
    };
    let straight = run(&whole, &[], &[1]);
    // In the middle of an epoch, and right at an epoch's end.
    run(&parts, &["--max-steps", "8"], &[1]);
    run(&parts, &["--max-steps", "18"], &[1, 1]);
    let resumed = run(&parts, &[], &[1, 1, 1]);
    for file in ["model.safetensors", "model-averaged.safetensors", "model-best.safetensors", "manifest.json"]
    {
        let read = |summary: &Summary| std::fs::read(summary.checkpoint.join(file)).expect(file);
        assert!(read(&resumed) == read(&straight), "{file} differs");
    }
    assert_eq!(
        (resumed.waited_in_vain, resumed.best_weights),
        (straight.waited_in_vain, straight.best_weights)
    );
}

#[test]
fn views_are_tested_apart_and_change_nothing_else() {
    let flags = ["--model", "mlp(33)", "--epochs", "2"];
    let plain = run(&flags, &[1]);
    let seen = run(&[&flags[..], &["--test-views"]].concat(), &[1, 1, 1]);
    assert_eq!(digests(&seen), digests(&plain));
    let confusion = |summary: &Summary| summary.test.as_ref().expect("a test").confusion.clone();
    assert_eq!(confusion(&seen), confusion(&plain));
    let [views] = &seen.other_tests[..] else { panic!("{:?}", seen.other_tests) };
    assert!(views.has_views && views.weights == Weights::Last);
    assert_eq!(views.totals.samples, plain.test.as_ref().expect("a test").totals.samples);
    assert_ne!(views.confusion, confusion(&plain));
}
