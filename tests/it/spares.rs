//! Workers beyond the places wait, are told so, and take over.

use common::event::Event;
use nix::sys::signal::Signal::SIGKILL;
use tests::golden::{Bench, assert_golden};
use tests::process::Process;
use tests::told::joined;

#[test]
fn a_spare_is_told_so_and_takes_the_place_of_one_that_dies() {
    let bench = Bench::new();
    let (mut run, proxy) = bench.slowed(&["--workers", "1:1"]);
    let doomed = Process::worker(&proxy.address(), "doomed");
    run.wait_for_event("lets it in", joined("doomed"));
    let mut spare = Process::worker(&proxy.address(), "spare");
    run.wait_for_event(
        "keeps a spare",
        |event| matches!(event, Event::WorkerKeptAsSpare { worker, ahead: 0, .. } if worker == "spare"),
    );
    spare.wait_for_line("waiting as a spare until one is free");
    run.wait_for_checkpoint(bench.folder(), 5);
    assert_eq!(run.events_with(joined("spare")), 0);
    doomed.signal(SIGKILL);
    run.wait_for_event("takes the spare in", joined("spare"));
    proxy.heal();
    assert_golden(&run.wait());
    assert_eq!(spare.wait().code, Some(0));
}

#[test]
fn a_spare_that_is_given_nothing_leaves_when_it_was_told_to() {
    let bench = Bench::new();
    let (mut run, proxy) = bench.slowed(&["--workers", "1:1"]);
    let stays = Process::worker(&proxy.address(), "stays");
    run.wait_for_event("lets it in", joined("stays"));
    let flags = ["--connect", &proxy.address(), "--name", "spare", "--threads", "1", "--idle-exit", "1s"];
    let spare = Process::start("worker", &flags).wait();
    assert_eq!(spare.code, Some(0), "{}", spare.errors);
    assert!(spare.errors.contains("no work for 1 s"), "{}", spare.errors);
    proxy.heal();
    assert_golden(&run.wait());
    assert_eq!(stays.wait().code, Some(0));
}
