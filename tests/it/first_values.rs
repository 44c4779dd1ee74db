//! Values from files of PyTorch, Keras and safetensors give the logits that those programs compute.
//!
//! `first_values/make.py` wrote the files, and the logits in `expected.rs`.

mod expected;

use common::data::samples::Samples;
use common::data::spec::DataSpec;
use common::model::architecture::Architecture;
use common::train::config::TrainingConfig;
use coordinator::first_values::FirstValues;
use coordinator::training_flags::TrainingFlags;
use expected::{HALF, KERAS, LAYERS, TORCH};
use std::fs;
use std::path::{Path, PathBuf};
use tests::documents::root;
use worker::engine::network::Network;

/// Images of 8 x 7 pixels in three colours and three classes.
const SPEC: DataSpec = match DataSpec::new(8, 7, 3, 3) {
    Ok(spec) => spec,
    Err(_) => panic!("sizes in range"),
};
/// Largest difference of a logit.
const TOLERANCE: f64 = 1e-5;

fn file(name: &str) -> PathBuf {
    root().join("tests/it/first_values").join(name)
}

fn flags(layers: &str, path: &Path, reset: &str) -> (TrainingFlags, TrainingConfig) {
    let mut flags =
        TrainingFlags { model: Some(layers.parse().expect("a network")), ..TrainingFlags::default() };
    flags.transfer.init_from = Some(path.to_owned());
    flags.transfer.reset = (!reset.is_empty()).then(|| reset.parse().expect("patterns"));
    let training = flags.resolve(None).expect("flags that agree");
    (flags, training)
}

fn load(layers: &str, path: &Path, reset: &str) -> Result<FirstValues, String> {
    let (flags, training) = flags(layers, path, reset);
    let first = FirstValues::of(&flags.transfer, &training, SPEC).map_err(|error| error.to_string())?;
    Ok(first.expect("a file was named"))
}

fn error(layers: &str, path: &Path, reset: &str) -> String {
    load(layers, path, reset).expect_err("it is refused")
}

/// The four images of make.py.
fn samples() -> Samples {
    let count = 4 * SPEC.image_bytes();
    Samples::new(SPEC, (0..count).map(|at| (at * 37 % 251) as u8).collect(), vec![0; 4]).expect("four images")
}

fn assert_logits(name: &str, expected: [f64; 12]) -> FirstValues {
    let first = load(LAYERS, &file(name), "").unwrap_or_else(|error| panic!("{name}: {error}"));
    let model = Architecture::parse(SPEC, LAYERS).expect("a network");
    let mut network = Network::new(&model).expect("layers that compute");
    network.load(&first.values).expect("as many values");
    let logits = network.logits(&samples()).expect("logits");
    for (got, want) in logits.iter().zip(expected) {
        assert!((f64::from(*got) - want).abs() < TOLERANCE, "{name}: {logits:?} and {expected:?}");
    }
    first
}

#[test]
fn logits_are_those_of_the_program_that_wrote_the_file() {
    let torch = assert_logits("torch.pth", TORCH);
    // Float64 in the file, under a key, of another protocol: the same values are the same run.
    let nested = assert_logits("nested.pt", TORCH);
    assert_eq!(nested.init_from, torch.init_from);
    assert!(
        nested.said.iter().any(|said| said.contains("17 tensors of F64 become F32")),
        "{:?}",
        nested.said
    );
    assert!(torch.said.iter().any(|said| said.contains("left out: 2 tensors *.num_batches_tracked")));
    let half = assert_logits("half.safetensors", HALF);
    let said = ["6 tensors of BF16 become F32", "11 tensors of F16 become F32"];
    assert!(said.iter().all(|text| half.said.iter().any(|said| said.contains(text))), "{:?}", half.said);
    assert_logits("keras.weights.h5", KERAS);
}

