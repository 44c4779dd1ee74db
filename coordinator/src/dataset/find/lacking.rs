//! What a message says of a folder that is no data set: the files that it lacks, and what it has in their
//! place.
//!
//! Names in the folder are anybody's: few are shown, shortened, and with control characters escaped.

use super::{Name, RAW, entries, names, part};
use crate::dataset::parts::Part;
use host::printable;
use std::fmt;
use std::path::{Path, PathBuf};

/// Most names of a folder that are shown: those of a data set, and a stranger.
const LIKE_MAX: usize = 5;
/// Most characters that are shown of a name; MNIST's longest has 26.
const LIKE_CHARS_MAX: usize = 60;
/// Parts of names, in lower case, that may be meant for one of the four files.
const LIKE: [&str; 5] = ["idx", "ubyte", "images", "labels", "mnist"];

/// What a folder lacks of a data set, and what it has in its place. Shown as a clause on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacking {
    folder: PathBuf,
    /// Whether there is such a folder.
    exists: bool,
    name: Name,
    /// The first names of the files that are missing.
    missing: Vec<&'static str>,
    /// Other names that may be meant for them, [`LIKE_MAX`] at most, with control characters escaped.
    like: Vec<String>,
    /// Number of further such names.
    more: usize,
}

impl Lacking {
    /// Looks at the folder itself, once [`files`](super::files) has found no place with all four.
    pub(in crate::dataset) fn of(folder: &Path, parts: &[Part; 4], name: Name) -> Self {
        // This is for a message: what can't be read is not in it.
        let is_there = |of: &Part| matches!(part(folder, *of), Ok(Some(_)));
        let (there, missing): (Vec<Part>, Vec<Part>) = parts.iter().copied().partition(is_there);
        let there: Vec<String> = there.into_iter().flat_map(names).collect();
        let is_like = |entry: &str| {
            let lower = entry.to_lowercase();
            LIKE.iter().any(|like| lower.contains(like)) && !there.iter().any(|name| name == entry)
        };
        let entries = entries(folder).unwrap_or_default();
        let entries = entries.iter().map(|entry| entry.to_string_lossy());
        let mut like: Vec<String> =
            entries.filter(|entry| is_like(entry)).map(|entry| shortened(&printable(&entry))).collect();
        let more = like.len().saturating_sub(LIKE_MAX);
        like.truncate(LIKE_MAX);
        let missing = missing.iter().map(|part| part.name).collect();
        Self { folder: folder.to_owned(), exists: folder.exists(), name, missing, like, more }
    }

    /// First names of the files that the folder itself lacks.
    #[must_use]
    pub fn missing(&self) -> &[&'static str] {
        &self.missing
    }
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.folder.display();
        let missing = self.missing.join(", ");
        if self.exists {
            write!(f, "{folder} lacks {missing}")?;
        } else {
            write!(f, "{folder} does not exist, so there is no {missing}")?;
        }
        f.write_str(" (looked for also as *.idx*-ubyte, with .gz, and all four in ")?;
        match self.name {
            Name::Any => write!(f, "{RAW} and NAME/{RAW} of it)")?,
            Name::Only { own, torchvision } => write!(f, "{RAW}, {own} and {torchvision}/{RAW} of it)")?,
        }
        if !self.like.is_empty() {
            write!(f, "; names there that are like these: {}", self.like.join(", "))?;
        }
        if self.more > 0 {
            write!(f, " and {} more", self.more)?;
        }
        Ok(())
    }
}

fn shortened(name: &str) -> String {
    match name.char_indices().nth(LIKE_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &name[..end]),
        None => name.to_owned(),
    }
}
