//! Checkpoints go to a bucket too, here a folder with an URL: a run goes on from there on an empty disk, and
//! ends in the same bits.

use nix::sys::signal::Signal::{SIGKILL, SIGTERM};
use std::path::Path;
use tests::folder::content;
use tests::golden::{Bench, STOPPED, assert_golden};
use tests::process::{JSON, Outcome, Process, checkpoints};

/// The URL of a folder.
fn url(folder: &Path) -> String {
    format!("file://{}", folder.display())
}

/// Steps of the checkpoints in a mirror: those with a manifest.
fn mirrored(folder: &Path) -> Vec<u64> {
    let whole = |step: &u64| folder.join(format!("step-{step:012}/manifest.json")).is_file();
    checkpoints(folder).into_iter().filter(whole).collect()
}

/// The golden run on a folder and a mirror of its own.
fn run(bench: &Bench, more: &[&str]) -> Process {
    let flags = [&["--local", "--threads", "1"], JSON, more].concat();
    Process::start("coordinator", &bench.flags(&flags))
}

fn refused(bench: &Bench, more: &[&str]) -> Outcome {
    let outcome = run(bench, more).wait();
    assert!(matches!(outcome.code, Some(1 | 2)), "{}", outcome.errors);
    outcome
}

#[test]
fn a_run_goes_on_from_its_mirror_on_an_empty_disk_and_ends_in_the_same_bits() {
    let (first, bucket) = (Bench::new(), tempfile::tempdir().unwrap());
    let there = bucket.path().join("runs/one");
    let url = url(&there);
    let mirror = ["--mirror", url.as_str()];
    // Killed, and started again on its own folder: nobody has to wait for a lease.
    let (mut killed, proxy) = first.slowed(&mirror);
    let worker = Process::worker(&proxy.address(), "a");
    killed.wait_for_checkpoint(&there, 20);
    killed.signal(SIGKILL);
    let _ = killed.wait();
    drop(worker);
    let (mut stopped, proxy) = first.slowed(&mirror);
    let _worker = Process::worker(&proxy.address(), "a");
    stopped.wait_for_checkpoint(first.folder(), 60);
    stopped.signal(SIGTERM);
    let stopped = stopped.wait();
    assert_eq!(stopped.code, Some(STOPPED), "{}", stopped.errors);
    let newest = *mirrored(&there).last().unwrap();
    assert_eq!(newest, first.newest());
    let line = format!("mirror              {url}/step-{newest:012}");
    assert!(stopped.output.contains(&line), "{}", stopped.output);
    // On another machine.
    let second = Bench::new();
    let outcome = run(&second, &mirror).wait();
    assert_golden(&outcome);
    assert!(outcome.errors.contains(&format!("downloaded {url}/step-{newest:012}")), "{}", outcome.errors);
    assert_eq!(mirrored(&there).last(), checkpoints(second.folder()).last());
    // What is over is over there too.
    let third = Bench::new();
    assert_golden(&run(&third, &mirror).wait());
}

#[test]
fn two_coordinators_do_not_share_a_mirror() {
    let (first, bucket) = (Bench::new(), tempfile::tempdir().unwrap());
    let url = url(bucket.path());
    let mirror = ["--mirror", url.as_str()];
    let (mut run, proxy) = first.slowed(&mirror);
    let _worker = Process::worker(&proxy.address(), "a");
    run.wait_for_checkpoint(bucket.path(), 5);
    let second = Bench::new();
    let errors = refused(&second, &mirror).errors;
    assert!(errors.contains(&format!("{url} is in use by another coordinator")), "{errors}");
    assert!(errors.contains(first.folder().to_str().unwrap()), "{errors}");
    assert!(checkpoints(second.folder()).is_empty());
    run.signal(SIGTERM);
    assert_eq!(run.wait().code, Some(STOPPED));
}

#[test]
fn runs_that_a_mirror_is_not_for_are_refused_and_a_dry_run_leaves_nothing() {
    let (bench, bucket) = (Bench::new(), tempfile::tempdir().unwrap());
    let there = bucket.path().join("runs/one");
    let url = url(&there);
    let mirror = |more: &[&'static str]| {
        let own = ["--mirror", url.as_str()];
        let flags = [&own, more].concat();
        run(&bench, &flags).wait()
    };
    let dry = mirror(&["--dry-run"]);
    let line = format!("mirror              {url}, which has no checkpoint yet");
    assert!(dry.code == Some(0) && dry.output.contains(&line), "{}{}", dry.output, dry.errors);
    assert!(content(bucket.path()).is_empty(), "{:?}", content(bucket.path()).keys());
    assert_golden(&mirror(&[]));
    let dry = mirror(&["--dry-run"]);
    assert!(dry.output.contains("whose newest checkpoint is of step 288"), "{}{}", dry.output, dry.errors);
    let before = content(&there);
    let anew = mirror(&["--resume", "never"]);
    assert!(
        anew.errors.contains("has a checkpoint of step 288 that this run does not go on from"),
        "{}",
        anew.errors
    );
    let empty = tempfile::tempdir().unwrap();
    let elsewhere = ["--checkpoint-dir", empty.path().to_str().unwrap(), "--mirror", &url, "--seed", "2"];
    let other = refused(&bench, &elsewhere).errors;
    assert!(other.contains(&format!("{url}/step-000000000288 is of another configuration")), "{other}");
    assert!(other.contains("seed: saved 1, now 2"), "{other}");
    let after = content(&there);
    let is_checkpoint = |path: &Path| path.to_string_lossy().contains("/step-");
    let checkpoints = before.iter().filter(|(path, _)| is_checkpoint(path));
    assert!(
        checkpoints.into_iter().all(|(path, bytes)| after.get(path) == Some(bytes)),
        "nothing was removed"
    );
    // TLS has its provider of cryptography; nobody listens there.
    let keys = "export AWS_REGION=x AWS_ACCESS_KEY_ID=a AWS_SECRET_ACCESS_KEY=b AWS_ENDPOINT_URL=https://127.0.0.1:1";
    let flags = bench.flags(&["--local", "--mirror", "s3://bucket/a"]);
    let away = Process::start_after(keys, "coordinator", &flags).wait();
    assert!(
        away.code == Some(1) && away.errors.contains("cannot create s3://bucket/a/probe-"),
        "{}",
        away.errors
    );
    assert!(!away.errors.contains("panicked"), "{}", away.errors);
    for (bad, why) in [
        ("s3://key:secret@bucket/a", "keys and passwords don't belong in an URL"),
        ("bucket/a", "it is s3://BUCKET/PREFIX"),
    ] {
        let outcome = refused(&bench, &["--mirror", bad]);
        assert!(outcome.code == Some(2) && outcome.errors.contains(why), "{}", outcome.errors);
    }
}
