use super::*;
use crate::export::program::tests::{C_FLAGS, RUST_FLAGS, compiled};
use crate::export::tests::model;
use crate::int8::tests::each;

fn written(model: &Model, network: &Quantized, format: IntegerFormat, path: &Path) -> String {
    let written = write(model, network, format, path).unwrap_or_else(|error| panic!("{error}"));
    let bytes = std::fs::read(path).unwrap();
    write(model, network, format, path).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), bytes, "the same model gives the same file");
    written.checked
}

#[test]
fn every_network_computes_equal_integers_in_c() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("model.c");
    each(|model, samples| {
        let network = int8::of(&model, &samples, NonZeroUsize::MIN).unwrap();
        let checked = written(&model, &network, IntegerFormat::C, &source);
        assert!(checked.contains("equal integers"), "{checked}");
        let Some((is_good, said)) = compiled("gcc", &C_FLAGS, &source) else { return };
        assert!(is_good && said == "0 of 40 logits differ\n", "{}: {said}", model.architecture);
    });
}

#[test]
fn every_network_computes_equal_integers_in_rust() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("model.rs");
    each(|model, samples| {
        let network = int8::of(&model, &samples, NonZeroUsize::MIN).unwrap();
        written(&model, &network, IntegerFormat::Rust, &source);
        let Some((is_good, said)) = compiled("rustc", &RUST_FLAGS, &source) else { return };
        assert!(is_good && said.contains("1 passed"), "{}: {said}", model.architecture);
    });
}

#[test]
fn a_programs_own_test_notices_another_weight() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("model.c");
    each(|model, samples| {
        let network = int8::of(&model, &samples, NonZeroUsize::MIN).unwrap();
        written(&model, &network, IntegerFormat::C, &source);
        let text = std::fs::read_to_string(&source).unwrap();
        let (before, after) = text.split_once("_bias[").unwrap();
        let (size, numbers) = after.split_once("= {\n    ").unwrap();
        let (first, others) = numbers.split_once(',').unwrap();
        let other = first.parse::<i32>().unwrap() + 100_000;
        std::fs::write(&source, format!("{before}_bias[{size}= {{\n    {other},{others}")).unwrap();
        let Some((is_good, said)) = compiled("gcc", &C_FLAGS, &source) else { return };
        assert!(!is_good && !said.starts_with('0'), "{said}");
    });
}

#[test]
fn a_chain_has_two_buffers_and_a_last_sum_none() {
    each(|model, samples| {
        let network = int8::of(&model, &samples, NonZeroUsize::MIN).unwrap();
        let buffers = Buffers::of(&network.plan);
        let is_linear = network.plan.steps.len() == 1;
        assert!(if is_linear { buffers.bytes.is_empty() } else { (2..=3).contains(&buffers.bytes.len()) });
        for (at, step) in network.plan.steps.iter().enumerate() {
            let apart = step.inputs.iter().all(|&value| buffers.of[value] != buffers.of[at + 1]);
            assert!(apart || is_linear, "{}", model.architecture);
        }
    });
}

#[test]
fn every_network_computes_close_logits_in_onnx() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    each(|model, samples| {
        let network = int8::of(&model, &samples, NonZeroUsize::MIN).unwrap();
        let checked = written(&model, &network, IntegerFormat::Onnx, &path);
        assert!(checked.contains("largest difference"), "{checked}");
    });
}

#[test]
fn too_many_numbers_are_refused() {
    let model = model(1, "flatten dense(4000) dense(1000) dense", "unit");
    let samples = checked_images(&model);
    let network = int8::of(&model, &samples, NonZeroUsize::MIN).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let error = write(&model, &network, IntegerFormat::C, &folder.path().join("model.c")).unwrap_err();
    assert!(error.to_string().starts_with("--format c: 4585004 numbers are too many"), "{error}");
}
