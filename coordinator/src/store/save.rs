//! Writing a checkpoint so that a crash at any moment leaves the earlier ones intact, and removing those that
//! need not be kept.

use super::retention::to_remove;
use super::{REPLACED, Saved, Store, StoreError, WRITING, directory, failed};
use common::checkpoint::{Checkpoint, Encoded, MANIFEST_FILE};
use common::ids::Step;
use common::model::params::Layout;
use std::io;
use std::path::{Path, PathBuf};

impl Store {
    /// Writes a checkpoint, which replaces one of the same step, then removes those that need not be kept.
    ///
    /// # Errors
    /// When the file system refuses. Earlier checkpoints are intact then, and a further call starts with new
    /// files.
    pub fn save(&self, checkpoint: &Checkpoint, layout: &Layout) -> Result<Saved, StoreError> {
        let Encoded { manifest, files } = checkpoint.encode(layout);
        let step = checkpoint.position.step;
        let target = if self.lacks.rename {
            self.write_in_place(step, files)?
        } else {
            self.write_beside(step, files)?
        };
        if let Some(mirror) = &self.mirror {
            mirror.submit(step, &target);
        }
        self.prune(step, checkpoint.position.best.map(|best| best.step))?;
        Ok(Saved::new(target, &manifest))
    }

    /// Writes the files under another name beside the checkpoint's own, and renames them when they are whole.
    fn write_beside(&self, step: Step, files: Vec<(&'static str, Vec<u8>)>) -> Result<PathBuf, StoreError> {
        let name = directory(step);
        let [target, writing, replaced] =
            ["", WRITING, REPLACED].map(|prefix| self.root.join(format!("{prefix}{name}")));
        self.remove(&writing)?;
        self.disk.create_dir(&writing).map_err(failed("create", &writing))?;
        for (file, bytes) in files {
            self.write(&writing.join(file), &bytes)?;
        }
        self.sync_dir(&writing)?;
        if self.disk.exists(&target) {
            self.remove(&replaced)?;
            self.disk.rename(&target, &replaced).map_err(failed("rename", &target))?;
        }
        self.disk.rename(&writing, &target).map_err(failed("rename", &writing))?;
        self.sync_dir(&self.root)?;
        self.remove(&replaced)?;
        Ok(target)
    }

    /// Writes the files where they are to be, the manifest last.
    fn write_in_place(&self, step: Step, files: Vec<(&'static str, Vec<u8>)>) -> Result<PathBuf, StoreError> {
        let target = self.root.join(directory(step));
        self.remove(&target)?;
        self.disk.create_dir(&target).map_err(failed("create", &target))?;
        let (manifests, others): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|(file, _)| *file == MANIFEST_FILE);
        for (file, bytes) in others.into_iter().chain(manifests) {
            self.write(&target.join(file), &bytes)?;
            self.sync_dir(&target)?;
        }
        self.sync_dir(&self.root)?;
        Ok(target)
    }

    /// Writes a new file and makes it durable.
    pub(super) fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let mut new = self.disk.create_new(path).map_err(failed("create", path))?;
        new.write(bytes).map_err(failed("write", path))?;
        self.durable(new.sync()).map_err(failed("sync", path))
    }

    pub(super) fn sync_dir(&self, path: &Path) -> Result<(), StoreError> {
        self.durable(self.disk.sync_dir(path)).map_err(failed("sync", path))
    }

    /// The outcome of a sync, which counts for nothing where the file system has none.
    fn durable(&self, synced: io::Result<()>) -> io::Result<()> {
        if self.lacks.sync { Ok(()) } else { synced }
    }

    /// Removes the checkpoints up to `step` that need not be kept.
    pub(super) fn prune(&self, step: Step, best: Option<Step>) -> Result<(), StoreError> {
        for step in to_remove(&self.steps()?, step, self.keep, best) {
            self.remove(&self.root.join(directory(step)))?;
        }
        Ok(())
    }
}
