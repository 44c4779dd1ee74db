//! Real programs, real signals: which process is killed, stopped or started, and when, leaves no trace in the
//! bits.

use nix::sys::signal::Signal::{SIGINT, SIGKILL, SIGTERM};
use tests::golden::{Bench, assert_golden};
use tests::process::{Process, checkpoints};
use tests::told::{dropped, joined};

#[test]
fn a_killed_worker_and_a_late_one_leave_no_trace() {
    let bench = Bench::new();
    let (mut run, proxy) = bench.slowed(&["--workers", "2:3"]);
    let [doomed, faithful] = ["doomed", "faithful"].map(|name| Process::worker(&proxy.address(), name));
    run.wait_for_checkpoint(bench.folder(), 10);
    doomed.signal(SIGKILL);
    let late = Process::worker(&proxy.address(), "late");
    run.wait_for_event("drops the dead one", dropped("doomed"));
    run.wait_for_event("lets the late one in", joined("late"));
    proxy.heal();
    assert_golden(&run.wait());
    assert_eq!((faithful.wait().code, late.wait().code), (Some(0), Some(0)));
}

#[test]
fn a_stopped_run_goes_on_in_mid_epoch_with_other_workers() {
    let bench = Bench::new();
    for (workers, at, signal) in [(1, 17, SIGTERM), (3, 103, SIGINT)] {
        let _ = bench.stopped(workers, at, signal);
    }
    let (run, _) = bench.coordinator(&["--workers", "2", "--local", "--threads", "2"]);
    assert_golden(&run.wait());
}

#[test]
fn a_damaged_checkpoint_is_refused_by_name_and_the_one_before_taken() {
    let bench = Bench::new();
    let _ = bench.stopped(1, 40, SIGTERM);
    let kept = checkpoints(bench.folder());
    let newest = format!("step-{:012}", kept.last().unwrap());
    let model = bench.folder().join(&newest).join("model.safetensors");
    let mut bytes = std::fs::read(&model).unwrap();
    bytes[5000] ^= 1;
    std::fs::write(&model, bytes).unwrap();
    let outcome = bench.local("2").wait();
    assert_golden(&outcome);
    let refusal = outcome.errors.lines().find(|line| line.contains("passing over a checkpoint"));
    assert!(refusal.is_some_and(|line| line.contains(&newest)), "{}", outcome.errors);
}

#[test]
fn another_configuration_is_refused_with_what_differs() {
    let bench = Bench::new();
    let _ = bench.stopped(1, 10, SIGTERM);
    let outcome = Process::start("coordinator", &bench.flags(&["--lr", "0.5", "--seed", "9"])).wait();
    assert_eq!(outcome.code, Some(1), "{}", outcome.errors);
    for difference in ["lr: saved 0.002, now 0.5", "seed: saved 1, now 9"] {
        assert!(outcome.errors.contains(difference), "{}", outcome.errors);
    }
}

#[test]
fn a_folder_to_resume_brings_its_own_training_settings() {
    let bench = Bench::new();
    let _ = bench.stopped(1, 17, SIGTERM);
    let folder = bench.folder().to_str().unwrap();
    let resume = |more: &[&str]| {
        let data = bench.flags(&[])[..2].to_vec();
        let flags = [&data[..], &["--resume", folder, "--local", "--workers", "2"], more].concat();
        Process::start("coordinator", &flags).wait()
    };
    let refused = resume(&["--lr", "0.5", "--epochs", "3"]);
    assert_eq!(refused.code, Some(1), "{}", refused.errors);
    for difference in ["lr: saved 0.002, now 0.5", "epochs: saved 24, now 3"] {
        assert!(refused.errors.contains(difference), "{}", refused.errors);
    }
    assert_golden(&resume(&["--hidden", "64"]));
}
