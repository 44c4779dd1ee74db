//! The few things that a store asks of a file system, so that a test can let each of them fail.

use host::files::{self, FileError, Links};
use std::fmt::Debug;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// A file system. Every call is durable or not as its documentation says, and blocks.
pub trait Disk: Debug + Send {
    /// Creates a directory.
    ///
    /// # Errors
    /// When it exists or can't be created.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Creates an empty file.
    ///
    /// # Errors
    /// When it exists or can't be created.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn NewFile>>;
    /// Makes the directory's entries durable.
    ///
    /// # Errors
    /// When the system can't.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Gives a directory another name; durable after its parent was synced.
    ///
    /// # Errors
    /// When the system can't.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a directory with all that is in it; none there is fine.
    ///
    /// # Errors
    /// When the system can't.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Whether there is something of that name.
    fn exists(&self, path: &Path) -> bool;
    /// Names in a directory; those that are no UTF-8 are none of ours and left out.
    ///
    /// # Errors
    /// When it can't be listed.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// The content of a file of at most `bytes_max` bytes. No link is followed to it.
    ///
    /// # Errors
    /// When it is longer, no regular file, or can't be read.
    fn read(&self, path: &Path, bytes_max: u64) -> Result<Vec<u8>, FileError>;
}

/// A file that this program has just created. After any error it may be torn and must not be used: not even a second
/// sync tells whether what the first one lost is back.
pub trait NewFile {
    /// Adds bytes, which a crash may take back.
    ///
    /// # Errors
    /// When the system can't; any number of them may have been added.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes the content durable.
    ///
    /// # Errors
    /// When the system can't.
    fn sync(&mut self) -> io::Result<()>;
}

/// The real one.
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
