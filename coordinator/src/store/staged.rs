//! A checkpoint that comes from elsewhere: it is put together under another name, verified there, and gets
//! its own name when the run begins. A start that fails leaves nothing of it.

use super::{Expected, Store, StoreError, WRITING, directory, failed, load_on};
use common::checkpoint::Verified;
use common::ids::Step;
use std::path::PathBuf;

impl Store {
    /// Creates the empty folder in which the checkpoint of that step is put together.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(crate) fn stage(&mut self, step: Step) -> Result<PathBuf, StoreError> {
        self.unstage();
        let path = self.staged_path(step);
        self.remove(&path)?;
        self.disk.create_dir(&path).map_err(failed("create", &path))?;
        self.staged = Some(step);
        Ok(path)
    }

    /// Reads and verifies what was put together. Returns it with the path that it will have.
    ///
    /// # Errors
    /// When it can't be read, is not valid, or is of another configuration.
    pub(crate) fn load_staged(&self, expected: &Expected) -> Result<Option<(PathBuf, Verified)>, StoreError> {
        let Some(step) = self.staged else { return Ok(None) };
        let path = self.root.join(directory(step));
        Ok(Some((path, load_on(&*self.disk, &self.staged_path(step), expected)?)))
    }

    /// Removes what was put together, and has no name yet.
    pub(crate) fn unstage(&mut self) {
        if let Some(step) = self.staged.take() {
            // What stays is removed by the next start.
            let _ = self.disk.remove_dir(&self.staged_path(step));
        }
    }

    /// Gives what was put together its own name, in place of a damaged checkpoint that may have it.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(crate) fn adopt(&mut self) -> Result<(), StoreError> {
        let Some(step) = self.staged else { return Ok(()) };
        let (from, to) = (self.staged_path(step), self.root.join(directory(step)));
        self.sync_dir(&from)?;
        self.remove(&to)?;
        self.move_dir(&from, &to)?;
        self.sync_dir(&self.root)?;
        self.staged = None;
        Ok(())
    }

    fn staged_path(&self, step: Step) -> PathBuf {
        self.root.join(format!("{WRITING}{}", directory(step)))
    }
}
