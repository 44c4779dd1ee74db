mod crashes;
mod model;

use super::writer::{Done, LookBack, Writer, Written};
use super::*;
use crate::observe::events::Kept;
use common::checkpoint::{Best, Checkpoint, Position, Versioned};
use common::data::classes::ClassNames;
use common::data::digits::SPEC;
use common::ids::Epoch;
use common::model::params::Layout;
use common::train::config::DataIdentity;
use common::train::metrics::Totals;
use common::train::optim::OptimizerSpec;
use common::train::schedule::{Schedule, Shape};
use std::fs;
use std::sync::mpsc;
use std::time::Duration;

pub(crate) fn config() -> RunConfig {
    let training = TrainingConfig {
        val_split: 10,
        seed: 1,
        batch_size: 10,
        micro_batch: 5,
        epochs: 1,
        optimizer: OptimizerSpec::Sgd { momentum: 0.9, nesterov: false, weight_decay: 0.0 },
        schedule: Schedule { base: 0.1, shape: Shape::Constant, warmup_steps: 0 },
        clip_grad_norm: None,
        ..TrainingConfig::new("mlp(1)".parse().unwrap())
    };
    let data = DataIdentity {
        name: "digits".into(),
        digest: "00".into(),
        samples: 100,
        spec: SPEC,
        classes: ClassNames::numbers(SPEC.classes()),
    };
    RunConfig::new(training, data).unwrap()
}

pub(crate) fn layout() -> Layout {
    config().model().layout().clone()
}

pub(crate) fn checkpoint(step: u64) -> Checkpoint {
    let values: Vec<f32> = (0..layout().len()).map(|i| step as f32 + i as f32).collect();
    Checkpoint {
        position: Position {
            step: Step(step),
            epoch: Epoch(0),
            step_in_epoch: step,
            train: Totals::default(),
            validation: None,
            averaged_validation: None,
            best: None,
            plateau: None,
        },
        config: config().fields(),
        numerics: None,
        params: values.clone(),
        more: Versioned { averaged: None, best: Some(values.clone()) },
        labels: None,
        slots: vec![("momentum_buffer".to_owned(), values)],
    }
}

pub(crate) fn expected() -> Expected {
    Expected::of(config().training())
}

fn newest(root: &Path) -> (Option<Checkpoint>, Vec<String>) {
    let found = Store::open(root, 3).unwrap().newest(&expected()).unwrap();
    let decode =
        |(_, verified): (PathBuf, Verified)| verified.decode(&layout(), &["momentum_buffer"]).unwrap();
    (found.newest.map(decode), found.rejected.iter().map(ToString::to_string).collect())
}

fn names(root: &Path) -> Vec<String> {
    let mut names = FileSystem.list(root).unwrap();
    names.sort();
    names
}

#[test]
fn the_newest_checkpoint_is_found_and_saving_twice_gives_the_same_bytes() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path(), 3).unwrap();
    assert!(store.newest(&expected()).unwrap().newest.is_none());
    for step in [1, 2, 2] {
        let path = store.save(&checkpoint(step), &layout()).unwrap().path;
        assert_eq!(fs::read_dir(&path).unwrap().count(), 4);
    }
    drop(store);
    assert_eq!(newest(root.path()), (Some(checkpoint(2)), vec![]));
    assert_eq!(names(root.path()), ["lock", "step-000000000001", "step-000000000002"]);
}

#[test]
fn the_newest_ones_and_the_best_are_kept() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path(), 2).unwrap();
    for step in 1..=5 {
        let mut checkpoint = checkpoint(step);
        checkpoint.position.best = Some(Best { step: Step(step.min(2)), correct: 1, samples: 1 });
        store.save(&checkpoint, &layout()).unwrap();
    }
    let kept = ["lock", "step-000000000002", "step-000000000004", "step-000000000005"];
    assert_eq!(names(root.path()), kept);
    // A later one, of an earlier life of the run, is no reason to remove the one just saved.
    let store = {
        drop(store);
        Store::open(root.path(), 1).unwrap()
    };
    store.save(&checkpoint(3), &layout()).unwrap();
    assert_eq!(names(root.path()), ["lock", "step-000000000003", "step-000000000004", "step-000000000005"]);
}

