//! Files and folders that only their owner may read.
//!
//! 1. Files are made whole or not at all, with mode 0600, and never replace another one.
//! 2. What is read must be a regular file of this user that others can't read: a copy with a wider mode may
//!    have been read by anybody since. Links are refused: whoever can place one could swap the file.
//! 3. A folder is made with mode 0700, and refused if others can write to it.

use host::files::{FileError, Links, open_directory, open_regular};
use std::fs::{DirBuilder, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Largest file, in bytes: many times a key or a token.
const BYTES_MAX: u64 = 4096;
/// Permissions of the group and of all others.
const OTHERS: u32 = 0o077;
const OTHERS_WRITE: u32 = 0o022;

/// Why a secret can't be kept or read.
#[allow(missing_docs, reason = "field names say all")]
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Others may have read it.
    #[error(
        "{} can be read by others (mode {mode:04o}); if nobody else has read it: chmod 600 {}", path.display(), path.display()
    )]
    ReadableByOthers { path: PathBuf, mode: u32 },
    /// Others can place files in it.
    #[error("others can write to {} (mode {mode:04o}); choose another --identity, or: chmod 700 {}", path.display(), path.display())]
    WritableByOthers { path: PathBuf, mode: u32 },
    /// Another user has made it.
    #[error("{} belongs to another user (id {owner}); it must be this user's own", path.display())]
    OtherOwner { path: PathBuf, owner: u32 },
    /// It is no directory, or a link to one.
    #[error("{} is no directory; choose another --identity", path.display())]
    NotAFolder { path: PathBuf },
    /// It is no regular file, or can't be read.
    #[error("{}: {source}", path.display())]
    Unreadable { path: PathBuf, source: FileError },
    /// It can't be made.
    #[error("{} can't be made: {source}", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
    /// What it holds is not what belongs there.
    #[error("{}: {what}", path.display())]
    Invalid { path: PathBuf, what: String },
}

impl SecretError {
    /// Whether there is nothing of that name.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Unreadable { source, .. } if source.is_missing())
    }

    /// Whether something of that name was there already.
    #[must_use]
    pub fn is_there(&self) -> bool {
        matches!(self, Self::Unwritable { source, .. } if source.kind() == io::ErrorKind::AlreadyExists)
    }
}

/// Reads a file that only this user may read.
///
/// # Errors
/// When it is no such file, or can't be read.
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let unreadable = |source| SecretError::Unreadable { path: path.to_owned(), source };
    let file = open_regular(path, BYTES_MAX, Links::Refused).map_err(unreadable)?;
    let metadata = file.metadata().map_err(|error| unreadable(error.into()))?;
    check_owner(path, &metadata)?;
    let mode = metadata.mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(SecretError::ReadableByOthers { path: path.to_owned(), mode });
    }
    // Large enough from the beginning: a vector that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(BYTES_MAX as usize + 1));
    file.take(BYTES_MAX).read_to_end(&mut bytes).map_err(|error| unreadable(error.into()))?;
    Ok(bytes)
}

/// Makes a file with these bytes, on the disk when this returns.
///
/// # Errors
/// When something of that name is there, or the system refuses.
pub fn create(path: &Path, bytes: &[u8]) -> Result<(), SecretError> {
    let made = || -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        // It has mode 0600, and gets its name when it is whole.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path)?;
        open_directory(folder)?.sync_all()
    };
    made().map_err(|source| SecretError::Unwritable { path: path.to_owned(), source })
}

/// Makes a folder, and those above it, where there is none, and checks that only this user can write to it.
///
/// # Errors
/// When others can write to it, it is something else, or the system refuses.
pub fn folder(path: &Path) -> Result<(), SecretError> {
    let unwritable = |source| SecretError::Unwritable { path: path.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unwritable)?;
    let metadata = path.symlink_metadata().map_err(unwritable)?;
    if !metadata.is_dir() {
        return Err(SecretError::NotAFolder { path: path.to_owned() });
    }
    check_owner(path, &metadata)?;
    let mode = metadata.mode() & 0o7777;
    if mode & OTHERS_WRITE != 0 {
        return Err(SecretError::WritableByOthers { path: path.to_owned(), mode });
    }
    Ok(())
}

fn check_owner(path: &Path, metadata: &Metadata) -> Result<(), SecretError> {
    let owner = metadata.uid();
    let is_own = owner == rustix::process::geteuid().as_raw();
    is_own.then_some(()).ok_or_else(|| SecretError::OtherOwner { path: path.to_owned(), owner })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_secret_is_this_users_alone_and_is_never_replaced() {
        let place = tempfile::tempdir().unwrap();
        let folder_path = place.path().join("a/b");
        folder(&folder_path).unwrap();
        let path = folder_path.join("key");
        create(&path, b"secret").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&folder_path).unwrap().mode() & 0o777, 0o700);
        assert_eq!(read(&path).unwrap().as_slice(), b"secret");
        assert!(create(&path, b"other").unwrap_err().is_there());
        assert_eq!(read(&path).unwrap().as_slice(), b"secret");
        assert!(read(&folder_path.join("none")).unwrap_err().is_missing());
    }

    #[test]
    fn what_others_can_read_or_swap_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("key");
        create(&path, b"secret").unwrap();
        let link = place.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(read(&link).unwrap_err().to_string().contains("symbolic link"));
        for mode in [0o644, 0o640, 0o604, 0o610] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert!(matches!(read(&path), Err(SecretError::ReadableByOthers { .. })), "{mode:o}");
        }
        fs::set_permissions(place.path(), Permissions::from_mode(0o770)).unwrap();
        assert!(matches!(folder(place.path()), Err(SecretError::WritableByOthers { .. })));
        let to_folder = place.path().join("to");
        symlink("/tmp", &to_folder).unwrap();
        assert!(matches!(folder(&to_folder), Err(SecretError::NotAFolder { .. })));
    }
}
