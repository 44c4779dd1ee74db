//! A peer that floods a coordinator, takes all places or does not read is disconnected. Memory, files and
//! training are not affected.

use common::event::Event;
use common::ids::Rank;
use common::protocol::coordinator::{Cause, ProtocolError};
use std::path::Path;
use std::time::{Duration, Instant};
use tests::attacked_run::AttackedRun;
use tests::flood::{Flood, KEPT_MAX, Kind, WITHOUT_HELLO};
use tests::golden::{Bench, assert_golden};
use tests::process::Process;
use tests::told::{drop_of, dropped};

/// Timeout for a coordinator on a busy machine to close connections.
const PATIENCE: Duration = Duration::from_secs(120);
/// Number of bytes that the system may hold of an unread connection, on both sides, with some to spare.
const HELD_BYTES: u64 = 16 << 20;

/// Part of a log line about a connection that was closed for a flood. It is no event of the run.
const CLOSED: &str = "\"message\":\"closed a connection\"";

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_flood_before_the_hello_is_closed_after_few_frames() {
    let mut visited = AttackedRun::new(&[]);
    for kind in WITHOUT_HELLO {
        let flood = Flood::start(kind, &visited.address, 4);
        wait_until(&format!("{kind:?} is closed"), || flood.sent().closed >= 40);
        let sent = flood.end();
        assert!(sent.bytes / sent.closed < HELD_BYTES, "{kind:?}: {sent:?}");
    }
    let line = visited.run.wait_for_line(CLOSED);
    assert!(line.contains("before a hello that was accepted"), "{line}");
    // 200 were closed, in a second or many: ten lines at once, and then one per second.
    assert!(visited.run.lines_with(CLOSED) < 150, "{}", visited.run.errors());
    visited.ends_golden_and_undisturbed();
}

/// Floods a run with `workers` places, one of which an honest worker has, until four workers are dropped for
/// it.
fn flooded_after_hello(workers: &str, rank: Option<Rank>, word: &str) {
    let bench = Bench::new();
    let (mut run, proxy) = bench.slowed(&["--workers", workers]);
    let worker = Process::worker(&proxy.address(), "honest");
    run.wait_for_checkpoint(bench.folder(), 5);
    for kind in [Kind::PingAfterHello, Kind::Heartbeats] {
        let is_for_it = |event: &Event| match event {
            Event::WorkerDropped { cause: Cause::Invalid(ProtocolError::Flood { .. }), departure } => {
                departure.worker.starts_with("flood-") && departure.rank == rank
            }
            _ => false,
        };
        let count = |run: &Process| run.events_with(is_for_it);
        let before = count(&run);
        let flood = Flood::start(kind, &run.address(), 1);
        wait_until(&format!("{kind:?} drops {word}"), || count(&run) >= before + 2);
        drop(flood);
    }
    proxy.heal();
    let outcome = run.wait();
    assert_golden(&outcome);
    assert!(!outcome.events.iter().any(dropped("honest")), "{}", outcome.errors);
    assert_eq!(worker.wait().code, Some(0));
}

#[test]
fn a_flood_by_a_member_drops_it_by_name() {
    flooded_after_hello("1:2", Some(Rank(1)), "a member");
}

#[test]
fn a_flood_by_a_spare_drops_it_by_name() {
    flooded_after_hello("1:1", None, "a spare");
}

#[test]
fn a_member_that_never_reads_is_dropped_by_name_and_fills_no_memory() {
    let data = tests::small_data::SmallData::write();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    // 13 MB of parameters: the connection holds some, and all versions would fill gigabytes.
    let model = ["--model", "mlp", "--hidden", "4096", "--batch-size", "10", "--micro-batch", "5"];
    let place = ["--dataset", data.folder(), "--val-split", "43", "--checkpoint-dir", folder];
    let rules = ["--workers", "1:2", "--epochs", "1000", "--heartbeat-timeout", "5"];
    let (mut run, address) = Process::coordinator("127.0.0.1:0", &[&place[..], &model, &rules].concat());
    let _honest = Process::worker(&address, "honest");
    // Writing a checkpoint takes most of the memory. One has been written, so another during the flood adds
    // nothing.
    run.wait_for_checkpoint(Path::new(folder), 100);
    let before_kb = run.status("VmHWM");
    let began = Instant::now();
    let flood = Flood::start(Kind::NeverReads, &address, 1);
    let (cause, _) = drop_of(run.wait_for_event("drops it", dropped("flood-0-0")));
    let took = began.elapsed();
    let grown_kb = run.status("VmHWM") - before_kb;
    drop(flood);
    // It may hold two versions of its own, a gradient or two of the other's, and what the allocator keeps.
    assert!(grown_kb < 160 << 10, "the coordinator grew by {grown_kb} kB in {took:?}; {cause}");
    assert!(matches!(cause, Cause::NotReading { .. }), "{cause}");
}

#[test]
fn a_crowd_of_refused_hellos_leaves_files_for_checkpoints() {
    let bench = Bench::new();
    let flags = bench.flags(&["--bind", "127.0.0.1:0", "--workers", "1", "--log-format", "json"]);
    let mut run = Process::start_after("ulimit -n 128", "coordinator", &flags);
    let address = run.address();
    let proxy = tests::proxy::Proxy::start(&address);
    proxy.set_both(tests::golden::SLOW);
    let worker = Process::worker(&proxy.address(), "honest");
    run.wait_for_checkpoint(bench.folder(), 5);
    let crowd = Flood::start(Kind::HiddenCrowd, &address, 8);
    wait_until("a crowd is there", || crowd.sent().opened >= 2 * 8 * KEPT_MAX as u64);
    // All of these steps fall within the crowd's presence.
    run.wait_for_checkpoint(bench.folder(), bench.newest() + 20);
    drop(crowd);
    proxy.heal();
    let outcome = run.wait();
    assert!(!outcome.errors.contains("Too many open files"), "{}", outcome.errors);
    assert_golden(&outcome);
    assert_eq!(worker.wait().code, Some(0));
}
