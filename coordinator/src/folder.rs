//! Folders and files that are created for something that may still fail: a start, a download.

use host::files::open_to_rewrite;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// A folder that was created if it was missing. Unless it is kept, it is removed again when this is dropped,
/// with the folders that were created above it. What others have put there stays.
#[derive(Debug)]
pub(crate) struct NewFolder {
    path: PathBuf,
    /// The topmost folder that was missing.
    top: Option<PathBuf>,
}

impl NewFolder {
    /// Creates a folder with those above it, where they are missing.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let missing = path.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists());
        let top = missing.last().map(Path::to_owned);
        fs::create_dir_all(path)?;
        Ok(Self { path: path.to_owned(), top })
    }

    /// Whether it was created, and is not kept yet.
    pub(crate) fn is_new(&self) -> bool {
        self.top.is_some()
    }

    /// Keeps it.
    pub(crate) fn keep(&mut self) {
        self.top = None;
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        let Some(top) = self.top.take() else { return };
        for path in self.path.ancestors() {
            if fs::remove_dir(path).is_err() || path == top {
                return;
            }
        }
    }
}

/// Permissions of a new file: for everybody, less the umask. A temporary file has them only if it is told.
pub(crate) fn permissions() -> Permissions {
    Permissions::from_mode(0o666)
}

/// Renames a temporary file to `path`, where there is a regular file or none. Where the file system has no
/// renames the content is copied, and the temporary file stays until that is done. Returns the file at its
/// end.
///
/// # Errors
/// When neither succeeds: the error of the rename.
pub(crate) fn put(new: NamedTempFile, path: &Path) -> io::Result<File> {
    new.persist(path).or_else(|failed| copy_over(failed.file, path).map_err(|_| failed.error))
}

/// Renames a file, or copies it where the file system has no renames.
///
/// # Errors
/// When neither succeeds: the error of the rename.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let copy = |failed| fs::copy(from, to).and_then(|_| fs::remove_file(from)).map_err(|_| failed);
    fs::rename(from, to).or_else(copy)
}

fn copy_over(from: NamedTempFile, path: &Path) -> io::Result<File> {
    let mut content = from.reopen()?;
    let mut to = open_to_rewrite(path).map_err(io::Error::other)?;
    to.set_len(0)?;
    io::copy(&mut content, &mut to)?;
    from.close()?;
    Ok(to)
}
