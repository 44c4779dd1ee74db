//! The coordinator's flags, and their conversion to [`Options`].
//!
//! [`TrainingFlags`] holds the flags that the numbers depend on. Values that are wrong by themselves are
//! refused here. Those that depend on the data set are checked in `common::train::config`.

pub mod tokens;
mod values;

pub use values::{NumericsRule, Workers};

use crate::dataset::{self, DatasetChoice, Fit, ImageSize, PictureOptions, TestSplit};
use crate::local::Local;
use crate::mirror::MirrorUrl;
use crate::observe::console::ProgressMode;
use crate::observe::server::{Server, ServerParser};
use crate::run::{Resume, RunOptions};
use crate::session::{ClusterOptions, Listen, Trust};
use crate::single_run::Options;
use crate::training_flags::TrainingFlags;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser};
use common::protocol::coordinator::{ANSWER_TIMEOUT_US_MIN, Audit, Limits, SHARE_PARTS, SPARES_MAX};
use common::selftest::PROMISED;
use host::args::SharedFlags;
use host::logging::LogFormat;
use std::io::IsTerminal as _;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use values::{audit, max_time, resume, timeout, workers};

/// Default address to listen on, without `--local`.
const BIND: &str = "127.0.0.1:29400";
const TRACE_HELP: &str = "File for a Chrome or Perfetto trace of this program and its local workers; \
    overwritten if it exists";

/// Trains an image classifier with any number of workers; the same flags give the same bits.
///
/// Every flag can also be set by the environment variable beside it, or by its long name in the --config
/// file. coordinator token --help is about the tokens with which workers join. Exit codes: 0 if the run is
/// complete; 75 if it was asked to stop before its end, or its --max-time was over, and has written a
/// checkpoint; 1 on failure; 2 on invalid flags.
#[derive(Clone, Debug, Parser)]
#[command(version = host::version(), about, long_about, mut_arg("trace", |arg| arg.help(TRACE_HELP)))]
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
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented by its type")]
    pub shared: SharedFlags,
    /// Search over settings: TOML file that says which flags are fixed, which are searched, and how. Trials
    /// share the workers, and are chosen by validation; the best one is tested
    #[arg(
        long,
        value_name = "FILE.toml",
        env = "LOCKSTEP_SWEEP",
        help_heading = "Search",
        conflicts_with_all = ["inspect", "preview", "describe", "metrics", "max_steps"]
    )]
    pub sweep: Option<PathBuf>,
    /// Train the trials that a program outside tells on standard input, one JSON object a line, and answer
    /// them on standard output after each epoch and at their end. Trials share the workers
    #[arg(
        long,
        env = "LOCKSTEP_ASK_TELL",
        help_heading = "Search",
        conflicts_with_all = ["sweep", "inspect", "preview", "describe", "metrics", "max_steps", "dry_run"]
    )]
    pub ask_tell: bool,
}

