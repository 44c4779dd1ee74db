//! Which files of a folder are pictures of which class, by their names and places. Nothing is decoded.
//!
//! 1. `train/CLASS/*` with `test/CLASS/*` is a data set with a test of its own. `training` and `testing` mean
//!    the same, in any case of letters. `train` counts only if it holds folders; otherwise it is a class.
//! 2. Without a test folder, or without both (`CLASS/*`), the test is drawn ([`split`](super::split)).
//!    `valid` and `val` are no test: they are left out, with a word, as is all else beside `train`.
//! 3. Classes are the sub-folders in natural order ([`natural`](super::natural)), and so are the files of a
//!    class. Labels count them from 0. Nothing depends on the order in which a file system lists them.
//! 4. Hidden files and what systems leave behind ([`is_ignored`]) are passed over. Any other file counts as a
//!    picture and is refused by name when it is none. Folders within a class are refused.
//! 5. Work is bounded by [`PICTURES_MAX`] names.
//!
//! Symbolic links are followed, because a person has chosen the folder.

use super::error::PicturesError;
use super::natural;
use common::data::spec::CLASSES_MAX;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Most names that are read in all: a sample each of the smallest size worth training on is a gigabyte.
pub(super) const PICTURES_MAX: usize = 2_000_000;
/// Names of the folder to train on, in lower case.
const TRAIN: [&str; 2] = ["train", "training"];
/// Names of the folder for the test, in lower case.
const TEST: [&str; 2] = ["test", "testing"];
/// Endings of a picture's name by which a folder is taken for one of pictures. Which kind a file is, its
/// content says.
const ENDINGS: [&str; 5] = ["png", "jpg", "jpeg", "webp", "bmp"];
/// Most files of a class that are looked at to find out whether the folder is one of pictures.
const LOOKED_AT: usize = 1000;

/// A file with its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) path: PathBuf,
    pub(super) class: u16,
}

/// The pictures of a folder, class by class.
#[derive(Debug)]
pub(super) struct Listing {
    /// Names of the classes, by label.
    pub(super) classes: Vec<String>,
    /// Pictures to train on, or all if the folder has no test of its own.
    pub(super) train: Vec<Picture>,
    /// The test's folder and its pictures.
    pub(super) test: Option<(PathBuf, Vec<Picture>)>,
    /// Folders beside the one to train on that are left out.
    pub(super) left_out: Vec<String>,
}

/// A name in a folder, and what it stands for.
struct Entry {
    name: String,
    path: PathBuf,
    is_folder: bool,
}

/// Whether a folder looks like one of pictures: some class in it has a file with a picture's ending.
pub(in crate::dataset) fn looks_like_pictures(folder: &Path) -> bool {
    let holds_pictures = |class: &Path| {
        let entries = fs::read_dir(class).into_iter().flatten().flatten();
        entries.take(LOOKED_AT).any(|entry| {
            let path = entry.path();
            let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
            ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
        })
    };
    let any_class = |root: &Path| {
        let entries = fs::read_dir(root).into_iter().flatten().flatten().take(CLASSES_MAX);
        entries.map(|entry| entry.path()).any(|path| path.is_dir() && holds_pictures(&path))
    };
    let mut left = PICTURES_MAX;
    let train = entries(folder, &mut left).and_then(|entries| part(&entries, TRAIN, &mut left));
    any_class(folder) || train.ok().flatten().is_some_and(|train| any_class(&train))
}

/// Lists the pictures of a folder.
///
/// # Errors
/// When the folder is in none of the layouts, or can't be listed.
pub(super) fn list(folder: &Path) -> Result<Listing, PicturesError> {
    let mut left = PICTURES_MAX;
    let all = entries(folder, &mut left)?;
    let Some(train_folder) = part(&all, TRAIN, &mut left)? else {
        let (classes, train) = classes(folder, all, &mut left)?;
        return Ok(Listing { classes, train, test: None, left_out: Vec::new() });
    };
    let test_folder = find(&all, TEST)?;
    let is_used = |entry: &Entry| entry.path == train_folder || Some(&entry.path) == test_folder.as_ref();
    let left_out = all.iter().filter(|entry| entry.is_folder && !is_used(entry));
    let left_out = left_out.map(|entry| entry.name.clone()).collect();
    let (classes, train) = classes_in(&train_folder, &mut left)?;
    let Some(test_folder) = test_folder else { return Ok(Listing { classes, train, test: None, left_out }) };
    let in_test = entries(&test_folder, &mut left)?;
    if !in_test.iter().any(|entry| entry.is_folder) {
        return Err(PicturesError::TestWithoutClasses(test_folder));
    }
    let (of_test, test) = self::classes(&test_folder, in_test, &mut left)?;
    let lacks = |folder: &Path, has: &[String], other: &Path, wanted: &[String]| {
        let missing = wanted.iter().find(|class| !has.contains(class));
        missing.map_or(Ok(()), |class| {
            let class = class.clone();
            Err(PicturesError::ClassMissing { folder: folder.into(), class, other: other.into() })
        })
    };
    lacks(&test_folder, &of_test, &train_folder, &classes)?;
    lacks(&train_folder, &classes, &test_folder, &of_test)?;
    Ok(Listing { classes, train, test: Some((test_folder, test)), left_out })
}

