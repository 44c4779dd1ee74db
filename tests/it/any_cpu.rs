//! Workers on different types of CPU train one model together, and its bits are those of any one of them.

use common::event::Event;
use tests::golden::{Bench, assert_golden};
use tests::process::Process;

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
fn a_cpu_without_fused_multiply_add_computes_the_same_bits_and_says_that_it_is_slow() {
    let bench = Bench::new();
    // Some pieces are computed by both and compared.
    let (run, address) = bench.coordinator(&["--workers", "2", "--audit", "0.01"]);
    let Some(old) = Process::worker_on_cpu("Nehalem", &address, "old") else { return };
    let here = Process::worker(&address, "here");
    let outcome = run.wait();
    assert_golden(&outcome);
    let is_dropped =
        |event: &Event| matches!(event, Event::WorkerDropped { .. } | Event::WorkerRefused { .. });
    assert!(!outcome.events.iter().any(is_dropped), "{}", outcome.errors);
    assert_eq!(here.wait().code, Some(0));
    let outcome = old.wait();
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    assert!(outcome.errors.contains("this CPU has no fused multiply-add"), "{}", outcome.errors);
}
