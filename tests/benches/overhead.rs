//! What a step costs besides its gradients, summed over the coordinator and two local workers: voluntary
//! context switches, CPU time outside the compute threads, and system calls.
//!
//! `cargo build --release && cargo bench --workspace --bench overhead [-- --binaries FOLDER]`. The programs
//! train the CNN (93,322 parameters) at batch 128, a leaf of 64 images for each worker. Images are the
//! embedded digits, or MNIST's if `MNIST_DIR` names its folder. `--binaries` has the programs of another
//! build.
//!
//! Nothing here is a time on the wall, so another load on the machine changes little. `/proc` is read when
//! the checkpoint of one step appears and again when that of a later one does; the difference is divided by
//! the steps between. System calls are counted in a second stretch, by `strace`, which makes steps slower and
//! not many more calls. Checkpoints are part of both stretches, one in each.

#![allow(clippy::print_stdout, reason = "a benchmark's result")]

use anyhow::Context;
use clap::Parser;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::read_to_string;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tests::process::{checkpoints, program};

/// Steps of a stretch, and between two checkpoints.
const STRETCH: u64 = 400;
/// Interval of looking for a checkpoint.
const LOOK: Duration = Duration::from_millis(1);
/// Timeout for a checkpoint to appear.
const PATIENCE: Duration = Duration::from_secs(300);

/// Counts what a step costs besides its gradients.
#[derive(Debug, Parser)]
struct Flags {
    /// Folder of the programs [default: those of this build]
    #[arg(long)]
    binaries: Option<PathBuf>,
    /// Set by cargo for every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// What the processes have used so far.
#[derive(Clone, Copy, Debug, Default)]
struct Used {
    switches: u64,
    /// CPU time outside the compute threads, in nanoseconds.
    other_ns: u64,
    /// CPU time of the compute threads, in nanoseconds.
    compute_ns: u64,
}

/// A program that is killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() -> anyhow::Result<()> {
    let Flags { binaries, .. } = Flags::parse();
    let coordinator = binaries.map_or_else(|| program("coordinator"), |folder| folder.join("coordinator"));
    let folder = tempfile::tempdir()?;
    let every = STRETCH.to_string();
    let mut command = Command::new(coordinator);
    command
        .args(["--workers", "2", "--local", "--threads", "1", "--batch-size", "128", "--micro-batch", "64"])
        .args(["--epochs", "100", "--checkpoint-every", &every, "--progress", "off", "--checkpoint-dir"])
        .arg(folder.path());
    let run = Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
    let id = run.0.id();
    let before = used_at(id, folder.path(), STRETCH)?;
    let after = used_at(id, folder.path(), 2 * STRETCH)?;
    let a_step = |from: u64, to: u64| to.saturating_sub(from) as f64 / STRETCH as f64;
    println!("voluntary switches a step       {:7.1}", a_step(before.switches, after.switches));
    println!("CPU outside compute threads, ms {:7.3}", a_step(before.other_ns, after.other_ns) / 1e6);
    println!("CPU of compute threads, ms      {:7.3}", a_step(before.compute_ns, after.compute_ns) / 1e6);
    match calls(id, folder.path(), 3 * STRETCH)? {
        Some(calls) => println!("system calls a step             {:7.1}", calls as f64 / STRETCH as f64),
        None => println!("system calls were not counted: there is no strace, or it may not attach"),
    }
    Ok(())
}

fn wait_for_checkpoint(folder: &Path, step: u64) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while checkpoints(folder).last().is_none_or(|&newest| newest < step) {
        anyhow::ensure!(Instant::now() < deadline, "no checkpoint of step {step} came");
        sleep(LOOK);
    }
    Ok(())
}

fn used_at(coordinator: u32, folder: &Path, step: u64) -> anyhow::Result<Used> {
    wait_for_checkpoint(folder, step)?;
    let mut used = Used::default();
    for process in family(coordinator) {
        for task in std::fs::read_dir(format!("/proc/{process}/task"))?.flatten() {
            let file = |name| read_to_string(task.path().join(name));
            // A thread may end meanwhile.
            let (Ok(name), Ok(status), Ok(time)) = (file("comm"), file("status"), file("schedstat")) else {
                continue;
            };
            let switches = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            used.switches += switches.context("a count of switches")?.trim().parse::<u64>()?;
            let ns: u64 = time.split(' ').next().context("a time")?.parse()?;
            if name.starts_with("compute-") { used.compute_ns += ns } else { used.other_ns += ns }
        }
    }
    Ok(used)
}

/// The coordinator and its local workers.
fn family(coordinator: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{coordinator}/task")).into_iter().flatten().flatten();
    let children = tasks.filter_map(|task| read_to_string(task.path().join("children")).ok());
    let children: Vec<String> = children.collect();
    let ids = children.iter().flat_map(|ids| ids.split_whitespace()).filter_map(|id| id.parse().ok());
    std::iter::once(coordinator).chain(ids).collect()
}

/// System calls until the checkpoint of `step`; `None` where they can't be counted.
fn calls(coordinator: u32, folder: &Path, step: u64) -> anyhow::Result<Option<u64>> {
    let table = folder.join("calls");
    let mut strace = Command::new("strace");
    strace.args(["-c", "-f", "-o"]).arg(&table).stdout(Stdio::null()).stderr(Stdio::null());
    for process in family(coordinator) {
        strace.args(["-p", &process.to_string()]);
    }
    let Ok(mut strace) = strace.spawn() else { return Ok(None) };
    wait_for_checkpoint(folder, step)?;
    // It writes its table when it is interrupted.
    kill(Pid::from_raw(strace.id() as i32), Signal::SIGINT)?;
    strace.wait()?;
    let table = read_to_string(table).unwrap_or_default();
    let total = table.lines().rev().find(|line| line.trim_end().ends_with("total"));
    Ok(total.and_then(|line| line.split_whitespace().nth(3)?.parse().ok()))
}
