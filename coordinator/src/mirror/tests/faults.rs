//! A fault at each request of a mirrored run, one after the other.

use super::faulty::{Fault, memory};
use super::*;
use crate::mirror::upload::list;

/// Requests of an open, two saves and an end are fewer.
const REQUESTS_MAX: usize = 200;

/// A folder, and a store that has the checkpoint 1 of its run.
fn begun() -> (TempDir, Arc<dyn ObjectStore>) {
    let (folder, store) = (tempfile::tempdir().unwrap(), memory());
    let side = Side::begin(folder.path(), bucket(&store)).unwrap();
    side.save([1]);
    assert!(side.finish().is_whole());
    (folder, store)
}

/// Runs on against a store with a fault at that request, for two checkpoints more. Returns whether it struck,
/// and what became of the last one, if the run began.
fn disturbed(fault: Fault, at: usize) -> (bool, Option<Mirrored>, Arc<dyn ObjectStore>, TempDir) {
    let (folder, store) = begun();
    let faulty = Faulty::new(&store, fault, at);
    let mirrored = match Side::begin(folder.path(), bucket(&faulty.store())) {
        // A fault at the start is told.
        Err(error) => {
            assert!(!error.to_string().contains('\u{1b}'), "{error}");
            None
        }
        Ok(side) => {
            side.save([2, 3]);
            let grace = if matches!(fault, Fault::Dies | Fault::DiesAfter) { Duration::ZERO } else { GRACE };
            Some(side.mirror.finish_within(grace, &watch::channel(0).1))
        }
    };
    (faulty.has_struck(), mirrored, store, folder)
}

/// What is left of dead attempts after a further start on the folder.
fn left_over(folder: &TempDir, store: &Arc<dyn ObjectStore>) -> usize {
    let side = Side::begin(folder.path(), bucket(store)).unwrap();
    side.save([4]);
    assert!(side.finish().is_whole());
    let known = [3, 4].map(|step| {
        let path = folder.path().join(directory(Step(step)));
        Source::open(&path).map(|source| (Step(step), source.id)).ok()
    });
    let contents = block_on(list(&bucket(store))).unwrap();
    contents.dead(u64::MAX, &known.into_iter().flatten().collect()).len()
}

#[test]
fn a_fault_at_any_request_leaves_whole_checkpoints_and_the_last_one_comes_in_the_end() {
    for fault in [Fault::Fails, Fault::LosesAnswer, Fault::Cuts] {
        let mut struck = 0;
        for at in 1..REQUESTS_MAX {
            let (has_struck, mirrored, store, folder) = disturbed(fault, at);
            if !has_struck {
                break;
            }
            struck = at;
            let steps = whole(&store);
            match mirrored {
                Some(mirrored) => {
                    assert!(mirrored.is_whole(), "{fault:?} at request {at}: {mirrored}");
                    assert_eq!(steps[0], 3, "{fault:?} at request {at}");
                }
                None => assert_eq!(steps, [1], "{fault:?} at request {at}"),
            }
            assert_eq!(left_over(&folder, &store), 0, "{fault:?} at request {at}");
        }
        assert!((35..REQUESTS_MAX - 1).contains(&struck), "{fault:?}: {struck} requests");
    }
}

#[test]
fn a_coordinator_that_is_gone_at_any_request_leaves_whole_checkpoints() {
    for fault in [Fault::Dies, Fault::DiesAfter] {
        let mut seen = [0; 4];
        let mut struck = 0;
        for at in 1..REQUESTS_MAX {
            let (has_struck, mirrored, store, folder) = disturbed(fault, at);
            if !has_struck {
                break;
            }
            struck = at;
            let steps = whole(&store);
            let newest_step =
                *steps.first().unwrap_or_else(|| panic!("{fault:?} at request {at}: {mirrored:?}"));
            seen[newest_step as usize] += 1;
            assert_eq!(newest(&store), Some(newest_step));
            assert_eq!(left_over(&folder, &store), 0, "{fault:?} at request {at}");
        }
        assert!(seen[1..].iter().all(|&times| times > 0), "{fault:?}: {seen:?}");
        assert!((35..REQUESTS_MAX - 1).contains(&struck), "{fault:?}: {struck} requests");
    }
}

#[test]
fn a_bucket_that_is_away_for_a_while_gets_the_newest_checkpoint_and_not_those_that_were_replaced() {
    let (folder, store) = (tempfile::tempdir().unwrap(), memory());
    let faulty = Faulty::new(&store, Fault::Hangs, 0);
    let side = Side::begin(folder.path(), bucket(&faulty.store())).unwrap();
    side.save([1]);
    faulty.strike();
    for step in 2..=9 {
        side.store.save(&checkpoint(step), &layout()).unwrap();
    }
    faulty.release();
    let mirrored = side.finish();
    assert_eq!(mirrored.to_string(), "memory://runs/one/step-000000000009");
    let steps = whole(&store);
    assert!(steps[0] == 9 && steps.len() == 2, "{steps:?}");
}

#[test]
fn an_end_waits_for_a_bucket_that_hangs_no_longer_than_it_may() {
    let (folder, store) = (tempfile::tempdir().unwrap(), memory());
    let faulty = Faulty::new(&store, Fault::Hangs, 0);
    let side = Side::begin(folder.path(), bucket(&faulty.store())).unwrap();
    side.save([1]);
    faulty.strike();
    side.store.save(&checkpoint(2), &layout()).unwrap();
    let shared = Arc::clone(&side.mirror.shared);
    let mirrored = side.mirror.finish_within(Duration::from_millis(50), &watch::channel(0).1);
    assert_eq!(mirrored.to_string(), "step 2 is not in memory://runs/one: the time was over");
    faulty.release();
    assert!(shared.has_ended_within(GRACE), "and the thread ends");
    assert_eq!(whole(&store), [1]);
}

#[test]
fn a_folder_is_as_good_as_a_bucket() {
    let (folder, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let url: MirrorUrl = format!("file://{}/new/mirror", there.path().display()).parse().unwrap();
    let mut local = Store::open(folder.path(), KEEP).unwrap();
    {
        let mirror = Mirror::open(&url, folder.path(), KEEP).unwrap();
        assert!(there.path().join("new/mirror").is_dir() && mirror.describe().contains("no checkpoint yet"));
    }
    let mut mirror = Mirror::open(&url, folder.path(), KEEP).unwrap();
    local.begin();
    local.mirror_to(mirror.begin(None).unwrap());
    for step in 1..=4 {
        local.save(&checkpoint(step), &layout()).unwrap();
    }
    let mirrored = mirror.finish_within(GRACE, &watch::channel(0).1);
    assert_eq!(mirrored.to_string(), format!("{url}/step-000000000004"));
    let (bucket, _) = url.open().unwrap();
    let contents = block_on(list(&bucket)).unwrap();
    assert_eq!(contents.checkpoints().last(), Some(&Step(4)));
    // A version that is not there any more is not replaced.
    let key = super::key::LOCK;
    let stale = block_on(async {
        let object = bucket.read(key, 4096, GRACE).await.unwrap().unwrap();
        bucket.replace(key, b"one".to_vec(), &object.version, GRACE).await.unwrap();
        bucket.replace(key, b"two".to_vec(), &object.version, GRACE).await.unwrap_err()
    });
    assert!(stale.is_refused(), "{stale}");
}
