//! What a bucket may hold that no run of ours has written, and runs that a bucket is not for.

use super::faulty::memory;
use super::*;
use crate::RunError;
use crate::mirror::key::{self, Attempt, ManifestId};
use crate::mirror::upload::list;
use crate::store::StoreError;
use common::checkpoint::{MODEL_FILE, Manifest, OPTIMIZER_FILE, digest};

/// A store with the checkpoints 1 and 2, and the attempt of the second.
fn two() -> (Arc<dyn ObjectStore>, Attempt) {
    let (folder, store) = (tempfile::tempdir().unwrap(), memory());
    let side = Side::begin(folder.path(), bucket(&store)).unwrap();
    side.save([1, 2]);
    assert!(side.finish().is_whole());
    let manifest = std::fs::read(folder.path().join("step-000000000002/manifest.json")).unwrap();
    let contents = block_on(list(&bucket(&store))).unwrap();
    let attempt = contents.attempts(Step(2), &ManifestId::of(&manifest)).remove(0);
    (store, attempt)
}

fn put(store: &Arc<dyn ObjectStore>, key: &str, bytes: Vec<u8>) {
    block_on(bucket(store).put(key, bytes.into())).unwrap();
}

fn get(store: &Arc<dyn ObjectStore>, key: &str) -> Vec<u8> {
    block_on(bucket(store).read(key, 1 << 30, GRACE)).unwrap().unwrap().bytes
}

#[test]
fn a_damaged_checkpoint_is_passed_over_and_the_one_before_is_taken() {
    type Damage = fn(&Arc<dyn ObjectStore>, &Attempt);
    let damages: [Damage; 8] = [
        |store, of| {
            let mut bytes = get(store, &key::data(Step(2), of, MODEL_FILE));
            let middle = bytes.len() / 2;
            bytes[middle] ^= 4;
            put(store, &key::data(Step(2), of, MODEL_FILE), bytes);
        },
        |store, of| put(store, &key::data(Step(2), of, OPTIMIZER_FILE), vec![]),
        |store, of| put(store, &key::data(Step(2), of, OPTIMIZER_FILE), vec![0; 1 << 20]),
        |store, of| block_on(bucket(store).remove(&key::data(Step(2), of, MODEL_FILE))).unwrap(),
        |store, _| put(store, &key::manifest(Step(2)), b"{}".to_vec()),
        |store, _| put(store, &key::manifest(Step(2)), vec![b' '; 2 << 20]),
        |store, _| put(store, &key::manifest(Step(2)), get(store, &key::manifest(Step(1)))),
        // A manifest of its own that claims files of other sizes than such a network has.
        |store, of| {
            let text = String::from_utf8(get(store, &key::manifest(Step(2)))).unwrap();
            let bytes = get(store, &key::data(Step(2), of, MODEL_FILE)).len();
            let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(value["files"][MODEL_FILE]["bytes"], bytes);
            value["files"][MODEL_FILE]["bytes"] = (1u64 << 40).into();
            let text = resealed(&value);
            let forged = Attempt { incarnation: 9, manifest: ManifestId::of(&text) };
            put(store, &key::data(Step(2), &forged, MODEL_FILE), vec![0; 1 << 20]);
            put(store, &key::manifest(Step(2)), text);
        },
    ];
    for (i, damage) in damages.into_iter().enumerate() {
        let (store, attempt) = two();
        damage(&store, &attempt);
        assert_eq!(newest(&store), Some(1), "damage {i}");
    }
}

/// A manifest with the digest that it should have.
fn resealed(value: &serde_json::Value) -> Vec<u8> {
    let mut open = value.clone();
    open["sha256"] = "".into();
    let manifest: Manifest = serde_json::from_value(open).unwrap();
    let text = serde_json::to_string_pretty(&manifest).unwrap() + "\n";
    let digest = digest(text.as_bytes());
    let sealed = text.replace("\"sha256\": \"\"", &format!("\"sha256\": \"{digest}\"")).into_bytes();
    assert!(Manifest::parse(&sealed).is_ok());
    sealed
}

