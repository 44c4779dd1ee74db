//! A network is any list of layers, and a data set has any form. The bits never depend on who computes.

use common::data::idx;
use common::data::samples::Samples;
use common::data::spec::DataSpec;
use common::rng::Stream;
use coordinator::run::Summary;
use std::path::Path;
use tests::cluster::train;
use tests::small_data::SmallData;

const STEPS: [&str; 8] = ["--val-split", "43", "--batch-size", "100", "--micro-batch", "25", "--epochs", "1"];

fn run(folder: &str, model: &str, threads: &[u32]) -> Summary {
    let checkpoints = tempfile::tempdir().expect("a folder");
    let place = ["--dataset", folder, "--checkpoint-dir", checkpoints.path().to_str().expect("a name")];
    train(&[&place[..], &STEPS, &["--model", model]].concat(), threads)
}

fn digests(summary: &Summary) -> [String; 2] {
    [summary.model_sha256.clone(), summary.optimizer_sha256.clone()]
}

#[test]
fn a_network_by_its_layers_ends_with_the_bits_of_its_name() {
    let data = SmallData::write();
    let layers =
        "conv(32,3) relu maxpool(2) conv(64,3) relu maxpool(2) conv(64,3) relu flatten dense(64) relu dense";
    assert_eq!(digests(&run(data.folder(), layers, &[1])), digests(&run(data.folder(), "cnn", &[1])));
}

#[test]
fn layers_on_candles_autograd_keep_their_bits() {
    let data = SmallData::write();
    let network =
        "conv(4,3) gelu layernorm maxpool(3) conv(8,5) maxpool(2) flatten dense(16) layernorm gelu dense";
    let alone = digests(&run(data.folder(), network, &[1]));
    for threads in [&[2][..], &[1, 2, 1]] {
        assert_eq!(digests(&run(data.folder(), network, threads)), alone, "{threads:?}");
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
