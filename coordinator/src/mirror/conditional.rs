//! Writing on a condition in a folder, which object stores have and file systems do not.
//!
//! A file is replaced under the lock of another one, beside which nobody replaces anything in this folder.
//! New files need no lock: a hard link is not made where there is a file.

use crate::folder::NewFolder;
use host::files::open_lock;
use object_store::path::Path as ObjectPath;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, PutResult, Result, UpdateVersion};
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file that is locked. It is not an object.
const LOCKED: &str = ".conditions";
/// Number of tries to lock it.
const TRIES: u32 = 100;
/// Time between two tries: replacing takes milliseconds.
const PAUSE: Duration = Duration::from_millis(20);

/// The folder. If it was created for this start and no run begins, nothing of it stays.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    folder: NewFolder,
}

impl Folder {
    /// Creates the folder where it is missing.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), folder: NewFolder::create(path)? })
    }

    /// The run begins: from now on the folder stays.
    pub(super) fn keep(&mut self) {
        self.folder.keep();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.folder.is_new() {
            let _ = std::fs::remove_file(self.path.join(LOCKED));
        }
    }
}

/// Replaces an object of that version.
pub(super) async fn replace(
    store: &dyn ObjectStore,
    folder: &Path,
    path: &ObjectPath,
    bytes: Vec<u8>,
    version: &UpdateVersion,
) -> Result<PutResult> {
    let _locked = lock(folder).await?;
    let stale = |source| Error::Precondition { path: path.to_string(), source };
    match store.head(path).await {
        Ok(found) if found.e_tag == version.e_tag => store.put(path, bytes.into()).await,
        Ok(_) => Err(stale("it is another version".into())),
        Err(error @ Error::NotFound { .. }) => Err(stale(error.into())),
        Err(error) => Err(error),
    }
}

/// The locked file; it is unlocked when it is closed, also by the end of the process.
async fn lock(folder: &Path) -> Result<File> {
    let failed =
        |source: Box<dyn std::error::Error + Send + Sync>| Error::Generic { store: "folder", source };
    let file = open_lock(&folder.join(LOCKED)).map_err(|error| failed(error.into()))?;
    for _ in 0..TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(PAUSE).await,
            Err(TryLockError::Error(error)) => return Err(failed(error.into())),
        }
    }
    Err(failed(format!("{LOCKED} stays locked").into()))
}
