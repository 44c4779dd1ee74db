use super::*;
use crate::data::digits::SPEC;
use crate::model::architecture::{Architecture, LAYERS_MAX};
use crate::rng::Stream;
use proptest::prelude::*;

const SLOTS: [&str; 2] = ["exp_avg", "exp_avg_sq"];

fn layout() -> Layout {
    layout_of("mlp(3)")
}

fn layout_of(text: &str) -> Layout {
    Architecture::parse(SPEC, text).unwrap().layout().clone()
}

fn checkpoint() -> Checkpoint {
    let len = layout().len();
    let mut stream = Stream::new(5, "checkpoint test", &[]);
    let mut values = || (0..len).map(|_| stream.between(-1.0, 1.0)).collect::<Vec<f32>>();
    let train = Totals { samples: 300, correct: 200, loss_sum: 0.1 + 0.2 };
    Checkpoint {
        position: Position {
            step: Step(12),
            epoch: Epoch(1),
            step_in_epoch: 2,
            train,
            validation: Some(Totals { loss_sum: 1.0 / 3.0, ..train }),
            averaged_validation: None,
            best: Some(Best { step: Step(10), correct: 9, samples: 10 }),
            plateau: None,
        },
        config: [("model", "mlp(3)"), ("seed", "1")].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        numerics: Some(NumericsDigest(0x0123_4567_89ab_cdef)),
        params: values(),
        more: Versioned::default(),
        labels: None,
        slots: SLOTS.map(|name| (name.to_owned(), values())).into(),
    }
}

/// The same with all that only some runs have.
fn full() -> Checkpoint {
    let params = checkpoint().params;
    let version = |factor: f32| Some(params.iter().map(|value| value * factor).collect());
    let mut full = checkpoint();
    full.position.averaged_validation = Some(full.position.train);
    let more = Versioned { averaged: version(0.5), best: version(-1.0) };
    Checkpoint { more, labels: Some(vec![3, u16::MAX, 0]), ..full }
}