/// Flags of the cluster: workers, addresses, timeouts, audits.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Cluster")]
pub struct Cluster {
    /// Number of workers. N: start with N workers, continue with at least 1. MIN:MAX: start and continue with
    /// at least MIN. Workers beyond N or MAX are spares
    #[arg(long, value_name = "N|MIN:MAX", env = "LOCKSTEP_WORKERS", value_parser = workers, default_value = "1")]
    pub workers: Workers,
    /// Start the workers on this machine, and stop them at the end of the run
    #[arg(long, env = "LOCKSTEP_LOCAL")]
    pub local: bool,
    /// Number of compute threads of each local worker [default: cores divided by workers]
    #[arg(long, value_name = "N", env = "LOCKSTEP_THREADS", requires = "local")]
    pub threads: Option<NonZeroU32>,
    /// Address to listen on for workers; 0.0.0.0:PORT is all addresses of this machine; with port 0 a free
    /// port is chosen and printed [default: 127.0.0.1:29400; none with --local]
    #[arg(long, value_name = "HOST:PORT", env = "LOCKSTEP_BIND", value_parser = host::address::to_listen_on)]
    pub bind: Option<String>,
    /// Folder of this coordinator's key and tokens, for workers and readers of --http beyond loopback; with
    /// this flag, workers on loopback need a token too [default: lockstep/identity in the user's
    /// configuration folder]
    #[arg(long, value_name = "FOLDER", env = "LOCKSTEP_IDENTITY", conflicts_with = "insecure")]
    pub identity: Option<PathBuf>,
    /// Let whoever reaches the ports join, and read the page of --http, without a token and without
    /// encryption
    #[arg(long, env = "LOCKSTEP_INSECURE")]
    pub insecure: bool,
    /// Treatment of workers whose arithmetic differs from the program's (another build, a CPU without fused
    /// multiply-add). strict: refuse them; relaxed: admit them, so that bits may depend on who computed what
    #[arg(long, env = "LOCKSTEP_NUMERICS", value_enum, default_value_t = NumericsRule::Strict)]
    pub numerics: NumericsRule,
    /// Share of the pieces, 0 to 1, that a second worker computes too. Where the two differ, a third worker
    /// decides which one is dropped; without a third the run stops
    #[arg(long, value_name = "SHARE", env = "LOCKSTEP_AUDIT", default_value_t = 0.0, value_parser = audit)]
    pub audit: f64,
    /// When an audit finds a worker that miscomputes, go back to the last checkpoint from before it joined,
    /// or to the beginning if there is none
    #[arg(long, env = "LOCKSTEP_AUDIT_ROLLBACK")]
    pub audit_rollback: bool,
    /// Silence after which a worker is dropped and its pieces go to others, in seconds or with a unit (20s,
    /// 2m)
    #[arg(long, value_name = "DURATION", env = "LOCKSTEP_HEARTBEAT_TIMEOUT", default_value = "10s", value_parser = timeout)]
    pub heartbeat_timeout: Duration,
    /// Timeout for each micro-batch of a worker's first answer, including the transfer of the parameters. A
    /// worker that takes longer is dropped, even if it sends heartbeats. Later answers may take ten times as
    /// long as earlier ones, and at least 10 seconds
    #[arg(long, value_name = "DURATION", env = "LOCKSTEP_ANSWER_TIMEOUT", default_value = "2m", value_parser = timeout)]
    pub answer_timeout: Duration,
}

/// Flags of the data set.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Data")]
pub struct Data {
    #[arg(long, value_name = "NAME|PATH", env = "LOCKSTEP_DATASET", default_value_t = DatasetChoice::Auto, help = dataset_help())]
    #[allow(missing_docs, reason = "the help text lists the data sets")]
    pub dataset: DatasetChoice,
    /// Folder of a named data set's files, to which missing ones are downloaded where that is possible
    /// [default: lockstep/NAME in the user's cache folder]
    #[arg(long, value_name = "FOLDER", env = "LOCKSTEP_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// The same folder for mnist and auto alone; --data-dir goes before it
    #[arg(long, value_name = "FOLDER", env = "MNIST_DIR")]
    pub mnist_dir: Option<PathBuf>,
    /// Read the data set, show its form, classes and counts, and train nothing
    #[arg(long, env = "LOCKSTEP_INSPECT")]
    pub inspect: bool,
    /// With --inspect: write a sheet of training samples to this file, as PNG
    #[arg(long, value_name = "FILE.png", env = "LOCKSTEP_SHEET", requires = "inspect")]
    pub sheet: Option<PathBuf>,
    /// Write a sheet of training samples before and after --augment to this file, as PNG, and train nothing
    #[arg(long, value_name = "FILE.png", env = "LOCKSTEP_PREVIEW", conflicts_with_all = ["inspect", "describe"])]
    pub preview: Option<PathBuf>,
    /// Show the network's layers, shapes, parameters and cost for the data set, and the same module as
    /// PyTorch code, and train nothing
    #[arg(long, env = "LOCKSTEP_DESCRIBE", conflicts_with = "inspect")]
    pub describe: bool,
    /// Height and width to which the pictures of a folder are brought, such as 32x32 [default: that of all
    /// pictures, if they have the same]
    #[arg(long, value_name = "HxW", env = "LOCKSTEP_IMAGE_SIZE")]
    pub image_size: Option<ImageSize>,
    /// Reduce the pictures of a folder to grey, one channel [default: where all are grey]
    #[arg(long, env = "LOCKSTEP_GRAYSCALE")]
    pub grayscale: bool,
    /// How pictures of another shape are brought to the size. crop: take the largest part of that shape in
    /// the middle; pad: add black at two sides; stretch: change the shape [default: crop]
    #[arg(long, env = "LOCKSTEP_FIT", value_enum)]
    pub fit: Option<Fit>,
    /// Number of pictures, or share of each class, that are the test where a folder has no test pictures; the
    /// same for every seed [default: 10%]
    #[arg(long, value_name = "N|SHARE%", env = "LOCKSTEP_TEST_SPLIT")]
    pub test_split: Option<TestSplit>,
}