#[test]
fn a_damaged_checkpoint_is_refused_and_the_one_before_it_is_taken() {
    type Damage = fn(&Path);
    let flip = |path: PathBuf| {
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        fs::write(&path, bytes).unwrap();
    };
    let damages: [(&str, Damage); 7] = [
        ("cannot read", |d| fs::remove_file(d.join(MANIFEST_FILE)).unwrap()),
        ("cannot read", |d| fs::remove_file(d.join(MODEL_FILE)).unwrap()),
        ("manifest.json can't be read", |d| fs::write(d.join(MANIFEST_FILE), b"").unwrap()),
        ("model.safetensors has 10 bytes", |d| fs::write(d.join(MODEL_FILE), [0; 10]).unwrap()),
        ("optimizer.safetensors has 0 bytes", |d| fs::write(d.join(OPTIMIZER_FILE), b"").unwrap()),
        ("model.safetensors has the SHA-256", |_| {}),
        ("optimizer.safetensors has the SHA-256", |_| {}),
    ];
    for (i, (message, damage)) in damages.into_iter().enumerate() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path(), 3).unwrap();
        store.save(&checkpoint(1), &layout()).unwrap();
        let path = store.save(&checkpoint(2), &layout()).unwrap().path;
        drop(store);
        match i {
            5 => flip(path.join(MODEL_FILE)),
            6 => flip(path.join(OPTIMIZER_FILE)),
            _ => damage(&path),
        }
        let (found, rejected) = newest(root.path());
        assert_eq!(found, Some(checkpoint(1)), "{message}");
        assert!(rejected.len() == 1 && rejected[0].contains(message), "{rejected:?}");
        assert!(rejected[0].contains("step-000000000002"), "{rejected:?}");
    }
}

#[test]
fn a_checkpoint_with_numbers_that_are_not_finite_is_passed_over() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path(), 3).unwrap();
    store.save(&checkpoint(1), &layout()).unwrap();
    let mut slot = checkpoint(2);
    let mut model = checkpoint(3);
    slot.slots[0].1[4] = f32::INFINITY;
    model.params[4] = f32::NAN;
    store.save(&slot, &layout()).unwrap();
    store.save(&model, &layout()).unwrap();
    drop(store);
    let (found, rejected) = newest(root.path());
    assert_eq!(found, Some(checkpoint(1)));
    assert_eq!(rejected.len(), 2);
    assert!(rejected[0].contains("model.safetensors: tensor fc1.weight is not finite"), "{rejected:?}");
    let tensor = "optimizer.safetensors: tensor momentum_buffer.fc1.weight is not finite";
    assert!(rejected[1].contains(tensor), "{rejected:?}");
}

#[test]
fn a_file_that_no_such_model_has_is_not_read() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path(), 3).unwrap();
    store.save(&checkpoint(1), &layout()).unwrap();
    let path = store.save(&checkpoint(2), &layout()).unwrap().path;
    drop(store);
    // It takes no room on the disk, and would take all of the memory.
    File::options().write(true).open(path.join(MODEL_FILE)).unwrap().set_len(1 << 40).unwrap();
    let (found, rejected) = newest(root.path());
    assert_eq!(found, Some(checkpoint(1)));
    assert!(rejected[0].contains("model.safetensors: it has 1099511627776 bytes or more"), "{rejected:?}");
}

#[test]
fn a_checkpoint_of_another_configuration_is_refused_unread() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path(), 3).unwrap();
    let mut other = checkpoint(2);
    other.config.insert("seed".to_owned(), "\x1b[31m2".to_owned());
    let path = store.save(&other, &layout()).unwrap().path;
    fs::write(path.join(MODEL_FILE), "").unwrap();
    let error = store.newest(&expected()).unwrap_err();
    assert!(matches!(&error, StoreError::Different { path: of, .. } if *of == path), "{error}");
    assert!(error.to_string().contains("seed: saved \\u001b[31m2, now 1"), "{error}");
}

