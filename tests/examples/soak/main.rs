//! Injects faults into a run on real MNIST for a given time, then shows that its bits are those of an
//! undisturbed one.
//!
//! `cargo build --release --workspace --bins --examples && ./target/release/examples/soak --minutes 30`
//!
//! Faults come one after the other, drawn from `--seed`, with a pause after each; every one is printed. After
//! the given time the run ends with its epoch. Then the same epochs are trained without any fault, and the
//! digests are compared. Exit code 0: they are equal. [`field`] holds the programs, [`fault`] the faults,
//! [`hostile`] the hostile peers, and [`figures`] the statistics. It is no test, because it takes as long as
//! it is told to.

mod fault;
mod field;
mod figures;
mod hostile;

use clap::Parser;
use common::rng::Stream;
use fault::{Fault, KINDS};
use field::Field;
use figures::Figures;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Kills, stops, cuts and restarts a training run, and compares its bits with those of an undisturbed one.
#[derive(Debug, Parser)]
struct Flags {
    /// Minutes of fault injection
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
    /// Random seed for faults and pauses
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of workers, each with one thread
    #[arg(long, default_value_t = 3)]
    workers: u32,
    /// Longest pause after a fault, in seconds
    #[arg(long, default_value_t = 4.0)]
    pause: f64,
    /// Folder of MNIST's four files
    #[arg(long, env = "MNIST_DIR")]
    data_dir: PathBuf,
}

#[allow(clippy::print_stdout, reason = "its output is its result")]
fn main() -> ExitCode {
    let flags = Flags::parse();
    let began = Instant::now();
    let mut field = Field::new(&flags.data_dir, flags.workers);
    let mut random = Stream::new(flags.seed, "soak", &[]);
    let mut figures = Figures::default();
    let time = Duration::from_secs_f64(flags.minutes * 60.0);
    // All kinds in a new random order each time, so that a short soak has them all too.
    let mut due: Vec<Fault> = Vec::new();
    while began.elapsed() < time {
        if due.is_empty() {
            due =
                random.permutation(KINDS.len() as u32).into_iter().map(|kind| KINDS[kind as usize]).collect();
        }
        let fault = due.pop().expect("filled above");
        let what = fault.inflict(&mut field, &mut random, &mut figures);
        println!("[{:7.1} s] {fault:?}: {what}", began.elapsed().as_secs_f64());
        figures.count(fault);
        field.check_alive();
        let pause = flags.pause * f64::from(random.unit());
        std::thread::sleep(Duration::from_secs_f64(pause));
    }
    let punished = began.elapsed();
    println!("[{:7.1} s] no more faults; the run ends with its epoch", punished.as_secs_f64());
    let (epochs, outcome) = field.finish();
    println!("[{:7.1} s] the same {epochs} epochs without faults", began.elapsed().as_secs_f64());
    let golden = field::undisturbed(&flags.data_dir, epochs);
    println!("\n{figures}");
    println!("punished for        {:.1} min", punished.as_secs_f64() / 60.0);
    println!("seed                {}", flags.seed);
    println!("epochs, steps       {epochs}, {}", outcome.steps);
    println!("disturbed   model   {}\n            optim.  {}", outcome.digests[0], outcome.digests[1]);
    println!("undisturbed model   {}\n            optim.  {}", golden.digests[0], golden.digests[1]);
    if outcome.digests == golden.digests {
        println!("the same bits");
        ExitCode::SUCCESS
    } else {
        println!("OTHER BITS: replay with --seed {}", flags.seed);
        ExitCode::FAILURE
    }
}
