//! A save that is interrupted or refused at any call leaves a complete checkpoint.

use super::model::{Fault, Model, State};
use super::*;
use std::io::ErrorKind;
use tempfile::TempDir;

/// Number of random states after a crash that are tried for each call.
const BY_CHANCE: u64 = 20;

/// A disk with step 1, and step 2 too if that is to be replaced.
fn disk(replace: bool) -> (TempDir, Model) {
    // Only the lock is a real file.
    let root = tempfile::tempdir().unwrap();
    let model = Model::new(root.path());
    let store = Store::open_on(Box::new(model.clone()), root.path(), 1).unwrap();
    store.save(&checkpoint(1), &layout()).unwrap();
    if replace {
        store.save(&checkpoint(2), &layout()).unwrap();
    }
    drop(store);
    model.set(None);
    (root, model)
}

fn save(root: &TempDir, model: &Model, step: u64) -> Result<PathBuf, StoreError> {
    let store = Store::open_on(Box::new(model.clone()), root.path(), 1)?;
    store.save(&checkpoint(step), &layout()).map(|saved| saved.path)
}

/// What the next coordinator finds wrong on a disk: it must find one of these steps, complete.
fn verdict(root: &TempDir, disk: Model, steps: &[u64]) -> Result<(), String> {
    let store = Store::open_on(Box::new(disk.clone()), root.path(), 1).map_err(|error| error.to_string())?;
    let found = store.newest(&expected()).map_err(|error| error.to_string())?;
    if !found.rejected.is_empty() {
        return Err(format!("bears a checkpoint's name and is none: {:?}", found.rejected));
    }
    let Some((_, verified)) = found.newest else { return Err("nothing is left".to_owned()) };
    let decoded = verified.decode(&layout(), &["momentum_buffer"]).map_err(|error| error.to_string())?;
    if !steps.iter().any(|&step| decoded == checkpoint(step)) {
        return Err(format!("found step {}, not one of {steps:?}", decoded.position.step));
    }
    let leftovers = disk.list(root.path()).map_err(|error| error.to_string())?;
    if leftovers.iter().any(|name| name.starts_with('.')) {
        return Err(format!("leftovers are not cleared: {leftovers:?}"));
    }
    Ok(())
}

/// The first fault that is found after any crash during or after a save of step 2.
fn crash_everywhere(replace: bool, fault: Option<Fault>) -> Result<usize, String> {
    let (root, model) = disk(replace);
    model.set(fault);
    save(&root, &model, 2).map_err(|error| error.to_string())?;
    let history: Vec<State> = model.history();
    let mut tried = 0;
    // The last states first, in which most faults show.
    for (calls, state) in history.iter().enumerate().rev() {
        // Step 2 may exist as soon as it is renamed, and must exist once the save has returned.
        let steps = if replace || calls + 1 == history.len() { &[2][..] } else { &[1, 2] };
        for after in state.crashes(BY_CHANCE) {
            tried += 1;
            verdict(&root, Model::of(root.path(), after), steps)
                .map_err(|what| format!("after {calls} calls: {what}"))?;
        }
    }
    Ok(tried)
}

#[test]
fn a_crash_at_any_call_and_torn_length_leaves_a_whole_checkpoint() {
    // Each length of each file, alone and beside complete ones.
    let tried = crash_everywhere(false, None).unwrap();
    assert!(tried > 10_000, "{tried}");
}

#[test]
fn a_crash_while_a_checkpoint_is_replaced_leaves_the_old_or_the_new_one() {
    crash_everywhere(true, None).unwrap();
}

#[test]
fn without_renames_a_crash_at_any_call_leaves_a_whole_checkpoint() {
    let (root, model) = disk(false);
    let store = |model: &Model| {
        let mut store = Store::open_on(Box::new(model.clone()), root.path(), 1).unwrap();
        model.set(Some(Fault::NoRename));
        assert_eq!(store.probe().unwrap(), Lacks { rename: true, ..Lacks::default() });
        store
    };
    let writing = store(&model);
    model.set(Some(Fault::NoRename));
    writing.save(&checkpoint(2), &layout()).unwrap();
    drop(writing);
    let history: Vec<State> = model.history();
    let mut tried = 0;
    for (calls, state) in history.iter().enumerate() {
        for after in state.crashes(BY_CHANCE) {
            tried += 1;
            let after = Model::of(root.path(), after);
            let found = store(&after).newest(&expected()).unwrap();
            let (_, verified) = found.newest.unwrap_or_else(|| panic!("nothing is left after {calls} calls"));
            let decoded = verified.decode(&layout(), &["momentum_buffer"]).unwrap();
            let is_saved = calls + 1 == history.len();
            assert!(decoded == checkpoint(2) || !is_saved && decoded == checkpoint(1), "after {calls} calls");
        }
    }
    assert!(tried > 1000, "{tried}");
}

#[test]
fn every_single_sync_of_a_save_is_needed() {
    let (root, model) = disk(false);
    save(&root, &model, 2).unwrap();
    let (_, syncs) = model.counts();
    assert_eq!(syncs, 6, "four files, their directory, its parent");
    for ignored in 1..=syncs {
        let noticed = crash_everywhere(false, Some(Fault::IgnoredSync(ignored)));
        assert!(noticed.is_err(), "without sync {ignored} nothing is lost");
    }
}

#[test]
fn an_error_at_any_call_costs_that_save_and_the_next_one_succeeds() {
    for kind in [ErrorKind::StorageFull, ErrorKind::ReadOnlyFilesystem, ErrorKind::Other] {
        for replace in [false, true] {
            for call in 1.. {
                let (root, model) = disk(replace);
                let store = Store::open_on(Box::new(model.clone()), root.path(), 1).unwrap();
                model.set(Some(Fault::Error(call, kind)));
                let outcome = store.save(&checkpoint(2), &layout());
                let (calls, _) = model.counts();
                model.set(None);
                let state = model.history().remove(0);
                let whole = if replace { &[2][..] } else { &[1, 2] };
                verdict_of_a_copy(&state, whole).unwrap();
                store.save(&checkpoint(3), &layout()).unwrap();
                drop(store);
                verdict(&root, model, &[3]).unwrap();
                if calls < call {
                    assert!(outcome.is_ok() && calls > 10, "a save makes several calls");
                    break;
                }
                let error = outcome.unwrap_err().to_string();
                assert!(
                    error.starts_with("cannot ") && error.contains(root.path().to_str().unwrap()),
                    "{error}"
                );
            }
        }
    }
}

/// The same check on another disk in that state: the first one's store still holds its lock.
fn verdict_of_a_copy(state: &State, steps: &[u64]) -> Result<(), String> {
    let root = tempfile::tempdir().unwrap();
    verdict(&root, Model::of(root.path(), state.clone()), steps)
}
