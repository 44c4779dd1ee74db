//! The coordinator's flags, and how they become [`Options`].
//!
//! [`TrainingFlags`] decide the numbers, the rest decides where and how. What one flag can show to
//! be wrong is refused here; what needs the data set to be judged, by `common::train::config`.

use crate::training_flags::TrainingFlags;

use crate::dataset::DatasetChoice;
use crate::local::Local;
use crate::observe::console::ProgressMode;
use crate::run::{Listen, Options, Resume};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, ValueEnum};
use common::protocol::coordinator::{
    ANSWER_TIMEOUT_US_MIN, Audit, Limits, Numerics, SHARE_PARTS, SPARES_MAX,
};
use host::logging::LogFormat;
use std::num::NonZeroU32;
use std::path::PathBuf;

/// Most workers: each holds a connection and a share of every step.
const WORKERS_MAX: u32 = 1024;
/// Where workers come in if the operator says nothing and starts none himself.
const BIND: &str = "127.0.0.1:29400";

/// Trains a network on handwritten digits with any number of workers; the same flags give the same bits.
///
/// Every flag can also be set by the environment variable named beside it or, by its long name, in the --config file.
/// Exit code 0: the run is complete, or was asked to stop and has written a checkpoint. 1: failure. 2: bad flags.
#[derive(Clone, Debug, Parser)]
#[command(version, about, long_about)]
pub struct Flags {
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented by its type")]
    pub cluster: Cluster,
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented by its type")]
    pub data: Data,
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented by its type")]
    pub training: TrainingFlags,
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented by its type")]
    pub checkpoints: Checkpoints,
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented by its type")]
    pub reports: Reports,
    /// A TOML file with values for these flags
    #[arg(long, value_name = "FILE", env = "LOCKSTEP_CONFIG")]
    pub config: Option<PathBuf>,
}

/// Who works.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Cluster")]
pub struct Cluster {
    /// N: begin when N workers have joined, go on with at least 1, keep more than N as spares. MIN:MAX: begin
    /// and go on with at least MIN, keep more than MAX as spares
    #[arg(long, value_name = "N|MIN:MAX", env = "LOCKSTEP_WORKERS", value_parser = workers, default_value = "1")]
    pub workers: Workers,
    /// Start the workers on this machine, and end them with the run
    #[arg(long, env = "LOCKSTEP_LOCAL")]
    pub local: bool,
    /// Compute threads of each local worker [default: cores divided by workers]
    #[arg(long, value_name = "N", env = "LOCKSTEP_THREADS", requires = "local")]
    pub threads: Option<NonZeroU32>,
    /// Where to listen for workers; port 0 takes a free one and says which [default: 127.0.0.1:29400; none with --local]
    #[arg(long, value_name = "HOST:PORT", env = "LOCKSTEP_BIND")]
    pub bind: Option<String>,
    /// strict: refuse workers whose arithmetic (by type of CPU and build) differs from that of the run's first answer, or of
    /// the checkpoint that it goes on from; relaxed: take them too, and have bits that may depend on who computed what
    #[arg(long, env = "LOCKSTEP_NUMERICS", value_enum, default_value_t = NumericsRule::Strict)]
    pub numerics: NumericsRule,
    /// Share of the pieces, 0 to 1, that another worker computes as well; where the two differ a third decides which
    /// one miscomputes and is dropped, and without a third the run stops
    #[arg(long, value_name = "SHARE", env = "LOCKSTEP_AUDIT", default_value_t = 0.0, value_parser = audit)]
    pub audit: f64,
    /// Where an audit finds a worker that miscomputes, go back to the last checkpoint from before it joined, or to the
    /// beginning where none is old enough
    #[arg(long, env = "LOCKSTEP_AUDIT_ROLLBACK")]
    pub audit_rollback: bool,
    /// Seconds of silence after which a worker's pieces go to others
    #[arg(long, value_name = "SECONDS", env = "LOCKSTEP_HEARTBEAT_TIMEOUT", default_value_t = 10.0, value_parser = timeout)]
    pub heartbeat_timeout: f64,
    /// Seconds that a worker's first answer may take for each micro-batch, the parameters' way to it included; a worker
    /// that takes longer is dropped, even if it sends heartbeats. Later answers may take ten times as long as those
    /// before, and at least 10 seconds
    #[arg(long, value_name = "SECONDS", env = "LOCKSTEP_ANSWER_TIMEOUT", default_value_t = 120.0, value_parser = timeout)]
    pub answer_timeout: f64,
}