fn dataset_help() -> String {
    let named = dataset::all_names();
    format!(
        "Data set: {named}; digits (drawn by the program); a folder with four IDX files like MNIST's, or with pictures \
         (PNG, JPEG, WebP, BMP) in a sub-folder for each class, which may be in train and test; kaggle:PATH for a CSV \
         file or a folder with train.csv; or a file of NumPy arrays (FILE.npz). auto: mnist if it is found or can be \
         downloaded, otherwise digits, or an error if a folder is named for it; a resumed run keeps its checkpoint's \
         data set, unless that is a file or folder"
    )
}

/// Flags of where a run begins and ends, and of the checkpoints.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Checkpoints")]
pub struct Checkpoints {
    /// Folder in which checkpoints are kept [default: checkpoints, or the folder of checkpoints that --resume
    /// names]
    #[arg(long, value_name = "FOLDER", env = "LOCKSTEP_CHECKPOINT_DIR")]
    pub checkpoint_dir: Option<PathBuf>,
    /// Number of steps between checkpoints, besides the one after each epoch; 0 for none
    #[arg(long, value_name = "STEPS", env = "LOCKSTEP_CHECKPOINT_EVERY", default_value_t = 100)]
    pub checkpoint_every: u64,
    /// Stop the run when a checkpoint can't be written, instead of trying again with the next one
    #[arg(long, env = "LOCKSTEP_CHECKPOINT_REQUIRED")]
    pub checkpoint_required: bool,
    /// Number of newest checkpoints to keep, besides the one with the best validation
    #[arg(long, value_name = "N", env = "LOCKSTEP_KEEP", default_value = "3")]
    pub keep: NonZeroU32,
    /// Bucket that gets each checkpoint too, with a prefix of this run's own: s3://BUCKET/PREFIX,
    /// gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or file:///FOLDER. Credentials come from the environment. It
    /// delays no step; --resume auto takes the newest checkpoint of both
    #[arg(long, value_name = "URL", env = "LOCKSTEP_MIRROR", conflicts_with_all = ["sweep", "ask_tell"])]
    pub mirror: Option<MirrorUrl>,
    /// Checkpoint to resume from. auto: the newest valid one in --checkpoint-dir, if there is one; never:
    /// move earlier checkpoints aside and start from the beginning; FOLDER: this checkpoint, or the newest of
    /// several in it, with its own training settings, and at later starts the run's own newer checkpoints
    #[arg(long, value_name = "auto|never|FOLDER", env = "LOCKSTEP_RESUME", value_parser = resume, default_value = "auto")]
    pub resume: Resume,
    /// Time after which the run writes a checkpoint and stops, as at SIGTERM, counted from the start of the
    /// program; in seconds or with a unit (55m, 3h30m) [default: no limit]
    #[arg(long, value_name = "DURATION", env = "LOCKSTEP_MAX_TIME", value_parser = max_time)]
    pub max_time: Option<Duration>,
    /// Number of steps, over all starts, after which the run ends with the test, even if it has more epochs;
    /// 0 to test the first values alone. The schedule is that of the whole run [default: no limit]
    #[arg(long, value_name = "STEPS", env = "LOCKSTEP_MAX_STEPS")]
    pub max_steps: Option<u64>,
    /// Test once more with nine views of each image, shifted by up to a pixel, whose probabilities are
    /// averaged; reported apart
    #[arg(long, env = "LOCKSTEP_TEST_VIEWS")]
    pub test_views: bool,
    /// Check flags, data, checkpoints, disk, mirror and address, print the configuration, and train nothing
    #[arg(long, env = "LOCKSTEP_DRY_RUN")]
    pub dry_run: bool,
}

