//! A run that makes a model small has the same bits whatever the number of workers, and however often it was
//! stopped and killed.

use clap::Parser;
use common::checkpoint::Model;
use common::data::digits::Half;
use common::data::spec::DataSpec;
use common::model::architecture::Architecture;
use common::train::quantise;
use coordinator::cli::Flags;
use coordinator::observe::console::Console;
use coordinator::run::{Summary, prepare_run};
use coordinator::trained;
use nix::sys::signal::Signal::SIGKILL;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tests::cluster::{digests, train};
use tests::golden::SLOW;
use tests::process::Process;
use tests::proxy::Proxy;
use tests::small_data::{SmallData, TEST, drawn};
use worker::engine::network::Network;

/// 600 samples an epoch: 24 steps.
const STEPS: [&str; 10] = [
    "--val-split",
    "43",
    "--batch-size",
    "100",
    "--micro-batch",
    "25",
    "--epochs",
    "4",
    "--checkpoint-every",
    "2",
];
const NETWORK: [&str; 2] = ["--model", "conv(4,3) batchnorm relu maxpool(2) flatten dense(16) relu dense"];

/// Data, and folders for checkpoints.
struct Bench {
    data: SmallData,
    folders: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { data: SmallData::write(), folders: tempfile::tempdir().expect("a folder") }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folders.path().join(name)
    }

    fn text(&self, name: &str) -> &'static str {
        self.at(name).to_str().expect("a readable name").to_owned().leak()
    }

    /// Flags of a run in that folder, but for those that `more` has itself.
    fn flags<'a>(&'a self, folder: &str, more: &[&'a str]) -> Vec<&'a str> {
        let own = STEPS.chunks(2).chain(NETWORK.chunks(2)).filter(|pair| !more.contains(&pair[0]));
        let place = ["--dataset", self.data.folder(), "--checkpoint-dir", self.text(folder)];
        [&place[..], &own.flatten().copied().collect::<Vec<_>>(), more].concat()
    }

    fn run(&self, folder: &str, more: &[&str], threads: &[u32]) -> Summary {
        train(&self.flags(folder, more), threads)
    }

    /// The run with these flags by one worker. It has the same bits with three, and where it was stopped in
    /// mid-epoch, killed, and gone on with by others.
    fn one_run(&self, more: &[&str]) -> Summary {
        let alone = self.run("alone", more, &[1]);
        assert_eq!(alone.steps, 24);
        assert_eq!(digests(&self.run("three", more, &[1, 2, 1])), digests(&alone));
        assert_eq!(self.run("stopped", &[more, &["--max-steps", "5"]].concat(), &[1, 1]).steps, 5);
        let flags = self.flags("stopped", &[more, &["--workers", "2"]].concat());
        let (mut run, address) = Process::coordinator("127.0.0.1:0", &flags);
        // So slow that the run can't be over before it is killed, on a busy machine either.
        let proxy = Proxy::start(&address);
        proxy.set_both(SLOW);
        let _workers = ["a", "b"].map(|name| Process::worker(&proxy.address(), name));
        run.wait_for_checkpoint(&self.at("stopped"), 8);
        run.signal(SIGKILL);
        let _ = run.wait();
        let outcome = Process::coordinator(&address, &flags).0.wait();
        assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
        for digest in digests(&alone) {
            assert!(outcome.output.contains(&digest), "{digest} is not in\n{}", outcome.output);
        }
        alone
    }

    fn refused(&self, folder: &str, more: &[&str]) -> String {
        let flags = self.flags(folder, more);
        let flags = Flags::try_parse_from(["coordinator"].iter().chain(&flags));
        let options = flags.and_then(|flags| flags.options()).expect("flags");
        prepare_run(&options.run, &Console::silent()).err().expect("no run").to_string()
    }
}

/// The tensors of a file, by name, with their shapes.
fn tensors(file: &Path) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let bytes = std::fs::read(file).expect("a file");
    let tensors = SafeTensors::deserialize(&bytes).expect("its tensors");
    let value = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().expect("four bytes"));
    let tensor = |(name, view): (String, TensorView)| {
        let values = view.data().chunks(4).map(value).collect();
        (name, view.shape().to_vec(), values)
    };
    let mut tensors: Vec<_> = tensors.tensors().into_iter().map(tensor).collect();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    tensors
}

/// Writes the tensors of a checkpoint with two of three weights 0.
fn prune(checkpoint: &Path, to: &Path) {
    let mut tensors = tensors(&checkpoint.join("model.safetensors"));
    for (_, _, values) in tensors.iter_mut().filter(|(name, ..)| name.ends_with(".weight")) {
        (0..values.len()).filter(|at| at % 3 != 0).for_each(|at| values[at] = 0.0);
    }
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(.., values)| values.iter().flat_map(|value| value.to_le_bytes()).collect())
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        (name, TensorView::new(Dtype::F32, shape.clone(), bytes).expect("a tensor"))
    });
    std::fs::write(to, safetensors::serialize(views, None).expect("tensors")).expect("room for it");
}

