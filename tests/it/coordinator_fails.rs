//! A coordinator that is killed or stopped at any moment resumes from its newest checkpoint, with the same
//! bits.

use common::event::Event;
use nix::sys::signal::Signal::{SIGCONT, SIGINT, SIGKILL, SIGSTOP, SIGTERM};
use std::time::{Duration, Instant};
use tests::golden::{Bench, SLOW, assert_golden};
use tests::process::Process;
use tests::proxy::Proxy;
use tests::told::{any_joined, resumed};

/// Timeout for something to appear in a folder.
const PATIENCE: Duration = Duration::from_secs(120);

/// Kills the coordinator at each of these moments, with the same two workers all along.
fn killed_at(bench: &Bench, moments: &[&dyn Fn(&mut Process)]) {
    let (mut run, address) = bench.coordinator(&["--workers", "2"]);
    let proxy = Proxy::start(&address);
    proxy.set_both(SLOW);
    let workers = ["a", "b"].map(|name| Process::worker(&proxy.address(), name));
    for moment in moments {
        moment(&mut run);
        run.signal(SIGKILL);
        assert_eq!(run.wait().code, None);
        let saved = bench.newest() > 0;
        run = bench.coordinator_on(&address, &["--workers", "2"]).0;
        // Started from the beginning, the run would end in the same bits.
        assert!(!saved || run.events_with(resumed) > 0, "{}", run.errors());
    }
    proxy.heal();
    assert_golden(&run.wait());
    for worker in workers {
        assert_eq!(worker.wait().code, Some(0));
    }
}

#[test]
fn a_coordinator_killed_before_and_after_its_first_checkpoint_goes_on() {
    let bench = Bench::new();
    let folder = bench.folder();
    let step = |at: u64| move |run: &mut Process| run.wait_for_checkpoint(folder, at);
    killed_at(
        &bench,
        &[
            &|_| {},
            &|run| drop(run.wait_for_event("lets one in", any_joined)),
            &step(5),
            // The end of the second epoch, after its validation.
            &step(24),
            &step(41),
        ],
    );
}

#[test]
fn a_coordinator_killed_while_it_writes_a_checkpoint_goes_on() {
    let bench = Bench::new();
    let writing = |_: &mut Process| {
        let deadline = Instant::now() + PATIENCE;
        let is_writing = || {
            let names = std::fs::read_dir(bench.folder()).unwrap().flatten();
            names.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().starts_with(".writing-"))
        };
        while !is_writing() {
            assert!(Instant::now() < deadline, "no checkpoint is being written");
            std::hint::spin_loop();
        }
    };
    killed_at(&bench, &[&writing, &writing, &writing]);
}

#[test]
fn a_second_signal_ends_the_coordinator_at_once_and_costs_no_bit() {
    let bench = Bench::new();
    let (mut run, address) = bench.coordinator(&["--workers", "1"]);
    let proxy = Proxy::start(&address);
    proxy.set_both(SLOW);
    let worker = Process::worker(&proxy.address(), "frozen");
    run.wait_for_checkpoint(bench.folder(), 10);
    // Its step can't end, so the first signal is still being handled when the second comes.
    worker.signal(SIGSTOP);
    run.signal(SIGTERM);
    run.wait_for_event("stops", |event| matches!(event, Event::Stopping { .. }));
    run.signal(SIGINT);
    let outcome = run.wait();
    assert_eq!(outcome.code, Some(1), "{}", outcome.errors);
    assert!(outcome.errors.contains("stopped at once"), "{}", outcome.errors);
    worker.signal(SIGCONT);
    proxy.heal();
    let (run, _) = bench.coordinator_on(&address, &["--workers", "1"]);
    assert_golden(&run.wait());
    assert_eq!(worker.wait().code, Some(0));
}

#[test]
fn two_coordinators_do_not_share_a_folder() {
    let bench = Bench::new();
    let (run, address) = bench.coordinator(&["--workers", "1"]);
    let second = Process::start("coordinator", &bench.flags(&["--bind", "127.0.0.1:0"])).wait();
    assert_eq!(second.code, Some(1), "{}", second.errors);
    let folder = bench.folder().display().to_string();
    assert!(second.errors.contains("in use by another coordinator"), "{}", second.errors);
    assert!(second.errors.contains(&folder), "{}", second.errors);
    let _worker = Process::worker(&address, "a");
    assert_golden(&run.wait());
}