fn read(files: &[(&'static str, Vec<u8>)]) -> Result<Checkpoint, CheckpointError> {
    let file = |name: &str| files.iter().find(|(file, _)| *file == name).unwrap().1.clone();
    let manifest = Manifest::parse(&file(MANIFEST_FILE))?;
    let more = manifest.more_files().map(|name| (name, file(name))).collect();
    manifest.verify(file(MODEL_FILE), file(OPTIMIZER_FILE), more)?.decode(&layout(), &SLOTS)
}

/// Content of the last file.
fn manifest_of(checkpoint: &Checkpoint) -> Vec<u8> {
    checkpoint.encode(&layout()).files.pop().unwrap().1
}

#[test]
fn what_was_saved_is_loaded_bit_for_bit() {
    let files = checkpoint().encode(&layout()).files;
    assert_eq!(read(&files).unwrap(), checkpoint());
    assert_eq!(checkpoint().encode(&layout()).files, files, "the same state has the same bytes");
    let manifest = String::from_utf8(manifest_of(&checkpoint())).unwrap();
    assert!(
        !manifest.contains("plateau") && !manifest.contains("averaged"),
        "what there is none of is left out"
    );
    assert_eq!(read(&full().encode(&layout()).files).unwrap(), full());
    let names: Vec<&str> = full().encode(&layout()).files.into_iter().map(|(name, _)| name).collect();
    let expected = [MODEL_FILE, AVERAGED_FILE, BEST_FILE, LABELS_FILE, OPTIMIZER_FILE, MANIFEST_FILE];
    assert_eq!(names, expected);
    let mut watched = checkpoint();
    for state in [PlateauState::BEGINNING, PlateauState { best_loss: 0.1 + 0.2, epochs: 3, falls: 1 }] {
        watched.position.plateau = Some(state);
        assert_eq!(read(&watched.encode(&layout()).files).unwrap(), watched);
    }
}

#[test]
fn no_file_is_longer_than_its_layout_allows() {
    let deepest = format!("flatten {}dense", "dense(1) ".repeat(LAYERS_MAX - 2));
    for layout in [layout(), layout_of("linear"), layout_of(&deepest)] {
        let values = vec![0.0; layout.len()];
        let slots = SLOTS.map(|name| (name.to_owned(), values.clone())).into();
        let files = Checkpoint { params: values, slots, ..checkpoint() }.encode(&layout).files;
        for ((_, file), prefixes) in files.iter().zip([&[""][..], &SLOTS]) {
            let bytes = file.len() as u64;
            let most = tensors_bytes_max(&layout, prefixes);
            let slack = 20_000 + 256 * (layout.iter().count() * prefixes.len()) as u64;
            assert!((bytes..bytes + slack).contains(&most), "{bytes} of at most {most}");
        }
    }
}

#[test]
fn every_flipped_byte_is_refused() {
    let files = full().encode(&layout()).files;
    for file in 0..files.len() {
        for at in 0..files[file].1.len() {
            for bit in [1, 0x20, 0x80] {
                let mut damaged = files.clone();
                damaged[file].1[at] ^= bit;
                assert!(read(&damaged).is_err(), "byte {at} of {}", files[file].0);
            }
        }
    }
}

#[test]
fn a_file_that_is_cut_short_is_refused_by_name() {
    let files = full().encode(&layout()).files;
    for (file, length) in [(0, 0), (0, 100), (1, 0), (2, 99), (3, 7), (4, 9), (5, 0), (5, 50)] {
        let mut damaged = files.clone();
        damaged[file].1.truncate(length);
        let message = read(&damaged).unwrap_err().to_string();
        assert!(message.contains(files[file].0), "{message}");
    }
}

#[test]
fn another_versions_manifest_is_refused_with_both_versions() {
    let manifest = manifest_of(&checkpoint());
    let text = String::from_utf8(manifest).unwrap().replace("\"format_version\": 4", "\"format_version\": 9");
    let error = Manifest::parse(text.as_bytes()).unwrap_err();
    assert!(matches!(error, CheckpointError::Version { got: 9 }), "{error}");
}

#[test]
fn another_models_tensors_are_refused() {
    let error = |layout: &Layout, slots: &[&str]| {
        let files = checkpoint().encode(&super::tests::layout()).files;
        let [(_, model), (_, optimizer), (_, manifest)] = files.try_into().unwrap();
        let verified = Manifest::parse(&manifest).unwrap().verify(model, optimizer, Vec::new()).unwrap();
        verified.decode(layout, slots).unwrap_err().to_string()
    };
    let wider = layout_of("mlp(4)");
    assert!(error(&wider, &SLOTS).contains("fc1.bias is F32 [3]; it must be F32 [4]"));
    assert!(error(&layout(), &["momentum_buffer"]).contains("8 tensors instead of 4"));
    assert!(error(&layout(), &["exp_avg", "other"]).contains("no tensor other.fc1.bias"));
}

#[test]
fn labels_of_another_form_are_refused_and_no_file_of_them_is_longer_than_their_number_allows() {
    for labels in [0, 1, 2, 1000] {
        let bytes = tensors::encode_labels(&vec![7; labels]).len() as u64;
        assert!((bytes..bytes + 300).contains(&labels_bytes_max(labels as u32)), "{bytes}");
    }
    let others = tensors::encode(&layout_of("linear"), &[("", &vec![0.0; layout_of("linear").len()])]);
    assert_eq!(tensors::decode_labels(&others), Err(TensorsError::Count { got: 2, expected: 1 }));
    let of = |text: &str, to: &str| {
        let file = tensors::encode_labels(&[1, 2]);
        let header = String::from_utf8(file[8..file.len() - 4].to_vec()).unwrap().replace(text, to);
        let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[0; 4]].concat();
        tensors::decode_labels(&bytes).unwrap_err().to_string()
    };
    assert!(of("labels", "others").contains("no tensor labels"));
    assert!(of("U16", "F16").contains("tensor labels is F16 [2]; it must be U16"));
    assert!(of("[2]", "[1,2]").contains("tensor labels is U16 [1, 2]"));
    assert!(of("[2]", "[3]").starts_with("no safetensors file"));
}

#[test]
fn a_checkpoint_that_is_not_finite_is_refused_by_tensor() {
    let refused = |change: fn(&mut Checkpoint)| {
        let mut checkpoint = checkpoint();
        change(&mut checkpoint);
        let error = read(&checkpoint.encode(&layout()).files).unwrap_err();
        assert!(
            matches!(error, CheckpointError::Tensors { source: TensorsError::NonFinite(_), .. }),
            "{error}"
        );
        error.to_string()
    };
    let first = refused(|checkpoint| checkpoint.params[0] = f32::NAN);
    assert_eq!(first, "model.safetensors: tensor fc1.bias is not finite");
    let last = refused(|checkpoint| *checkpoint.slots[1].1.last_mut().unwrap() = f32::NEG_INFINITY);
    assert_eq!(last, "optimizer.safetensors: tensor exp_avg_sq.fc2.weight is not finite");
    let best = refused(|checkpoint| {
        checkpoint.more.best = Some(checkpoint.params.clone());
        checkpoint.more.best.iter_mut().for_each(|best| best[0] = f32::NAN);
    });
    assert_eq!(best, "model-best.safetensors: tensor fc1.bias is not finite");
}

#[test]
fn a_manifest_records_the_arithmetic_that_a_run_is_held_to() {
    let text = |numerics| String::from_utf8(manifest_of(&Checkpoint { numerics, ..checkpoint() })).unwrap();
    let held = text(checkpoint().numerics);
    assert!(held.contains("\"numerics\": \"0123456789abcdef\""), "{held}");
    let free = text(None);
    assert!(!free.contains("numerics"), "who computed leaves no trace: {free}");
    assert_eq!(Manifest::parse(free.as_bytes()).unwrap().numerics, None);
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Manifest::parse(&bytes);
        let _ = tensors::decode(&bytes, &layout(), &[""]);
        let _ = tensors::decode_labels(&bytes);
    }
}
