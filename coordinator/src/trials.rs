//! What searches have in common, whoever chooses the trials: a file (`sweep`), or a program outside
//! (`ask_tell`).
//!
//! A trial is the command line with settings of its own (`command_line`). The runs of a search share a
//! session (`runs`), and each trial has a folder of its own.

pub(crate) mod command_line;
pub(crate) mod runs;
pub(crate) mod settings;

use crate::RunError;
use crate::run::trainer::TrainError;
use std::path::{Path, PathBuf};

/// Folder of a trial's checkpoints in the folder of its search.
pub(crate) fn folder_of(search: &Path, trial: u32) -> PathBuf {
    search.join("trials").join(format!("{trial:04}"))
}

/// Whether the settings are to blame: the same numbers come out again wherever it is computed.
pub(crate) fn is_divergence(error: &RunError) -> bool {
    matches!(error, RunError::Train(TrainError::NonFinite { .. }) | RunError::NonFinite { .. })
}
