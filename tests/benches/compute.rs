//! The arithmetic of one worker thread alone: gradients of leaves, over and over.
//!
//! `cargo bench --workspace --bench compute` prints samples per second as JSON. It is the worker's own
//! arithmetic, on its allocator, without threads, messages or changing parameters. `tests/compare/compare
//! --parts share` starts two of these, one on each core, and compares a cluster's speed with their sum.
//! `--begin-at` makes them measure in the same seconds. `--checkpoint` is there because the speed depends on
//! the parameters: a closed ReLU costs nothing. Images are the embedded digits, or MNIST's if `MNIST_DIR`
//! names its folder.

#![allow(clippy::print_stdout, reason = "a benchmark's result")]

use clap::Parser;
use common::checkpoint::{MANIFEST_FILE, MODEL_FILE, Manifest, OPTIMIZER_FILE};
use common::data::sampler::Plan;
use common::data::samples::Samples;
use common::ids::Epoch;
use common::model::architecture::Architecture;
use common::model::params::Init;
use common::rng::LeafAddress;
use common::train::augment::Augmentation;
use common::train::objective::Objective;
use common::train::optim::{Moments, OptimizerSpec};
use coordinator::dataset::{self, DatasetChoice, Named};
use coordinator::observe::console::Console;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};
use worker::engine::network::Network;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Number of leaves that are computed in turn: enough for a fair sample of the images.
const LEAVES: usize = 128;
/// Warm-up before the measurement, if no time is given for its beginning.
const WARM_UP_SECONDS: f64 = 0.5;
/// Seed of the parameters and of the order of images: the coordinator's default.
const SEED: u64 = 1;

/// Computes gradients and nothing else.
#[derive(Debug, Parser)]
struct Flags {
    /// Number of samples in a leaf
    #[arg(long, default_value_t = 32)]
    micro_batch: u32,
    /// Network, by its name or its layers
    #[arg(long, default_value = "cnn")]
    model: String,
    /// Random changes to the images, as the coordinator's --augment takes them
    #[arg(long, default_value = "none")]
    augment: Augmentation,
    /// Data set [default: MNIST of MNIST_DIR, or the embedded digits]
    #[arg(long)]
    dataset: Option<DatasetChoice>,
    /// Checkpoint of an Adam run with the parameters to use [default: a run's initial ones]
    #[arg(long)]
    checkpoint: Option<PathBuf>,
    /// Index of this process's share of the images
    #[arg(long, default_value_t = 0)]
    rank: usize,
    /// Number of shares
    #[arg(long, default_value_t = 1)]
    world: usize,
    /// Seconds since 1970 at which the measurement begins [default: when everything is ready]
    #[arg(long)]
    begin_at: Option<f64>,
    /// Duration of the measurement in seconds
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Set by cargo for every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    anyhow::ensure!(flags.rank < flags.world, "--rank {} of --world {}", flags.rank, flags.world);
    anyhow::ensure!(flags.micro_batch > 0, "--micro-batch is at least 1");
    let leaves = leaves(&flags)?;
    let model = Architecture::parse(leaves[0].spec(), &flags.model)?;
    let mut network = Network::new(&model)?.with_objective(flags.augment, Objective::default());
    network.load(&parameters(&model, flags.checkpoint.as_deref())?)?;
    let begin_at = flags.begin_at.unwrap_or(unix_seconds()? + WARM_UP_SECONDS);
    anyhow::ensure!(unix_seconds()? < begin_at, "it is past --begin-at already; give it more time");
    let mut turn = leaves.iter().cycle();
    let mut compute = || -> anyhow::Result<usize> {
        let leaf = turn.next().expect("a cycle of leaves has no end");
        network.gradient(leaf, LeafAddress::default())?;
        Ok(leaf.len())
    };
    while unix_seconds()? < begin_at {
        compute()?;
    }
    let begin = Instant::now();
    let limit = Duration::from_secs_f64(flags.seconds);
    let mut samples = 0;
    while begin.elapsed() < limit {
        samples += compute()?;
    }
    let rate = samples as f64 / begin.elapsed().as_secs_f64();
    println!(r#"{{"samples_per_s":{rate:.1}}}"#);
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "two processes agree on a moment")]
fn unix_seconds() -> anyhow::Result<f64> {
    Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64())
}

fn parameters(model: &Architecture, checkpoint: Option<&Path>) -> anyhow::Result<Vec<f32>> {
    let layout = model.layout();
    let Some(path) = checkpoint else { return Ok(Init::He.draw(layout, SEED)) };
    let slots = OptimizerSpec::Adam(Moments::new(0.0)).slots();
    let read = |file| std::fs::read(path.join(file));
    let manifest = Manifest::parse(&read(MANIFEST_FILE)?)?;
    Ok(manifest.verify(read(MODEL_FILE)?, read(OPTIMIZER_FILE)?, Vec::new())?.decode(layout, slots)?.params)
}

/// Every `world`th leaf of the first epoch, from the `rank`th on.
fn leaves(flags: &Flags) -> anyhow::Result<Vec<Samples>> {
    let Flags { micro_batch, rank, world, .. } = *flags;
    let folder = std::env::var_os("MNIST_DIR").map(PathBuf::from);
    let own = if folder.is_some() { DatasetChoice::Named(Named::Mnist) } else { DatasetChoice::Digits };
    let choice = flags.dataset.clone().unwrap_or(own);
    let samples = dataset::load(&choice, folder.as_deref(), &Console::silent())?.train;
    let order = Plan::new(samples.len() as u32, micro_batch, micro_batch, SEED).order(Epoch(0));
    let whole = order.chunks_exact(micro_batch as usize);
    let leaves: Vec<Samples> =
        whole.skip(rank).step_by(world).take(LEAVES).map(|leaf| samples.gather(leaf)).collect();
    anyhow::ensure!(!leaves.is_empty(), "--micro-batch {micro_batch}: there are not so many images");
    Ok(leaves)
}
