//! A whole step in one process: coordinator and workers of one thread, real gradients of the CNN, over gRPC
//! on loopback.
//!
//! `cargo bench --workspace --bench step`. It prints the median time of a step after a warm-up, as the
//! coordinator records it, with the defaults (batch 128, leaves of 32, Adam). `tests/compare/compare --parts
//! training` and `share` measure separate processes. Images are the embedded digits, or MNIST's if
//! `MNIST_DIR` names its folder.

#![allow(clippy::print_stdout, reason = "a benchmark's result")]

use anyhow::Context;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Number of steps that are not measured.
const WARM_UP: usize = 20;
/// Number of samples in a step.
const BATCH: f64 = 128.0;

fn main() -> anyhow::Result<()> {
    let dataset = if std::env::var_os("MNIST_DIR").is_some() { "mnist" } else { "digits" };
    println!("{:>8} {:>10} {:>12}", "workers", "ms a step", "samples/s");
    for workers in [1, 2] {
        let ms = measure(dataset, workers)?;
        println!("{workers:>8} {ms:>10.2} {:>12.0}", BATCH / ms * 1e3);
    }
    Ok(())
}

/// The median time of a step, in milliseconds.
fn measure(dataset: &str, workers: usize) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let checkpoints = folder.path().to_str().context("a folder for temporary files with a readable name")?;
    let place = ["--dataset", dataset, "--checkpoint-dir", checkpoints, "--checkpoint-every", "0"];
    let steps = ["--batch-size", "128", "--epochs", "1", "--val-split", "0"];
    let _ = tests::cluster::train(&[&place[..], &steps].concat(), &vec![1; workers]);
    let metrics = std::fs::read_to_string(folder.path().join("metrics.jsonl"))?;
    let mut ends = Vec::new();
    for line in metrics.lines() {
        let record: serde_json::Value = serde_json::from_str(line)?;
        if record["kind"] == "step" {
            ends.push(record["train_seconds"].as_f64().context("a step has its training time")?);
        }
    }
    let mut times: Vec<f64> = ends.windows(2).skip(WARM_UP).map(|pair| (pair[1] - pair[0]) * 1e3).collect();
    times.sort_unstable_by(f64::total_cmp);
    times.get(times.len() / 2).copied().context("too few steps")
}