#[test]
fn a_configuration_that_can_not_be_run_is_refused_unread() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path(), 3).unwrap();
    let refused = |name: &str, value: &str| {
        let mut other = checkpoint(2);
        other.config.insert(name.to_owned(), value.to_owned());
        let path = store.save(&other, &layout()).unwrap().path;
        fs::write(path.join(MODEL_FILE), "").unwrap();
        load(&path, &Expected::any()).unwrap_err().to_string()
    };
    let error = refused("model", "flatten dense(65536) dense(65536) dense");
    assert!(error.contains("more than 268435456 parameters"), "{error}");
    let error = refused("data_spec", "0x28x1, 10 classes");
    assert!(error.contains("data_spec is") && error.contains("height"), "{error}");
    let error = refused("seed", "\x1b[31mred");
    assert!(error.contains("seed is") && !error.contains('\x1b'), "{error}");
}

#[test]
fn a_second_coordinator_is_refused_while_the_first_is_there() {
    let root = tempfile::tempdir().unwrap();
    let first = Store::open(root.path(), 1).unwrap();
    let error = Store::open(root.path(), 1).unwrap_err();
    assert!(matches!(error, StoreError::Locked(_)), "{error}");
    drop(first);
    assert!(Store::open(root.path(), 1).is_ok());
}

#[test]
fn set_aside_means_moved_and_never_deleted() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path(), 3).unwrap();
    assert_eq!(store.move_aside(|_| true).unwrap(), None);
    for life in ["earlier-1", "earlier-2"] {
        store.save(&checkpoint(7), &layout()).unwrap();
        assert_eq!(store.move_aside(|_| true).unwrap(), Some(root.path().join(life)));
        assert!(store.newest(&expected()).unwrap().newest.is_none());
        assert!(load(&root.path().join(life).join("step-000000000007"), &expected()).is_ok());
    }
}

#[test]
fn a_run_that_goes_back_leaves_later_checkpoints_aside() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path(), 9).unwrap();
    for step in [5, 10, 15, 20] {
        store.save(&checkpoint(step), &layout()).unwrap();
    }
    fs::write(root.path().join("step-000000000010").join(MODEL_FILE), "damaged").unwrap();
    let look = |until, goes_back| {
        let asked = LookBack { expected: expected(), until: Step(until), goes_back };
        let found = store.look_back(&asked).unwrap();
        found.map(|(path, _)| path.file_name().unwrap().to_str().unwrap().to_owned())
    };
    let five = Some("step-000000000005".to_owned());
    assert_eq!(look(14, false), five);
    assert_eq!(store.steps().unwrap().len(), 4, "nothing is moved by looking");
    assert_eq!(look(14, true), five);
    assert_eq!(store.steps().unwrap(), [Step(5)]);
    assert_eq!(names(&root.path().join("earlier-1")).len(), 3);
    assert_eq!((look(4, true), store.steps().unwrap()), (None, vec![]), "back to the beginning");
}

#[test]
fn the_writer_ends_with_the_last_checkpoint_on_disk() {
    let root = tempfile::tempdir().unwrap();
    let (sender, written) = mpsc::channel();
    let store = Store::open(root.path(), 100).unwrap();
    let writer = Writer::start(store, layout(), move |done| sender.send(of_save(done)).unwrap()).unwrap();
    (1..=20).for_each(|step| {
        writer.submit(checkpoint(step), Kept::default());
    });
    drop(writer);
    let steps: Vec<u64> = written.iter().map(|w| (w.result.unwrap(), w.step.0).1).collect();
    assert!(steps.is_sorted() && steps.last() == Some(&20), "{steps:?}");
    assert_eq!(newest(root.path()).0, Some(checkpoint(20)));
}

#[test]
fn a_disk_that_hangs_holds_nobody_up_for_ever() {
    let root = tempfile::tempdir().unwrap();
    let (release, hangs) = mpsc::channel::<()>();
    let store = Store::open(root.path(), 3).unwrap();
    let writer = Writer::start(store, layout(), move |_| _ = hangs.recv()).unwrap();
    writer.submit(checkpoint(1), Kept::default());
    assert!(!writer.ends_within(Duration::from_millis(50)));
    drop(release);
    drop(writer);
    assert_eq!(newest(root.path()).0, Some(checkpoint(1)), "and it has let go of the folder");
}

fn of_save(done: Done) -> Written {
    match done {
        Done::Written(written) => written,
        Done::LookedBack(found) => panic!("nobody looks back: {found:?}"),
    }
}
