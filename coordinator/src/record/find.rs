//! Runs in a folder: those folders in it that have metrics.

use crate::run_folder::METRICS_FILE;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Folders below the one that is named: `sweep/trials/trial-0007` in a folder of searches, and one more.
const DEPTH_MAX: usize = 4;
/// Most entries of folders that are looked at.
const ENTRIES_MAX: usize = 200_000;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Folders of runs, sorted by path.
    pub runs: Vec<PathBuf>,
    /// Whether there was too much to look through.
    pub is_cut: bool,
}

/// Finds the runs in a folder, or the folder itself if it is a run's. Links and folders that can't be listed
/// are passed over.
///
/// # Errors
/// When the folder itself can't be listed.
pub fn runs(folder: &Path) -> io::Result<Found> {
    let mut found = Found::default();
    let mut entries_left = ENTRIES_MAX;
    // Whether it can be listed shows here; below, one that can't is one without runs.
    drop(fs::read_dir(folder)?);
    look(folder, 0, &mut entries_left, &mut found);
    found.is_cut = entries_left == 0;
    found.runs.sort();
    Ok(found)
}

fn look(folder: &Path, depth: usize, entries_left: &mut usize, found: &mut Found) {
    if folder.join(METRICS_FILE).symlink_metadata().is_ok_and(|file| file.is_file()) {
        found.runs.push(folder.to_owned());
        return;
    }
    if depth == DEPTH_MAX {
        return;
    }
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let Some(left) = entries_left.checked_sub(1) else { return };
        *entries_left = left;
        let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
        if !is_hidden && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            look(&entry.path(), depth + 1, entries_left, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn runs_are_found_to_a_depth_and_links_are_not_followed() {
        let root = tempfile::tempdir().unwrap();
        for name in ["b", "a", "sweep/trials/trial-0001", "1/2/3/4", "1/2/3/4b/5", ".hidden", "b/earlier-1"] {
            let folder = root.path().join(name);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(METRICS_FILE), "").unwrap();
        }
        fs::create_dir(root.path().join("none")).unwrap();
        symlink(root.path(), root.path().join("loop")).unwrap();
        let found = runs(root.path()).unwrap();
        let names: Vec<_> = found.runs.iter().map(|path| path.strip_prefix(root.path()).unwrap()).collect();
        assert_eq!(names, ["1/2/3/4", "a", "b", "sweep/trials/trial-0001"].map(Path::new));
        assert!(!found.is_cut);
        assert_eq!(runs(&root.path().join("a")).unwrap().runs, [root.path().join("a")]);
        assert!(runs(&root.path().join("missing")).is_err());
    }
}
