//! Errors that end a run early.

use crate::dataset::{DatasetError, SheetError};
use crate::first_values::FirstValuesError;
use crate::mirror::MirrorError;
use crate::net::access::AccessError;
use crate::observe::jsonl::MetricsError;
use crate::run::outcome::Evaluated;
use crate::run::trainer::TrainError;
use crate::store::StoreError;
use crate::teacher::TeacherError;
use common::ids::Step;
use common::reduce::tree::Node;
use common::selftest::NumericsDigest;
use common::train::config::ConfigError;
use host::files::FileError;
use std::io;
use std::path::PathBuf;

/// Why a run failed or could not begin.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum RunError {
    /// A flag's value is invalid.
    #[error("--{0}")]
    Config(#[from] ConfigError),
    /// Flags that contradict each other or the checkpoint's training settings.
    #[error("{0}")]
    Flags(String),
    /// The values that the run is to begin with can't be had.
    #[error(transparent)]
    FirstValues(#[from] FirstValuesError),
    /// The teacher can't be had.
    #[error(transparent)]
    Teacher(#[from] TeacherError),
    /// The data set can't be loaded.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The sheet of samples can't be written.
    #[error(transparent)]
    Sheet(#[from] SheetError),
    /// Checkpoints can't be written or read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The bucket can't be used.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// The metrics file can't be opened.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The file of events can't be opened.
    #[error("cannot use the file of events {}: {source}", path.display())]
    EventLog {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: FileError,
    },
    /// The page can't be served.
    #[error("can't listen on {address}: {source}; choose another --http (port 0 takes a free port)")]
    Http {
        /// The address.
        address: String,
        /// The system's error.
        source: io::Error,
    },
    /// The terminal can't be drawn on.
    #[error("can't draw on the terminal: {0}; leave out --tui, or watch with --http")]
    Terminal(#[source] io::Error),
    /// The checkpoint does not fit, or training diverged.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The checkpoint names a file or folder of data that the command line does not.
    #[error(
        "{} was trained on the data in {folder}, and a file or folder is read only where --dataset names it; give --dataset \
         {folder} to go on, or --resume never to start anew",
        path.display()
    )]
    FolderNotNamed {
        path: PathBuf,
        /// The folder in the checkpoint, with control characters escaped.
        folder: String,
    },
    /// It can't be said which workers may come, or who may read the page.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The address can't be listened on.
    #[error("can't listen on {address}: {source}; choose another --bind (port 0 takes a free port)")]
    Bind { address: String, source: io::Error },
    /// The cluster has as many runs in progress as it can tell apart.
    #[error(
        "{most} runs are in progress, and there can't be more at a time; start this one when another has ended"
    )]
    TooManyRuns { most: u32 },
    /// The checkpoint was computed with another arithmetic than the program's.
    #[error(
        "the checkpoint that this run goes on from was computed with the arithmetic {recorded}, and this program's is \
         {promised}; go on with the program that wrote it, or with --numerics relaxed"
    )]
    OtherArithmetic {
        /// Self-test digest that the checkpoint records.
        recorded: NumericsDigest,
        /// Self-test digest of the program.
        promised: NumericsDigest,
    },
    /// The session was closed before the run ended.
    #[error("the cluster was closed while the run was in progress; it can go on from its last checkpoint")]
    Closed,
    /// The gRPC server failed.
    #[error("the server on {address} failed: {what}")]
    Server { address: String, what: String },
    /// A thread can't be started.
    #[error("can't start the {name} thread: {source}")]
    Thread { name: &'static str, source: io::Error },
    /// The program for `--local` is missing.
    #[error(
        "there is no {}, which --local starts: keep both programs in one folder (cargo build --release --workspace \
         builds both)", .0.display()
    )]
    NoWorkerProgram(PathBuf),
    /// A local worker does not start.
    #[error("can't start a local worker, {}: {source}", program.display())]
    LocalWorker { program: PathBuf, source: io::Error },
    /// The checkpoint folder has too little room.
    #[error(
        "{} has room for {free} bytes, and this run's checkpoints need {needed}; make room, lower --keep, or choose \
         another --checkpoint-dir", folder.display()
    )]
    TooLittleRoom {
        folder: PathBuf,
        /// Bytes of the checkpoints that are kept, and of the one that is being written.
        needed: u64,
        free: u64,
    },
    /// The system lets this process open fewer files than its workers need.
    #[error(
        "{needed} open files are needed for this number of workers, and the system allows {limit}; raise the limit \
         (ulimit -Hn {needed}, or LimitNOFILE= of systemd), or use fewer --workers"
    )]
    TooFewFiles { needed: u64, limit: u64 },
    /// All local workers have ended.
    #[error("all local workers have ended; their last words are above")]
    NoLocalWorkers,
    /// Workers agree that a leaf is not finite.
    #[error(
        "step {step}, leaf {leaf}: a loss or gradient that is not finite, with the same bits from {}; last good checkpoint: \
         {last_good}. What can be: a learning rate that is too high (try a smaller --lr, or --clip-grad-norm), bad data, or \
         machines that fail alike",
        and(workers)
    )]
    NonFinite {
        step: Step,
        leaf: u32,
        /// Names of the workers that agree; an only worker has computed it twice.
        workers: Vec<String>,
        /// The newest checkpoint on disk.
        last_good: String,
    },
    /// Workers gave different bits for one piece, and nobody can tell who is right.
    #[error(
        "step {step}, piece {piece}: workers {} computed different bits from the same numbers, and there is no other to ask: \
         one of these machines miscomputes; last good checkpoint: {last_good}. Test them, and go on without the bad one",
        and(workers)
    )]
    Disputed {
        step: Step,
        piece: Node,
        /// Names of the workers that answered, in that order.
        workers: Vec<String>,
        /// The newest checkpoint on disk.
        last_good: String,
    },
    /// A checkpoint could not be written, and `--checkpoint-required` is set.
    #[error(
        "the checkpoint of step {step} could not be written: {source}; last good checkpoint: {last_good}. Mend the disk and \
         start again, or leave out --checkpoint-required"
    )]
    CheckpointRequired {
        step: Step,
        /// The newest checkpoint on disk.
        last_good: String,
        source: Box<StoreError>,
    },
    /// The last checkpoint could not be written.
    #[error("the checkpoint of step {step} could not be written: {source}")]
    LastCheckpoint { step: Step, source: StoreError },
    /// The last checkpoint takes too long to write.
    #[error("the checkpoint of step {step} was not written within {waited_s} s; is the disk alive?")]
    SlowCheckpoint { step: Step, waited_s: u64 },
    /// The run failed after its test, so that the result is known all the same.
    #[error("{error}")]
    Tested { test: Box<Evaluated>, error: Box<RunError> },
    /// The search for a checkpoint to go back to takes too long.
    #[error(
        "step {step}: looking for a checkpoint to go back to took longer than {waited_s} s; is the disk alive?"
    )]
    SlowLookBack { step: Step, waited_s: u64 },
    /// A task ended unexpectedly, which is a bug.
    #[error("internal error: {0}")]
    Internal(String),
}

impl RunError {
    /// Whether another attempt can succeed only with other flags.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Config(_) | Self::Flags(_))
    }
}

/// Names joined by commas and "and".
fn and(names: &[String]) -> String {
    match names {
        [before @ .., last] if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        names => names.concat(),
    }
}
