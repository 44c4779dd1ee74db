//! Opening files so that none of them can block, exhaust or deceive a program.
//!
//! 1. Only regular files of a bounded size are read. A FIFO would block, a device may never end, and a sparse
//!    file is as large as its owner says.
//! 2. The opened file is checked, never the name: others may replace what a name stands for.
//! 3. Where this project has chosen a name, somebody else made a symbolic link of that name, and it is not
//!    followed.
//!
//! What a file holds, and which sizes are expected, is decided by the caller.

use rustix::fs::OFlags;
use std::fmt;
use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// Whether a symbolic link to the file is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// Links are followed: a person has chosen the name.
    Followed,
    /// Links are refused: this project has chosen the name.
    Refused,
}

/// A kind of directory entry other than a regular file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Kind {
    Directory,
    Fifo,
    Socket,
    Device,
    Link,
}

impl Kind {
    /// The kind of an opened file; `None` for a regular one.
    fn of(file: FileType) -> Option<Self> {
        if file.is_file() {
            None
        } else if file.is_dir() {
            Some(Self::Directory)
        } else if file.is_fifo() {
            Some(Self::Fifo)
        } else if file.is_socket() {
            Some(Self::Socket)
        } else if file.is_symlink() {
            Some(Self::Link)
        } else {
            Some(Self::Device)
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Directory => "a directory",
            Self::Fifo => "a FIFO",
            Self::Socket => "a socket",
            Self::Device => "a device",
            Self::Link => "a symbolic link",
        })
    }
}

/// Why a file can't be opened or read. The caller's error names the file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The name stands for another kind of file.
    #[error("it is {0}; a regular file must be there")]
    NotRegular(Kind),
    /// The file is larger than expected.
    #[error("it has {bytes} bytes or more, and {bytes_max} is the most that is read; check which file it is")]
    TooLarge {
        /// Size in bytes, or the bytes that were read of it.
        bytes: u64,
        /// Largest size that is accepted.
        bytes_max: u64,
    },
    /// The system call failed.
    #[error(transparent)]
    System(#[from] io::Error),
}

impl FileError {
    /// Whether nothing exists under the name.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::System(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

/// Opens a regular file of at most `bytes_max` bytes for reading. Never waits for another process.
///
/// # Errors
/// When it is another kind of file, larger, or can't be opened.
pub fn open_regular(path: &Path, bytes_max: u64, links: Links) -> Result<File, FileError> {
    let (file, metadata) = open_as(OpenOptions::new().read(true), path, links)?;
    let bytes = metadata.len();
    if bytes > bytes_max { Err(FileError::TooLarge { bytes, bytes_max }) } else { Ok(file) }
}

/// Reads a regular file of at most `bytes_max` bytes, even if it grows meanwhile.
///
/// # Errors
/// When it is another kind of file, larger, or can't be read.
pub fn read_regular(path: &Path, bytes_max: u64, links: Links) -> Result<Vec<u8>, FileError> {
    let file = open_regular(path, bytes_max, links)?;
    let mut content = Vec::new();
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut content)?;
    let bytes = content.len() as u64;
    if bytes > bytes_max { Err(FileError::TooLarge { bytes, bytes_max }) } else { Ok(content) }
}

/// Opens or creates a lock file, which is never read or written.
///
/// # Errors
/// When another kind of file has the name, or the system refuses.
pub fn open_lock(path: &Path) -> Result<File, FileError> {
    // Opened for writing too: some network file systems lock only such files.
    let mut options = OpenOptions::new();
    let (file, _) =
        open_as(options.read(true).write(true).create(true).truncate(false), path, Links::Refused)?;
    Ok(file)
}

/// Opens or creates a regular file of ours to write it anew. What it holds stays until the caller truncates
/// it.
///
/// # Errors
/// When another kind of file has the name, or the system refuses.
pub fn open_to_rewrite(path: &Path) -> Result<File, FileError> {
    let mut options = OpenOptions::new();
    let (file, _) = open_as(options.write(true).create(true).truncate(false), path, Links::Refused)?;
    Ok(file)
}

