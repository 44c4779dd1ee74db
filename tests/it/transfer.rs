//! A run that begins with another's values, with a new head, frozen layers and few samples of each class, has
//! the same bits whatever the number of workers and however often it was stopped.

use clap::Parser;
use common::data::spec::DataSpec;
use common::model::architecture::Architecture;
use coordinator::cli::Flags;
use coordinator::first_values::FirstValues;
use coordinator::observe::console::Console;
use coordinator::run::{Summary, prepare_run};
use coordinator::training_flags::TrainingFlags;
use nix::sys::signal::Signal::SIGKILL;
use safetensors::SafeTensors;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tests::cluster::{digests, train};
use tests::golden::SLOW;
use tests::process::Process;
use tests::proxy::Proxy;
use tests::small_data::SmallData;

const NETWORK: [&str; 2] = ["--model", "conv(4,3) batchnorm relu maxpool(2) flatten dense(16) relu dense"];
const TRANSFER: [&str; 16] = [
    "--reset",
    "fc2.*",
    "--freeze",
    "conv* bn*",
    "--per-class",
    "7",
    "--val-split",
    "43",
    "--batch-size",
    "33",
    "--micro-batch",
    "7",
    "--epochs",
    "6",
    "--checkpoint-every",
    "2",
];

/// Data, and a network that has learned from all of them.
struct Bench {
    data: SmallData,
    folders: TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { data: SmallData::write(), folders: tempfile::tempdir().expect("a folder") };
        let _ = train(&bench.flags("first", &["--epochs", "2"]), &[1]);
        bench
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folders.path().join(name)
    }

    fn text(path: &Path) -> &'static str {
        path.to_str().expect("a readable name").to_owned().leak()
    }

    fn flags<'a>(&'a self, folder: &str, more: &[&'a str]) -> Vec<&'a str> {
        let place = ["--dataset", self.data.folder(), "--checkpoint-dir", Self::text(&self.at(folder))];
        [&place[..], &NETWORK, more].concat()
    }

    /// Flags of a run that begins with what the first one learned, but for those that `more` has itself.
    fn transfer<'a>(&'a self, folder: &str, more: &[&'a str]) -> Vec<&'a str> {
        let from = ["--init-from", Self::text(&self.at("first"))];
        let own = from.chunks(2).chain(TRANSFER.chunks(2)).filter(|pair| !more.contains(&pair[0]));
        self.flags(folder, &[&own.flatten().copied().collect::<Vec<_>>()[..], more].concat())
    }

    fn refused(&self, flags: &[&str]) -> String {
        let flags = ["coordinator"].iter().chain(flags);
        let options = Flags::try_parse_from(flags).and_then(|flags| flags.options()).expect("flags");
        prepare_run(&options.run, &Console::silent()).err().expect("no run").to_string()
    }
}

/// The bytes of a tensor in a checkpoint.
fn tensor(checkpoint: &Path, name: &str) -> Vec<u8> {
    let file = std::fs::read(checkpoint.join("model.safetensors")).expect("a checkpoint");
    SafeTensors::deserialize(&file).expect("its tensors").tensor(name).expect("it is there").data().to_vec()
}

fn newest(folder: &Path) -> PathBuf {
    let steps = std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    steps.filter(|path| path.join("manifest.json").exists()).max().expect("a checkpoint")
}

#[test]
fn a_transferred_run_has_the_same_bits_for_any_workers_and_after_a_resume() {
    let bench = Bench::new();
    let alone = train(&bench.transfer("alone", &[]), &[1]);
    // 70 samples an epoch, 33 of them a step.
    assert_eq!(alone.steps, 18);
    assert_eq!(digests(&train(&bench.transfer("three", &[]), &[1, 2, 1])), digests(&alone));
    // Stopped, then resumed by the same flags, and from the folder without the file.
    assert_eq!(train(&bench.transfer("stopped", &["--max-steps", "5"]), &[1, 1]).steps, 5);
    let folder = Bench::text(&bench.at("stopped"));
    let place = ["--dataset", bench.data.folder(), "--checkpoint-dir", Bench::text(&bench.at("went-on"))];
    assert_eq!(digests(&train(&[&place[..], &["--resume", folder]].concat(), &[1, 1])), digests(&alone));
    assert_eq!(digests(&train(&bench.transfer("stopped", &[]), &[1])), digests(&alone));

    let learned = newest(&bench.at("first"));
    for name in ["conv1.weight", "conv1.bias", "bn1.weight"] {
        assert_eq!(tensor(&alone.checkpoint, name), tensor(&learned, name), "{name} is frozen");
    }
    for name in ["bn1.running_mean", "fc1.weight", "fc2.weight"] {
        assert_ne!(tensor(&alone.checkpoint, name), tensor(&learned, name), "{name} is not");
    }
}

#[test]
fn a_transferred_run_that_is_killed_goes_on_with_the_same_bits() {
    let bench = Bench::new();
    let alone = train(&bench.transfer("alone", &[]), &[1]);
    let flags = bench.transfer("killed", &["--workers", "2"]);
    let (mut run, address) = Process::coordinator("127.0.0.1:0", &flags);
    // So slow that the run can't be over before it is killed, on a busy machine either.
    let proxy = Proxy::start(&address);
    proxy.set_both(SLOW);
    let workers = ["a", "b"].map(|name| Process::worker(&proxy.address(), name));
    run.wait_for_checkpoint(&bench.at("killed"), 4);
    run.signal(SIGKILL);
    let _ = run.wait();
    let outcome = Process::coordinator(&address, &flags).0.wait();
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    assert!(outcome.output.contains(&alone.model_sha256), "{}", outcome.output);
    drop(workers);
}

#[test]
fn other_first_values_are_another_run() {
    let bench = Bench::new();
    let _ = train(&bench.transfer("run", &["--max-steps", "3"]), &[1]);
    let _ = train(&bench.flags("other", &["--epochs", "1", "--seed", "2"]), &[1]);
    let other = ["--init-from", Bench::text(&bench.at("other"))];
    let error = bench.refused(&bench.transfer("run", &other));
    assert!(error.contains("init_from: saved sha256(") && error.contains(", now sha256("), "{error}");
    let error = bench.refused(&bench.transfer("run", &["--reset", "fc*"]));
    assert!(error.contains("fc1.bias,fc1.weight,fc2.bias,fc2.weight)"), "{error}");
    let error = bench.refused(&bench.transfer("run", &["--per-class", "6"]));
    assert!(error.contains("per_class: saved 7, now 6"), "{error}");
    // What is drawn is no continuation of what was loaded.
    let plain = bench.flags("run", &[&TRANSFER[2..], &["--max-steps", "3"]].concat());
    let error = bench.refused(&plain);
    assert!(error.contains("init_from: saved sha256(") && error.contains("now unset"), "{error}");
    let error = bench.refused(&bench.transfer("new", &["--per-class", "61"]));
    assert!(error.contains("--per-class 61: of class ") && error.contains("training samples"), "{error}");
    let error = bench.refused(&bench.transfer("new", &["--freeze", "cnv*"]));
    assert!(error.contains("cnv* matches no tensor"), "{error}");
}

#[test]
fn a_checkpoint_and_its_file_alone_begin_the_same_run() {
    let bench = Bench::new();
    let folder = train(&bench.transfer("folder", &["--max-steps", "2"]), &[1]);
    let file = newest(&bench.at("first")).join("model.safetensors");
    let same = train(&bench.transfer("file", &["--max-steps", "2", "--init-from", Bench::text(&file)]), &[1]);
    assert_eq!(digests(&same), digests(&folder));
}

#[test]
fn a_run_of_no_steps_tests_its_first_values_and_writes_them() {
    let bench = Bench::new();
    let learned = train(&bench.flags("first", &["--epochs", "2"]), &[1]);
    let from = Bench::text(&bench.at("first"));
    let tested = train(&bench.flags("tested", &["--init-from", from, "--max-steps", "0"]), &[1, 1]);
    assert_eq!((tested.steps, &tested.model_sha256), (0, &learned.model_sha256));
    let confusion = |summary: &Summary| summary.test.as_ref().expect("a test").confusion.clone();
    assert_eq!(confusion(&tested), confusion(&learned));
    // With more steps the same command goes on from there.
    let begun = bench.flags("tested", &["--init-from", from, "--max-steps", "3"]);
    let straight = bench.flags("straight", &["--init-from", from, "--max-steps", "3"]);
    assert_eq!(digests(&train(&begun, &[1])), digests(&train(&straight, &[1])));
}

#[test]
fn a_checkpoint_begins_a_network_of_another_number_of_classes() {
    let bench = Bench::new();
    let mut flags = TrainingFlags { model: NETWORK[1].parse().ok(), ..TrainingFlags::default() };
    flags.transfer.init_from = Some(bench.at("first"));
    let few = DataSpec::new(28, 28, 1, 4).unwrap();
    let training = flags.resolve(None).unwrap();
    let of = |flags: &TrainingFlags| {
        let first = FirstValues::of(&flags.transfer, &training, few).map_err(|error| error.to_string());
        first.map(|first| first.expect("a checkpoint was named").values)
    };
    let error = of(&flags).unwrap_err();
    assert!(error.contains("fc2.weight: the network's is [4, 16], the file's [10, 16]"), "{error}");
    assert!(!error.contains("missing") && !error.contains("left over"), "{error}");
    flags.transfer.reset = "fc2.*".parse().ok();
    let values = of(&flags).unwrap();
    let model = Architecture::new(few, training.model.clone()).unwrap();
    let (_, learned) = model.layout().find("fc1.weight").unwrap();
    let bytes: Vec<u8> = values[learned].iter().flat_map(|value| value.to_le_bytes()).collect();
    assert_eq!(bytes, tensor(&newest(&bench.at("first")), "fc1.weight"));
    let (_, drawn) = model.layout().find("fc2.weight").unwrap();
    assert_eq!(values[drawn.clone()], training.init.draw(model.layout(), training.seed)[drawn]);
}
