//! The start of a run: from which checkpoint it resumes, with which training settings, on which data.
//!
//! 1. `auto` takes the newest valid checkpoint of the checkpoint folder, or of the mirror if it is newer. Its
//!    settings must be those of the flags; a flag that is not given stands for its default. Where there are
//!    checkpoints and none is valid, the run does not start: what it would write could take their place.
//! 2. A folder is a checkpoint, or has several: then the newest valid one is taken. Its settings are the
//!    run's; a flag that is given must agree with them. A run that has begun from that folder already, and
//!    was started again by the same command, goes on from its own checkpoints instead.
//! 3. `never` starts anew.
//!
//! [`find`] reads and changes nothing. [`Beginning::perform`] moves aside what the run leaves behind, once
//! nothing else can keep it from starting.

use super::{CHECKPOINT_DIR, RunOptions};
use crate::RunError;
use crate::dataset::DatasetChoice;
use crate::folder;
use crate::mirror::Mirror;
use crate::run_folder::{self, METRICS_FILE};
use crate::store::{self, Expected, Found as FoundCheckpoint, Store, StoreError};
use crate::training_flags::{ClassWeightsChoice, ValSplit};
use common::checkpoint::{MANIFEST_FILE, Manifest, Verified};
use common::data::normalize::Normalization;
use common::ids::Step;
use common::train::config::{
    CLASS_WEIGHTS_FIELD, DATASET_FIELD, DISTIL_FIELDS, INIT_FROM_FIELD, NORMALIZE_FIELD, TrainingConfig,
    VAL_SPLIT_FIELD,
};
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
    if let Some(folder) = &options.run_dir {
        return run_folder::checkpoints(folder);
    }
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
    pub(super) beginning: Beginning,
}

/// What becomes of the checkpoints that are in the run's folder when it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    /// The run goes on from the newest of them, or there are none.
    On,
    /// They are another run's, and are moved aside with their metrics.
    Anew,
    /// The run comes from this folder, so that they are moved aside too.
    From(PathBuf),
    /// The run goes back to this step, one of them, which was named; later ones are moved aside.
    Back { step: Step, named: PathBuf },
}

/// Finds where the run begins. A checkpoint that is newer in the mirror than here is downloaded into the
/// store, which adopts it when the run begins.
pub(super) fn find(
    store: &mut Store,
    mirror: Option<&Mirror>,
    options: &RunOptions,
) -> Result<Found, RunError> {
    let resolve = |base: Option<&TrainingConfig>| options.training.resolve(base).map_err(RunError::Flags);
    match &options.resume {
        Resume::Auto => {
            let training = resolve(None)?;
            let expected = Expected::of(&training);
            let expected = match options.training.val_split {
                Some(ValSplit::Samples(_)) => expected,
                _ => expected.but_for(VAL_SPLIT_FIELD),
            };
            let expected = match training.normalize {
                Normalization::Unit => expected,
                Normalization::Standard(_) => expected.but_for(NORMALIZE_FIELD),
            };
            let expected = match options.training.objective.class_weights {
                Some(ClassWeightsChoice::Balanced) => expected.but_for(CLASS_WEIGHTS_FIELD),
                _ => expected,
            };
            let expected = match options.training.transfer.init_from {
                Some(_) => expected.but_for(INIT_FROM_FIELD),
                None => expected,
            };
            let expected = match options.training.compression.distil {
                Some(_) => DISTIL_FIELDS.into_iter().fold(expected, Expected::but_for),
                None => expected,
            };
            let saved = newest_of_both(store, mirror, &expected)?;
            Ok(Found { saved, training, beginning: Beginning::On })
        }
        Resume::From(folder) => {
            let (saved, beginning) = find_from(store, folder, options.keep)?;
            let invalid = |source| StoreError::Config { path: saved.0.clone(), source: Box::new(source) };
            let base = TrainingConfig::from_fields(&saved.1.manifest.config).map_err(invalid)?;
            let training = resolve(Some(&base))?;
            Ok(Found { saved: Some(saved), training, beginning })
        }
        Resume::Never => Ok(Found { saved: None, training: resolve(None)?, beginning: Beginning::Anew }),
    }
}

