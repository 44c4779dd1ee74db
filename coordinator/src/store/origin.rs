//! From where the run in a checkpoint folder began, if that was a folder that a person named with `--resume`.
//!
//! A scheduler that requeues a job repeats its command. The first start takes the named folder; later ones
//! find here that they have done so, and go on from their own newer checkpoints.

use super::{Store, StoreError, failed};
use host::files::{Links, open_to_rewrite, read_regular};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Name of the file, whose content is the absolute path of the folder.
pub(super) const ORIGIN_FILE: &str = "resumed-from";
/// Longest path that is read, in bytes: `PATH_MAX` of Linux.
const PATH_BYTES_MAX: u64 = 4096;

impl Store {
    /// Whether the run here began from that folder, by its path.
    #[must_use]
    pub fn began_from(&self, folder: &Path) -> bool {
        // A file that can't be read says as little as none.
        let recorded = read_regular(&self.origin_path(), PATH_BYTES_MAX, Links::Refused).unwrap_or_default();
        !recorded.is_empty() && absolute(folder).as_os_str().as_bytes() == recorded
    }

    /// Records that the run here begins from that folder, or from none.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn record_origin(&self, folder: Option<&Path>) -> Result<(), StoreError> {
        let path = self.origin_path();
        let Some(folder) = folder else {
            return match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(failed("remove", &path)(error))
                }
                _ => Ok(()),
            };
        };
        let mut file =
            open_to_rewrite(&path).map_err(|source| StoreError::File { path: path.clone(), source })?;
        let written = file.set_len(0).and_then(|()| file.write_all(absolute(folder).as_os_str().as_bytes()));
        written.map_err(failed("write", &path))
    }

    fn origin_path(&self) -> PathBuf {
        self.root.join(ORIGIN_FILE)
    }
}

/// The path from the root. Links are not resolved: a command that is repeated names the same path.
fn absolute(folder: &Path) -> PathBuf {
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())
}
