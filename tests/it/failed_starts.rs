//! A start that fails, and one that only checks, leave everything as it was.

use nix::sys::signal::Signal::SIGTERM;
use std::net::TcpListener;
use tests::folder::content;
use tests::golden::{Bench, assert_golden};
use tests::process::{Outcome, Process};

#[test]
fn a_start_that_fails_moves_removes_and_empties_nothing() {
    let bench = Bench::new();
    let _ = bench.stopped(1, 20, SIGTERM);
    let before = content(bench.folder());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let notes = folder.path().join("notes.jsonl");
    std::fs::write(&notes, "somebody's notes\n").unwrap();
    let notes = notes.to_str().unwrap();
    let mistakes: [&[&str]; 9] = [
        &["--bind", &taken],
        &["--bind", "192.0.2.1:1"],
        &["--val-split", "999999"],
        &["--dataset", "/no/such/folder"],
        &["--hidden", "0"],
        &["--metrics", notes],
        &["--metrics", "/no/such/folder/metrics.jsonl"],
        &["--trace", notes],
        &["--speed", "3"],
    ];
    for mistake in mistakes {
        for resume in ["never", "auto"] {
            let flags = [&["--resume", resume, "--bind", "127.0.0.1:0"], mistake].concat();
            let outcome = Process::start("coordinator", &bench.flags(&flags)).wait();
            assert!(matches!(outcome.code, Some(1 | 2)), "{mistake:?}: {}", outcome.errors);
            assert!(content(bench.folder()) == before, "{mistake:?} with --resume {resume}");
        }
    }
    assert_eq!(std::fs::read_to_string(notes).unwrap(), "somebody's notes\n");
    assert_golden(&bench.local("1").wait());
}

#[test]
fn a_start_that_fails_leaves_no_folder_behind() {
    let bench = Bench::new();
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("runs/1/checkpoints");
    let own = ["--checkpoint-dir", folder.to_str().unwrap()];
    for mistake in [&["--dataset", "/no/such/folder"][..], &["--bind", "192.0.2.1:1"], &["--dry-run"]] {
        let outcome = Process::start("coordinator", &bench.flags(&[&own, mistake].concat())).wait();
        assert_eq!(outcome.code, Some(i32::from(mistake.len() > 1)), "{}", outcome.errors);
        assert!(content(home.path()).is_empty(), "{mistake:?}: {:?}", content(home.path()).keys());
    }
}

/// A dry run of the golden run.
fn dry(bench: &Bench, more: &[&str]) -> Outcome {
    let flags = [&["--dry-run", "--bind", "127.0.0.1:0"], more].concat();
    Process::start("coordinator", &bench.flags(&flags)).wait()
}

#[test]
fn a_dry_run_shows_the_configuration_and_changes_nothing() {
    let bench = Bench::new();
    let _ = bench.stopped(1, 20, SIGTERM);
    let before = content(bench.folder());
    let newest = format!("step-{:012}", bench.newest());
    for (resume, words) in [("auto", newest.as_str()), ("never", "it starts at the beginning")] {
        let outcome = dry(&bench, &["--resume", resume, "--local", "--threads", "1"]);
        assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
        for word in [words, "dense(64)", "batch_size", "288", "nothing is trained"] {
            assert!(outcome.output.contains(word), "{word}: {}", outcome.output);
        }
        assert!(content(bench.folder()) == before, "--resume {resume}");
    }
    assert_golden(&bench.local("1").wait());
}

#[test]
fn a_dry_run_finds_what_a_run_would_fail_on() {
    let bench = Bench::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let mistakes: [(&[&str], &str); 4] = [
        (&["--bind", &taken], "in use"),
        (&["--dataset", "/no/such/folder"], "/no/such/folder"),
        (&["--checkpoint-dir", "/proc/no-such"], "/proc/no-such"),
        (&["--keep", "4000000000"], "make room"),
    ];
    for (mistake, words) in mistakes {
        let outcome = dry(&bench, mistake);
        assert_ne!(outcome.code, Some(0), "{mistake:?}");
        assert!(outcome.errors.contains(words), "{words}: {}", outcome.errors);
    }
}
