//! Two coordinators on one prefix, and stores that keep to no conditions.

use super::faulty::{Fault, memory};
use super::*;

#[test]
fn of_two_coordinators_the_second_is_refused_by_name_while_the_first_is_there() {
    let (one, other, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), memory());
    let first = Side::begin(one.path(), bucket(&store)).unwrap();
    let error = Mirror::open_on(bucket(&store), other.path(), KEEP, TIMES).unwrap_err();
    let name = one.path().display().to_string();
    assert!(matches!(&error, MirrorError::Held { name: of, .. } if of.ends_with(&name)), "{error}");
    first.save([1]);
    assert!(first.finish().is_whole());
    // It has let go: nobody has to wait for the lease.
    let second = Side::begin(other.path(), bucket(&store)).unwrap();
    second.save([2]);
    assert!(second.finish().is_whole());
    assert_eq!(whole(&store), [2, 1]);
}

#[test]
fn a_coordinator_that_is_suspended_loses_its_lock_and_changes_nothing_any_more() {
    let (one, other, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), memory());
    let faulty = Faulty::new(&store, Fault::Hangs, 0);
    let first = Side::begin(one.path(), bucket(&faulty.store())).unwrap();
    first.save([1, 2]);
    faulty.strike();
    first.store.save(&checkpoint(3), &layout()).unwrap();
    let second = Side::begin(other.path(), bucket(&store)).unwrap();
    second.save([2, 4]);
    faulty.release();
    first.wait(|standing| standing.is_lost);
    first.store.save(&checkpoint(5), &layout()).unwrap();
    assert!(crate::store::load(&one.path().join(directory(Step(5))), &expected()).is_ok(), "the run goes on");
    let theirs = first.finish().to_string();
    let name = other.path().display().to_string();
    assert!(theirs.starts_with("step 5 is not in memory://runs/one: the lock was taken by"), "{theirs}");
    assert!(theirs.ends_with(&name), "{theirs}");
    second.save([6]);
    assert!(second.finish().is_whole());
    assert_eq!(whole(&store), [6, 4]);
}

#[test]
fn a_coordinator_that_was_killed_has_its_lock_back_at_once_on_its_folder() {
    let (one, other, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), memory());
    let faulty = Faulty::new(&store, Fault::Dies, 0);
    let first = Side::begin(one.path(), bucket(&faulty.store())).unwrap();
    first.save([1]);
    faulty.strike();
    drop(first);
    let times = Times { lease: Duration::from_secs(3600), ..TIMES };
    let again = Mirror::open_on(bucket(&store), one.path(), KEEP, times).unwrap();
    drop(again);
    // On another folder the lease has to be over.
    let faulty = Faulty::new(&store, Fault::Dies, 0);
    drop((Side::begin(one.path(), bucket(&faulty.store())).unwrap(), faulty.strike()));
    let began = Instant::now();
    assert!(Mirror::open_on(bucket(&store), other.path(), KEEP, TIMES).is_ok());
    assert!(began.elapsed() >= TIMES.lease);
}

#[test]
fn a_copy_of_a_folder_is_not_the_same_coordinator() {
    let (one, copy, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), memory());
    let first = Side::begin(one.path(), bucket(&store)).unwrap();
    std::fs::copy(one.path().join("mirror.json"), copy.path().join("mirror.json")).unwrap();
    let second = Side::begin(copy.path(), bucket(&store)).unwrap();
    first.wait(|standing| standing.is_lost);
    second.save([1]);
    assert!(second.finish().is_whole());
}

#[test]
fn stores_that_keep_to_no_conditions_or_lie_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (fault, why) in [
        (Fault::Creates, "it creates an object that is there already (If-None-Match is ignored)"),
        (
            Fault::Replaces,
            "it replaces another version of an object than was asked for (If-Match is ignored)",
        ),
        (Fault::Lies, "what was just written there is not what is read"),
    ] {
        let store = memory();
        let faulty = Faulty::new(&store, fault, 1);
        let error = Mirror::open_on(bucket(&faulty.store()), folder.path(), KEEP, TIMES).unwrap_err();
        assert!(matches!(error, MirrorError::Unfit { .. }) && error.to_string().contains(why), "{error}");
        let left = block_on(bucket(&store).list(10)).unwrap();
        assert_eq!(left, Some(vec![]), "{fault:?}");
    }
}

#[test]
fn a_lock_that_is_no_lock_is_named() {
    let (folder, store) = (tempfile::tempdir().unwrap(), memory());
    block_on(bucket(&store).put("lock.json", "\u{1b}[31m".into())).unwrap();
    let error = Mirror::open_on(bucket(&store), folder.path(), KEEP, TIMES).unwrap_err().to_string();
    assert!(error.starts_with("memory://runs/one/lock.json is no lock of this program's"), "{error}");
    assert!(!error.contains('\u{1b}'), "{error}");
    block_on(bucket(&store).put("lock.json", vec![b' '; 5000].into())).unwrap();
    let error = Mirror::open_on(bucket(&store), folder.path(), KEEP, TIMES).unwrap_err().to_string();
    assert!(error.contains("lock.json has 5000 bytes or more, and 4096 is the most"), "{error}");
}
