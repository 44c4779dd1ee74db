//! Runs that end before their last epoch: by a time limit, which they go on after, or by a number of steps.

use std::time::Duration;
use tests::golden::{Bench, STEPS, STOPPED, assert_golden};
use tests::process::{Process, checkpoints};

const LOCAL: [&str; 5] = ["--workers", "1", "--local", "--threads", "1"];

fn start(bench: &Bench, more: &[&str]) -> Process {
    bench.coordinator(&[&LOCAL, more].concat()).0
}

#[test]
fn a_run_whose_time_is_over_stops_with_a_checkpoint_and_goes_on_later() {
    let bench = Bench::new();
    let (run, proxy) = bench.slowed(&["--workers", "1", "--max-time", "2s"]);
    let _worker = Process::worker(&proxy.address(), "a");
    let outcome = run.wait();
    assert_eq!(outcome.code, Some(STOPPED), "{}", outcome.errors);
    assert!(outcome.errors.contains("--max-time"), "{}", outcome.errors);
    assert!((1..STEPS).contains(&bench.newest()), "{}", bench.newest());
    assert_golden(&start(&bench, &["--max-time", "50m"]).wait());
}

#[test]
fn a_run_that_waits_for_workers_ends_when_its_time_is_over() {
    let bench = Bench::new();
    let (run, _) = bench.coordinator(&["--workers", "1", "--max-time", "1"]);
    let outcome = run.wait_for(Duration::from_secs(60));
    assert_eq!(outcome.code, Some(STOPPED), "{}", outcome.errors);
    assert_eq!(checkpoints(bench.folder()), [0]);
}

#[test]
fn a_run_of_fewer_steps_is_complete_and_can_be_made_longer() {
    let bench = Bench::new();
    for (most, steps) in [("100", 100), ("101", 101), ("50", 101)] {
        let outcome = start(&bench, &["--max-steps", most]).wait();
        assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
        assert!(outcome.output.contains("test: accuracy"), "{}", outcome.output);
        assert_eq!(bench.newest(), steps);
    }
    assert_golden(&start(&bench, &["--max-steps", "1000000"]).wait());
}