/// What is learnt.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Data")]
pub struct Data {
    /// mnist; digits (drawn by the program); a folder with four IDX files of MNIST's names; auto: mnist where it is
    /// found or can be downloaded, else digits, and what a checkpoint was trained on, but for a folder
    #[arg(long, value_name = "NAME|FOLDER", env = "LOCKSTEP_DATASET", default_value_t = DatasetChoice::Auto)]
    pub dataset: DatasetChoice,
    /// Where MNIST's files lie or are downloaded to [default: lockstep/mnist in the user's cache folder]
    #[arg(long, value_name = "FOLDER", env = "MNIST_DIR")]
    pub data_dir: Option<PathBuf>,
}

/// What is kept.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Checkpoints")]
pub struct Checkpoints {
    /// Where checkpoints are kept [default: checkpoints, or the folder of checkpoints that --resume names]
    #[arg(long, value_name = "FOLDER", env = "LOCKSTEP_CHECKPOINT_DIR")]
    pub checkpoint_dir: Option<PathBuf>,
    /// Steps between checkpoints, besides the one after each epoch; 0: none
    #[arg(long, value_name = "STEPS", env = "LOCKSTEP_CHECKPOINT_EVERY", default_value_t = 100)]
    pub checkpoint_every: u64,
    /// End the run when a checkpoint can't be written, instead of going on and trying again with the next one
    #[arg(long, env = "LOCKSTEP_CHECKPOINT_REQUIRED")]
    pub checkpoint_required: bool,
    /// Newest checkpoints to keep, besides the one with the best validation
    #[arg(long, value_name = "N", env = "LOCKSTEP_KEEP", default_value = "3")]
    pub keep: NonZeroU32,
    /// auto: go on from the newest valid checkpoint in --checkpoint-dir, if there is one; never: move earlier ones aside and
    /// start anew; the folder of a checkpoint, or of several: go on from it, or from the newest of them, with its own
    /// training settings
    #[arg(long, value_name = "auto|never|FOLDER", env = "LOCKSTEP_RESUME", value_parser = resume, default_value = "auto")]
    pub resume: Resume,
}

/// What is told.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Reports")]
pub struct Reports {
    /// Where every step and evaluation goes as a line of JSON; a FIFO or device is added to, another run's file refused
    /// [default: metrics.jsonl in --checkpoint-dir]
    #[arg(long, value_name = "FILE", env = "LOCKSTEP_METRICS")]
    pub metrics: Option<PathBuf>,
    /// A Chrome or Perfetto trace of this program and of its local workers; what was in the file goes
    #[arg(long, value_name = "FILE", env = "LOCKSTEP_TRACE")]
    pub trace: Option<PathBuf>,
    /// How progress is shown on standard error
    #[arg(long, env = "LOCKSTEP_PROGRESS", value_enum, default_value_t = ProgressMode::Auto)]
    pub progress: ProgressMode,
    /// Format of the logs on standard error; RUST_LOG filters them
    #[arg(long, env = "LOCKSTEP_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// `--numerics`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "the flag's help describes them")]
pub enum NumericsRule {
    Strict,
    Relaxed,
}

impl From<NumericsRule> for Numerics {
    fn from(rule: NumericsRule) -> Self {
        match rule {
            NumericsRule::Strict => Self::Strict,
            NumericsRule::Relaxed => Self::Relaxed,
        }
    }
}

/// The value of `--workers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workers {
    /// Needed to begin.
    pub start: u32,
    /// Needed to go on.
    pub min: u32,
    /// Places.
    pub max: u32,
}

