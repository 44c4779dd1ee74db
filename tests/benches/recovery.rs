//! The cost of failures: of a worker's death, and of a coordinator's.
//!
//! `cargo build --release && cargo bench --workspace --bench recovery`. The programs train the CNN (93,322
//! parameters) with two workers of one thread; each computes one leaf of 64 images in a step, or of as many
//! as `-- --leaf N` says. Images are the embedded digits, or MNIST's if `MNIST_DIR` names its folder.
//!
//! **A worker** is killed at a random moment. The cost of its death is the time by which the step in which it
//! held a leaf is longer than the median of the steps before it. The other worker has its own leaf and then
//! computes the lost one, whether that was lost early or late. The leaf's time beside it is the median of
//! that worker's, from a trace of this run. Steps vary without a death too: as many of them, a few before
//! each death, are measured in the same way. A killed process keeps its connection until the system has taken
//! back its memory. "Noticed" is the time until the coordinator's log has the death, to 2 ms.
//!
//! **The coordinator** is killed and started again at once. The measured time is from starting the program
//! until a worker has the parameters of the second step: data read, checkpoint loaded, workers connected
//! again, one step done.

#![allow(clippy::print_stdout, reason = "a benchmark's result")]

use clap::Parser;
use common::rng::Stream;
use nix::sys::signal::Signal::{SIGKILL, SIGTERM};
use std::collections::BTreeMap;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tests::golden::STOPPED;
use tests::process::Process;
use tests::proxy::{Proxy, Way};
use tests::told::{drop_of, dropped, joined};

/// Number of workers that are killed.
const DEATHS: u32 = 60;
/// Number of coordinators that are killed.
const RESTARTS: u32 = 30;
/// Time for a new worker to reach its speed and for some steps with both workers, for leaves of at most 64
/// images.
const SETTLE: Duration = Duration::from_millis(600);
/// Number of steps before a death with which it is compared.
const BEFORE: u64 = 15;
/// Number of steps before a death at which a step without one is measured, far from the death before, too.
const UNDISTURBED: u64 = 5;
/// Bytes of the parameters, which each worker receives in a step, besides a little more.
const PARAMETERS_BYTES: u64 = 373_288;
/// Timeout for a run to recover.
const PATIENCE: Duration = Duration::from_secs(60);

/// Kills workers and coordinators, and prints what each death costs.
#[derive(Debug, Parser)]
struct Flags {
    /// Number of images in a leaf; a step has two leaves
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1024))]
    leaf: u32,
    /// Set by cargo for every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let Flags { leaf, .. } = Flags::parse();
    let Deaths { leaf_ms, noticed, costs, undisturbed } = deaths(leaf)?;
    println!("{:<30} median {leaf_ms:6.2}", format!("a leaf of {leaf} images, ms"));
    let leaves = costs.iter().map(|cost| cost / leaf_ms).collect();
    report("a worker's death, noticed, ms", noticed);
    report("... costs a step, ms", costs);
    report("... costs a step, leaves", leaves);
    report("no death, costs a step, ms", undisturbed);
    report("a coordinator's restart, s", restarts(leaf)?);
    Ok(())
}

fn report(what: &str, mut figures: Vec<f64>) {
    figures.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| figures[((figures.len() - 1) as f64 * share).round() as usize];
    let median = at(0.5);
    let ninth = at(0.9);
    let most = at(1.0);
    println!("{what:<30} median {median:6.2}, 90 % {ninth:6.2}, most {most:6.2}, of {}", figures.len());
}

/// Times of deaths, in milliseconds.
struct Deaths {
    /// Leaf times of the worker that lives.
    leaf_ms: f64,
    noticed: Vec<f64>,
    costs: Vec<f64>,
    /// Excess times of as many steps without a death.
    undisturbed: Vec<f64>,
}

fn deaths(leaf: u32) -> anyhow::Result<Deaths> {
    let folder = tempfile::tempdir()?;
    let (mut run, address) = coordinator("127.0.0.1:0", folder.path(), "0", leaf);
    let trace = folder.path().join("trace.json");
    let trace_flag = ["--trace", trace.to_str().expect("a readable name")];
    let steady = ["--connect", &address, "--name", "steady", "--threads", "1"];
    let mut steady = Process::start("worker", &[&steady[..], &trace_flag].concat());
    let mut random = Stream::new(1, "recovery", &[]);
    let mut departures = Vec::new();
    let mut noticed = Vec::new();
    for index in 0..DEATHS {
        let name = format!("doomed-{index}");
        let doomed = Process::worker(&address, &name);
        run.wait_for_event("lets it in", joined(&name));
        sleep(SETTLE * leaf.div_ceil(64) + Duration::from_secs_f32(random.between(0.0, 0.1)));
        doomed.signal(SIGKILL);
        let killed = Instant::now();
        departures.push(drop_of(run.wait_for_event("drops the dead one", dropped(&name))).1);
        noticed.push(killed.elapsed().as_secs_f64() * 1e3);
        // The next death must not come while this one's leaf is computed again.
        sleep(SETTLE);
    }
    run.signal(SIGTERM);
    let outcome = run.wait();
    anyhow::ensure!(outcome.code == Some(STOPPED), "{}", outcome.errors);
    steady.signal(SIGTERM);
    steady.wait_for_end();
    let times = step_times(&folder.path().join("metrics.jsonl"))?;
    // A worker that held nothing died between two steps, which costs nothing.
    let held = departures.iter().filter(|departure| !departure.pieces.is_empty());
    let steps: Vec<u64> = held.map(|departure| departure.step.0).collect();
    let costs = steps.iter().map(|&step| cost(step, &times)).collect::<anyhow::Result<_>>()?;
    // There may be too few steps before the first death.
    let undisturbed = steps.iter().filter_map(|step| Some(step.checked_sub(UNDISTURBED + BEFORE)? + BEFORE));
    let undisturbed = undisturbed.map(|step| cost(step, &times));
    let undisturbed = undisturbed.collect::<anyhow::Result<_>>()?;
    Ok(Deaths { leaf_ms: median(leaf_times(&trace)?), noticed, costs, undisturbed })
}

