//! Everything that can end a run early.

use crate::dataset::DatasetError;
use crate::observe::jsonl::MetricsError;
use crate::run::trainer::TrainError;
use crate::store::StoreError;
use common::ids::Step;
use common::reduce::tree::Node;
use common::train::config::ConfigError;
use std::io;
use std::path::PathBuf;

/// Why a run failed or could not begin.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A flag's value can't be used.
    #[error("--{0}")]
    Config(#[from] ConfigError),
    /// Flags that contradict each other or the checkpoint's training settings.
    #[error("{0}")]
    Flags(String),
    /// There is no data.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// Checkpoints can't be kept or read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The metrics file can't be opened.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The checkpoint does not fit, or training diverged.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The checkpoint names a folder of data that nobody else has named.
    #[error(
        "{} was trained on the data in {folder}, and a folder is read only where --dataset names it; give --dataset \
         {folder} to go on, or --resume never to start anew",
        path.display()
    )]
    FolderNotNamed {
        /// The checkpoint.
        path: PathBuf,
        /// As the checkpoint names it, fit to be shown.
        folder: String,
    },
    /// The address can't be listened on.
    #[error("can't listen on {address}: {source}; choose another --bind (port 0 takes a free port)")]
    Bind {
        /// As given.
        address: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The server broke down.
    #[error("the server on {address} failed: {what}")]
    Server {
        /// Where it listened.
        address: String,
        /// What happened.
        what: String,
    },
    /// The system refuses a thread.
    #[error("can't start the {name} thread: {source}")]
    Thread {
        /// Which.
        name: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The program for `--local` is not there or does not start.
    #[error("can't start {}: {source}; build both programs with cargo build --release", program.display())]
    LocalWorker {
        /// The program.
        program: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
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
        /// The step.
        step: Step,
        /// The leaf.
        leaf: u32,
        /// Who computed it; one alone has done so twice.
        workers: Vec<String>,
        /// The newest checkpoint on disk.
        last_good: String,
    },
    /// Workers give one piece different bits, and nobody can tell who is right.
    #[error(
        "step {step}, piece {piece}: workers {} computed different bits from the same numbers, and there is no other to ask: \
         one of these machines miscomputes; last good checkpoint: {last_good}. Test them, and go on without the bad one",
        and(workers)
    )]
    Disputed {
        /// The step.
        step: Step,
        /// The piece.
        piece: Node,
        /// Who answered, in that order.
        workers: Vec<String>,
        /// The newest checkpoint on disk.
        last_good: String,
    },
    /// A checkpoint could not be written, and the operator wants no run without them.
    #[error(
        "the checkpoint of step {step} could not be written: {source}; last good checkpoint: {last_good}. Mend the disk and \
         start again, or leave out --checkpoint-required"
    )]
    CheckpointRequired {
        /// The step.
        step: Step,
        /// The newest checkpoint on disk.
        last_good: String,
        /// Why not.
        source: Box<StoreError>,
    },
    /// The last checkpoint could not be written.
    #[error("the checkpoint of step {step} could not be written: {source}")]
    LastCheckpoint {
        /// The step.
        step: Step,
        /// Why not.
        source: StoreError,
    },
    /// The last checkpoint is not written yet.
    #[error("the checkpoint of step {step} was not written within {waited_s} s; is the disk alive?")]
    SlowCheckpoint {
        /// The step.
        step: Step,
        /// How long was waited.
        waited_s: u64,
    },
    /// The checkpoint to go back to is not found yet.
    #[error(
        "step {step}: looking for a checkpoint to go back to took longer than {waited_s} s; is the disk alive?"
    )]
    SlowLookBack {
        /// The step.
        step: Step,
        /// How long was waited.
        waited_s: u64,
    },
    /// A task ended that must not: a bug.
    #[error("internal error: {0}")]
    Internal(String),
}

impl RunError {
    /// Whether flags must change before another try can succeed.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Config(_) | Self::Flags(_))
    }
}

/// Names as a sentence has them.
fn and(names: &[String]) -> String {
    match names {
        [before @ .., last] if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        names => names.concat(),
    }
}
