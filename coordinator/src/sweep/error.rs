//! Why a search can't begin or go on.

use crate::RunError;
use host::files::FileError;
use std::io;
use std::path::PathBuf;

/// Why a search can't begin or go on.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum SweepError {
    /// The file of the search can't be read.
    #[error("--sweep {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: FileError },
    /// The file has a mistake.
    #[error("--sweep {}: {problem}", path.display())]
    Mistake {
        path: PathBuf,
        /// Where it is, what is wrong, and what to do.
        problem: String,
    },
    /// The settings of a trial can't be used.
    #[error("--sweep {}: trial {trial} ({settings}): {problem}", path.display())]
    Trial { path: PathBuf, trial: u32, settings: String, problem: String },
    /// The folder has the state of a search that is another one.
    #[error(
        "{} is of another search: {what}\ngo on with what it began with, or choose another --checkpoint-dir for another \
         search", path.display()
    )]
    Other { path: PathBuf, what: String },
    /// The state of the search is damaged.
    #[error(
        "{} can't be used: {problem}; put an intact copy back, or remove it: finished trials then go on from their \
         checkpoints", path.display()
    )]
    State { path: PathBuf, problem: String },
    /// A file of the search can't be written.
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    /// Each trial that was left has diverged.
    #[error(
        "all trials that were left have diverged, so there is no winner; search lower rates (lr), or set clip-grad-norm. \
         {} lists the trials", .0.display()
    )]
    NoWinner(PathBuf),
    /// One of the runs failed.
    #[error("{what}: {source}")]
    Run { what: String, source: Box<RunError> },
    /// The cluster or the data can't be used.
    #[error(transparent)]
    Cluster(Box<RunError>),
}

impl From<RunError> for SweepError {
    fn from(error: RunError) -> Self {
        Self::Cluster(Box::new(error))
    }
}

impl SweepError {
    /// Whether another attempt can succeed only with other flags or another file.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Unreadable { .. } | Self::Mistake { .. } | Self::Trial { .. } => true,
            Self::Cluster(error) => error.is_usage(),
            _ => false,
        }
    }
}
