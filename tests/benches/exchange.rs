//! The cost of a step besides the gradients: parameters down, gradients up, addition, an SGD update.
//!
//! A real coordinator and 2 or 4 worker processes that answer at once ([`tests::instant`]), connected like
//! those of `--local`, for three sizes of model. It prints the median time of a step, and the bytes of
//! tensors that it moved. With `EXCHANGE_JSON=FILE` each row is also appended to the file as a line of JSON.
//! `cargo bench --workspace --bench exchange -- 93322` runs one size. With `-- tls` workers are connected
//! over TCP on loopback, without and with TLS in turn, and the last column is the time with TLS by that
//! without.

#![allow(clippy::print_stdout, reason = "a benchmark's result")]

use clap::Parser;
use coordinator::cli::Flags;
use coordinator::observe::console::Console;
use coordinator::session::Listen;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::Instant;
use tests::instant::Seen;
use tests::small_data::SmallData;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use trust::identity::Identity;
use trust::tls;
use trust::token::Token;
use trust::tokens::TokenName;
use worker::addresses::Addresses;
use worker::client::Way;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Flags and approximate parameters of each model, and the number of steps to measure.
const MODELS: [(u64, &[&str], u32); 3] = [
    (93_322, &["--model", "cnn"], 400),
    (1_048_615, &["--model", "mlp", "--hidden", "1319"], 100),
    (25_001_862, &["--model", "mlp", "--hidden", "4618,4618"], 12),
];
/// Environment variable with a worker's token.
const TOKEN: &str = "EXCHANGE_TOKEN";
/// Steps that are not measured, in which buffers and windows grow.
const WARM_UP: usize = 3;
/// Measurements of each link, in turn.
const TURNS: usize = 3;

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, address, name] = args.as_slice()
        && flag == "--instant-worker"
    {
        return work(address, name);
    }
    let only: Option<u64> = args.iter().find_map(|arg| arg.parse().ok());
    if args.iter().any(|arg| arg == "tls") {
        return with_and_without_tls(only);
    }
    println!("{:>12} {:>8} {:>10} {:>12} {:>8}", "parameters", "workers", "ms a step", "bytes", "GB/s");
    for (elements, model, steps) in MODELS {
        for workers in [2, 4] {
            if only.is_none_or(|only| only == elements) {
                let ms = measure(model, steps, workers, Link::Local)?;
                report(elements, workers, ms)?;
            }
        }
    }
    Ok(())
}

/// How workers are connected.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Link {
    /// As those of `--local`.
    Local,
    Tcp,
    Tls,
}

/// Measures each size over TCP, [`TURNS`] times without and with TLS, and prints the medians.
fn with_and_without_tls(only: Option<u64>) -> anyhow::Result<()> {
    println!("{:>12} {:>8} {:>10} {:>10} {:>8}", "parameters", "workers", "TCP, ms", "TLS, ms", "TLS/TCP");
    for (elements, model, steps) in MODELS {
        for workers in [2, 4] {
            if only.is_some_and(|only| only != elements) {
                continue;
            }
            let mut times = [Vec::new(), Vec::new()];
            for _ in 0..TURNS {
                for (link, times) in [Link::Tcp, Link::Tls].into_iter().zip(&mut times) {
                    times.push(measure(model, steps, workers, link)?);
                }
            }
            let [tcp, tls] = times.map(|mut times| {
                times.sort_unstable_by(f64::total_cmp);
                times[TURNS / 2]
            });
            println!("{elements:>12} {workers:>8} {tcp:>10.2} {tls:>10.2} {:>8.2}", tls / tcp);
        }
    }
    Ok(())
}

fn report(elements: u64, workers: u32, ms: f64) -> anyhow::Result<()> {
    let bytes = elements * 4 * 2 * u64::from(workers);
    let rate = bytes as f64 / ms / 1e6;
    println!("{elements:>12} {workers:>8} {ms:>10.2} {bytes:>12} {rate:>8.2}");
    if let Some(path) = std::env::var_os("EXCHANGE_JSON") {
        let mut file = std::fs::File::options().create(true).append(true).open(path)?;
        writeln!(file, r#"{{"elements":{elements},"workers":{workers},"ms":{ms:.4},"bytes":{bytes}}}"#)?;
    }
    Ok(())
}

/// The median time of a step, in milliseconds.
fn measure(model: &[&str], steps: u32, workers: u32, link: Link) -> anyhow::Result<f64> {
    let data = SmallData::of(steps * workers + 1, 1);
    let checkpoints = tempfile::tempdir()?;
    let folder = checkpoints.path().to_string_lossy().into_owned();
    let count = workers.to_string();
    let place = ["coordinator", "--workers", &count, "--checkpoint-dir", &folder];
    let steps = ["--val-split", "1", "--epochs", "1", "--micro-batch", "1", "--batch-size", &count];
    let sgd = ["--optimizer", "sgd", "--momentum", "0", "--lr", "1e-6", "--checkpoint-every", "0"];
    let flags = [&place[..], &["--dataset", data.folder()], &steps, &sgd, model].concat();
    let mut options = Flags::try_parse_from(flags)?.options()?;
    let identity = tempfile::tempdir()?;
    let token = Identity::open(identity.path())?.tokens()?.create(&TokenName::default(), None)?;
    options.cluster.listen = match link {
        Link::Local => Listen::Unix,
        Link::Tcp | Link::Tls => Listen::Tcp("127.0.0.1:0".to_owned()),
    };
    options.cluster.trust.identity = (link == Link::Tls).then(|| identity.path().to_owned());
    let token = if link == Link::Tls { token.reveal().to_string() } else { String::new() };
    let prepared = coordinator::single_run::prepare(options, &Console::silent())?;
    let address = prepared.local_address().to_owned();
    let children: Vec<Child> =
        (0..workers).map(|index| start(&address, index, &token)).collect::<Result<_, _>>()?;
    let (_never, stop) = watch::channel(0);
    runtime(2)?.block_on(prepared.run(stop))?;
    let mut times = Vec::new();
    for child in children {
        let output = child.wait_with_output()?;
        anyhow::ensure!(output.status.success(), "a worker failed");
        times.extend(
            String::from_utf8(output.stdout)?
                .lines()
                .map(str::parse::<f64>)
                .collect::<Result<Vec<_>, _>>()?,
        );
    }
    times.sort_unstable_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

fn start(address: &str, index: u32, token: &str) -> std::io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--instant-worker", address, &format!("instant-{index}")]);
    command.env(TOKEN, token).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()
}

/// Measures in a separate process, which prints the milliseconds of each step.
fn work(address: &str, name: &str) -> anyhow::Result<()> {
    let mut arrivals = Vec::new();
    let see = |seen| match seen {
        Seen::Parameters(_) => arrivals.push(Instant::now()),
        Seen::Answered => {}
    };
    let token = std::env::var(TOKEN).ok().filter(|token| !token.is_empty());
    let token = token.map(|token| token.parse::<Token>()).transpose()?;
    let tls = token.map(|token| tls::Worker::new(&token)).transpose()?;
    let way = Way::new(Addresses::one(address), tls);
    runtime(1)?.block_on(tests::instant::work(&way, name, see)).map_err(anyhow::Error::msg)?;
    for pair in arrivals.windows(2).skip(WARM_UP) {
        println!("{}", (pair[1] - pair[0]).as_secs_f64() * 1e3);
    }
    Ok(())
}

/// The allocator of the programs.
fn runtime(threads: usize) -> std::io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(threads).enable_all().build()
}
