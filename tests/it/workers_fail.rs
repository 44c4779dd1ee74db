//! A worker that dies, freezes, leaves or is slow costs its own pieces and no bit.

use common::event::Event;
use common::protocol::coordinator::Cause;
use nix::sys::signal::Signal::{SIGCONT, SIGKILL, SIGSTOP, SIGTERM};
use std::time::Duration;
use tests::golden::{Bench, STOPPED, assert_golden};
use tests::process::Process;
use tests::proxy::{Fate, Link, Proxy, Way};
use tests::told::{any_late, drop_of, dropped, joined, left, waiting};

/// Timeout for bytes to come through a proxy.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_worker_killed_while_it_holds_a_piece_gives_it_back_by_name() {
    let bench = Bench::new();
    let (mut run, proxy) = bench.slowed(&["--workers", "2"]);
    let [doomed, _faithful] = ["doomed", "faithful"].map(|name| Process::worker(&proxy.address(), name));
    run.wait_for_checkpoint(bench.folder(), 10);
    // Frozen, it can't answer. The pieces that others compute again are those it holds.
    doomed.signal(SIGSTOP);
    run.wait_for_event("names who is late", any_late);
    doomed.signal(SIGKILL);
    let (_, departure) = drop_of(run.wait_for_event("drops the dead one", dropped("doomed")));
    assert!(departure.step.0 >= 10 && !departure.pieces.is_empty(), "{departure:?}");
    proxy.heal();
    assert_golden(&run.wait());
}

#[test]
fn workers_killed_at_any_moment_leave_no_trace() {
    let bench = Bench::new();
    let (mut run, proxy) = bench.slowed(&["--workers", "1:3"]);
    let _faithful = Process::worker(&proxy.address(), "faithful");
    for (index, step) in [5, 15, 30, 50, 75].into_iter().enumerate() {
        let name = format!("doomed-{index}");
        let doomed = Process::worker(&proxy.address(), &name);
        run.wait_for_event("lets it in", joined(&name));
        run.wait_for_checkpoint(bench.folder(), step);
        doomed.signal(SIGKILL);
        run.wait_for_event("drops the dead one", dropped(&name));
    }
    proxy.heal();
    assert_golden(&run.wait());
}

#[test]
fn half_an_upload_of_a_killed_worker_is_discarded() {
    let bench = Bench::new();
    let (mut run, slow) = bench.slowed(&["--workers", "2"]);
    let _faithful = Process::worker(&slow.address(), "faithful");
    let proxy = Proxy::start(&slow.address());
    let doomed = Process::worker(&proxy.address(), "doomed");
    run.wait_for_checkpoint(bench.folder(), 10);
    // Every answer is a gradient of 203 kB, and the worker sends nothing else that is long, so this is the
    // middle of one.
    proxy.set(Way::Up, Link::after(50_000, Fate::Hold));
    proxy.wait_for_fate(Way::Up, PATIENCE);
    doomed.signal(SIGKILL);
    proxy.break_all(Fate::Reset);
    let (_, departure) = drop_of(run.wait_for_event("drops the dead one", dropped("doomed")));
    assert!(!departure.pieces.is_empty(), "{departure:?}");
    slow.heal();
    assert_golden(&run.wait());
}

#[test]
fn a_worker_killed_between_steps_is_not_missed() {
    let bench = Bench::new();
    let (mut run, address) = bench.coordinator(&["--workers", "2"]);
    // No step begins before the second one is there.
    let idle = Process::worker(&address, "idle");
    run.wait_for_event("lets it in", joined("idle"));
    idle.signal(SIGKILL);
    let (_, departure) = drop_of(run.wait_for_event("drops the dead one", dropped("idle")));
    assert_eq!(departure.pieces, []);
    let _workers = ["a", "b"].map(|name| Process::worker(&address, name));
    assert_golden(&run.wait());
}

#[test]
fn a_frozen_worker_is_evicted_and_comes_back_when_it_thaws() {
    let bench = Bench::new();
    // The run needs two workers, so it is still there when the second comes back.
    let (mut run, proxy) = bench.slowed(&["--workers", "2:2", "--heartbeat-timeout", "2"]);
    let [frozen, awake] = ["frozen", "awake"].map(|name| Process::worker(&proxy.address(), name));
    run.wait_for_checkpoint(bench.folder(), 10);
    let joins = run.events_with(joined("frozen"));
    frozen.signal(SIGSTOP);
    let (cause, _) = drop_of(run.wait_for_event("drops the frozen one", dropped("frozen")));
    assert!(matches!(cause, Cause::Silent { .. }), "{cause}");
    run.wait_for_event("waits for workers", waiting);
    frozen.signal(SIGCONT);
    run.wait_for_events(joins + 1, "lets it in again", joined("frozen"));
    proxy.heal();
    assert_golden(&run.wait());
    assert_eq!((frozen.wait().code, awake.wait().code), (Some(0), Some(0)));
}

#[test]
fn a_slow_worker_gets_less_and_others_compute_its_pieces_too() {
    let bench = Bench::new();
    let (mut run, address) = bench.coordinator(&["--workers", "2"]);
    let [slow, fast] = [&address, &address].map(|address| Proxy::start(address));
    // A piece takes it at least 100 ms, many times what it takes the other.
    slow.set_both(Link { delay: Duration::from_millis(50), ..Link::default() });
    let _workers =
        [("slow", &slow), ("fast", &fast)].map(|(name, way)| Process::worker(&way.address(), name));
    run.wait_for_event("names who is late and who helps", |event| {
        matches!(event, Event::WorkerLate { worker, helper, .. } if worker == "slow" && helper == "fast")
    });
    assert_golden(&run.wait());
    let [slow, fast] = [slow, fast].map(|proxy| proxy.arrived(Way::Up));
    assert!(slow < fast / 2, "gradients of the slow one: {slow} bytes, of the fast one: {fast}");
}

#[test]
fn workers_told_to_leave_once_or_twice_hand_back_and_end_well() {
    let bench = Bench::new();
    let (mut run, proxy) = bench.slowed(&["--workers", "3"]);
    let [once, twice, staying] =
        ["once", "twice", "staying"].map(|name| Process::worker(&proxy.address(), name));
    run.wait_for_checkpoint(bench.folder(), 10);
    once.signal(SIGTERM);
    assert_eq!(once.wait().code, Some(STOPPED));
    run.wait_for_event("is left", left("once"));
    twice.signal(SIGTERM);
    twice.signal(SIGTERM);
    assert_eq!(twice.wait().code, Some(STOPPED));
    run.wait_for_event("is left", left("twice"));
    proxy.heal();
    assert_golden(&run.wait());
    assert_eq!(staying.wait().code, Some(0));
}

#[test]
fn a_run_that_lost_all_workers_says_so_and_goes_on_with_new_ones() {
    let bench = Bench::new();
    let (mut run, proxy) = bench.slowed(&["--workers", "2"]);
    let doomed = ["a", "b"].map(|name| Process::worker(&proxy.address(), name));
    run.wait_for_checkpoint(bench.folder(), 10);
    doomed.iter().for_each(|worker| worker.signal(SIGKILL));
    run.wait_for_event("waits for workers", |event| {
        matches!(event, Event::WaitingForWorkers { live: 0, needed: 1, .. })
    });
    proxy.heal();
    let _late = Process::worker(&proxy.address(), "late");
    assert_golden(&run.wait());
}