/// Opens or creates a regular file of ours that only grows, at its end. If its last line has none, one is
/// added, so that what follows is a line of its own.
///
/// # Errors
/// When another kind of file has the name, or the system refuses.
pub fn open_to_grow(path: &Path) -> Result<File, FileError> {
    let mut options = OpenOptions::new();
    let (mut file, metadata) = open_as(options.read(true).append(true).create(true), path, Links::Refused)?;
    if metadata.len() > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

/// Opens or creates a regular file of ours of at most `bytes_max` bytes, to read it and to write in it. What
/// it holds stays until the caller changes it.
///
/// # Errors
/// When another kind of file has the name, it is larger, or the system refuses.
pub fn open_to_update(path: &Path, bytes_max: u64) -> Result<File, FileError> {
    let mut options = OpenOptions::new();
    let (file, metadata) =
        open_as(options.read(true).write(true).create(true).truncate(false), path, Links::Refused)?;
    let bytes = metadata.len();
    if bytes > bytes_max { Err(FileError::TooLarge { bytes, bytes_max }) } else { Ok(file) }
}

/// Whether a file system says with this error that it does not have a call at all, such as an object store
/// without renames, or a network file system without locks.
#[must_use]
pub fn is_unsupported(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let unsupported = [Errno::NOSYS, Errno::OPNOTSUPP, Errno::INVAL, Errno::NOLCK, Errno::NOTTY];
    error.kind() == io::ErrorKind::Unsupported || unsupported.iter().any(|&errno| is(error, errno))
}

/// Opens a directory to make its entries durable.
///
/// # Errors
/// When it is no directory, or can't be opened.
pub fn open_directory(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(OFlags::DIRECTORY.bits().cast_signed()).open(path)
}

/// Opens for appending what a person has named: a file, or a FIFO, device or terminal that is ready now.
/// Returns whether it is a regular file. Nothing is truncated; a missing file is created.
///
/// A FIFO whose reader falls behind by more than the system buffers causes errors, not waits.
///
/// # Errors
/// When nobody reads the FIFO, when it is a directory or a socket, or when the system refuses.
pub fn open_to_append(path: &Path) -> Result<(File, bool), FileError> {
    let mut options = OpenOptions::new();
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    options.append(true).create(true).custom_flags(flags.bits().cast_signed());
    let file = options.open(path).map_err(|error| match kind_of(path, Links::Followed) {
        Some(Kind::Fifo) if is(&error, rustix::io::Errno::NXIO) => FileError::System(io::Error::new(
            error.kind(),
            "it is a FIFO that nobody reads; start its reader first",
        )),
        Some(kind @ (Kind::Directory | Kind::Socket)) => FileError::NotRegular(kind),
        _ => error.into(),
    })?;
    let is_regular = file.metadata()?.is_file();
    Ok((file, is_regular))
}

/// Opens without waiting, and checks the kind of the opened file.
fn open_as(options: &mut OpenOptions, path: &Path, links: Links) -> Result<(File, Metadata), FileError> {
    let mut flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    if links == Links::Refused {
        flags |= OFlags::NOFOLLOW;
    }
    let file = options.custom_flags(flags.bits().cast_signed()).open(path).map_err(|error| {
        // Some kinds can't be opened at all. Then the kind says more than the system's error.
        kind_of(path, links).map_or(FileError::System(error), FileError::NotRegular)
    })?;
    let metadata = file.metadata()?;
    match Kind::of(metadata.file_type()) {
        None => Ok((file, metadata)),
        Some(kind) => Err(FileError::NotRegular(kind)),
    }
}

/// The kind of what the name stands for, unless it is a regular file; for error messages only.
fn kind_of(path: &Path, links: Links) -> Option<Kind> {
    let metadata = match links {
        Links::Followed => path.metadata(),
        Links::Refused => path.symlink_metadata(),
    };
    Kind::of(metadata.ok()?.file_type())
}

fn is(error: &io::Error, errno: rustix::io::Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

#[cfg(test)]
mod tests;
