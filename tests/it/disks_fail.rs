//! A disk that refuses, fills up or vanishes costs checkpoints and no bit: the run continues and says so.

use common::event::Event;
use nix::sys::signal::Signal::SIGTERM;
use std::fs;
use std::path::{Path, PathBuf};
use tests::golden::{Bench, STEPS, assert_golden};
use tests::process::{Process, checkpoints};
use tests::told::no_checkpoint;

/// Makes the folder of a run unusable with `fault`, waits for two warnings, and undoes it with `heal`.
fn disturbed(fault: impl Fn(&Path, &Path), heal: impl Fn(&Path, &Path)) {
    let bench = Bench::new();
    let away = bench.folder().with_extension("away");
    let (mut run, proxy) = bench.slowed(&["--workers", "1"]);
    let _worker = Process::worker(&proxy.address(), "a");
    run.wait_for_checkpoint(bench.folder(), 10);
    fault(bench.folder(), &away);
    let alarm = run.wait_for_events(2, "says that there is no checkpoint", no_checkpoint);
    assert!(matches!(alarm, Event::CheckpointFailed { last_good: Some(_), .. }), "{alarm}");
    heal(bench.folder(), &away);
    proxy.heal();
    assert_golden(&run.wait());
    assert!(!checkpoints(bench.folder()).is_empty());
    let _ = fs::remove_dir_all(away);
}

#[test]
fn a_run_whose_folder_is_away_for_a_while_goes_on_and_writes_again() {
    let back = |folder: &Path, away: &Path| fs::rename(away, folder).unwrap();
    disturbed(|folder, away| fs::rename(folder, away).unwrap(), back);
}

#[test]
fn a_run_whose_folder_became_a_file_goes_on_and_writes_again() {
    let replace = |folder: &Path, away: &Path| {
        fs::rename(folder, away).unwrap();
        fs::write(folder, "no folder").unwrap();
    };
    let restore = |folder: &Path, away: &Path| {
        fs::remove_file(folder).unwrap();
        fs::rename(away, folder).unwrap();
    };
    disturbed(replace, restore);
}

#[test]
fn a_run_whose_folder_was_removed_goes_on_in_a_new_one() {
    // It is renamed first: while the run writes to it, a folder can't be emptied.
    let remove = |folder: &Path, away: &Path| {
        fs::rename(folder, away).unwrap();
        fs::remove_dir_all(away).unwrap();
    };
    disturbed(remove, |folder, _| fs::create_dir(folder).unwrap());
}

#[test]
fn a_run_on_a_full_disk_ends_and_keeps_the_last_good_checkpoint() {
    let bench = Bench::new();
    let _ = bench.stopped(1, 10, SIGTERM);
    let good = bench.newest();
    // There is room for the model of 203 kB, but not for the optimizer's 407 kB. The signal would end the
    // program before the error.
    let limited = "trap '' XFSZ; ulimit -f 600";
    let json = ["--bind", "127.0.0.1:0", "--workers", "1", "--local", "--log-format", "json"];
    let flags = bench.flags(&json);
    let outcome = Process::start_after(limited, "coordinator", &flags).wait();
    assert_eq!(outcome.code, Some(1), "{}", outcome.errors);
    assert!(outcome.events.iter().any(no_checkpoint), "{}", outcome.errors);
    assert!(outcome.output.contains("test: accuracy"), "the result is not lost: {}", outcome.output);
    let failure = format!("the checkpoint of step {STEPS} could not be written");
    assert!(outcome.errors.contains(&failure), "{}", outcome.errors);
    assert_eq!(checkpoints(bench.folder()).last(), Some(&good));
    assert_golden(&bench.local("2").wait());
}

#[test]
fn a_checkpoint_without_bytes_data_or_manifest_is_passed_over_by_name() {
    type Damage = fn(&Path);
    let damages: [Damage; 4] = [
        |newest| fs::write(newest.join("model.safetensors"), "").unwrap(),
        |newest| fs::write(newest.join("manifest.json"), "").unwrap(),
        |newest| fs::remove_file(newest.join("optimizer.safetensors")).unwrap(),
        |newest| fs::remove_file(newest.join("manifest.json")).unwrap(),
    ];
    let bench = Bench::new();
    let mut damaged: Option<PathBuf> = None;
    for (damage, at) in damages.iter().zip([20, 40, 60, 80]) {
        let outcome = bench.stopped(1, at, SIGTERM);
        assert_passed_over(&outcome.errors, damaged.as_deref());
        let newest = bench.folder().join(format!("step-{:012}", bench.newest()));
        damage(&newest);
        damaged = Some(newest);
    }
    let outcome = bench.local("2").wait();
    assert_passed_over(&outcome.errors, damaged.as_deref());
    assert_golden(&outcome);
}

#[test]
fn where_no_checkpoint_can_be_read_a_run_does_not_begin_anew() {
    let bench = Bench::new();
    let _ = bench.stopped(1, 20, SIGTERM);
    let metrics = fs::read(bench.folder().join("metrics.jsonl")).unwrap();
    let kept = checkpoints(bench.folder());
    for step in &kept {
        fs::write(bench.folder().join(format!("step-{step:012}/model.safetensors")), "").unwrap();
    }
    let flags = ["--bind", "127.0.0.1:0", "--workers", "1", "--local", "--threads", "1"];
    let outcome = Process::start("coordinator", &bench.flags(&flags)).wait();
    assert_eq!(outcome.code, Some(1), "{}", outcome.errors);
    for words in ["none of the", "model.safetensors", "--resume never"] {
        assert!(outcome.errors.contains(words), "{words}: {}", outcome.errors);
    }
    assert_eq!(checkpoints(bench.folder()), kept, "they are left as they were");
    assert!(fs::read(bench.folder().join("metrics.jsonl")).unwrap() == metrics, "and so are the metrics");
    let anew = bench.coordinator(&["--workers", "1", "--local", "--threads", "1", "--resume", "never"]).0;
    assert_golden(&anew.wait());
}

#[track_caller]
fn assert_passed_over(errors: &str, damaged: Option<&Path>) {
    let Some(damaged) = damaged else { return };
    let name = damaged.display().to_string();
    let refusal = errors.lines().find(|line| line.contains("passing over a checkpoint"));
    assert!(refusal.is_some_and(|line| line.contains(&name)), "{name} is not passed over in\n{errors}");
}
