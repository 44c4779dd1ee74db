//! Which four files of a folder are a data set, by their names and places. Their content is not looked at.
//!
//! 1. A file has one of these names, which are tried in this order: its own (`train-images-idx3-ubyte`),
//!    the same with `.gz`, the one with a dot (`train-images.idx3-ubyte`, as in Kaggle's copies), and that
//!    with `.gz`. Images may have `idx4` in place of `idx3`, for colours.
//! 2. A folder of such a name is no file. Only where no file has one of the names, the folders that have one
//!    are looked into, for a file with one of the same names.
//! 3. The four files lie in one place. The places are, in this order: the folder itself, `raw` in it, a
//!    folder of the data set's own name (`fashion-mnist`), and `NAME/raw` (torchvision's layout). The first
//!    that holds all four is taken.
//! 4. `NAME` is torchvision's name of the data set that is looked for, and otherwise the name of any folder.
//!    Two places `NAME/raw` that hold all four are an error that names both.
//! 5. Where a folder and no certain data set is meant, all four names may have the same text before them
//!    (`letters-train-images-idx3-ubyte`), and `test` in place of `t10k` (`prefixed`).
//! 6. Where no place holds all four, the folder itself counts: missing files are downloaded to it where that
//!    is possible, and otherwise refused with what it lacks.
//! 7. Work is bounded: of a folder with more than [`ENTRIES_MAX`] entries, none is looked at as a `NAME`.
//!
//! Symbolic links are followed, because a person has chosen the folder. Whether a file is a regular one is
//! checked when it is opened ([`parts`](super::parts)).

mod lacking;
mod prefixed;

pub use lacking::Lacking;

use super::DatasetError;
use super::parts::Part;
use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Folder of the files in torchvision's layout.
const RAW: &str = "raw";
/// Ends of the names of files with grey images and with coloured ones.
const IDX3: &str = "-idx3-ubyte";
const IDX4: &str = "-idx4-ubyte";
/// Most entries of a folder that are looked at: many times those of a folder of data sets.
pub(super) const ENTRIES_MAX: usize = 1000;

/// Which data set is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// Any.
    Any,
    /// The one of these names.
    Only {
        /// Its own, as `--dataset` takes it.
        own: &'static str,
        /// That of its folder in torchvision's layout.
        torchvision: &'static str,
    },
}

/// Paths of the four files of a data set in their order, as far as there are such files.
pub(super) type Paths = [Option<PathBuf>; 4];

/// The four files of the first place that holds them all; where there is none, those in the folder itself. A
/// folder that does not exist has none.
///
/// # Errors
/// When two places hold all four and none goes before the other, or a folder can't be searched.
pub(super) fn files(folder: &Path, parts: &[Part; 4], name: Name) -> Result<Paths, DatasetError> {
    let own = within(folder, parts)?;
    if is_complete(&own) {
        return Ok(own);
    }
    let certain = match name {
        Name::Any => vec![folder.join(RAW)],
        Name::Only { own, torchvision } => {
            vec![folder.join(RAW), folder.join(own), folder.join(torchvision).join(RAW)]
        }
    };
    for place in certain {
        let paths = within(&place, parts)?;
        if is_complete(&paths) {
            return Ok(paths);
        }
    }
    let found = match name {
        Name::Only { .. } => None,
        Name::Any => match any_named(folder, parts)? {
            None => prefixed::files(&[folder, &folder.join(RAW)])?,
            found => found,
        },
    };
    Ok(found.unwrap_or(own))
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
fn names(part: Part) -> impl Iterator<Item = String> {
    let own = part.name;
    let colour = own.ends_with(IDX3).then(|| own.replace(IDX3, IDX4));
    [own.to_owned()].into_iter().chain(colour).flat_map(|name| spelled(&name))
}

/// The spellings of a name.
fn spelled(name: &str) -> [String; 4] {
    let dot = name.replace("-idx", ".idx");
    [name.to_owned(), format!("{name}.gz"), dot.clone(), format!("{dot}.gz")]
}

fn within(place: &Path, parts: &[Part; 4]) -> Result<Paths, DatasetError> {
    let mut paths = Paths::default();
    for (path, &of) in paths.iter_mut().zip(parts) {
        *path = part(place, of)?;
    }
    Ok(paths)
}

/// Whether all four files are there.
pub(super) fn is_complete(paths: &Paths) -> bool {
    paths.iter().all(Option::is_some)
}

/// The files of the only place `NAME/raw` that holds all four.
fn any_named(folder: &Path, parts: &[Part; 4]) -> Result<Option<Paths>, DatasetError> {
    let names = match entries(folder) {
        Ok(names) if names.len() <= ENTRIES_MAX => names,
        Ok(_) => return Ok(None),
        Err(source) => return Err(DatasetError::Unsearchable { path: folder.to_owned(), source }),
    };
    let places = names.iter().map(|name| folder.join(name).join(RAW)).filter(|place| place.is_dir());
    // Other folders beside the data are nobody's concern: one that is private is passed over.
    let mut complete = places.filter_map(|place| {
        let paths = within(&place, parts).ok().filter(is_complete)?;
        Some((place, paths))
    });
    match (complete.next(), complete.next()) {
        (Some((first, _)), Some((second, _))) => Err(DatasetError::Ambiguous { first, second }),
        (first, _) => Ok(first.map(|(_, paths)| paths)),
    }
}

/// Names in the folder, sorted; one more than [`ENTRIES_MAX`] if there are more.
pub(super) fn entries(folder: &Path) -> io::Result<Vec<OsString>> {
    let entries = fs::read_dir(folder)?.take(ENTRIES_MAX + 1);
    let mut names = entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// Whether a folder has that path, or something else (`false`), or nothing (`None`).
pub(super) fn is_folder(path: &Path) -> Result<Option<bool>, DatasetError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.is_dir())),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(source) => Err(DatasetError::Unsearchable { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests;
