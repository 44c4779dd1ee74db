//! Workers on different types of CPU train one model together, and its bits are those of any one of them.

use common::event::Event;
use common::protocol::coordinator::Refusal;
use tests::golden::{Bench, assert_golden};
use tests::process::Process;
use tests::told::refused;

#[test]
fn a_worker_on_another_type_of_cpu_computes_the_same_bits() {
    let bench = Bench::new();
    // Every piece is computed by both and compared.
    let (run, address) = bench.coordinator(&["--workers", "2", "--audit", "1"]);
    let Some(other) = Process::worker_on_cpu("Haswell", &address, "haswell") else { return };
    let here = Process::worker(&address, "here");
    let outcome = run.wait();
    assert_golden(&outcome);
    let is_dropped =
        |event: &Event| matches!(event, Event::WorkerDropped { .. } | Event::WorkerRefused { .. });
    assert!(!outcome.events.iter().any(is_dropped), "{}", outcome.errors);
    for worker in [here, other] {
        let outcome = worker.wait();
        assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    }
}

#[test]
fn a_cpu_without_fused_multiply_add_is_refused_and_told_so() {
    let bench = Bench::new();
    let (mut run, address) = bench.coordinator(&["--workers", "1"]);
    let Some(old) = Process::worker_on_cpu("Nehalem", &address, "old") else { return };
    run.wait_for_event("refuses it", |event| {
        refused("old")(event) && matches!(event, Event::WorkerRefused { reason: Refusal::Numerics(_), .. })
    });
    let outcome = old.wait();
    assert_eq!(outcome.code, Some(1), "{}", outcome.errors);
    for words in ["its CPU has no FMA", "its arithmetic differs in dense layers"] {
        assert!(outcome.errors.contains(words), "{}", outcome.errors);
    }
    let _honest = Process::worker(&address, "honest");
    assert_golden(&run.wait());
}
