//! The start of a run: from which checkpoint it resumes, with which training settings, on which data.
//!
//! 1. `auto` takes the newest valid checkpoint of the checkpoint folder. Its settings must be those of the
//!    flags; a flag that is not given stands for its default. Where there are checkpoints and none is valid,
//!    the run does not start: what it would write could take their place.
//! 2. A folder is a checkpoint, or has several: then the newest valid one is taken. Its settings are the
//!    run's; a flag that is given must agree with them.
//! 3. `never` moves earlier checkpoints aside.

use super::{CHECKPOINT_DIR, METRICS_FILE, RunOptions};
use crate::RunError;
use crate::dataset::DatasetChoice;
use crate::store::{self, Expected, Found as FoundCheckpoint, Store, StoreError};
use common::checkpoint::{MANIFEST_FILE, Manifest, Verified};
use common::train::config::{DATASET_FIELD, TrainingConfig};
use host::printable;
use std::path::{Path, PathBuf};
use tracing::{info, warn};

/// Whether a run resumes from a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resume {
    /// Resume from the newest valid checkpoint, if there is one.
    Auto,
    /// Start anew; earlier checkpoints are moved aside.
    Never,
    /// Resume from the checkpoint in this folder, or from the newest of several in it, with its training
    /// settings.
    From(PathBuf),
}

/// The folder of this run's checkpoints.
pub(super) fn checkpoint_dir(options: &RunOptions) -> PathBuf {
    match (&options.checkpoint_dir, &options.resume) {
        (Some(chosen), _) => chosen.clone(),
        (None, Resume::From(folder)) if !is_checkpoint(folder) && folder.is_dir() => folder.clone(),
        (None, _) => PathBuf::from(CHECKPOINT_DIR),
    }
}

/// Whether a folder is a checkpoint, rather than one with several of them.
fn is_checkpoint(folder: &Path) -> bool {
    folder.join(MANIFEST_FILE).symlink_metadata().is_ok()
}

/// Checkpoint and training settings with which a run begins.
pub(super) struct Found {
    /// Checkpoint to resume from, with its directory.
    pub(super) saved: Option<(PathBuf, Verified)>,
    /// Training settings of the checkpoint, or those that were asked for.
    pub(super) training: TrainingConfig,
}

pub(super) fn find(store: &Store, options: &RunOptions, metrics: &Path) -> Result<Found, RunError> {
    let resolve = |base: Option<&TrainingConfig>| options.training.resolve(base).map_err(RunError::Flags);
    match &options.resume {
        Resume::Auto => {
            let training = resolve(None)?;
            Ok(Found { saved: newest(store, &Expected::of(&training))?, training })
        }
        Resume::From(folder) => {
            let saved = if is_checkpoint(folder) || !folder.is_dir() {
                (folder.clone(), store::load(folder, &Expected::any())?)
            } else if same_folder(folder, store.root()) {
                newest(store, &Expected::any())?.ok_or_else(|| StoreError::Empty(folder.clone()))?
            } else {
                let other = Store::open(folder, options.keep)?;
                newest(&other, &Expected::any())?.ok_or_else(|| StoreError::Empty(folder.clone()))?
            };
            let invalid = |source| StoreError::Config { path: saved.0.clone(), source: Box::new(source) };
            let base = TrainingConfig::from_fields(&saved.1.manifest.config).map_err(invalid)?;
            let training = resolve(Some(&base))?;
            Ok(Found { saved: Some(saved), training })
        }
        Resume::Never => {
            if let Some(aside) = store.set_aside()? {
                info!(to = %aside.display(), "moved earlier checkpoints aside");
                if metrics.parent() == Some(store.root()) && metrics.symlink_metadata().is_ok() {
                    let to = aside.join(METRICS_FILE);
                    let failed = |source| StoreError::Io { action: "rename", path: metrics.into(), source };
                    std::fs::rename(metrics, to).map_err(failed)?;
                }
            }
            Ok(Found { saved: None, training: resolve(None)? })
        }
    }
}

fn same_folder(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// The newest valid checkpoint. Newer ones that are not valid are reported.
///
/// # Errors
/// When the folder can't be read, or has checkpoints of which none is valid.
fn newest(store: &Store, expected: &Expected) -> Result<Option<(PathBuf, Verified)>, RunError> {
    let FoundCheckpoint { newest, mut rejected } = store.newest(expected)?;
    if newest.is_none() && !rejected.is_empty() {
        let checkpoints = rejected.len();
        let newest = Box::new(rejected.swap_remove(0));
        return Err(StoreError::NoneValid { folder: store.root().to_owned(), checkpoints, newest }.into());
    }
    for error in &rejected {
        warn!(%error, "passing over a checkpoint");
    }
    Ok(newest)
}

/// The data set that the checkpoint in `path` names, if it needs no permission. A manifest may come from
/// anywhere, and a folder that it names could be anybody's.
pub(super) fn dataset_of(path: &Path, manifest: &Manifest) -> Result<DatasetChoice, RunError> {
    let name = manifest.config.get(DATASET_FIELD).map_or("auto", |name| name);
    let Ok(choice) = name.parse();
    match choice {
        DatasetChoice::Folder(_) => {
            Err(RunError::FolderNotNamed { path: path.to_owned(), folder: printable(name).into_owned() })
        }
        choice => Ok(choice),
    }
}