/// The folder of one of these names.
fn find(entries: &[Entry], names: [&str; 2]) -> Result<Option<PathBuf>, PicturesError> {
    let is_named = |entry: &&Entry| names.contains(&entry.name.to_ascii_lowercase().as_str());
    let mut found = entries.iter().filter(|entry| entry.is_folder).filter(is_named);
    match (found.next(), found.next()) {
        (Some(first), Some(second)) => {
            Err(PicturesError::TwoParts { first: first.path.clone(), second: second.path.clone() })
        }
        (found, _) => Ok(found.map(|entry| entry.path.clone())),
    }
}

/// The folder of one of these names, if it holds folders.
fn part(entries: &[Entry], names: [&str; 2], left: &mut usize) -> Result<Option<PathBuf>, PicturesError> {
    let Some(folder) = find(entries, names)? else { return Ok(None) };
    let holds_folders = self::entries(&folder, left)?.iter().any(|entry| entry.is_folder);
    Ok(holds_folders.then_some(folder))
}

fn classes_in(folder: &Path, left: &mut usize) -> Result<(Vec<String>, Vec<Picture>), PicturesError> {
    let entries = entries(folder, left)?;
    classes(folder, entries, left)
}

/// Names of the classes in a folder with these entries, and their pictures.
fn classes(
    folder: &Path,
    entries: Vec<Entry>,
    left: &mut usize,
) -> Result<(Vec<String>, Vec<Picture>), PicturesError> {
    if !entries.iter().any(|entry| entry.is_folder) {
        return Err(PicturesError::NoClass(folder.to_owned()));
    }
    let mut names = Vec::new();
    let mut pictures = Vec::new();
    // A class beyond the most is counted and refused by the caller, with what there may be.
    for (class, entry) in (0..=CLASSES_MAX as u16).zip(entries) {
        if !entry.is_folder {
            return Err(PicturesError::BesideClasses(entry.path));
        }
        let files = self::entries(&entry.path, left)?;
        if files.is_empty() {
            return Err(PicturesError::EmptyClass(entry.path));
        }
        for file in files {
            if file.is_folder {
                return Err(PicturesError::WithinClass(file.path));
            }
            pictures.push(Picture { path: file.path, class });
        }
        names.push(entry.name);
    }
    Ok((names, pictures))
}

/// What a folder holds, in natural order, but for what is ignored. `left` is how many more names may be read.
fn entries(folder: &Path, left: &mut usize) -> Result<Vec<Entry>, PicturesError> {
    let failed = |source| PicturesError::List { path: folder.to_owned(), source };
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        *left = left.checked_sub(1).ok_or_else(|| PicturesError::TooMany(folder.to_owned()))?;
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_ignored(&name) {
            continue;
        }
        let kind = entry.file_type().map_err(failed)?;
        let path = entry.path();
        // A link that leads nowhere is a file, which then can't be read.
        let is_folder = kind.is_dir() || (kind.is_symlink() && path.is_dir());
        entries.push(Entry { name, path, is_folder });
    }
    let bytes = |entry: &Entry| entry.path.file_name().unwrap_or_default().as_bytes().to_owned();
    entries.sort_by(|one, other| natural::compare(&bytes(one), &bytes(other)));
    Ok(entries)
}

/// Whether a name is hidden, or left behind by Windows or macOS.
fn is_ignored(name: &str) -> bool {
    let left_behind = ["thumbs.db", "desktop.ini", "__macosx"];
    name.starts_with('.') || left_behind.contains(&name.to_ascii_lowercase().as_str())
}
