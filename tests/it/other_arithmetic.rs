//! A worker that computes other bits than the program promises is refused, unless the operator admits it,
//! also as the first one, and also where a run goes on.

use common::event::Event;
use common::protocol::coordinator::Refusal;
use common::selftest::{NumericsDigest, PROMISED};
use nix::sys::signal::Signal;
use proto::message::{Hello, WorkerMessage};
use std::path::Path;
use tests::attacked_run::AttackedRun;
use tests::golden::{Bench, STEPS, assert_golden};
use tests::process::Process;
use tests::scripted::{hello, work};
use tests::told::refused;

/// A correct hello except for what it computes in dense layers.
fn other_machine() -> Hello {
    let Hello { name, instance, threads, numerics: NumericsDigest(digest) } = hello("other-machine");
    Hello { name, instance, threads, numerics: NumericsDigest(digest ^ 1 << 63) }
}

/// Whether a worker is refused for its arithmetic.
fn is_refused(event: &Event) -> bool {
    refused("other-machine")(event)
        && matches!(event, Event::WorkerRefused { reason: Refusal::Numerics(_), .. })
}

/// Whether a worker is admitted with a warning about its arithmetic.
fn differs(event: &Event) -> bool {
    match event {
        Event::OtherNumerics { worker, differs, .. } => {
            worker == "other-machine" && differs.own == other_machine().numerics
        }
        _ => false,
    }
}

/// Works until the stream ends.
fn work_there(address: &str, hello: Hello) -> Result<(), String> {
    work(address, hello, |answer| vec![WorkerMessage::Answer(answer)])
}

/// Manifest of the last step's checkpoint.
fn last_manifest(folder: &Path) -> String {
    let path = folder.join(format!("step-{STEPS:012}")).join("manifest.json");
    std::fs::read_to_string(path).expect("the run is complete")
}

#[test]
fn a_worker_of_other_arithmetic_is_refused_and_told_what_differs() {
    let mut visited = AttackedRun::new(&[]);
    let told = work_there(&visited.address, other_machine()).unwrap_err();
    assert!(
        told.contains("its arithmetic differs in dense layers") && told.contains("--numerics relaxed"),
        "{told}"
    );
    visited.run.wait_for_event("refuses it", is_refused);
    visited.ends_golden_and_undisturbed();
}

#[test]
fn relaxed_numerics_let_it_in_and_say_what_is_lost() {
    let mut visited = AttackedRun::new(&["--numerics", "relaxed"]);
    visited.proxy.heal();
    assert_eq!(work_there(&visited.address, other_machine()), Ok(()));
    visited.run.wait_for_event("says what differs", differs);
    assert_golden(&visited.run.wait());
    assert!(!last_manifest(visited.bench.folder()).contains("numerics\":"), "who computed leaves no trace");
}

#[test]
fn a_first_comer_of_other_arithmetic_is_refused_too() {
    let bench = Bench::new();
    let (mut run, address) = bench.coordinator(&["--workers", "1"]);
    let told = work_there(&address, other_machine()).expect_err("it would compute other bits");
    assert!(told.contains("its arithmetic differs in dense layers"), "{told}");
    run.wait_for_event("refuses it", is_refused);
    let _honest = Process::worker(&address, "honest");
    assert_golden(&run.wait());
    let recorded = format!("\"numerics\": \"{PROMISED}\"");
    assert!(last_manifest(bench.folder()).contains(&recorded));
}

#[test]
fn a_resume_with_other_arithmetic_is_refused_with_a_word() {
    let bench = Bench::new();
    bench.stopped(1, 10, Signal::SIGTERM);
    let (mut run, address) = bench.coordinator(&["--workers", "1"]);
    let told = work_there(&address, other_machine()).expect_err("it would go on with other bits");
    assert!(["this program's has", "--numerics relaxed"].iter().all(|words| told.contains(words)), "{told}");
    run.wait_for_event("refuses it", is_refused);
    let _honest = Process::worker(&address, "honest");
    assert_golden(&run.wait());
    assert!(last_manifest(bench.folder()).contains(&format!("\"numerics\": \"{PROMISED}\"")));
}

#[test]
fn relaxed_numerics_go_on_where_a_strict_run_ended() {
    let bench = Bench::new();
    bench.stopped(1, 10, Signal::SIGTERM);
    let (mut run, address) = bench.coordinator(&["--workers", "1", "--numerics", "relaxed"]);
    assert_eq!(work_there(&address, other_machine()), Ok(()));
    run.wait_for_event("says what differs", differs);
    assert_golden(&run.wait());
    assert!(!last_manifest(bench.folder()).contains("numerics\":"), "who computed leaves no trace");
}
