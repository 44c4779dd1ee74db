//! Opens a trained model: a checkpoint's folder, the newest checkpoint of several in a folder or of a run's
//! folder, or a file that was handed on. Nothing there is changed.

use crate::run_folder::CHECKPOINTS;
use crate::store::{self, StoreError};
use common::checkpoint::{MODEL_FILE_BYTES_MAX, Model, ModelFileError, Origin};
use common::train::average::Weights;
use common::train::config::RunConfig;
use host::files::{FileError, Links, read_regular};
use std::path::{Path, PathBuf};

/// Why a model can't be opened.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum OpenError {
    /// Nothing is there.
    #[error(
        "{}: there is no such file or folder; name a checkpoint's folder, a folder of checkpoints, a run's folder, or a \
         file that lockstep export --format safetensors wrote", .0.display()
    )]
    Missing(PathBuf),
    /// The checkpoint can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The folder has no valid checkpoint.
    #[error("{}: there is no valid checkpoint in this folder", .0.display())]
    Empty(PathBuf),
    /// The checkpoint has no such weights.
    #[error("{} has no {weights} weights; it has {has}", path.display())]
    Weights { path: PathBuf, weights: Weights, has: String },
    /// A file that was handed on has one version of the weights.
    #[error("--weights {weights}: {} is a file with one version of the weights; leave the flag out", path.display())]
    OneVersion { path: PathBuf, weights: Weights },
    /// The file can't be read.
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: FileError },
    /// The file is no model.
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: ModelFileError },
}

/// Opens the model at `path`. Without `weights` a checkpoint's last ones are taken.
///
/// # Errors
/// When it can't be read, is damaged, or has no such weights.
pub fn open(path: &Path, weights: Option<Weights>) -> Result<Model, OpenError> {
    if path.is_dir() {
        let of_run = path.join(CHECKPOINTS);
        let newest = match store::newest_in(path)? {
            None if of_run.is_dir() => store::newest_in(&of_run)?,
            newest => newest,
        };
        let (found, saved) = newest.ok_or_else(|| OpenError::Empty(path.to_owned()))?;
        return of_checkpoint(&found, saved, weights.unwrap_or_default());
    }
    if let Some(weights) = weights {
        return Err(OpenError::OneVersion { path: path.to_owned(), weights });
    }
    let bytes = read_regular(path, MODEL_FILE_BYTES_MAX, Links::Followed).map_err(|source| {
        let path = path.to_owned();
        if source.is_missing() { OpenError::Missing(path) } else { OpenError::Read { path, source } }
    })?;
    Model::decode(&bytes).map_err(|source| OpenError::File { path: path.to_owned(), source })
}

fn of_checkpoint(
    path: &Path,
    saved: common::checkpoint::Verified,
    weights: Weights,
) -> Result<Model, OpenError> {
    let config = RunConfig::from_fields(&saved.manifest.config)
        .map_err(|source| StoreError::Config { path: path.to_owned(), source: Box::new(source) })?;
    let fingerprint = saved.manifest.fingerprint.clone();
    let step = saved.manifest.position.step.0;
    let slots = config.training().optimizer.slots();
    let invalid = |source| StoreError::Invalid { path: path.to_owned(), source };
    let checkpoint = saved.decode(config.model().layout(), slots).map_err(invalid)?;
    let mut versions = vec![(Weights::Last, checkpoint.params)];
    versions.extend(checkpoint.more.averaged.map(|values| (Weights::Averaged, values)));
    versions.extend(checkpoint.more.best.map(|values| (Weights::Best, values)));
    let has = versions.iter().map(|(version, _)| version.to_string()).collect::<Vec<_>>().join(", ");
    let params = versions.into_iter().find(|(version, _)| *version == weights).map(|(_, values)| values);
    let params = params.ok_or_else(|| OpenError::Weights { path: path.to_owned(), weights, has })?;
    let dataset = config.data().name.clone();
    Ok(Model {
        architecture: config.model().clone(),
        params,
        normalization: config.training().normalize.clone(),
        classes: config.data().classes.clone(),
        origin: Origin { dataset, fingerprint, step, weights: weights.to_string() },
    })
}
