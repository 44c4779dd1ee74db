//! A worker that sends everything twice, and answers of past rounds again, costs nothing and no bit.
//!
//! gRPC does not repeat messages. A worker with a bug might, and so might a malicious one.

use proto::message::{Answer, Usage, WorkerMessage};
use tests::golden::{Bench, assert_golden};
use tests::process::Process;
use tests::scripted::{hello, work};
use tests::told::any_dropped;

#[test]
fn a_worker_that_repeats_its_answers_adds_nothing_twice() {
    let bench = Bench::new();
    let (run, address) = bench.coordinator(&["--workers", "2"]);
    let _other = Process::worker(&address, "other");
    let mut repeated = 0;
    let mut old = None::<Answer>;
    // The last answer again, then the new one, twice.
    let worked = work(&address, hello("repeater"), |answer| {
        repeated += 1;
        let old = old.replace(answer.clone());
        let answers = old.into_iter().chain([answer.clone(), answer]).map(WorkerMessage::Answer);
        answers
            .chain([WorkerMessage::Heartbeat(Usage::default()), WorkerMessage::Heartbeat(Usage::default())])
            .collect()
    });
    worked.unwrap();
    assert!(repeated > 0);
    let outcome = run.wait();
    assert!(!outcome.events.iter().any(any_dropped), "{}", outcome.errors);
    assert_golden(&outcome);
}
