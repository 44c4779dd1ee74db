//! A coordinator that is killed or stopped at any moment resumes from its newest checkpoint, with the same
//! bits.

use common::event::Event;
use nix::sys::signal::Signal::{SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGSTOP, SIGTERM, SIGUSR1, SIGUSR2};
use std::time::{Duration, Instant};
use tests::golden::{Bench, SLOW, STOPPED, assert_golden};
use tests::preload::Preload;
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
fn a_stopped_run_has_an_exit_code_of_its_own_or_the_one_that_is_asked_for() {
    let bench = Bench::new();
    for (more, code) in [(&[][..], STOPPED), (&["--stopped-exit-code", "0"], 0)] {
        let (mut run, proxy) = bench.slowed(&[&["--workers", "1"], more].concat());
        let _worker = Process::worker(&proxy.address(), "worker");
        run.wait_for_checkpoint(bench.folder(), bench.newest() + 5);
        run.signal(SIGTERM);
        assert_eq!(run.wait().code, Some(code));
    }
    assert_golden(&bench.local("1").wait());
}

#[test]
fn a_launcher_that_asks_twice_at_once_gets_its_checkpoint() {
    let bench = Bench::new();
    let (mut run, proxy) = bench.slowed(&["--workers", "1"]);
    let _worker = Process::worker(&proxy.address(), "worker");
    run.wait_for_checkpoint(bench.folder(), 10);
    run.signal(SIGTERM);
    run.signal(SIGINT);
    let outcome = run.wait();
    assert_eq!(outcome.code, Some(STOPPED), "{}", outcome.errors);
    let saved = format!("steps               {} of", bench.newest());
    assert!(outcome.output.contains(&saved), "{saved}: {}", outcome.output);
    assert_golden(&bench.local("1").wait());
}

#[test]
fn the_signals_that_schedulers_send_stop_a_run_well() {
    let bench = Bench::new();
    for (at, signal) in [(10, SIGHUP), (20, SIGUSR1), (30, SIGUSR2)] {
        let _ = bench.stopped(1, at, signal);
    }
    assert_golden(&bench.local("1").wait());
}

#[test]
fn under_nohup_a_hangup_stops_nothing() {
    let bench = Bench::new();
    let flags = bench.flags(&["--bind", "127.0.0.1:0", "--workers", "1", "--local", "--threads", "1"]);
    let mut run = Process::start_after("trap '' HUP", "coordinator", &flags);
    run.wait_for_checkpoint(bench.folder(), 5);
    run.signal(SIGHUP);
    assert_golden(&run.wait());
}

#[test]
fn a_third_signal_ends_the_coordinator_at_once_and_costs_no_bit() {
    let bench = Bench::new();
    let (mut run, address) = bench.coordinator(&["--workers", "1"]);
    let proxy = Proxy::start(&address);
    proxy.set_both(SLOW);
    let worker = Process::worker(&proxy.address(), "frozen");
    run.wait_for_checkpoint(bench.folder(), 10);
    // Its step can't end, so the first signal is still being handled when the others come.
    worker.signal(SIGSTOP);
    run.signal(SIGTERM);
    run.wait_for_event("stops", |event| matches!(event, Event::Stopping { .. }));
    run.signal(SIGINT);
    run.wait_for_line("asked to stop again");
    run.signal(SIGTERM);
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

/// A C library in which syncs hang once a file is there, whose path is in the environment.
const HANGS: &str = "
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int fsync(int file) {
    const char *path = getenv(\"HANG_WHEN\");
    while (path && access(path, F_OK) == 0)
        sleep(1);
    return syscall(SYS_fsync, file);
}
";

#[test]
fn a_disk_that_hangs_holds_a_stopped_run_up_for_a_minute() {
    let hangs = Preload::build(HANGS);
    let bench = Bench::new();
    let flag = tempfile::tempdir().unwrap();
    let flag = flag.path().join("hang");
    let prepare = format!("{}; export HANG_WHEN='{}'", hangs.line(), flag.display());
    let flags = bench.flags(&["--bind", "127.0.0.1:0", "--log-format", "json"]);
    let mut run = Process::start_after(&prepare, "coordinator", &flags);
    let proxy = Proxy::start(&run.address());
    proxy.set_both(SLOW);
    let worker = Process::worker(&proxy.address(), "a");
    run.wait_for_checkpoint(bench.folder(), 5);
    std::fs::write(&flag, "").unwrap();
    run.signal(SIGTERM);
    let outcome = run.wait_for(PATIENCE);
    assert_eq!(outcome.code, Some(1), "{}", outcome.errors);
    assert!(outcome.errors.contains("asked to stop a minute ago"), "{}", outcome.errors);
    drop(worker);
    std::fs::remove_file(&flag).unwrap();
    assert_golden(&bench.local("1").wait());
}
