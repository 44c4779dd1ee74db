//! The file system calls of a checkpoint store, behind a trait so that a test can let each of them fail.

use host::files::{self, FileError, Links};
use std::fmt::Debug;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// A file system. Each method says whether its effect is durable. All of them block.
pub trait Disk: Debug + Send {
    /// Creates a directory.
    ///
    /// # Errors
    /// When the path exists or can't be created.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Creates an empty file.
    ///
    /// # Errors
    /// When the path exists or can't be created.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn NewFile>>;
    /// Makes the directory's entries durable.
    ///
    /// # Errors
    /// When the system call fails.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Renames a directory; durable after its parent was synced.
    ///
    /// # Errors
    /// When the system call fails.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a directory with its content. A missing one is no error.
    ///
    /// # Errors
    /// When the system call fails.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Whether the path exists, as a file, a directory or a link.
    fn exists(&self, path: &Path) -> bool;
    /// Names in a directory. Names that are no UTF-8 are left out: the store creates none.
    ///
    /// # Errors
    /// When the directory can't be listed.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// The content of a file of at most `bytes_max` bytes. Symbolic links are not followed.
    ///
    /// # Errors
    /// When the file is longer, not regular, or can't be read.
    fn read(&self, path: &Path, bytes_max: u64) -> Result<Vec<u8>, FileError>;
}

/// A file that this program has just created. After any error it may be torn and must not be used: even a
/// second sync does not tell whether the first one lost something.
pub trait NewFile {
    /// Appends bytes. They may be lost in a crash until the file is synced.
    ///
    /// # Errors
    /// When the system call fails; any number of the bytes may have been appended.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes the content durable.
    ///
    /// # Errors
    /// When the system call fails.
    fn sync(&mut self) -> io::Result<()>;
}

/// The operating system's file system.
#[derive(Debug)]
pub struct FileSystem;

impl Disk for FileSystem {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn NewFile>> {
        Ok(Box::new(File::create_new(path)?))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        files::open_directory(path)?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn exists(&self, path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok()
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn read(&self, path: &Path, bytes_max: u64) -> Result<Vec<u8>, FileError> {
        files::read_regular(path, bytes_max, Links::Refused)
    }
}

impl NewFile for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}
