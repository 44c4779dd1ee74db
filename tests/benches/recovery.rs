//! What failures cost: a worker's death, and a coordinator's.
//!
//! `cargo build --release && cargo bench --workspace --bench recovery`. The programs train the CNN (93,322 parameters)
//! with two workers of one thread; each computes one leaf of 64 images in a step. Images are the embedded digits, or
//! MNIST's if `MNIST_DIR` names its folder.
//!
//! **A worker** is killed at a moment drawn for it. Its death costs what the step in which it held a leaf took longer
//! than the steps before it (their median). The other worker has a leaf of its own and then computes the lost one,
//! whether it was lost early or late; the leaf's time beside it is that of two threads at work at once, as in a step. A
//! killed process keeps its connection until the system has taken back its memory: "noticed" is the time until the
//! coordinator's log has it, to 2 ms.
//!
//! **The coordinator** is killed and started again at once; measured is the time from starting the program until a worker
//! has got the parameters of the second step: data read, checkpoint loaded, workers back by themselves, one step done.

#![allow(clippy::print_stdout, reason = "a benchmark's result")]

use common::model::ModelSpec;
use common::params::Init;
use common::rng::Stream;
use common::sample::{PIXELS, Samples};
use nix::sys::signal::Signal::{SIGKILL, SIGTERM};
use std::collections::BTreeMap;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tests::process::Process;
use tests::proxy::{Proxy, Way};
use worker::model::Network;

/// Workers that are killed.
const DEATHS: u32 = 60;
/// Coordinators that are killed.
const RESTARTS: u32 = 30;
/// Images of a leaf; a step has two.
const LEAF: usize = 64;
/// For a new worker to be one like the other.
const SETTLE: Duration = Duration::from_millis(600);
/// Steps before a death that it is compared with.
const BEFORE: u64 = 15;
/// On the wire: so much goes down to each worker in a step, and a little more.
const PARAMETERS_BYTES: u64 = 373_288;
/// For a run to be itself again.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> anyhow::Result<()> {
    let both: Vec<_> = (0..2).map(|_| std::thread::spawn(leaf_ms)).collect();
    let times = both.into_iter().map(|thread| thread.join().expect("no panic"));
    let leaf_ms = times.sum::<anyhow::Result<f64>>()? / 2.0;
    println!("a leaf of {LEAF} images, two threads at once: {leaf_ms:.2} ms");
    let Deaths { noticed, costs } = deaths()?;
    let leaves = costs.iter().map(|cost| cost / leaf_ms).collect();
    report("a worker's death, noticed, ms", noticed);
    report("... costs a step, ms", costs);
    report("... costs a step, leaves", leaves);
    report("a coordinator's restart, s", restarts()?);
    Ok(())
}

fn report(what: &str, mut figures: Vec<f64>) {
    figures.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| figures[((figures.len() - 1) as f64 * share).round() as usize];
    let (median, ninth, most) = (at(0.5), at(0.9), at(1.0));
    println!("{what:<30} median {median:6.2}, 90 % {ninth:6.2}, most {most:6.2}, of {}", figures.len());
}

/// The median of many.
fn leaf_ms() -> anyhow::Result<f64> {
    let model = ModelSpec::Cnn;
    let mut network = Network::new(&model)?;
    network.load(&Init::He.draw(&model.layout(), 1))?;
    let (pixels, labels) = (0..LEAF as u32)
        .map(|i| common::digits::draw(common::digits::Half::Train, i))
        .fold((Vec::with_capacity(LEAF * PIXELS), Vec::new()), |(mut pixels, mut labels), (image, label)| {
            pixels.extend(image);
            labels.push(label);
            (pixels, labels)
        });
    let samples = Samples::new(pixels, labels)?;
    let mut times = Vec::new();
    for _ in 0..100 {
        let began = Instant::now();
        network.gradient(&samples)?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(median(times))
}

/// In milliseconds, of each death.
struct Deaths {
    noticed: Vec<f64>,
    costs: Vec<f64>,
}

fn deaths() -> anyhow::Result<Deaths> {
    let folder = tempfile::tempdir()?;
    let (mut run, address) = coordinator("127.0.0.1:0", folder.path(), "0");
    let _steady = Process::worker(&address, "steady");
    let mut random = Stream::new(1, "recovery", &[]);
    let (mut dropped, mut noticed) = (Vec::new(), Vec::new());
    for index in 0..DEATHS {
        let name = format!("doomed-{index}");
        let doomed = Process::worker(&address, &name);
        run.wait_for_line(&format!("worker joined worker={name} "));
        sleep(SETTLE + Duration::from_secs_f32(random.between(0.0, 0.1)));
        doomed.signal(SIGKILL);
        let killed = Instant::now();
        dropped.push(run.wait_for_line(&format!("worker dropped worker={name} ")));
        noticed.push(killed.elapsed().as_secs_f64() * 1e3);
        // The next one is not to start while this one's leaf is computed again.
        sleep(SETTLE);
    }
    run.signal(SIGTERM);
    let outcome = run.wait();
    anyhow::ensure!(outcome.code == Some(0), "{}", outcome.errors);
    let times = step_times(&folder.path().join("metrics.jsonl"))?;
    // One that held nothing died between two steps: that costs nothing.
    let held = dropped.iter().filter(|line| !line.contains("pieces=\"\""));
    let costs = held.map(|line| cost(line, &times)).collect::<anyhow::Result<_>>()?;
    Ok(Deaths { noticed, costs })
}

/// How much longer the step took in which this worker died.
fn cost(line: &str, times: &BTreeMap<u64, f64>) -> anyhow::Result<f64> {
    let step = line.split_once(" step=").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
    let step: u64 = step.ok_or_else(|| anyhow::anyhow!("no step in: {line}"))?;
    let took = times.get(&step).ok_or_else(|| anyhow::anyhow!("no step {step} in the metrics"))?;
    let before = times.range(step.saturating_sub(BEFORE)..step).map(|(_, &ms)| ms).collect();
    Ok(took - median(before))
}

/// Milliseconds of each step.
fn step_times(metrics: &Path) -> anyhow::Result<BTreeMap<u64, f64>> {
    let (mut times, mut before) = (BTreeMap::new(), 0.0);
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

/// How long each restart took, in seconds.
fn restarts() -> anyhow::Result<Vec<f64>> {
    let folder = tempfile::tempdir()?;
    let (mut run, address) = coordinator("127.0.0.1:0", folder.path(), "20");
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
        let (before, began) = (down(), Instant::now());
        run = coordinator(&address, folder.path(), "20").0;
        steps_since(before, 2)?;
        times.push(began.elapsed().as_secs_f64());
    }
    Ok(times)
}

fn coordinator(bind: &str, folder: &Path, checkpoint_every: &str) -> (Process, String) {
    let folder = folder.to_str().expect("a folder for temporary files with a readable name");
    let dataset = if std::env::var_os("MNIST_DIR").is_some() { "mnist" } else { "digits" };
    let (leaf, batch) = (LEAF.to_string(), (2 * LEAF).to_string());
    // No validation: all rounds are steps.
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
