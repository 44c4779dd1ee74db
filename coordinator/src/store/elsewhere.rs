//! Checkpoints in a folder that may be another run's: it is neither locked nor changed.

use super::disk::{Disk, FileSystem};
use super::{Expected, StoreError, directory, failed, load, step_of};
use common::checkpoint::{MANIFEST_BYTES_MAX, MANIFEST_FILE, Manifest, Verified};
use common::ids::Step;
use std::path::{Path, PathBuf};

/// The checkpoint in that folder, or the newest valid one of several in it, with its directory.
///
/// # Errors
/// When the folder can't be listed, or the checkpoint that it is can't be used.
pub fn newest_in(folder: &Path) -> Result<Option<(PathBuf, Verified)>, StoreError> {
    if folder.join(MANIFEST_FILE).symlink_metadata().is_ok() {
        return Ok(Some((folder.to_owned(), load(folder, &Expected::any())?)));
    }
    for path in newest_first(folder)? {
        match load(&path, &Expected::any()) {
            Ok(verified) => return Ok(Some((path, verified))),
            Err(error) => tracing::warn!(%error, "passing over a checkpoint"),
        }
    }
    Ok(None)
}

/// The newest checkpoint in the folder whose manifest is intact, by that alone: no other file is read.
///
/// # Errors
/// When the folder can't be listed.
pub fn newest_manifest_in(folder: &Path) -> Result<Option<(PathBuf, Manifest)>, StoreError> {
    Ok(newest_first(folder)?.find_map(|path| {
        let bytes = FileSystem.read(&path.join(MANIFEST_FILE), MANIFEST_BYTES_MAX).ok()?;
        Some((path, Manifest::parse(&bytes).ok()?))
    }))
}

/// Directories of the folder's checkpoints, the newest first.
fn newest_first(folder: &Path) -> Result<impl Iterator<Item = PathBuf>, StoreError> {
    let names = FileSystem.list(folder).map_err(failed("list", folder))?;
    let mut steps: Vec<Step> = names.iter().filter_map(|name| step_of(name)).collect();
    steps.sort_unstable();
    let folder = folder.to_owned();
    Ok(steps.into_iter().rev().map(move |step| folder.join(directory(step))))
}
