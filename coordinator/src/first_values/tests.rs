use super::*;
use ::safetensors::Dtype;
use ::safetensors::tensor::TensorView;
use common::data::digits::SPEC;
use common::model::params::{Init, Layout};
use std::fs;

const NETWORK: &str = "flatten dense(2) relu dense";

fn training() -> TrainingConfig {
    let model = Some(NETWORK.parse().unwrap());
    crate::training_flags::TrainingFlags { model, ..Default::default() }.resolve(None).unwrap()
}

fn layout() -> Layout {
    Architecture::parse(SPEC, NETWORK).unwrap().layout().clone()
}

/// A file of safetensors with values of that type for the network.
fn file(dtype: Dtype, number: impl Fn(f32) -> Vec<u8>) -> Vec<u8> {
    let layout = layout();
    let values = Init::He.draw(&layout, 9);
    let tensors: Vec<_> = layout
        .iter()
        .map(|(spec, range)| {
            let bytes: Vec<u8> = values[range].iter().flat_map(|&value| number(value)).collect();
            (spec.name.clone(), spec.shape.clone(), bytes)
        })
        .collect();
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| (name.clone(), TensorView::new(dtype, shape.clone(), bytes).unwrap()));
    ::safetensors::serialize(views, None).unwrap()
}

fn load(bytes: &[u8]) -> Result<FirstValues, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    fs::write(&path, bytes).unwrap();
    let flags = TransferFlags { init_from: Some(path), ..TransferFlags::default() };
    let first = FirstValues::of(&flags, &training(), SPEC).map_err(|error| error.to_string());
    Ok(first?.expect("a file was named"))
}

fn plain() -> Vec<u8> {
    file(Dtype::F32, |value| value.to_le_bytes().to_vec())
}

/// The file with its header changed.
fn with_header(change: impl Fn(&str) -> String) -> Vec<u8> {
    let good = plain();
    let length = u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    let header = change(std::str::from_utf8(&good[8..8 + length]).unwrap());
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &good[8 + length..]].concat()
}

#[test]
fn every_type_of_numbers_gives_the_same_values_but_for_rounding() {
    let expected = Init::He.draw(&layout(), 9);
    let first = load(&plain()).unwrap();
    assert_eq!((&first.values, first.said.len()), (&expected, 0));
    let double = load(&file(Dtype::F64, |value| f64::from(value).to_le_bytes().to_vec())).unwrap();
    assert_eq!((double.values, double.init_from), (expected.clone(), first.init_from));
    assert!(double.said[0].ends_with("4 tensors of F64 become F32"), "{:?}", double.said);
    let half = load(&file(Dtype::BF16, |value| value.to_le_bytes()[2..].to_vec())).unwrap();
    assert!(half.values.iter().zip(&expected).all(|(got, want)| (got - want).abs() <= want.abs() / 128.0));
    let error = load(&file(Dtype::I32, |_| vec![0; 4])).unwrap_err();
    assert!(error.contains("fc1.bias is of the type I32; F32, F16, BF16 and F64 are read"), "{error}");
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    for (dtype, bytes) in [
        (Dtype::F32, f32::NAN.to_le_bytes().to_vec()),
        (Dtype::F32, f32::INFINITY.to_le_bytes().to_vec()),
        (Dtype::F64, 1e300f64.to_le_bytes().to_vec()),
    ] {
        let error = load(&file(dtype, |_| bytes.clone())).unwrap_err();
        assert!(error.contains("fc1.bias holds a number that is not finite"), "{error}");
    }
}

#[test]
fn a_file_that_is_cut_off_or_lies_is_refused() {
    let good = plain();
    for length in (0..good.len()).step_by(7) {
        assert!(load(&good[..length]).is_err(), "{length} of {} bytes", good.len());
    }
    let long = [&u64::MAX.to_le_bytes()[..], &good[8..]].concat();
    assert!(load(&long).unwrap_err().contains("cut off: its header has 18446744073709551615 bytes"));
    let crowded = [&(5u64 << 20).to_le_bytes()[..], &vec![b' '; 6 << 20]].concat();
    assert!(load(&crowded).unwrap_err().contains("the most that is read"));
    for (from, to, is_fine) in [
        ("[0,8]", "[0,4]", false),
        ("[0,8]", "[8,0]", false),
        ("[0,8]", "[18446744073709551607,18446744073709551615]", false),
        ("[2,784]", "[2,4611686018427387904]", false),
        ("[2,784]", "[784,2]", false),
        ("\"dtype\"", "\"type\"", false),
        ("{\"fc1", "{\"__metadata__\":{\"format\":\"pt\"},\"fc1", true),
    ] {
        let result = load(&with_header(|header| {
            assert!(header.contains(from), "{header}");
            header.replacen(from, to, 1)
        }));
        let says =
            ["does not lie in the file", "its header is damaged", "fc1.weight: the network's is [2, 784]"];
        match result {
            Ok(_) => assert!(is_fine, "{from} {to}"),
            Err(error) => assert!(!is_fine && says.iter().any(|text| error.contains(text)), "{error}"),
        }
    }
}
