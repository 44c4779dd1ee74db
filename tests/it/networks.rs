//! A network is any list of layers, and a data set has any form. The bits never depend on who computes.

use common::data::digits::Half;
use common::data::idx;
use common::data::samples::Samples;
use common::data::spec::DataSpec;
use common::rng::Stream;
use coordinator::run::Summary;
use nix::sys::signal::Signal;
use std::path::Path;
use tests::cluster::{digests, train};
use tests::golden::{Bench, assert_ends_in};
use tests::process::Process;
use tests::small_data::{SmallData, TRAIN, drawn};

const STEPS: [&str; 8] = ["--val-split", "43", "--batch-size", "100", "--micro-batch", "25", "--epochs", "1"];

fn run(folder: &str, model: &str, threads: &[u32]) -> Summary {
    let checkpoints = tempfile::tempdir().expect("a folder");
    let place = ["--dataset", folder, "--checkpoint-dir", checkpoints.path().to_str().expect("a name")];
    train(&[&place[..], &STEPS, &["--model", model]].concat(), threads)
}

#[test]
fn a_network_by_its_layers_ends_with_the_bits_of_its_name() {
    let data = SmallData::write();
    let layers =
        "conv(32,3) relu maxpool(2) conv(64,3) relu maxpool(2) conv(64,3) relu flatten dense(64) relu dense";
    assert_eq!(digests(&run(data.folder(), layers, &[1])), digests(&run(data.folder(), "cnn", &[1])));
}

/// A network whose leaves measure statistics, and make random choices.
const STATISTICS: &[&str] = &[
    "--model",
    "conv(6,3,stride=3,bias=false) batchnorm relu dropout(0.25) residual conv(6,3,padding=1,groups=2) groupnorm(3) \
     silu shortcut avgpool(3,stride=1) conv(6,1,padding=1) add flatten dropout(0.5) dense",
];

#[test]
fn statistics_and_dropout_have_the_same_bits_for_any_number_of_workers() {
    let data = SmallData::write();
    let alone = digests(&run(data.folder(), STATISTICS[1], &[1]));
    for threads in [&[2][..], &[1, 2, 1]] {
        assert_eq!(digests(&run(data.folder(), STATISTICS[1], threads)), alone, "{threads:?}");
    }
}

#[test]
fn statistics_and_dropout_have_the_same_bits_after_a_resume_with_other_workers() {
    let bench = Bench::of(STATISTICS);
    bench.stopped(2, 10, Signal::SIGTERM);
    let (run, address) = bench.coordinator(&["--workers", "1"]);
    let _worker = Process::worker(&address, "another");
    assert_ends_in(&bench.undisturbed(), &run.wait());
}

#[test]
fn the_running_statistics_are_those_of_the_data() {
    let data = SmallData::write();
    let folder = tempfile::tempdir().expect("a folder");
    let place = ["--dataset", data.folder(), "--checkpoint-dir", folder.path().to_str().expect("a name")];
    let model = ["--model", "batchnorm flatten dense", "--epochs", "9"];
    let summary = train(&[&place[..], &STEPS[..6], &model].concat(), &[1]);
    let model = std::fs::read(summary.checkpoint.join("model.safetensors")).expect("the model");
    let tensors = safetensors::SafeTensors::deserialize(&model).expect("safetensors");
    let value = |name: &str| {
        let bytes = tensors.tensor(name).expect("a tensor").data().try_into().expect("one number");
        f64::from(f32::from_le_bytes(bytes))
    };
    let drawn = drawn(Half::Train, TRAIN);
    let pixels: Vec<f64> = drawn.pixels().iter().map(|&pixel| f64::from(pixel) / 255.0).collect();
    let mean = pixels.iter().sum::<f64>() / pixels.len() as f64;
    let variance =
        pixels.iter().map(|pixel| (pixel - mean) * (pixel - mean)).sum::<f64>() / pixels.len() as f64;
    // They begin at 0 and 1, of which 0.9 is left after each step.
    let left = (0..summary.steps).fold(1.0, |left, _| 0.9 * left);
    for (name, began, of_data) in [("bn1.running_mean", 0.0, mean), ("bn1.running_var", 1.0, variance)] {
        let got = value(name);
        let expected = left * began + (1.0 - left) * of_data;
        assert!((got - expected).abs() < 0.03 * expected, "{name} is {got}, and should be {expected}");
    }
}

#[test]
fn images_of_any_size_in_any_number_of_classes_are_trained_on() {
    let folder = tempfile::tempdir().unwrap();
    let spec = DataSpec::new(9, 14, 1, 201).unwrap();
    write(folder.path(), "train", spec, 300);
    write(folder.path(), "t10k", spec, 60);
    let network = "conv(6,3) relu maxpool(2) flatten dense";
    let name = folder.path().to_str().unwrap();
    let alone = run(name, network, &[1]);
    assert_eq!(digests(&run(name, network, &[1, 1, 2])), digests(&alone));
    let test = alone.test.unwrap();
    assert_eq!((test.confusion.classes(), test.confusion.samples()), (201, 60));
}

/// Writes random samples, among which every class occurs.
fn write(folder: &Path, half: &str, spec: DataSpec, count: usize) {
    let mut random = Stream::new(3, half, &[]);
    let pixels = (0..count * spec.image_bytes()).map(|_| random.below(256) as u8).collect();
    let labels = (0..count).map(|i| ((count - i) % spec.classes()) as u16).collect();
    let (images, labels) = idx::encode(&Samples::new(spec, pixels, labels).expect("samples in a folder"));
    std::fs::write(folder.join(format!("{half}-images-idx3-ubyte")), images).expect("samples in a folder");
    std::fs::write(folder.join(format!("{half}-labels-idx1-ubyte")), labels).expect("samples in a folder");
}