/// Excess time of a step over the steps before it.
fn cost(step: u64, times: &BTreeMap<u64, f64>) -> anyhow::Result<f64> {
    let took = times.get(&step).ok_or_else(|| anyhow::anyhow!("no step {step} in the metrics"))?;
    let before = times.range(step.saturating_sub(BEFORE)..step).map(|(_, &ms)| ms).collect();
    Ok(took - median(before))
}

/// Milliseconds of each leaf of a worker.
fn leaf_times(trace: &Path) -> anyhow::Result<Vec<f64>> {
    let text = std::fs::read_to_string(trace)?;
    let spans = text.lines().filter(|line| line.contains(r#""name":"compute""#));
    spans
        .map(|line| {
            let span: serde_json::Value = serde_json::from_str(line.trim_end_matches(','))?;
            let dur_us = span["dur"].as_f64().ok_or_else(|| anyhow::anyhow!("no time in: {line}"))?;
            Ok(dur_us / 1e3)
        })
        .collect()
}

/// Milliseconds of each step.
fn step_times(metrics: &Path) -> anyhow::Result<BTreeMap<u64, f64>> {
    let mut times = BTreeMap::new();
    let mut before = 0.0;
    for line in std::fs::read_to_string(metrics)?.lines() {
        let record: serde_json::Value = serde_json::from_str(line)?;
        if let (Some("step"), Some(step), Some(seconds)) =
            (record["kind"].as_str(), record["step"].as_u64(), record["train_seconds"].as_f64())
        {
            times.insert(step, (seconds - before) * 1e3);
            before = seconds;
        }
    }
    Ok(times)
}

/// The time that each restart took, in seconds.
fn restarts(leaf: u32) -> anyhow::Result<Vec<f64>> {
    let folder = tempfile::tempdir()?;
    let (mut run, address) = coordinator("127.0.0.1:0", folder.path(), "20", leaf);
    let proxies = [(); 2].map(|()| Proxy::start(&address));
    let names = ["worker-0", "worker-1"];
    let _workers: Vec<_> =
        proxies.iter().zip(names).map(|(proxy, name)| Process::worker(&proxy.address(), name)).collect();
    let down = || proxies.each_ref().map(|proxy| proxy.arrived(Way::Down));
    let steps_since = |before: [u64; 2], steps: u64| -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while down().iter().zip(before).all(|(now, before)| now - before <= steps * PARAMETERS_BYTES) {
            anyhow::ensure!(Instant::now() < deadline, "no step in {PATIENCE:?}");
            sleep(Duration::from_millis(1));
        }
        Ok(())
    };
    let mut times = Vec::new();
    for _ in 0..RESTARTS {
        // Far enough for another checkpoint.
        steps_since(down(), 40)?;
        run.signal(SIGKILL);
        run.wait_for_end();
        let before = down();
        let began = Instant::now();
        run = coordinator(&address, folder.path(), "20", leaf).0;
        steps_since(before, 2)?;
        times.push(began.elapsed().as_secs_f64());
    }
    Ok(times)
}

fn coordinator(bind: &str, folder: &Path, checkpoint_every: &str, leaf: u32) -> (Process, String) {
    let folder = folder.to_str().expect("a folder for temporary files with a readable name");
    let dataset = if std::env::var_os("MNIST_DIR").is_some() { "mnist" } else { "digits" };
    let [leaf, batch] = [leaf, 2 * leaf].map(|images| images.to_string());
    // Without validation, so that all rounds are steps.
    let place = ["--dataset", dataset, "--val-split", "0", "--checkpoint-dir", folder];
    let place = [&place[..], &["--checkpoint-every", checkpoint_every]].concat();
    let steps =
        ["--micro-batch", &leaf, "--batch-size", &batch, "--epochs", "100000", "--schedule", "constant"];
    Process::coordinator(bind, &[&place[..], &steps, &["--workers", "1:2"]].concat())
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
