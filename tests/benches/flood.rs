//! The effect of floods on a run: steps per second without a flood, with a flood of a bare listener that
//! accepts and closes, and with the same flood of the coordinator.
//!
//! `cargo build --release && cargo bench --workspace --bench flood`. The programs train the CNN (93,322
//! parameters) on the embedded digits with one worker of one thread, one leaf of 16 images a step. Four
//! threads of this process flood, each over a connection that is opened again whenever it is closed. Attacker
//! and run share the cores. So the bare listener shows what is left when nothing is done for the attacker.
//! The three cases are measured in one run, in turn, several times. The last kinds send a hello and become
//! spares; the bare listener closes them like all others.
//!
//! With `-- --tokens` workers need a token, and none of those who flood has one; handshakes are flooded too.

#![allow(clippy::print_stdout, reason = "a benchmark's result")]

use nix::sys::signal::Signal::SIGTERM;
use std::net::TcpListener;
use std::ops::Range;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tests::flood::{Flood, Kind, WITHOUT_HELLO};
use tests::golden::STOPPED;
use tests::process::Process;
use tests::told::any_joined;
use tests::trusted::House;

/// Number of flooding connections.
const CONNECTIONS: usize = 4;
/// Time of each measurement.
const MEASURED: Duration = Duration::from_secs(3);
/// Pause for a flood to begin or to end.
const SETTLE: Duration = Duration::from_millis(500);
/// Number of measurements of each case.
const TIMES: usize = 3;

/// Seconds of the run without a flood, with a flooded listener, and with the coordinator flooded.
type Phases = [Range<f64>; 3];

fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let place = ["--checkpoint-dir", folder.path().to_str().expect("a readable name"), "--dataset", "digits"];
    let steps = ["--micro-batch", "16", "--batch-size", "16", "--epochs", "100000", "--schedule", "constant"];
    let rules = ["--val-split", "0", "--checkpoint-every", "100000", "--workers", "1"];
    let house = std::env::args().any(|arg| arg == "--tokens").then(House::new);
    let identity = house.as_ref().map_or(vec![], |house| vec!["--identity", house.folder()]);
    let flags = [&place[..], &steps, &rules, &identity].concat();
    let (mut run, address) = Process::coordinator("127.0.0.1:0", &flags);
    let (worker, last) = match &house {
        None => (Process::worker(&address, "honest"), vec![Kind::PingAfterHello, Kind::Heartbeats]),
        Some(house) => (house.worker(&address, "honest", "default"), vec![Kind::Handshakes]),
    };
    run.wait_for_event("lets one in", any_joined);
    let began = Instant::now();
    let bare = bare()?;
    sleep(4 * SETTLE);
    let mut measured: Vec<(Kind, Phases)> = Vec::new();
    for _ in 0..TIMES {
        for kind in WITHOUT_HELLO.into_iter().chain(last.iter().copied()) {
            let phases = [None, Some(&bare), Some(&address)].map(|flooded| {
                let flood = flooded.map(|address| Flood::start(kind, address, CONNECTIONS));
                sleep(SETTLE);
                let from = began.elapsed().as_secs_f64();
                sleep(MEASURED);
                let phase = from..began.elapsed().as_secs_f64();
                drop(flood);
                sleep(SETTLE);
                phase
            });
            measured.push((kind, phases));
        }
    }
    run.signal(SIGTERM);
    let outcome = run.wait();
    anyhow::ensure!(outcome.code == Some(STOPPED), "{}", outcome.errors);
    drop(worker);
    report(&measured, &steps_at(&folder.path().join("metrics.jsonl"))?);
    Ok(())
}

/// The address of a listener that closes what it accepts, until this process ends.
fn bare() -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    Ok(address)
}

/// The time of each step in seconds of training.
fn steps_at(metrics: &Path) -> anyhow::Result<Vec<f64>> {
    let text = std::fs::read_to_string(metrics)?;
    let records = text.lines().map(serde_json::from_str::<serde_json::Value>);
    let records = records.collect::<Result<Vec<_>, _>>()?;
    let steps = records.iter().filter(|record| record["kind"] == "step");
    Ok(steps.filter_map(|record| record["train_seconds"].as_f64()).collect())
}

fn report(measured: &[(Kind, Phases)], steps: &[f64]) {
    println!(
        "{:<16} {:>12} {:>12} {:>12} {:>12}",
        "steps a second", "undisturbed", "bare", "coordinator", "to bare"
    );
    let mut kinds: Vec<Kind> = Vec::new();
    for (kind, _) in measured {
        if kinds.contains(kind) {
            continue;
        }
        kinds.push(*kind);
        let rates = [0, 1, 2].map(|phase| {
            let ranges = measured.iter().filter(|(other, _)| other == kind).map(|(_, phases)| &phases[phase]);
            let (seconds, count) = ranges.fold((0.0, 0), |(seconds, count), range| {
                let within = steps.iter().filter(|at| range.contains(at)).count();
                (seconds + range.end - range.start, count + within)
            });
            count as f64 / seconds
        });
        let [undisturbed, bare, coordinator] = rates;
        let name = format!("{kind:?}");
        println!(
            "{name:<16} {undisturbed:>12.1} {bare:>12.1} {coordinator:>12.1} {:>12.2}",
            coordinator / bare
        );
    }
}
