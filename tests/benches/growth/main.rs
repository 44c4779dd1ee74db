//! The growth of a step's cost with workers (1 to 64) and with parameters (10^4 to 10^8), without the
//! gradients.
//!
//! `cargo bench --workspace --bench growth [-- workers|parameters|memory]` prints Markdown tables. This
//! process is the coordinator and nothing else, so its CPU time is the coordinator's. All workers are instant
//! workers ([`tests::instant`]) of one other process, connected like those of `--local`. They share one core,
//! so the time of a step is that of both sides on this machine, while the coordinator's CPU time is its own.
//! Each step has a leaf of one image for each worker and an SGD update.
//!
//! The workers' process reads the coordinator's CPU time when the first worker has the parameters of two
//! steps, an early one and the last. All columns are the difference over the steps between them. "MB a
//! worker" is what went through a socket, in both directions. A relay counts it in a separate run with one
//! worker; no other run has the relay. The last table follows from these columns: a step takes at best the
//! computing T, and x for each worker and once more, where x is what a worker costs in one direction (the
//! parameters go out before the computing, the gradients come in after it). Memory is that of 10^7
//! parameters, with a separate process for each number of workers.

#![allow(clippy::print_stdout, reason = "a benchmark's result")]

mod measured;

use clap::Parser;
use common::data::digits::PIXELS;
use coordinator::cli::Flags;
use coordinator::observe::console::Console;
use coordinator::session::Listen;
use measured::{Measured, relay};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use tests::instant::Seen;
use tests::small_data::SmallData;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use worker::client::Way;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Numbers of workers in the table of workers.
const WORKERS: [u32; 7] = [1, 2, 4, 8, 16, 32, 64];
/// Flags and parameters of each model, and the number of steps to measure with two workers.
const MODELS: [(&[&str], u64, u32); 5] = [
    (&["--model", "mlp", "--hidden", "13"], 10_345, 2000),
    (&["--model", "mlp", "--hidden", "126"], 100_180, 800),
    (&["--model", "mlp", "--hidden", "1258"], 1_000_120, 120),
    (&["--model", "mlp", "--hidden", "12579"], 10_000_315, 20),
    (&["--model", "mlp", "--hidden", "9610,9610"], 100_001_670, 6),
];
/// Numbers of workers in the table of memory.
const CROWDS: [u32; 6] = [1, 2, 4, 8, 16, 32];
/// Number of steps of a run for the table of memory.
const CROWD_STEPS: u32 = 6;
/// Steps that are not measured, in which buffers and windows grow.
const WARM_UP: u32 = 3;
/// Number of steps of the run that counts bytes.
const COUNTED_STEPS: u32 = 4;
/// Links in the last table, in Gbit/s.
const LINKS: [f64; 3] = [1.0, 10.0, 25.0];
/// Computing of a worker in a step in the last table, in ms: 64 images of MNIST by the CNN on a core with
/// AVX-512.
const COMPUTE_MS: f64 = 2.5;

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, address, workers, steps, counting] = args.as_slice()
        && flag == "--instant-workers"
    {
        return work(address, workers.parse()?, steps.parse()?, counting == "true");
    }
    if let [flag, workers] = args.as_slice()
        && flag == "--peak"
    {
        measure(MODELS[3].0, CROWD_STEPS, workers.parse()?, false)?;
        println!("{:.0}", measured::peak_mb()?);
        return Ok(());
    }
    let asked = |table: &str| {
        let named: Vec<_> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
        named.is_empty() || named.iter().any(|name| *name == table)
    };
    if asked("workers") {
        by_workers()?;
    }
    if asked("parameters") {
        by_parameters()?;
    }
    if asked("memory") {
        memory()?;
    }
    Ok(())
}

fn memory() -> anyhow::Result<()> {
    let (_, parameters, _) = MODELS[3];
    println!("\n| workers | coordinator's peak with {parameters} parameters, MB |\n|---|---|");
    for workers in CROWDS {
        let mut command = Command::new(std::env::current_exe()?);
        let output = command.args(["--peak", &workers.to_string()]).stderr(Stdio::inherit()).output()?;
        anyhow::ensure!(output.status.success(), "the run with {workers} workers failed");
        println!("| {workers} | {} |", String::from_utf8(output.stdout)?.trim());
    }
    Ok(())
}

fn by_workers() -> anyhow::Result<()> {
    let cnn = ["--model", "cnn"];
    let bytes = measure(&cnn, COUNTED_STEPS, 1, true)?.bytes;
    println!(
        "| workers | ms a step | coordinator's CPU, ms | of it a worker, ms | workers' CPU, ms | answers | MB a worker |"
    );
    println!("|---|---|---|---|---|---|---|");
    for workers in WORKERS {
        let Measured { ms, own_ms, workers_ms, answers, .. } =
            measure(&cnn, (1600 / workers).max(60), workers, false)?;
        let share = own_ms / f64::from(workers);
        let mb = bytes / 1e6;
        println!(
            "| {workers} | {ms:.2} | {own_ms:.2} | {share:.3} | {workers_ms:.2} | {answers:.2} | {mb:.3} |"
        );
    }
    println!();
    Ok(())
}