impl Flags {
    /// The flags as the run takes them.
    ///
    /// # Errors
    /// When flags contradict each other.
    pub fn options(&self) -> Result<Options, clap::Error> {
        let conflict = |message: String| Self::command().error(ErrorKind::ArgumentConflict, message);
        if !matches!(self.checkpoints.resume, Resume::From(_)) {
            // Where a checkpoint fills the gaps, they are judged with it.
            self.training.resolve(None).map_err(conflict)?;
        }
        if self.cluster.audit_rollback && self.cluster.audit == 0.0 {
            return Err(conflict("--audit-rollback has no meaning without --audit".to_owned()));
        }
        let Workers { start, min, max } = self.cluster.workers;
        let us = |seconds: f64| (seconds * 1e6) as u64;
        Ok(Options {
            listen: self.cluster.listen(),
            limits: Limits {
                start,
                min,
                max,
                spares: SPARES_MAX,
                numerics: self.cluster.numerics.into(),
                audit: Audit { seed: self.training.seed.unwrap_or(1), share: self.cluster.audit_parts() },
                heartbeat_timeout_us: us(self.cluster.heartbeat_timeout),
                answer_timeout_us: us(self.cluster.answer_timeout),
                answer_timeout_us_min: ANSWER_TIMEOUT_US_MIN,
            },
            audit_rollback: self.cluster.audit_rollback,
            local: self.cluster.local.then(|| self.cluster.local(self.reports.trace.clone())),
            dataset: self.data.dataset.clone(),
            data_dir: self.data.data_dir.clone(),
            training: self.training.clone(),
            checkpoint_dir: self.checkpoints.checkpoint_dir.clone(),
            checkpoint_every: self.checkpoints.checkpoint_every,
            checkpoint_required: self.checkpoints.checkpoint_required,
            keep: self.checkpoints.keep.get() as usize,
            resume: self.checkpoints.resume.clone(),
            metrics: self.reports.metrics.clone(),
            log_format: self.reports.log_format,
        })
    }
}

impl Cluster {
    /// A share above 0 is at least one part.
    fn audit_parts(&self) -> u32 {
        (self.audit * f64::from(SHARE_PARTS)).ceil() as u32
    }

    /// Local workers need no port.
    fn listen(&self) -> Listen {
        match (&self.bind, self.local) {
            (None, true) => Listen::Unix,
            (Some(bind), true) => Listen::Both(bind.clone()),
            (bind, false) => Listen::Tcp(bind.as_deref().unwrap_or(BIND).to_owned()),
        }
    }

    /// As many local workers as there are places, from the program beside this one.
    fn local(&self, trace: Option<PathBuf>) -> Local {
        let workers = self.workers.max;
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
        let threads = self.threads.map_or((cores / workers).max(1), NonZeroU32::get);
        let name = format!("worker{}", std::env::consts::EXE_SUFFIX);
        let here = std::env::current_exe().ok().and_then(|path| Some(path.parent()?.to_owned()));
        Local { workers, threads, program: here.unwrap_or_default().join(name), trace }
    }
}

fn workers(text: &str) -> Result<Workers, String> {
    let number = |text: &str| text.parse().ok().filter(|n| (1..=WORKERS_MAX).contains(n));
    let workers = match text.split_once(':') {
        None => number(text).map(|n| Workers { start: n, min: 1, max: n }),
        Some((min, max)) => match (number(min), number(max)) {
            (Some(min), Some(max)) if min <= max => Some(Workers { start: min, min, max }),
            _ => None,
        },
    };
    workers
        .ok_or_else(|| format!("workers are N or MIN:MAX, each from 1 to {WORKERS_MAX}, MIN not above MAX"))
}

fn audit(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "a share is 0 to 1".to_owned())
}

fn timeout(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|s| (0.5..=3600.0).contains(s));
    seconds.ok_or_else(|| "a timeout is 0.5 to 3600 seconds".to_owned())
}

fn resume(text: &str) -> Result<Resume, String> {
    match text {
        "auto" => Ok(Resume::Auto),
        "never" => Ok(Resume::Never),
        "" => Err("it is auto, never, or a folder with checkpoints".to_owned()),
        folder => Ok(Resume::From(folder.into())),
    }
}

#[cfg(test)]
mod tests;
