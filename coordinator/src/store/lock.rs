//! The lock of a folder: one coordinator at a time has it.
//!
//! It is the system's lock of a file, which ends with the process however that ends.

use super::{StoreError, failed};
use host::files::{is_unsupported, open_lock};
use std::fs::{File, Metadata, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a folder may still be locked by a coordinator that is being ended.
const LOCK_GRACE: Duration = Duration::from_secs(2);
/// Time between two tries to lock it.
const LOCK_POLL: Duration = Duration::from_millis(20);
/// Lock file, which one coordinator at a time holds.
pub(crate) const LOCK_FILE: &str = "lock";

/// Locks a folder until the file is dropped, unless its file system has no locks. One who was killed a moment
/// ago may hold it still: the system is given a while to end it.
pub(crate) fn lock(root: &Path) -> Result<(File, bool), StoreError> {
    let deadline = Instant::now() + LOCK_GRACE;
    loop {
        match try_lock(root) {
            Err(StoreError::Locked(_)) if Instant::now() < deadline => std::thread::sleep(LOCK_POLL),
            locked => return locked,
        }
    }
}

/// Opens the lock file, and locks it where the file system has locks; returns whether it has.
fn try_lock(root: &Path) -> Result<(File, bool), StoreError> {
    let path = root.join(LOCK_FILE);
    let file = open_lock(&path).map_err(|source| StoreError::File { path: path.clone(), source })?;
    let locks = match file.try_lock() {
        Ok(()) => true,
        Err(TryLockError::WouldBlock) => return Err(StoreError::Locked(root.to_owned())),
        Err(TryLockError::Error(error)) if is_unsupported(&error) => false,
        Err(TryLockError::Error(source)) => return Err(failed("lock", &path)(source)),
    };
    // A coordinator that failed to start may have removed the file that was opened, and a third one may have
    // locked a new one.
    let numbers = |metadata: Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata().map(numbers), path.symlink_metadata().map(numbers)) {
        (Ok(opened), Ok(named)) if opened != named => Err(StoreError::Locked(root.to_owned())),
        (Ok(_), Err(_)) => Err(StoreError::Locked(root.to_owned())),
        _ => Ok((file, locks)),
    }
}