/// Flags of metrics and progress.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Reports")]
pub struct Reports {
    /// Folder for all that the run leaves: config.toml, metrics.jsonl, events.jsonl, TensorBoard's file and
    /// checkpoints, and at its end report.html and README.md. The same command goes on in the same folder
    /// [default: only --checkpoint-dir is written to]
    #[arg(long, value_name = "FOLDER", env = "LOCKSTEP_RUN_DIR", conflicts_with_all = ["checkpoint_dir", "metrics", "sweep", "ask_tell"])]
    pub run_dir: Option<PathBuf>,
    /// Address of an MLflow tracking server, such as http://127.0.0.1:5000, that gets the settings, the
    /// numbers and the end of the run, into the experiment lockstep. What it misses while it is away it gets
    /// later. The login is in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN
    #[arg(long, value_name = "URI", env = "LOCKSTEP_MLFLOW", value_parser = ServerParser::MLFLOW, requires = "run_dir")]
    pub mlflow: Option<Server>,
    /// Address of an OpenTelemetry collector, such as http://127.0.0.1:4318, that gets a span for the run,
    /// each round, piece and checkpoint, as JSON by OTLP over HTTP. Headers, such as those of a login, are in
    /// OTEL_EXPORTER_OTLP_HEADERS
    #[arg(long, value_name = "URI", env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_parser = ServerParser::OTLP)]
    pub otlp: Option<Server>,
    /// Command that is run by sh -c when the run is complete, was stopped or has failed, with a line of JSON
    /// about it on its standard input. It may take 30 seconds; what becomes of it changes nothing
    #[arg(long, value_name = "COMMAND", env = "LOCKSTEP_NOTIFY", conflicts_with_all = ["sweep", "ask_tell"])]
    pub notify: Option<String>,
    /// File for metrics, with a JSON line for each step and evaluation. A FIFO or device is appended to;
    /// another run's file is refused [default: metrics.jsonl in --checkpoint-dir]
    #[arg(long, value_name = "FILE", env = "LOCKSTEP_METRICS")]
    pub metrics: Option<PathBuf>,
    /// Serve a page about the run for browsers, /metrics for Prometheus, /api/run and /healthz at this
    /// address. It is read-only. Beyond loopback it is served by TLS to those who have the token in the file
    /// page.token of --identity [default: none]
    #[arg(long, value_name = "HOST:PORT", env = "LOCKSTEP_HTTP", value_parser = host::address::to_listen_on, conflicts_with_all = ["sweep", "ask_tell"])]
    pub http: Option<String>,
    /// Draw the run on the terminal: curves, workers and what happened. Log lines are shown at the end
    #[arg(long, env = "LOCKSTEP_TUI", conflicts_with_all = ["progress", "log_format", "sweep", "ask_tell"])]
    pub tui: bool,
    /// Progress display on standard error
    #[arg(long, env = "LOCKSTEP_PROGRESS", value_enum, default_value_t = ProgressMode::Auto)]
    pub progress: ProgressMode,
    /// Exit code of a run that was asked to stop before its end
    #[arg(long, value_name = "CODE", env = "LOCKSTEP_STOPPED_EXIT_CODE", default_value_t = host::STOPPED)]
    pub stopped_exit_code: u8,
}

impl Flags {
    /// Converts the flags to the options of a run and of its cluster.
    ///
    /// # Errors
    /// When flags contradict each other.
    pub fn options(&self) -> Result<Options, clap::Error> {
        let conflict = |message: String| Self::command().error(ErrorKind::ArgumentConflict, message);
        if !matches!(self.checkpoints.resume, Resume::From(_)) {
            // Where a checkpoint fills the gaps, they are judged with it.
            self.training.resolve(None).map_err(conflict)?;
        }
        self.options_of_all()
    }