#[test]
fn a_masked_run_has_the_same_bits_for_any_workers_and_after_stops_and_keeps_its_zeros() {
    let bench = Bench::new();
    let first = bench.run("first", &["--epochs", "1"], &[1]);
    let pruned = bench.at("pruned.safetensors");
    prune(&first.checkpoint, &pruned);
    let from = ["--init-from", bench.text("pruned.safetensors")];
    let masked = ["--mask", "*.weight", "--param-groups", "conv*(lr_factor=0.5)", "--average", "ema(0.9)"];
    let alone = bench.one_run(&[&from[..], &masked].concat());
    let free = bench.run("free", &[&from[..], &masked[2..]].concat(), &[1]);
    assert_ne!(digests(&free), digests(&alone));
    let zeros = |file: &Path| -> Vec<(String, Vec<usize>)> {
        let weights = tensors(file).into_iter().filter(|(name, ..)| name.ends_with(".weight"));
        let zeros = |values: &[f32]| (0..values.len()).filter(|&at| values[at] == 0.0).collect();
        weights.map(|(name, _, values)| (name, zeros(&values))).collect()
    };
    for file in ["model.safetensors", "model-averaged.safetensors"] {
        assert_eq!(zeros(&alone.checkpoint.join(file)), zeros(&pruned), "{file}");
        assert_ne!(zeros(&free.checkpoint.join(file)), zeros(&pruned), "{file}");
    }
    let drawn = bench.refused("drawn", &["--mask", "*.weight"]);
    assert!(drawn.starts_with("--mask is *.weight: ") && drawn.contains("without init-from"), "{drawn}");
    let nothing = bench.refused("nothing", &[&from[..], &["--mask", "*.wight"]].concat());
    assert!(nothing.starts_with("--mask: *.wight matches no tensor that is trained"), "{nothing}");
    let other = bench.refused("alone", &[&from[..], &masked[2..]].concat());
    assert!(other.contains("mask: saved *.weight, now unset"), "{other}");
}

#[test]
fn a_quantise_aware_run_has_the_same_bits_for_any_workers_and_tests_what_will_be_int8() {
    let bench = Bench::new();
    let flags = ["--quantise-aware", "--average", "ema(0.9)"];
    let alone = bench.one_run(&flags);
    assert_ne!(digests(&bench.run("plain", &flags[1..], &[1])), digests(&alone));
    let Model { architecture, params, normalization, .. } =
        trained::open(&alone.checkpoint, None).expect("a model");
    let rounded = quantise::rounded(architecture.layout(), &params);
    assert_ne!(rounded, params, "a checkpoint has the weights that are not rounded");
    let correct = |params: &[f32]| {
        let network = Network::new(&architecture).expect("a network");
        let mut network = network.with_normalization(normalization.clone());
        network.load(params).expect("its weights");
        let samples = drawn(Half::Test, TEST);
        let answers = network.evaluate(&samples).expect("answers");
        let losses = answers.loss_sum / f64::from(TEST);
        let right = answers.predictions.iter().zip(samples.labels()).filter(|(got, label)| got == label);
        (right.count() as u64, (losses * 1e9).round())
    };
    let totals = alone.test.expect("a test").totals;
    let told = (totals.correct, (totals.loss() * 1e9).round());
    assert_eq!(correct(&rounded), told);
    assert_ne!(correct(&params), told);
    let other = bench.refused("alone", &flags[1..]);
    assert!(other.contains("quantise_aware: saved true, now unset"), "{other}");
}

#[test]
fn a_distilled_run_has_the_same_bits_for_any_workers_and_after_stops_and_needs_its_teacher() {
    let bench = Bench::new();
    // Its values take several messages, and are more than the student has.
    let large = ["--model", "conv(8,3) batchnorm relu maxpool(2) flatten dense(24) relu dropout(0.3) dense"];
    let teacher = |folder, more: &[&'static str]| {
        let _ = bench.run(
            folder,
            &[&large[..], &["--normalize", "standard", "--epochs", "2"], more].concat(),
            &[1],
        );
        ["--distil", bench.text(folder)]
    };
    let [first, second] = [teacher("teacher", &[]), teacher("other", &["--seed", "2"])];
    let student = ["--model", "flatten dense(8) relu dense", "--augment", "rotate(10) mixup(0.2)"];
    let with = |more: &[&'static str]| [&student[..], more].concat();
    let alone = bench.one_run(&with(&first));
    let mut runs = vec![digests(&alone)];
    for (folder, more) in [
        ("labels", vec![]),
        ("weight", [&first[..], &["--distil-weight", "0.5"]].concat()),
        ("temperature", [&first[..], &["--distil-temperature", "2"]].concat()),
        ("second", second.to_vec()),
    ] {
        runs.push(digests(&bench.run(folder, &with(&more), &[1])));
    }
    assert!((1..runs.len()).all(|at| !runs[..at].contains(&runs[at])), "{runs:?}");

    // The same teacher in a file.
    let mut model = trained::open(&bench.at("teacher"), None).expect("a model");
    std::fs::write(bench.at("teacher.safetensors"), model.encode()).expect("room for it");
    let in_file = with(&["--distil", bench.text("teacher.safetensors")]);
    assert_eq!(digests(&bench.run("file", &in_file, &[1, 1])), digests(&alone));

    let error = bench.refused("alone", &with(&second));
    assert!(error.contains("distil: saved sha256(") && error.contains(", now sha256("), "{error}");
    let error = bench.refused("alone", &with(&[]));
    assert!(error.contains("distil_weight: saved 0.9, now unset"), "{error}");
    let error = bench.refused("went-on", &["--resume", bench.text("alone")]);
    assert!(error.contains("name it again with --distil"), "{error}");
    let error = bench.refused("new", &with(&["--distil", bench.text("nowhere")]));
    assert!(error.starts_with("--distil: ") && error.contains("there is no such file or folder"), "{error}");
    let small = DataSpec::new(8, 8, 1, 10).expect("a form");
    model.architecture = Architecture::parse(small, "linear").expect("a network");
    model.params = vec![0.0; model.architecture.layout().len()];
    std::fs::write(bench.at("small.safetensors"), model.encode()).expect("room for it");
    let error = bench.refused("new", &with(&["--distil", bench.text("small.safetensors")]));
    assert!(error.contains("is for images of 8x8x1, 10 classes, and the data set has 28x28x1"), "{error}");
}