/// The checkpoint to go on from where a folder is named.
fn find_from(
    store: &Store,
    folder: &Path,
    keep: usize,
) -> Result<((PathBuf, Verified), Beginning), RunError> {
    let empty = || StoreError::Empty(folder.to_owned());
    if same_folder(folder, store.root()) {
        return Ok((newest(store, &Expected::any())?.ok_or_else(empty)?, Beginning::On));
    }
    if store.began_from(folder)
        && let Some(own) = newest(store, &Expected::any())?
    {
        return Ok((own, Beginning::On));
    }
    if folder.is_dir() && !is_checkpoint(folder) {
        let other = Store::open(folder, keep)?;
        let found = newest(&other, &Expected::any())?.ok_or_else(empty)?;
        return Ok((found, Beginning::From(folder.to_owned())));
    }
    let found = store::load(folder, &Expected::any())?;
    let is_own = folder.parent().is_some_and(|parent| same_folder(parent, store.root()));
    let step = found.manifest.position.step;
    let named = folder.to_owned();
    let beginning = if is_own { Beginning::Back { step, named } } else { Beginning::From(named) };
    Ok(((folder.to_owned(), found), beginning))
}

impl Beginning {
    /// Moves aside what the run leaves behind. `metrics` is its metrics file.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(super) fn perform(&self, store: &Store, metrics: &Path) -> Result<(), RunError> {
        let aside = match self {
            Self::On => None,
            Self::Anew | Self::From(_) => {
                let aside = store.move_aside(|_| true)?;
                if let Some(aside) = &aside
                    && metrics.parent() == Some(store.root())
                    && metrics.symlink_metadata().is_ok()
                {
                    let failed =
                        |source| StoreError::Io { action: "move aside", path: metrics.into(), source };
                    folder::rename(metrics, &aside.join(METRICS_FILE)).map_err(failed)?;
                }
                aside
            }
            Self::Back { step, .. } => store.move_aside(|other| other > *step)?,
        };
        if let Some(aside) = aside {
            info!(to = %aside.display(), "moved checkpoints aside that this run does not go on from");
        }
        match self {
            Self::On => {}
            Self::Anew => store.record_origin(None)?,
            Self::From(folder) | Self::Back { named: folder, .. } => store.record_origin(Some(folder))?,
        }
        Ok(())
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
    newest_of(store, store.newest(expected)?)
}

/// The newest valid checkpoint of the folder and of the mirror; of equals, that of the folder.
///
/// # Errors
/// As for [`newest`], and when the mirror can't be read.
fn newest_of_both(
    store: &mut Store,
    mirror: Option<&Mirror>,
    expected: &Expected,
) -> Result<Option<(PathBuf, Verified)>, RunError> {
    let found = store.newest(expected)?;
    let local = found.newest.as_ref().map(|(_, newest)| newest.manifest.position.step);
    match mirror.map(|mirror| mirror.bring_newer(store, local, expected)).transpose()?.flatten() {
        Some(theirs) => Ok(Some(theirs)),
        None => newest_of(store, found),
    }
}

fn newest_of(store: &Store, found: FoundCheckpoint) -> Result<Option<(PathBuf, Verified)>, RunError> {
    let FoundCheckpoint { newest, mut rejected } = found;
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
/// anywhere, and a file or folder that it names could be anybody's.
pub(super) fn dataset_of(path: &Path, manifest: &Manifest) -> Result<DatasetChoice, RunError> {
    let name = manifest.config.get(DATASET_FIELD).map_or("auto", |name| name);
    let Ok(choice): Result<DatasetChoice, _> = name.parse();
    if choice.is_path() {
        return Err(RunError::FolderNotNamed { path: path.to_owned(), folder: printable(name).into_owned() });
    }
    Ok(choice)
}
