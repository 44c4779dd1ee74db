//! Pages and cards as files. One that is there is replaced if this program wrote it, and no other.

use super::report::{self, Mistakes};
use super::{ReadError, card, html};
use crate::folder;
use host::files::{Links, open_regular};
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Name of a run's page in its folder.
pub const REPORT_FILE: &str = "report.html";
/// Name of a run's model card in its folder.
pub const CARD_FILE: &str = "README.md";

/// Why a page can't be written.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum WriteError {
    /// The run can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Something else has the name.
    #[error("{} is there and is none of this program's; move it away, or name another file with --output", .0.display())]
    Other(PathBuf),
    /// The file system refuses.
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// Reads a run, and writes its page and its model card into its folder. Returns the page's path.
///
/// # Errors
/// When the run can't be read, or a file can't be written. A card of somebody else's stays, without an error.
pub fn write_into(folder: &Path, mistakes: &Mistakes) -> Result<PathBuf, WriteError> {
    let run = super::read(folder)?;
    let path = folder.join(REPORT_FILE);
    put(&path, &report::page(&run, mistakes), html::MARK)?;
    match put(&folder.join(CARD_FILE), &card::card(&run), card::MARK) {
        Ok(()) | Err(WriteError::Other(_)) => Ok(path),
        Err(error) => Err(error),
    }
}

/// Writes a text beside its place and renames it. `mark` is its beginning, by which an older one is known.
///
/// # Errors
/// When something else has the name, or the file system refuses.
pub fn put(path: &Path, text: &str, mark: &str) -> Result<(), WriteError> {
    let failed = |source| WriteError::Write { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Ok(_) if !begins_with(path, mark) => return Err(WriteError::Other(path.to_owned())),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let place = path.parent().filter(|place| *place != Path::new("")).unwrap_or(Path::new("."));
    let new = tempfile::Builder::new().permissions(folder::permissions()).tempfile_in(place);
    let mut new = new.map_err(failed)?;
    new.write_all(text.as_bytes()).map_err(failed)?;
    new.as_file().sync_all().map_err(failed)?;
    folder::put(new, path).map(drop).map_err(failed)
}

fn begins_with(path: &Path, mark: &str) -> bool {
    let Ok(file) = open_regular(path, u64::MAX, Links::Refused) else { return false };
    let mut start = Vec::new();
    let read = file.take(mark.len() as u64).read_to_end(&mut start);
    read.is_ok() && start == mark.as_bytes()
}