fn by_parameters() -> anyhow::Result<()> {
    const WORKERS: u32 = 2;
    println!("| parameters | ms a step | coordinator's CPU, ms | of it a worker, ms | MB a worker |");
    println!("|---|---|---|---|---|");
    let mut costs = Vec::new();
    for (model, parameters, steps) in MODELS {
        let bytes = measure(model, COUNTED_STEPS, 1, true)?.bytes;
        let Measured { ms, own_ms, .. } = measure(model, steps, WORKERS, false)?;
        let share = own_ms / f64::from(WORKERS);
        let mb = bytes / 1e6;
        println!("| {parameters} | {ms:.2} | {own_ms:.2} | {share:.3} | {mb:.3} |");
        costs.push((parameters, share, bytes));
    }
    // Each direction has half of the bytes, and the whole rate of the link.
    let link_ms = |bytes: f64, gbit_per_s: f64| bytes / 2.0 * 8.0 / (gbit_per_s * 1e6);
    println!("\nWhat a worker costs the coordinator in each direction of a step, ms:\n");
    println!("| parameters | CPU | link of 1 Gbit/s | of 10 Gbit/s | of 25 Gbit/s |");
    println!("|---|---|---|---|---|");
    for &(parameters, cpu_ms, bytes) in &costs {
        let links = LINKS.map(|rate| format!("{:.3}", link_ms(bytes, rate))).join(" | ");
        println!("| {parameters} | {:.3} | {links} |", cpu_ms / 2.0);
    }
    println!("\nWorkers with which half of a step is waiting, for {COMPUTE_MS} ms of computing a step:\n");
    println!("| parameters | link of 1 Gbit/s | of 10 Gbit/s | of 25 Gbit/s |");
    println!("|---|---|---|---|");
    for &(parameters, cpu_ms, bytes) in &costs {
        let halves = LINKS.map(|rate| {
            // What is slower holds up the other.
            let each_ms = link_ms(bytes, rate).max(cpu_ms / 2.0);
            let workers = (COMPUTE_MS / each_ms - 1.0).max(0.0);
            if workers < 1.0 { "fewer than 1".to_owned() } else { format!("{workers:.0}") }
        });
        println!("| {parameters} | {} |", halves.join(" | "));
    }
    Ok(())
}

/// One run of `steps` after the warm-up.
fn measure(model: &[&str], steps: u32, workers: u32, counting: bool) -> anyhow::Result<Measured> {
    let steps = WARM_UP + steps + 1;
    let data = SmallData::of(steps * workers + 1, 1);
    let checkpoints = tempfile::tempdir()?;
    let folder = checkpoints.path().to_string_lossy().into_owned();
    let count = workers.to_string();
    let place = ["coordinator", "--workers", &count, "--checkpoint-dir", &folder];
    let cut = ["--val-split", "1", "--epochs", "1", "--micro-batch", "1", "--batch-size", &count];
    let sgd = ["--optimizer", "sgd", "--momentum", "0", "--lr", "1e-6", "--checkpoint-every", "0"];
    // On a busy machine a tensor may take seconds: neither silence nor a late answer is a failure.
    let patient = ["--heartbeat-timeout", "120", "--answer-timeout", "3600"];
    let flags = [&place[..], &["--dataset", data.folder()], &cut, &sgd, &patient, model].concat();
    let listen = if counting { Listen::Tcp("127.0.0.1:0".to_owned()) } else { Listen::Unix };
    let mut options = Flags::try_parse_from(flags)?.options()?;
    options.cluster.listen = listen;
    let prepared = coordinator::single_run::prepare(options, &Console::silent())?;
    let address = prepared.local_address().to_owned();
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--instant-workers", &address, &count, &steps.to_string(), &counting.to_string()]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let (_never, stop) = watch::channel(0);
    runtime(2)?.block_on(prepared.run(stop))?;
    let output = child.wait_with_output()?;
    anyhow::ensure!(output.status.success(), "the workers failed");
    let line = String::from_utf8(output.stdout)?;
    let mut measured = Measured::parse(line.trim())?;
    if counting {
        // The image of each step is no part of the exchange, but it is in the bytes.
        anyhow::ensure!(measured.bytes > PIXELS as f64, "the relay has counted nothing");
    } else {
        measured.bytes = 0.0;
    }
    Ok(measured)
}

/// The workers' process, which prints its measurements as one line.
fn work(address: &str, workers: u32, steps: u32, counting: bool) -> anyhow::Result<()> {
    let counted = relay::Counted::default();
    let address = if counting { relay::start(address, &counted)? } else { address.to_owned() };
    let meter = Arc::new(Mutex::new(measured::Meter::new(u64::from(WARM_UP), u64::from(steps - 1), counted)));
    runtime(1)?.block_on(async {
        let tasks: Vec<_> = (0..workers)
            .map(|index| {
                let address = address.clone();
                let meter = Arc::clone(&meter);
                let see = move |seen: Seen| meter.lock().unwrap_or_else(PoisonError::into_inner).see(seen);
                tokio::spawn(async move {
                    tests::instant::work(&Way::plain(&address), &format!("instant-{index}"), see).await
                })
            })
            .collect();
        for task in tasks {
            task.await?.map_err(anyhow::Error::msg)?;
        }
        anyhow::Ok(())
    })?;
    let meter = meter.lock().unwrap_or_else(PoisonError::into_inner);
    println!("{}", meter.measured()?.line());
    Ok(())
}

/// The allocator of the programs.
fn runtime(threads: usize) -> std::io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(threads).enable_all().build()
}
