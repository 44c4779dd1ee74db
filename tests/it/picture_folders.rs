//! Folders of pictures: the same bits whoever computes them, wherever the files lie, and at a resume; options
//! that make another run, and folders that end it with a word.

use common::checkpoint::{MANIFEST_FILE, Manifest};
use common::data::classes::ClassNames;
use common::event::Event;
use common::train::config::CLASSES_FIELD;
use std::fs;
use std::path::Path;
use tests::process::{Outcome, Process, checkpoints};
use tests::small_pictures::{CLASSES, SmallPictures};

/// A run of one epoch with local workers, with its checkpoints in `folder`.
fn run(folder: &Path, workers: &str, args: &[&str]) -> Outcome {
    let folder = folder.to_str().expect("a readable name");
    let own = [
        "--model",
        "linear",
        "--epochs",
        "1",
        "--batch-size",
        "16",
        "--micro-batch",
        "4",
        "--val-split",
        "8",
        "--local",
        "--threads",
        "1",
        "--workers",
        workers,
        "--checkpoint-dir",
        folder,
        "--log-format",
        "json",
    ];
    Process::start("coordinator", &[&own[..], args].concat()).wait()
}

/// SHA-256 of the model of a run that must be complete.
#[track_caller]
fn model_of(outcome: &Outcome) -> String {
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    let model = outcome.output.lines().find(|line| line.starts_with("model.safetensors"));
    model.unwrap_or_else(|| panic!("no model in {}", outcome.output)).to_owned()
}

/// Names of the classes in the checkpoint that a run has told of.
fn names_in(output: &str) -> Vec<String> {
    let checkpoint = output.lines().find_map(|line| line.strip_prefix("checkpoint"));
    let folder = Path::new(checkpoint.expect("a checkpoint").trim());
    let manifest = fs::read(folder.join(MANIFEST_FILE)).expect("a manifest");
    let manifest = Manifest::parse(&manifest).expect("a manifest");
    let names: ClassNames = manifest.config[CLASSES_FIELD].parse().expect("names");
    (0..names.len()).map(|class| names.get(class).to_owned()).collect()
}

#[test]
fn pictures_train_to_the_same_bits_with_one_worker_and_with_three() {
    let data = SmallPictures::write();
    let flags = ["--dataset", data.folder(), "--image-size", "8x10", "--fit", "pad"];
    let [one, three] = ["1", "3"].map(|workers| {
        let folder = tempfile::tempdir().unwrap();
        let outcome = run(folder.path(), workers, &flags);
        let words = ["108 pictures to train on and 12 for the test", "8x10x3, 3 classes (2, 10, flat)"];
        words.iter().for_each(|word| assert!(outcome.errors.contains(word), "{}", outcome.errors));
        model_of(&outcome)
    });
    assert_eq!(one, three);
}

#[test]
fn a_resumed_run_needs_the_same_pictures_and_options_wherever_they_lie() {
    let data = SmallPictures::write();
    let folder = tempfile::tempdir().unwrap();
    let named = format!("{}?image-size=8x8,grayscale", data.folder());
    let first = run(folder.path(), "1", &["--dataset", &named, "--max-steps", "3"]);
    assert_eq!(first.code, Some(0), "{}", first.errors);
    let other = run(folder.path(), "1", &["--dataset", data.folder(), "--image-size", "8x8"]);
    assert_eq!(other.code, Some(1), "{}", other.errors);
    assert!(other.errors.contains("dataset_digest"), "{}", other.errors);
    let unnamed = run(folder.path(), "1", &[]);
    assert_eq!(unnamed.code, Some(1), "{}", unnamed.errors);
    assert!(unnamed.errors.contains(&format!("give --dataset {named} to go on")), "{}", unnamed.errors);
    let moved = tempfile::tempdir().unwrap();
    // The last class gets another name with the same label.
    for (class, name) in CLASSES.into_iter().zip([CLASSES[0], CLASSES[1], "zebra\u{1b}[2J"]) {
        fs::rename(data.path().join(class), moved.path().join(name)).unwrap();
    }
    let moved = moved.path().to_str().unwrap();
    let flags = ["--dataset", moved, "--grayscale", "--image-size", "8x8"];
    let resumed = run(folder.path(), "1", &flags);
    assert!(
        resumed.events.iter().any(|event| matches!(event, Event::RunResumed { .. })),
        "{}",
        resumed.errors
    );
    assert!(resumed.output.lines().any(|line| line.ends_with("  zebra\\u001b[2J")), "{}", resumed.output);
    assert_eq!(names_in(&resumed.output), ["2", "10", "zebra\u{1b}[2J"]);
    let metrics = fs::read_to_string(folder.path().join("metrics.jsonl")).unwrap();
    assert!(metrics.contains(r#"{"name":"zebra\u001b[2J","precision""#), "{metrics}");
    let afresh = tempfile::tempdir().unwrap();
    assert_eq!(model_of(&resumed), model_of(&run(afresh.path(), "1", &flags)));
}

#[test]
fn a_folder_with_a_file_that_is_no_picture_ends_the_run_by_its_name() {
    let data = SmallPictures::write();
    let folder = tempfile::tempdir().unwrap();
    let path = data.path().join("flat").join("7.bmp");
    let whole = fs::read(&path).unwrap();
    for content in [&b"hello"[..], &whole[..whole.len() / 2]] {
        fs::write(&path, content).unwrap();
        let outcome = run(folder.path(), "1", &["--dataset", data.folder()]);
        assert_eq!(outcome.code, Some(1), "{}", outcome.errors);
        assert!(outcome.errors.contains(path.to_str().unwrap()), "{}", outcome.errors);
        assert!(!outcome.errors.contains("panicked"), "{}", outcome.errors);
        assert!(checkpoints(folder.path()).is_empty());
    }
}
