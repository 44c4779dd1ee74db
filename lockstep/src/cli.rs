//! The commands of `lockstep`, and their flags.

mod compress;
mod data;
mod predict;
mod runs;
mod serve;
mod shell;
mod submit;

pub use compress::Compress;
pub use data::Data;
pub use predict::Predict;
pub use runs::{Compare, Report as RunReport, Runs};
pub use serve::Serve;
pub use shell::{Completions, Man, Program};
pub use submit::Submit;

use crate::evaluate::{self, Report, mistakes};
use crate::export::{self, Format};
use crate::model;
use clap::{Args, Parser, Subcommand};
use common::checkpoint::Model;
use common::data::samples::Samples;
use common::train::average::Weights;
use coordinator::observe::console::Console;
use host::{printable, printable_lines};
use serde::Serialize;
use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Most threads, many times the cores of a machine.
const THREADS_MAX: usize = 1024;

/// Uses trained models: measures them, reads pictures with them, serves them by HTTP, makes them smaller, and
/// writes them for other programs. Lists runs, compares them and reports on them. Trains nothing and needs no
/// cluster.
///
/// Exit codes: 0 on success; 1 on failure; 2 on invalid flags.
#[derive(Clone, Debug, Parser)]
#[command(version = host::version(), about, long_about)]
pub struct Flags {
    #[command(subcommand)]
    #[allow(missing_docs, reason = "documented by its type")]
    pub command: Command,
}

/// What to do with a model.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Measure a model on the test samples of a data set
    Evaluate(Evaluate),
    /// Write a model as a file for other programs
    Export(Export),
    /// Make a model smaller: 8 bits in place of 32, or fewer weights
    Compress(Compress),
    /// Say what is in pictures
    Predict(Predict),
    /// Answer pictures by HTTP, with a page to draw on
    ///
    /// POST /predict takes a picture (PNG, JPEG, WebP, BMP) and answers in JSON; / is the page. Beyond
    /// loopback there is TLS, and who asks needs the token in the file page.token of --identity. SIGTERM and
    /// Ctrl-C stop the server.
    Serve(Serve),
    /// Answer the test of Kaggle's digit recogniser
    Submit(Submit),
    /// List the runs in a folder
    Runs(Runs),
    /// Set runs side by side: settings that differ, curves, quality, speed, bits
    Compare(Compare),
    /// Write a run as one page, and as a model card
    ///
    /// The page has curves, quality, mistakes, workers, faults, settings, and how to have the run again. It
    /// needs no script and nothing from elsewhere.
    Report(RunReport),
    /// Print a script that completes flags in a shell
    Completions(Completions),
    /// Write manual pages of all three programs
    Man(Man),
}

/// Flags that name a model.
#[derive(Clone, Debug, Args)]
pub struct Trained {
    /// The model: a checkpoint's folder, a folder with several or a run's folder, of which the newest is
    /// taken, or a file that lockstep export --format safetensors wrote
    #[arg(long, value_name = "CHECKPOINT|FILE", env = "LOCKSTEP_CHECKPOINT")]
    pub checkpoint: PathBuf,
    /// Version of a checkpoint's weights [default: last]
    #[arg(long, value_name = "last|averaged|best", env = "LOCKSTEP_WEIGHTS")]
    pub weights: Option<Weights>,
}

/// Flags of `lockstep evaluate`.
#[derive(Clone, Debug, Args)]
pub struct Evaluate {
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented by its type")]
    pub trained: Trained,
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented by its type")]
    pub data: Data,
    /// Another model, which is measured on the same samples and compared
    #[arg(long, value_name = "CHECKPOINT|FILE")]
    pub against: Option<PathBuf>,
    /// New folder for the images that the model gets wrong, as PNG files, with a table of them
    #[arg(long, value_name = "FOLDER")]
    pub mistakes: Option<PathBuf>,
    /// File for the logits, `[samples, classes]`, as a NumPy array of f32
    #[arg(long, value_name = "FILE.npy")]
    pub logits: Option<PathBuf>,
    /// Print JSON in place of the tables
    #[arg(long)]
    pub json: bool,
    /// Number of threads [default: all cores]
    #[arg(long, value_name = "N", env = "LOCKSTEP_THREADS", value_parser = threads)]
    pub threads: Option<NonZeroUsize>,
}

/// Flags of `lockstep export`.
#[derive(Clone, Debug, Args)]
pub struct Export {
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented by its type")]
    pub trained: Trained,
    /// Format of the file
    #[arg(long, value_enum)]
    pub format: Format,
    /// The file; one that is there is replaced if it is of the same format
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
}

