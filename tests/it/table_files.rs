//! Data in CSV and in NumPy's arrays: the same samples train to the same bits whatever file they come from,
//! and a file that can't be used ends the run with a word.

use common::data::digits::Half;
use common::data::samples::Samples;
use common::data::spec::DataSpec;
use common::rng::Stream;
use std::fs;
use std::path::Path;
use tests::process::{Outcome, Process};
use tests::small_data::{SmallData, TEST, TRAIN, drawn};
use tests::tables::{csv, npz};

/// A run of one epoch on that data.
fn run(dataset: &str, workers: &str, folder: &Path) -> Outcome {
    let folder = folder.to_str().expect("a readable name");
    let flags = ["--dataset", dataset, "--checkpoint-dir", folder, "--workers", workers, "--local"];
    let short = ["--model", "linear", "--epochs", "1", "--batch-size", "50", "--val-split", "43"];
    let outcome = Process::start("coordinator", &[&flags[..], &short, &["--threads", "1"]].concat()).wait();
    assert!(!outcome.errors.contains("panicked"), "{}", outcome.errors);
    outcome
}

/// The model's digest after a run that must succeed.
#[track_caller]
fn model_of(dataset: &str, workers: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let outcome = run(dataset, workers, folder.path());
    assert_eq!(outcome.code, Some(0), "{dataset}: {}", outcome.errors);
    let line = outcome.output.lines().find(|line| line.starts_with("model.safetensors "));
    line.expect("the summary names the model's digest").to_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a readable name")
}

#[test]
fn the_same_samples_train_to_the_same_bits_from_any_file() {
    let idx = SmallData::write();
    let train = drawn(Half::Train, TRAIN);
    let test = drawn(Half::Test, TEST);
    let folder = tempfile::tempdir().unwrap();
    let arrays = folder.path().join("digits.npz");
    fs::write(&arrays, npz(&train, &test)).unwrap();
    fs::write(folder.path().join("digits_train.csv"), csv(&train, false)).unwrap();
    fs::write(folder.path().join("digits_test.csv"), csv(&test, true)).unwrap();
    let pair = format!("kaggle:{}", text(folder.path()));
    let expected = model_of(idx.folder(), "1");
    for dataset in [idx.folder(), text(&arrays), &pair] {
        for workers in ["1", "3"] {
            assert_eq!(model_of(dataset, workers), expected, "{dataset} with {workers} workers");
        }
    }
}

#[test]
fn a_table_that_is_alone_is_split_in_the_same_way_in_every_run() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("train.csv"), csv(&drawn(Half::Train, TRAIN), true)).unwrap();
    fs::write(folder.path().join("test.csv"), "pixel0\n").unwrap();
    let dataset = format!("kaggle:{}", text(folder.path()));
    let checkpoints = tempfile::tempdir().unwrap();
    let outcome = run(&dataset, "1", checkpoints.path());
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    assert!(outcome.errors.contains("of the 643 images in"), "{}", outcome.errors);
    assert!(outcome.output.contains(&model_of(&dataset, "3")), "{}", outcome.output);
    // A checkpoint may come from anybody: the file is named again, or not read.
    let resumed = run(&format!("{dataset}/train.csv"), "1", checkpoints.path());
    assert_eq!(resumed.code, Some(0), "the content counts, not its place: {}", resumed.errors);
    let resumed = run("auto", "1", checkpoints.path());
    assert_eq!(resumed.code, Some(1), "{}", resumed.errors);
    assert!(resumed.errors.contains(&format!("give --dataset {dataset} to go on")), "{}", resumed.errors);
}

#[test]
fn arrays_of_colour_images_are_trained_on() {
    let spec = DataSpec::new(6, 5, 3, 300).unwrap();
    let samples = |domain, count: usize| {
        let mut random = Stream::new(1, domain, &[]);
        let pixels = (0..count * spec.image_bytes()).map(|_| random.below(256) as u8).collect();
        let labels = (0..count).map(|index| (299 - index % 100) as u16).collect();
        Samples::new(spec, pixels, labels).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("colours.npz");
    fs::write(&file, npz(&samples("train", 200), &samples("test", 20))).unwrap();
    assert_eq!(model_of(text(&file), "1"), model_of(text(&file), "3"));
}

#[test]
fn a_file_that_can_not_be_used_ends_the_run_with_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("train.csv"), "label,a,b,c,d\n1,2,3,4,256\n").unwrap();
    fs::write(at("data.npz"), "no zip file").unwrap();
    let kaggle = format!("kaggle:{}", text(folder.path()));
    let table = at("train.csv");
    let arrays = at("data.npz");
    let missing = at("missing.npz");
    for (dataset, words) in [
        (kaggle.as_str(), [text(&table), "line 2, column 5", "\"256\""]),
        (text(&table), [text(&table), "--dataset kaggle:", "is no folder"]),
        (text(&arrays), [text(&arrays), "no zip file", "numpy.savez"]),
        (text(&missing), [text(&missing), "cannot read", "No such file"]),
    ] {
        let checkpoints = tempfile::tempdir().unwrap();
        let outcome = run(dataset, "1", checkpoints.path());
        assert_eq!(outcome.code, Some(1), "{dataset}: {}", outcome.errors);
        for word in words {
            assert!(outcome.errors.contains(word), "{word:?} is not in: {}", outcome.errors);
        }
    }
}
