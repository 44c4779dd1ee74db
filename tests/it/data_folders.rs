//! Folders of data: the layouts in which the four files are found, and folders that are refused by name. A
//! folder that a person has named is used or ends the run: nothing else is trained on in its place.

use common::event::Event;
use nix::sys::signal::Signal::SIGTERM;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tests::golden::{Bench, assert_golden};
use tests::process::{Outcome, Process, checkpoints};
use tests::small_data::SmallData;

/// The four files of a data set.
const FILES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];
/// Shell that lets no download succeed, without any network: nobody listens on that port.
const OFFLINE: &str = "export ALL_PROXY=http://127.0.0.1:9; unset NO_PROXY no_proxy";

fn text(path: &Path) -> &str {
    path.to_str().expect("a readable name")
}

/// Moves the four files within a folder, each to where `place` says, by its name.
fn move_files(folder: &Path, place: impl Fn(&str) -> String) {
    for name in FILES {
        let to = folder.join(place(name));
        // A file may go into a folder of its own name.
        let aside = folder.join("aside");
        fs::rename(folder.join(name), &aside).expect("the flat layout");
        fs::create_dir_all(to.parent().expect("a folder")).expect("room for a folder");
        fs::rename(aside, to).expect("a place that is free");
    }
}

fn data_of(bench: &Bench) -> PathBuf {
    bench.flags(&[])[1].into()
}

/// Result of a coordinator that must end with exit code 1 before it has trained anything. `prepare` is shell
/// that runs before it.
#[track_caller]
fn refused(prepare: &str, args: &[&str], words: &[&str]) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    // A run that is not refused is over soon.
    let short = ["--model", "linear", "--epochs", "1", "--workers", "1", "--local"];
    let own = [&short[..], &["--checkpoint-dir", text(folder.path())]].concat();
    let outcome = Process::start_after(prepare, "coordinator", &[&own[..], args].concat()).wait();
    assert_eq!(outcome.code, Some(1), "{args:?}: {}", outcome.errors);
    for word in words {
        assert!(outcome.errors.contains(word), "{word:?} is not in: {}", outcome.errors);
    }
    assert!(!outcome.errors.contains("panicked") && outcome.output.is_empty(), "{}", outcome.errors);
    assert!(checkpoints(folder.path()).is_empty());
    outcome
}

#[test]
fn every_layout_of_the_four_files_ends_with_the_same_bits() {
    type Place = fn(&str) -> String;
    let layouts: [Place; 5] = [
        |name| name.replace("-idx", ".idx"),
        |name| format!("raw/{name}"),
        |name| format!("FashionMNIST/raw/{name}"),
        // Each in a folder of its own name, as Kaggle unpacks them.
        |name| format!("{name}/{name}"),
        // Two spellings, as in Kaggle's copies.
        |name| {
            if name.starts_with("train") { name.replace("-idx", ".idx") } else { format!("{name}/{name}") }
        },
    ];
    for layout in layouts {
        let bench = Bench::new();
        move_files(&data_of(&bench), layout);
        assert_golden(&bench.local("1").wait());
    }
}

#[test]
fn folders_named_like_files_do_not_hide_the_files_beside_them() {
    let bench = Bench::new();
    let data = data_of(&bench);
    move_files(&data, |name| name.replace("-idx", ".idx"));
    FILES.iter().for_each(|name| fs::create_dir(data.join(name)).unwrap());
    assert_golden(&bench.local("1").wait());
}

#[test]
fn a_run_whose_files_were_put_into_another_layout_goes_on() {
    let bench = Bench::new();
    let _ = bench.stopped(1, 10, SIGTERM);
    move_files(&data_of(&bench), |name| format!("MNIST/raw/{}", name.replace("-idx", ".idx")));
    let outcome = bench.local("1").wait();
    assert!(
        outcome.events.iter().any(|event| matches!(event, Event::RunResumed { .. })),
        "{}",
        outcome.errors
    );
    assert_golden(&outcome);
}

#[test]
fn a_named_folder_without_mnist_ends_the_run_and_not_in_digits() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    fs::write(at("file"), "").unwrap();
    fs::create_dir(at("empty")).unwrap();
    fs::create_dir(at("partial")).unwrap();
    fs::write(at("partial").join("train_images.idx3"), "").unwrap();
    for name in ["file", "file/below", "empty", "new", "partial"] {
        let path = at(name);
        let words = [text(&path), FILES[0], "--dataset digits needs no file"];
        refused(OFFLINE, &["--data-dir", text(&path)], &words);
        refused(&format!("{OFFLINE}; export MNIST_DIR='{}'", path.display()), &[], &words);
        refused(OFFLINE, &["--dataset", "mnist", "--data-dir", text(&path)], &words);
    }
    refused(OFFLINE, &["--data-dir", text(&at("partial"))], &["train_images.idx3"]);
    assert!(!at("new").exists(), "what was created for files that did not come is removed");
}

