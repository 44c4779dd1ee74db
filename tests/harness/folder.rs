//! What lies in a folder, to see whether a program has changed anything there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Everything below a folder: the content of each file, nothing for each directory. A missing folder is
/// empty.
///
/// # Panics
/// When a file can't be read.
#[must_use]
pub fn content(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(content(&path));
            found.insert(path, None);
        } else {
            let bytes = std::fs::read(&path).expect("a file that can be read");
            found.insert(path, Some(bytes));
        }
    }
    found
}
