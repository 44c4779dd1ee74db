//! A worker that sends heartbeats and never answers is not relied on: others compute its pieces, and it is
//! dropped by name.

use common::protocol::coordinator::Cause;
use std::time::Duration;
use tests::golden::{Bench, assert_golden};
use tests::process::Process;
use tests::proxy::Link;
use tests::threads::Stopped;
use tests::told::{drop_of, dropped};

/// A link with which a step takes at least 100 ms, so that the run is not over before the deaf workers are
/// dropped.
const SLOWER: Link = Link { delay: Duration::from_millis(50), rate: None, fate: None };

#[test]
fn two_deaf_workers_of_three_stop_no_run_and_are_named() {
    let bench = Bench::new();
    let (mut run, proxy) = bench.slowed(&["--workers", "3"]);
    let deaf = ["deaf-0", "deaf-1"].map(|name| Process::worker(&proxy.address(), name));
    let hearing = Process::worker(&proxy.address(), "hearing");
    run.wait_for_checkpoint(bench.folder(), 10);
    proxy.set_both(SLOWER);
    let mut stopped = Vec::new();
    for worker in &deaf {
        match Stopped::compute_threads(worker.id()) {
            Ok(threads) => stopped.push(threads),
            Err(why) => {
                let refused = "this test stops a worker's threads, which is not permitted here";
                return host::report(&format!("{refused}: {why}"));
            }
        }
        // One after the other: so the second one is idle when the first one's pieces are late again.
        let since = bench.newest();
        run.wait_for_checkpoint(bench.folder(), since + 20);
    }
    for name in ["deaf-0", "deaf-1"] {
        let (cause, _) = drop_of(run.wait_for_event("drops the deaf", dropped(name)));
        assert!(matches!(cause, Cause::NoAnswer { .. }), "{cause}");
    }
    proxy.heal();
    assert_golden(&run.wait());
    assert_eq!(hearing.wait().code, Some(0));
}