#[test]
fn a_new_head_is_drawn_and_all_else_is_loaded() {
    let wider = LAYERS.replace("dense(4)", "dense(6)");
    for name in ["torch.pth", "half.safetensors", "keras.weights.h5"] {
        let reset = load(LAYERS, &file(name), "fc2.*").unwrap();
        let whole = load(LAYERS, &file(name), "").unwrap();
        let (_, training) = flags(LAYERS, &file(name), "");
        let layout = Architecture::parse(SPEC, LAYERS).unwrap().layout().clone();
        let drawn = training.init.draw(&layout, training.seed);
        for (tensor, range) in layout.iter() {
            let from = if tensor.name.starts_with("fc2.") { &drawn } else { &whole.values };
            assert_eq!(reset.values[range.clone()], from[range], "{name}: {}", tensor.name);
        }
        assert_ne!(reset.init_from, whole.init_from);
        assert!(load(&wider, &file(name), "fc1.* norm1.* fc2.*").is_ok(), "of another size");
        let error = error(&wider, &file(name), "fc2.bias");
        for text in
            ["of another shape", "fc1.weight: the network's is [6, 8], the file's [4, 8]", "fc2.weight"]
        {
            assert!(error.contains(text) && !error.contains("missing"), "{name}: {error}");
        }
    }
}

#[test]
fn what_does_not_fit_is_listed_and_nothing_is_skipped() {
    let deeper = LAYERS.replace("relu layernorm", "layernorm dense(4)");
    let shorter = LAYERS.replace("layernorm", "");
    for (name, left) in
        [("torch.pth", "norm1.bias [4]"), ("keras.weights.h5", "layers/layer_normalization/vars/0 [4]")]
    {
        let error = error(&shorter, &file(name), "");
        assert!(error.contains("left over: ") && error.contains(left), "{name}: {error}");
        let error = self::error(&deeper, &file(name), "");
        assert!(error.contains("missing: fc3.bias [3]; fc3.weight [3, 4]"), "{name}: {error}");
    }
    let error = error(LAYERS, &file("torch.pth"), "fc9.*");
    assert!(
        error.starts_with("--reset: fc9.* matches no tensor of the network; they are bn1.bias"),
        "{error}"
    );
}

#[test]
fn files_that_are_not_read_say_what_to_do() {
    let branches = "residual conv(3,3,padding=1) add flatten dense";
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("model.ckpt");
    fs::write(&other, "x").unwrap();
    for (layers, path, text) in [
        (LAYERS, file("whole.pth"), "no tensors found"),
        (LAYERS, file("view.pth"), "fc2.bias has 12 bytes, and its storage in the file 120: it is a view"),
        (branches, file("keras.weights.h5"), "network with residual"),
        (LAYERS, other, "convert others there"),
        (LAYERS, folder.path().to_owned(), "there is no valid checkpoint in this folder"),
        (LAYERS, folder.path().join("none.pth"), "cannot read it: "),
        (LAYERS, file("make.py"), "convert others there"),
    ] {
        let error = error(layers, &path, "");
        let begins = format!("--init-from {}: ", path.display());
        assert!(error.starts_with(&begins) && error.contains(text), "{error}");
    }
}

#[test]
fn damaged_files_are_refused_or_read_and_end_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["torch.pth", "nested.pt", "whole.pth", "half.safetensors", "keras.weights.h5"] {
        let good = fs::read(file(name)).unwrap();
        let path = folder.path().join(name);
        let parts = 150;
        for part in 0..parts {
            let length = good.len() * part / parts;
            fs::write(&path, &good[..length]).unwrap();
            // Only the end of a file may be of no use to a reader.
            let result = load(LAYERS, &path, "");
            assert!(result.is_err() || length > good.len() / 2, "{name}, {length} of {} bytes", good.len());
        }
        let used: Vec<usize> = (0..good.len()).filter(|&at| good[at] != 0).collect();
        for turn in 0..400usize {
            let mut bad = good.clone();
            for change in 0..1 + turn % 3 {
                let at = used[(turn * 7919 + change * 104_729) % used.len()];
                bad[at] = [0xff, 0, bad[at] ^ 1, bad[at] ^ 0x80][(turn + change) % 4];
            }
            fs::write(&path, &bad).unwrap();
            if let Ok(first) = load(LAYERS, &path, "") {
                assert!(first.values.iter().all(|value| value.is_finite()));
            }
        }
    }
}
