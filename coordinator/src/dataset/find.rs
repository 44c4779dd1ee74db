//! Which four files of a folder are a data set, by their names and places. Their content is not looked at.
//!
//! 1. A file has one of four names, which are tried in this order: MNIST's own (`train-images-idx3-ubyte`),
//!    the same with `.gz`, the one with a dot (`train-images.idx3-ubyte`, as in Kaggle's copies), and that
//!    with `.gz`.
//! 2. A folder of such a name is no file. Only where no file has one of the four names, the folders that have
//!    one are looked into, for a file with one of the same four names.
//! 3. The four files lie in one place. The places are, in this order: the folder itself, `raw` in it, and
//!    `NAME/raw` in it (torchvision's layout). The first that holds all four is taken.
//! 4. `NAME` is `MNIST` where MNIST is looked for, and otherwise the name of any folder. Two places
//!    `NAME/raw` that hold all four are an error that names both.
//! 5. Where no place holds all four, the folder itself counts: MNIST's missing files are downloaded to it,
//!    and other data sets are refused with what it lacks.
//! 6. Work is bounded: of a folder with more than [`ENTRIES_MAX`] entries, none is looked at as a `NAME`.
//!
//! Symbolic links are followed, because a person has chosen the folder. Whether a file is a regular one is
//! checked when it is opened ([`parts`](super::parts)).

mod lacking;

pub use lacking::Lacking;

use super::DatasetError;
use super::parts::{PARTS, Part};
use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Folder of the files in torchvision's layout.
const RAW: &str = "raw";
/// Most entries of a folder that are looked at: many times those of a folder of data sets.
const ENTRIES_MAX: usize = 1000;

/// What `NAME` stands for in the place `NAME/raw`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// Any folder.
    Any,
    /// The folder of that name.
    Only(&'static str),
}

/// Paths of the four files in the order of [`PARTS`], as far as there are such files.
pub(super) type Paths = [Option<PathBuf>; 4];

/// The four files of the first place that holds them all; where there is none, those in the folder itself. A
/// folder that does not exist has none.
///
/// # Errors
/// When two places `NAME/raw` hold all four, or a folder can't be searched.
pub(super) fn files(folder: &Path, name: Name) -> Result<Paths, DatasetError> {
    let own = within(folder)?;
    if is_complete(&own) {
        return Ok(own);
    }
    let raw = within(&folder.join(RAW))?;
    if is_complete(&raw) {
        return Ok(raw);
    }
    let named = match name {
        Name::Only(name) => Some(within(&folder.join(name).join(RAW))?),
        Name::Any => any_named(folder)?,
    };
    Ok(named.filter(is_complete).unwrap_or(own))
}

/// One of the four files in that place, by the first two rules.
///
/// # Errors
/// When the place can't be searched.
pub(super) fn part(place: &Path, part: Part) -> Result<Option<PathBuf>, DatasetError> {
    let mut folders = Vec::new();
    for path in names(part).map(|name| place.join(name)) {
        match is_folder(&path)? {
            Some(false) => return Ok(Some(path)),
            Some(true) => folders.push(path),
            None => {}
        }
    }
    for path in folders.iter().flat_map(|folder| names(part).map(|name| folder.join(name))) {
        if is_folder(&path)? == Some(false) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// The names of a file, the preferred one first.
fn names(part: Part) -> [String; 4] {
    let own = part.name;
    let dot = own.replace("-idx", ".idx");
    [own.to_owned(), format!("{own}.gz"), dot.clone(), format!("{dot}.gz")]
}

fn within(place: &Path) -> Result<Paths, DatasetError> {
    let mut paths = Paths::default();
    for (path, of) in paths.iter_mut().zip(PARTS) {
        *path = part(place, of)?;
    }
    Ok(paths)
}

/// Whether all four files are there.
pub(super) fn is_complete(paths: &Paths) -> bool {
    paths.iter().all(Option::is_some)
}

/// The files of the only place `NAME/raw` that holds all four.
fn any_named(folder: &Path) -> Result<Option<Paths>, DatasetError> {
    let names = match entries(folder) {
        Ok(names) if names.len() <= ENTRIES_MAX => names,
        Ok(_) => return Ok(None),
        Err(source) => return Err(DatasetError::Unsearchable { path: folder.to_owned(), source }),
    };
    let places = names.iter().map(|name| folder.join(name).join(RAW)).filter(|place| place.is_dir());
    // Other folders beside the data are nobody's concern: one that is private is passed over.
    let mut complete = places.filter_map(|place| {
        let paths = within(&place).ok().filter(is_complete)?;
        Some((place, paths))
    });
    match (complete.next(), complete.next()) {
        (Some((first, _)), Some((second, _))) => Err(DatasetError::Ambiguous { first, second }),
        (first, _) => Ok(first.map(|(_, paths)| paths)),
    }
}

/// Names in the folder, sorted; one more than [`ENTRIES_MAX`] if there are more.
fn entries(folder: &Path) -> io::Result<Vec<OsString>> {
    let entries = fs::read_dir(folder)?.take(ENTRIES_MAX + 1);
    let mut names = entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// Whether a folder has that path, or something else (`false`), or nothing (`None`).
fn is_folder(path: &Path) -> Result<Option<bool>, DatasetError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.is_dir())),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(source) => Err(DatasetError::Unsearchable { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests;