#[test]
fn a_data_set_of_another_content_is_not_taken_for_mnist() {
    let data = SmallData::write();
    let words = [data.folder(), FILES[0], "is not mnist's"];
    refused(OFFLINE, &["--data-dir", data.folder()], &words);
    move_files(data.folder().as_ref(), |name| format!("MNIST/raw/{name}"));
    refused(OFFLINE, &["--data-dir", data.folder()], &words);
}

#[test]
fn where_no_folder_is_named_digits_take_mnists_place_with_a_word() {
    let home = tempfile::tempdir().unwrap();
    let cache = home.path().join("cache");
    let prepare = format!("{OFFLINE}; unset MNIST_DIR; export XDG_CACHE_HOME='{}'", cache.display());
    let folder = home.path().join("checkpoints");
    let args = ["--bind", "127.0.0.1:0", "--checkpoint-dir", text(&folder)];
    let mut run = Process::start_after(&prepare, "coordinator", &args);
    let line = run.wait_for_line("training on the embedded digits");
    assert!(line.contains(text(&cache)), "{line}");
    run.wait_for_line("listening on");
}

#[test]
fn a_file_in_place_of_a_data_folder_says_which_folder_is_meant() {
    let data = SmallData::write();
    let file = Path::new(data.folder()).join(FILES[1]);
    let meant = format!("may be {};", data.folder());
    refused("true", &["--dataset", text(&file)], &["--dataset", text(&file), &meant]);
    refused("true", &["--data-dir", text(&file)], &["--data-dir", "MNIST_DIR", text(&file), &meant]);
}

#[test]
fn two_data_sets_in_one_folder_are_named_and_none_is_chosen() {
    let data = SmallData::write();
    let folder = Path::new(data.folder());
    let places = ["FashionMNIST/raw", "MNIST/raw"].map(|name| folder.join(name));
    for place in &places {
        fs::create_dir_all(place).unwrap();
        let copy = |name| fs::copy(folder.join(name), place.join(name)).unwrap();
        assert!(FILES.into_iter().map(copy).all(|bytes| bytes > 0));
    }
    FILES.iter().for_each(|name| fs::remove_file(folder.join(name)).unwrap());
    let outcome = refused("true", &["--dataset", data.folder()], &places.each_ref().map(|place| text(place)));
    assert!(outcome.errors.contains("name the one that is meant"), "{}", outcome.errors);
}

#[test]
fn a_data_set_that_is_looked_at_is_not_trained_on() {
    let data = SmallData::write();
    let folder = tempfile::tempdir().unwrap();
    let (sheet, checkpoints) = (folder.path().join("sheet.png"), folder.path().join("checkpoints"));
    let own = [
        "--dataset",
        data.folder(),
        "--checkpoint-dir",
        text(&checkpoints),
        "--inspect",
        "--sheet",
        text(&sheet),
    ];
    let outcome = Process::start("coordinator", &own).wait();
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    for words in ["nothing is trained", "28x28x1, 10 classes", "training samples    643", text(&sheet)] {
        assert!(outcome.output.contains(words), "{words}: {}", outcome.output);
    }
    assert!(fs::read(&sheet).unwrap().starts_with(b"\x89PNG") && !checkpoints.exists());
    let plain = folder.path().join("plain");
    fs::write(&plain, "").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&sheet), mode(&plain), "as any new file");
    let refused = [&own[..6], &[data.folder()]].concat();
    let outcome = Process::start("coordinator", &refused).wait();
    assert_eq!(outcome.code, Some(1), "{}", outcome.output);
    assert!(outcome.errors.contains("no PNG file"), "{}", outcome.errors);
}

#[test]
fn a_share_of_the_samples_is_held_out_and_a_run_goes_on_with_the_same_share_only() {
    let data = SmallData::write();
    let folder = tempfile::tempdir().unwrap();
    let own = ["--dataset", data.folder(), "--checkpoint-dir", text(folder.path()), "--model", "linear"];
    let start = |more: &[&str]| {
        let local = ["--workers", "1", "--local", "--threads", "1", "--epochs", "1"];
        Process::start("coordinator", &[&own[..], &local, more].concat()).wait()
    };
    let described = start(&["--dry-run"]);
    let line = |outcome: &Outcome, words: &str| outcome.output.lines().any(|line| line == words);
    assert!(line(&described, "val_split           64"), "a tenth of 643: {}", described.output);
    assert_eq!(start(&["--val-split", "10%", "--max-steps", "2"]).code, Some(0));
    let other = start(&["--val-split", "20%"]);
    assert_eq!(other.code, Some(1), "{}", other.output);
    assert!(other.errors.contains("val_split"), "{}", other.errors);
    let on = start(&["--val-split", "10%"]);
    assert_eq!(on.code, Some(0), "{}", on.errors);
    assert!(on.errors.contains("resuming from") && on.errors.contains("65 for validation"), "{}", on.errors);
}