#[test]
fn a_run_that_reaches_a_damaged_checkpoint_again_replaces_it() {
    let (store, attempt) = two();
    put(&store, &key::manifest(Step(2)), b"damaged".to_vec());
    put(&store, &key::data(Step(2), &attempt, MODEL_FILE), vec![]);
    let folder = tempfile::tempdir().unwrap();
    let side = Side::begin(folder.path(), bucket(&store)).unwrap();
    side.save([2]);
    assert!(side.finish().is_whole());
    assert_eq!(whole(&store), [2, 1]);
}

#[test]
fn another_configuration_and_a_run_that_begins_anew_are_refused() {
    let (store, _) = two();
    let folder = tempfile::tempdir().unwrap();
    let mirror = Mirror::open_on(bucket(&store), folder.path(), KEEP, TIMES).unwrap();
    let config = crate::store::tests::config().fields();
    let check = |config: &_, resumed: Option<u64>, is_newest| {
        mirror.check(config, resumed.map(Step), is_newest).map_err(|error: RunError| error.to_string())
    };
    assert_eq!(check(&config, Some(2), false), Ok(()));
    assert_eq!(check(&config, Some(1), true), Ok(()), "step 2 was passed over");
    let error = check(&config, None, false).unwrap_err();
    assert!(error.contains("memory://runs/one has a checkpoint of step 2"), "{error}");
    assert!(check(&config, Some(1), false).is_err());
    let mut other = config;
    other.insert("seed".to_owned(), "7".to_owned());
    let error = check(&other, Some(2), true).unwrap_err();
    assert!(error.contains("memory://runs/one/step-000000000002 is of another configuration"), "{error}");
    assert!(error.contains("seed: saved 1, now 7"), "{error}");
    let mut training = crate::store::tests::config().training().clone();
    training.seed = 7;
    let mut here = Store::open(folder.path(), KEEP).unwrap();
    let expected = crate::store::Expected::of(&training);
    let error = mirror.bring_newer(&mut here, None, &expected).unwrap_err();
    assert!(matches!(error, RunError::Store(StoreError::Different { .. })), "{error}");
}

#[test]
fn what_the_run_has_gone_back_from_is_removed_and_not_taken_meanwhile() {
    let (folder, store) = (tempfile::tempdir().unwrap(), memory());
    let side = Side::begin(folder.path(), bucket(&store)).unwrap();
    side.save([1, 2]);
    let shared = Arc::clone(&side.mirror.shared);
    drop(side);
    // Nobody is there any more to remove it.
    shared.went_back(Some(Step(1)));
    let here = |store: &Arc<dyn ObjectStore>| {
        let mirror = Mirror::open_on(bucket(store), folder.path(), KEEP, TIMES).unwrap();
        mirror.candidates.intact.iter().map(|candidate| candidate.step.0).collect::<Vec<_>>()
    };
    assert_eq!(here(&store), [1]);
    let side = Side::begin(folder.path(), bucket(&store)).unwrap();
    side.save([3]);
    side.store.save(&checkpoint(4), &layout()).unwrap();
    assert!(side.finish().is_whole());
    assert_eq!(whole(&store), [4, 3]);
    assert_eq!(here(&store), [4, 3], "and it is remembered no longer");
}

#[test]
fn a_checkpoint_from_before_the_mirror_goes_there_too_and_one_that_is_there_does_not() {
    let (folder, store) = (tempfile::tempdir().unwrap(), memory());
    let mut here = Store::open(folder.path(), KEEP).unwrap();
    let path = here.save(&checkpoint(7), &layout()).unwrap().path;
    for _ in 0..2 {
        let mut mirror = Mirror::open_on(bucket(&store), folder.path(), KEEP, TIMES).unwrap();
        here.mirror_to(mirror.begin(Some((Step(7), &path))).unwrap());
        let mirrored = mirror.finish_within(GRACE, &watch::channel(0).1);
        assert_eq!(mirrored.to_string(), "memory://runs/one/step-000000000007");
    }
    let contents = block_on(list(&bucket(&store))).unwrap();
    assert_eq!(contents.incarnation_max(), 1, "it was uploaded once");
}