    /// Converts the flags without a look at those of the training, which make sense with a trial's own.
    ///
    /// # Errors
    /// When other flags contradict each other.
    pub(crate) fn options_of_all(&self) -> Result<Options, clap::Error> {
        let conflict = |message: String| Self::command().error(ErrorKind::ArgumentConflict, message);
        if self.cluster.audit_rollback && self.cluster.audit == 0.0 {
            return Err(conflict("--audit-rollback has no meaning without --audit".to_owned()));
        }
        let Workers { start, min, max } = self.cluster.workers;
        let us = |duration: Duration| duration.as_micros() as u64;
        let cluster = ClusterOptions {
            listen: self.cluster.listen(),
            trust: self.trust(),
            limits: Limits {
                start,
                min,
                max,
                spares: SPARES_MAX,
                numerics: self.cluster.numerics.into(),
                promised: PROMISED,
                audit: Audit { seed: self.training.seed.unwrap_or(1), share: self.cluster.audit_parts() },
                heartbeat_timeout_us: us(self.cluster.heartbeat_timeout),
                answer_timeout_us: us(self.cluster.answer_timeout),
                answer_timeout_us_min: ANSWER_TIMEOUT_US_MIN,
                may_diverge: self.sweep.is_some() || self.ask_tell,
            },
            local: self.cluster.local.then(|| self.cluster.local(&self.shared)),
        };
        let run = RunOptions {
            audit_rollback: self.cluster.audit_rollback,
            dataset: self.data.choice().map_err(conflict)?,
            data_dir: self.data.data_dir.clone(),
            mnist_dir: self.data.mnist_dir.clone(),
            training: self.training.clone(),
            checkpoint_dir: self.checkpoints.checkpoint_dir.clone(),
            run_dir: self.reports.run_dir.clone(),
            mlflow: self.reports.mlflow.clone(),
            otlp: self.reports.otlp.clone(),
            events: self.reports.http.is_some() || self.reports.tui,
            checkpoint_every: self.checkpoints.checkpoint_every,
            checkpoint_required: self.checkpoints.checkpoint_required,
            keep: self.checkpoints.keep.get() as usize,
            mirror: self.checkpoints.mirror.clone(),
            resume: self.checkpoints.resume.clone(),
            stop_at: self.checkpoints.max_time.map(|time| Instant::now() + time),
            max_steps: self.checkpoints.max_steps,
            test_views: self.checkpoints.test_views,
            pause_after: None,
            workers_start: start,
            metrics: self.reports.metrics.clone(),
            tui: self.reports.tui,
            http: self.reports.http.clone(),
            readers: self.trust(),
            log_format: self.shared.log_format,
        };
        Ok(Options { cluster, run })
    }

    /// Who may come over TCP, as a worker or to read the page. A token is shown to a person only: logs are
    /// read by many.
    fn trust(&self) -> Trust {
        let is_read = std::io::stderr().is_terminal() && self.shared.log_format == LogFormat::Text;
        Trust {
            is_insecure: self.cluster.insecure,
            identity: self.cluster.identity.clone(),
            shows_token: is_read && !self.reports.tui,
        }
    }
}

impl Data {
    /// The data set, with the options of its pictures.
    fn choice(&self) -> Result<DatasetChoice, String> {
        let Self { image_size: size, grayscale, fit, test_split, .. } = *self;
        self.dataset.clone().with(PictureOptions { size, grayscale, fit, test_split })
    }
}

impl Cluster {
    /// The audited share in parts; a share above 0 is at least one part.
    fn audit_parts(&self) -> u32 {
        (self.audit * f64::from(SHARE_PARTS)).ceil() as u32
    }

    /// The addresses to listen on; local workers need no port.
    fn listen(&self) -> Listen {
        match (&self.bind, self.local) {
            (None, true) => Listen::Unix,
            (Some(bind), true) => Listen::Both(bind.clone()),
            (bind, false) => Listen::Tcp(bind.as_deref().unwrap_or(BIND).to_owned()),
        }
    }

    /// Settings of the local workers, which fill all places and run the program beside this one.
    fn local(&self, shared: &SharedFlags) -> Local {
        let workers = self.workers.max;
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
        let threads = self.threads.map_or((cores / workers).max(1), NonZeroU32::get);
        let name = format!("worker{}", std::env::consts::EXE_SUFFIX);
        let here = std::env::current_exe().ok().and_then(|path| Some(path.parent()?.to_owned()));
        let program = here.unwrap_or_default().join(name);
        Local { workers, threads, program, trace: shared.trace.clone(), log_format: shared.log_format }
    }
}

#[cfg(test)]
mod tests;
