//! Going back: earlier checkpoints are found, and those that the run leaves behind are moved aside, never
//! removed.

use super::writer::LookBack;
use super::{Store, StoreError, directory, failed, load_on};
use common::checkpoint::{MANIFEST_FILE, Verified};
use common::ids::Step;
use std::path::{Path, PathBuf};

/// Largest file of a checkpoint that is copied, in bytes: far above any network's.
const FILE_BYTES_MAX: u64 = 1 << 36;

impl Store {
    /// Moves the checkpoints of these steps into a new subdirectory `earlier-<n>`. Returns it if there were
    /// any.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn move_aside(&self, which: impl Fn(Step) -> bool) -> Result<Option<PathBuf>, StoreError> {
        let mut steps = self.steps()?;
        steps.retain(|&step| which(step));
        if steps.is_empty() {
            return Ok(None);
        }
        let mut names = (1..).map(|n: u32| self.root.join(format!("earlier-{n}")));
        let aside = names.find(|path| !self.disk.exists(path)).expect("numbers do not run out");
        self.disk.create_dir(&aside).map_err(failed("create", &aside))?;
        for step in steps {
            let from = self.root.join(directory(step));
            let to = aside.join(directory(step));
            self.move_dir(&from, &to)?;
        }
        self.sync_dir(&aside)?;
        self.sync_dir(&self.root)?;
        Ok(Some(aside))
    }

    /// Renames a checkpoint's directory, or copies it, manifest last, and removes the old one.
    pub(super) fn move_dir(&self, from: &Path, to: &Path) -> Result<(), StoreError> {
        if !self.lacks.rename {
            return self.disk.rename(from, to).map_err(failed("rename", from));
        }
        self.disk.create_dir(to).map_err(failed("create", to))?;
        let mut names = self.disk.list(from).map_err(failed("list", from))?;
        names.sort_by_key(|name| name == MANIFEST_FILE);
        for name in names {
            let path = from.join(&name);
            let read = self.disk.read(&path, FILE_BYTES_MAX);
            let bytes = read.map_err(|source| StoreError::File { path, source })?;
            self.write(&to.join(&name), &bytes)?;
        }
        self.sync_dir(to)?;
        self.remove(from)
    }

    /// Finds the newest valid checkpoint up to a step. If the run goes back to it, all later ones are moved
    /// into a new subdirectory.
    pub(super) fn look_back(&self, asked: &LookBack) -> Result<Option<(PathBuf, Verified)>, StoreError> {
        let mut earlier = self.steps()?;
        earlier.retain(|&step| step <= asked.until);
        let paths = earlier.into_iter().rev().map(|step| (step, self.root.join(directory(step))));
        let mut valid = paths.filter_map(|(step, path)| {
            Some((step, (path.clone(), load_on(&*self.disk, &path, &asked.expected).ok()?)))
        });
        let found = valid.next();
        if asked.goes_back {
            let kept = found.as_ref().map(|&(step, _)| step);
            if let Some(mirror) = &self.mirror {
                mirror.went_back(kept);
            }
            self.move_aside(|step| kept.is_none_or(|kept| step > kept))?;
        }
        Ok(found.map(|(_, found)| found))
    }
}
