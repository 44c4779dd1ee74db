//! A name is a label: a second worker with a name that is in use costs the worker that has it nothing.

use common::event::Event;
use common::ids::Instance;
use common::protocol::coordinator::{Cause, QUARANTINE_AFTER};
use proto::message::{Hello, WorkerMessage};
use tests::attacked_run::AttackedRun;
use tests::golden::{Bench, assert_golden};
use tests::process::Process;
use tests::scripted::{hello, say};
use tests::told::{any_dropped, joined};

/// Number of hellos under a member's name: those of 12 s at 17 per second.
const HELLOS: usize = 200;

/// Hellos of unknown workers, each as another process. The self-test that they share takes a while.
fn unknown_workers() -> impl Fn(&str) -> Hello {
    let first = hello("unknown");
    move |name| Hello { name: name.to_owned(), instance: Instance(host::random().max(1)), ..first.clone() }
}

#[test]
fn unknown_workers_under_local_names_do_not_end_a_run() {
    let bench = Bench::new();
    let hello_as = unknown_workers();
    let (run, address) = bench.coordinator(&["--workers", "2", "--local", "--threads", "1"]);
    let attack = |name| {
        // A member is dropped for its next message.
        let told = say(&address, hello_as(name), vec![WorkerMessage::Hello(hello_as(name))]);
        (name, told.unwrap_err())
    };
    let told: Vec<_> = (0..QUARANTINE_AFTER).flat_map(|_| ["local-0", "local-1"]).map(attack).collect();
    let outcome = run.wait();
    assert_golden(&outcome);
    assert!(!outcome.events.iter().any(any_dropped), "{}", outcome.errors);
    for (name, told) in told {
        assert!(told.contains(name) && told.contains("kept for a worker"), "{told}");
    }
}

#[test]
fn hellos_under_a_members_name_replace_nobody() {
    let visited = AttackedRun::new(&[]);
    let hello_as = unknown_workers();
    let attack = |_| say(&visited.address, hello_as("honest"), vec![]).unwrap_err();
    let told: Vec<_> = (0..HELLOS).map(attack).collect();
    visited.ends_golden_and_undisturbed();
    for told in told {
        assert!(told.contains("under the name honest") && told.contains("--name"), "{told}");
    }
}

#[test]
fn a_second_worker_of_one_name_waits_until_the_first_is_gone() {
    let bench = Bench::new();
    let (mut run, proxy) = bench.slowed(&["--workers", "1:2"]);
    let first = Process::worker(&proxy.address(), "twin");
    run.wait_for_event("lets the first in", joined("twin"));
    let mut second = Process::worker(&proxy.address(), "twin");
    second.wait_for_lines(3, "another worker is connected under the name twin");
    let step = bench.newest() + 1;
    run.wait_for_checkpoint(bench.folder(), step);
    drop(first);
    run.wait_for_events(2, "lets the second in", joined("twin"));
    proxy.heal();
    let outcome = run.wait();
    assert_golden(&outcome);
    let is_replaced = |event: &Event| matches!(event, Event::WorkerDropped { cause: Cause::Replaced, .. });
    assert!(!outcome.events.iter().any(is_replaced), "{}", outcome.errors);
    assert_eq!(second.wait().code, Some(0));
}
