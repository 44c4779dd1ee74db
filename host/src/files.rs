//! How files are opened, so that none of them can stop, fill or surprise a program.
//!
//! What is read is a regular file of a bounded size: a FIFO would be waited for, a device may never end, a sparse file is as
//! large as its owner says. What is looked at is the opened file, never the name, which others may exchange. Where a
//! name is this project's own, a symbolic link at it is somebody else's doing, and is not followed.
//!
//! It does not decide what a file holds, or which sizes are to be expected.

use rustix::fs::OFlags;
use std::fmt;
use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// Whether a symbolic link may stand where a file is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// Followed: a person has chosen the name.
    Followed,
    /// Refused: the name is our own.
    Refused,
}

/// What a name stands for that is no regular file.
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
    /// `None` for a regular file.
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

/// Why a file was not opened or not read. The caller's error names the file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Something else bears the name.
    #[error("it is {0}; a regular file must be there")]
    NotRegular(Kind),
    /// It is longer than anything that is expected there.
    #[error("it has {bytes} bytes or more, and {bytes_max} is the most that is read; check which file it is")]
    TooLarge {
        /// Its size, or as much of it as was seen.
        bytes: u64,
        /// The most that is read.
        bytes_max: u64,
    },
    /// The system refused.
    #[error(transparent)]
    System(#[from] io::Error),
}

impl FileError {
    /// Whether there is nothing of that name.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::System(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

/// Opens a regular file of at most `bytes_max` bytes to read it. Never waits for another process.
///
/// # Errors
/// When it is something else, larger, or can't be opened.
pub fn open_regular(path: &Path, bytes_max: u64, links: Links) -> Result<File, FileError> {
    let (file, metadata) = open_as(OpenOptions::new().read(true), path, links)?;
    let bytes = metadata.len();
    if bytes > bytes_max { Err(FileError::TooLarge { bytes, bytes_max }) } else { Ok(file) }
}

/// The whole content of a regular file of at most `bytes_max` bytes, however it grows meanwhile.
///
/// # Errors
/// When it is something else, larger, or can't be read.
pub fn read_regular(path: &Path, bytes_max: u64, links: Links) -> Result<Vec<u8>, FileError> {
    let file = open_regular(path, bytes_max, links)?;
    let mut content = Vec::new();
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut content)?;
    let bytes = content.len() as u64;
    if bytes > bytes_max { Err(FileError::TooLarge { bytes, bytes_max }) } else { Ok(content) }
}

/// Opens or creates the file that a program keeps locked while it is at work; it is never read or written.
///
/// # Errors
/// When something else bears its name, or the system refuses.
pub fn open_lock(path: &Path) -> Result<File, FileError> {
    // For writing too: some network file systems lock nothing else.
    let mut options = OpenOptions::new();
    let (file, _) =
        open_as(options.read(true).write(true).create(true).truncate(false), path, Links::Refused)?;
    Ok(file)
}

/// Opens a directory to make its entries durable.
///
/// # Errors
/// When it is none, or can't be opened.
pub fn open_directory(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(OFlags::DIRECTORY.bits().cast_signed()).open(path)
}

/// Opens what a person has named to add to it: a file, or a FIFO, device or terminal, which must be ready now. Returns
/// whether it is a regular file. Nothing is cut off or replaced; a file that is not there is created.
///
/// A FIFO's reader that falls behind by more than the system buffers causes errors, not waits.
///
/// # Errors
/// When nobody reads the FIFO, it is a directory or a socket, or the system refuses.
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

/// Opens without waiting, and looks at what was opened.
fn open_as(options: &mut OpenOptions, path: &Path, links: Links) -> Result<(File, Metadata), FileError> {
    let mut flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    if links == Links::Refused {
        flags |= OFlags::NOFOLLOW;
    }
    let file = options.custom_flags(flags.bits().cast_signed()).open(path).map_err(|error| {
        // Some kinds can't be opened at all; which it is says more than the system's word for it.
        kind_of(path, links).map_or(FileError::System(error), FileError::NotRegular)
    })?;
    let metadata = file.metadata()?;
    match Kind::of(metadata.file_type()) {
        None => Ok((file, metadata)),
        Some(kind) => Err(FileError::NotRegular(kind)),
    }
}

/// What the name stands for, if that is no regular file; only ever used to say so.
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
