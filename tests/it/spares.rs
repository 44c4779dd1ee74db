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