impl Command {
    /// Runs the command, and returns what it has to say on standard output.
    ///
    /// # Errors
    /// When the model, the data or a file can't be read or written.
    pub fn run(&self, console: &Console) -> anyhow::Result<String> {
        match self {
            Self::Evaluate(flags) => flags.run(console),
            Self::Export(flags) => flags.run(),
            Self::Compress(flags) => flags.run(console),
            Self::Predict(flags) => flags.run(),
            Self::Serve(flags) => flags.run(console),
            Self::Submit(flags) => flags.run(),
            Self::Runs(flags) => flags.run(),
            Self::Compare(flags) => flags.run(),
            Self::Report(flags) => flags.run(console),
            Self::Completions(flags) => Ok(flags.run()),
            Self::Man(flags) => flags.run(),
        }
    }
}

impl Trained {
    fn open(&self) -> anyhow::Result<Model> {
        Ok(model::open(&self.checkpoint, self.weights)?)
    }
}

/// A report with the time that its answers took.
#[derive(Serialize)]
struct Timed {
    #[serde(flatten)]
    report: Report,
    seconds: f64,
}

impl Evaluate {
    fn run(&self, console: &Console) -> anyhow::Result<String> {
        let model = self.trained.open()?;
        let data = self.data.read(&model, console)?;
        let threads = self.threads();
        let begun = Instant::now();
        let logits = evaluate::logits(&model, &data.test, threads)?;
        let seconds = begun.elapsed().as_secs_f64();
        let judged = evaluate::judged(&logits, &data.test);
        let other = self.against.as_deref().map(|path| against(path, &data.test, threads)).transpose()?;
        let report = Report::of(&model, &judged, other.as_deref());
        let written = match &self.mistakes {
            Some(folder) => Some((mistakes::write(folder, &data.test, &judged, &model.classes)?, folder)),
            None => None,
        };
        if let Some(path) = &self.logits {
            export::put_array(path, &[data.test.len(), model.classes.len()], &logits)?;
        }
        if self.json {
            return Ok(serde_json::to_string(&Timed { report, seconds })? + "\n");
        }
        let mut text = format!("{} on the test samples of {}\n\n", described(&model), printable(&data.name));
        text += &report.text(&model);
        // Writing to a string can't fail.
        let _ = writeln!(
            text,
            "\ntime                {seconds:.2} s, {:.0} images/s",
            data.test.len() as f64 / seconds
        );
        if let Some((count, folder)) = written {
            let _ = writeln!(text, "\n{count} mistakes are in {}", folder.display());
        }
        Ok(printable_lines(&text).into_owned())
    }

    fn threads(&self) -> NonZeroUsize {
        threads_or_all(self.threads)
    }
}

/// The number of threads, or one for each core.
fn threads_or_all(threads: Option<NonZeroUsize>) -> NonZeroUsize {
    threads.unwrap_or_else(cores)
}

/// What another model answers to the same samples.
fn against(path: &Path, samples: &Samples, threads: NonZeroUsize) -> anyhow::Result<Vec<evaluate::Judged>> {
    // Only the outermost message is shown, so it has the others.
    let of_flag = |error| anyhow::anyhow!("--against {}: {error}", path.display());
    let model = model::open(path, None)?;
    let logits = evaluate::logits(&model, samples, threads).map_err(of_flag)?;
    Ok(evaluate::judged(&logits, samples))
}

impl Export {
    fn run(&self) -> anyhow::Result<String> {
        let model = self.trained.open()?;
        let written = export::write(&model, self.format, &self.output)?;
        let mut text = format!("{}\n", described(&model));
        // Writing to a string can't fail.
        let _ = writeln!(text, "file                {}, {} bytes", self.output.display(), written.bytes);
        let _ = writeln!(text, "checked             {}", written.checked);
        Ok(printable_lines(&text).into_owned())
    }
}

/// The model in a line.
fn described(model: &Model) -> String {
    let name = model.architecture.layers().short_name();
    let parameters = model.params.len();
    let origin = &model.origin;
    let version =
        if origin.weights == "last" { String::new() } else { format!(", {} weights", origin.weights) };
    format!("{name}, {parameters} parameters, step {}{version}", origin.step)
}

/// Number of cores.
fn cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

fn threads(text: &str) -> Result<NonZeroUsize, String> {
    let threads = text.parse().ok().filter(|n: &NonZeroUsize| n.get() <= THREADS_MAX);
    threads.ok_or_else(|| format!("a number of threads is 1 to {THREADS_MAX}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_flags_are_consistent() {
        Flags::command().help_expected(true).debug_assert();
    }
}
