//! The checkpoint store: a directory for each checkpoint, written so that a crash at any moment leaves the
//! earlier ones intact.
//!
//! `step-<12 digits>/` holds the three files of [`common::checkpoint`]. A new one is written under another
//! name beside it, every file and then the directory synced, renamed, and the parent synced. So a directory
//! with the final name is complete. Reading verifies everything. The other files are read only if the
//! manifest's configuration is valid and the one that is wanted: it bounds their sizes. A checkpoint that is
//! damaged is passed over by name, and the one before is taken. A lock file keeps a second coordinator out.
//! [`disk`] is the file system, [`writer`] the thread that writes.

pub mod disk;
pub mod writer;

use common::checkpoint::{
    Checkpoint, CheckpointError, Encoded, FileRecord, MANIFEST_BYTES_MAX, MANIFEST_FILE, MODEL_FILE,
    Manifest, OPTIMIZER_FILE, Verified, tensors_bytes_max,
};
use common::ids::Step;
use common::model::params::Layout;
use common::train::config::{DATA_FIELDS, FieldError, Fields, RunConfig, TrainingConfig, difference};
use disk::{Disk, FileSystem};
use host::files::{FileError, open_lock};
use host::printable;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use writer::LookBack;

/// Lock file, which one coordinator at a time holds.
const LOCK_FILE: &str = "lock";
/// Prefix of a checkpoint's directory.
const STEP: &str = "step-";
/// Prefix of a directory that is being written.
const WRITING: &str = ".writing-";
/// Prefix of a directory that is being replaced.
const REPLACED: &str = ".replaced-";

/// Why checkpoints can't be kept or read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum StoreError {
    /// A file system call failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    /// A file can't be opened or read, or is no regular file.
    #[error("cannot read {}: {source}", path.display())]
    File { path: PathBuf, source: FileError },
    /// Another coordinator uses the directory.
    #[error("{} is in use by another coordinator; stop it, or choose another --checkpoint-dir", .0.display())]
    Locked(PathBuf),
    /// The directory exists, but holds no valid checkpoint.
    #[error("{} is no valid checkpoint: {source}", path.display())]
    Invalid { path: PathBuf, source: CheckpointError },
    /// The checkpoint is whole, but this program can't run its configuration.
    #[error("{}: its configuration can't be used: {source}", path.display())]
    Config { path: PathBuf, source: Box<FieldError> },
    /// The folder has no checkpoint to go on from.
    #[error("{} holds no valid checkpoint; name a folder that does with --resume", .0.display())]
    Empty(PathBuf),
    /// The folder has checkpoints, and none of them can be used: a run that began anew would hide them.
    #[error(
        "none of the {checkpoints} checkpoints in {} can be used; the newest: {newest}\nput an intact copy back, or start \
         anew with --resume never, which moves them aside", .folder.display()
    )]
    NoneValid {
        folder: PathBuf,
        checkpoints: usize,
        /// Why the newest can't be used.
        newest: Box<StoreError>,
    },
    /// The checkpoint belongs to another configuration.
    #[error(
        "{} is of another configuration:{}\nuse its values to go on with it, another --checkpoint-dir for another run, \
         or --resume never to move earlier checkpoints aside and start anew",
        path.display(), list(differences)
    )]
    Different {
        path: PathBuf,
        /// Settings that differ: name, saved value, current value.
        differences: Vec<(String, String, String)>,
    },
}

/// A checkpoint that is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Directory of the checkpoint.
    pub path: PathBuf,
    /// Number of steps that it contains.
    pub step: Step,
    /// SHA-256 of [`MODEL_FILE`] in hexadecimal digits.
    pub model_sha256: String,
    /// SHA-256 of [`OPTIMIZER_FILE`] in hexadecimal digits.
    pub optimizer_sha256: String,
}

impl Saved {
    /// The checkpoint in directory `path`, whose manifest this is.
    #[must_use]
    pub fn new(path: PathBuf, manifest: &Manifest) -> Self {
        let digest = |file| {
            let record: Option<&FileRecord> = manifest.files.get(file);
            record.map(|record| record.sha256.clone()).unwrap_or_default()
        };
        let [model_sha256, optimizer_sha256] = [MODEL_FILE, OPTIMIZER_FILE].map(digest);
        Self { path, step: manifest.position.step, model_sha256, optimizer_sha256 }
    }
}

fn list(differences: &[(String, String, String)]) -> String {
    let line = |(name, saved, current): &(String, String, String)| {
        format!("\n  {}: saved {}, now {current}", printable(name), printable(saved))
    };
    differences.iter().map(line).collect()
}

/// What a run knows about its checkpoints before its data is loaded: all other settings, and bounds of the
/// file sizes.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Fields of the training settings; `None` where those of the checkpoint are taken, whatever they are.
    training: Option<Fields>,
}

impl Expected {
    /// The checkpoints of a run with these training settings, on any data.
    #[must_use]
    pub fn of(training: &TrainingConfig) -> Self {
        Self { training: Some(training.fields()) }
    }

    /// Checkpoints of any run.
    #[must_use]
    pub fn any() -> Self {
        Self { training: None }
    }

    /// Settings in which the manifest's configuration differs.
    fn differences(&self, manifest: &Manifest) -> Vec<(String, String, String)> {
        let Some(training) = &self.training else { return Vec::new() };
        let mut saved = manifest.config.clone();
        saved.retain(|name, _| !DATA_FIELDS.contains(&name.as_str()));
        difference(&saved, training)
    }
}

/// What [`Store::newest`] has found.
#[derive(Debug)]
pub struct Found {
    /// The newest valid checkpoint and its directory.
    pub newest: Option<(PathBuf, Verified)>,
    /// Newer checkpoints that are not valid, and why.
    pub rejected: Vec<StoreError>,
}

/// A directory of checkpoints, locked.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    keep: usize,
    disk: Box<dyn Disk>,
    /// The lock, held until the store is dropped.
    _lock: File,
}

impl Store {
    /// Opens `root`, which is created if missing, and removes what a crash has left half-written. The `keep`
    /// newest checkpoints are kept, at least 1.
    ///
    /// # Errors
    /// When another coordinator holds it, or the file system refuses.
    pub fn open(root: &Path, keep: usize) -> Result<Self, StoreError> {
        Self::open_on(Box::new(FileSystem), root, keep)
    }

    fn open_on(disk: Box<dyn Disk>, root: &Path, keep: usize) -> Result<Self, StoreError> {
        std::fs::create_dir_all(root).map_err(failed("create", root))?;
        let lock_path = root.join(LOCK_FILE);
        let lock =
            open_lock(&lock_path).map_err(|source| StoreError::File { path: lock_path.clone(), source })?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::Locked(root.to_owned())),
            Err(TryLockError::Error(source)) => return Err(failed("lock", &lock_path)(source)),
        }
        let store = Self { root: root.to_owned(), keep: keep.max(1), disk, _lock: lock };
        store.clear_leftovers()?;
        Ok(store)
    }

    /// The directory that holds the checkpoints.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Finds the newest valid checkpoint, and what is wrong with newer ones.
    ///
    /// # Errors
    /// When the directory can't be listed, or the newest checkpoint with an intact manifest is of another
    /// configuration.
    pub fn newest(&self, expected: &Expected) -> Result<Found, StoreError> {
        let mut rejected = Vec::new();
        for step in self.steps()?.into_iter().rev() {
            let path = self.root.join(directory(step));
            match load_on(&*self.disk, &path, expected) {
                Ok(verified) => return Ok(Found { newest: Some((path, verified)), rejected }),
                Err(error @ StoreError::Different { .. }) => return Err(error),
                Err(error) => rejected.push(error),
            }
        }
        Ok(Found { newest: None, rejected })
    }

    /// Writes a checkpoint, which replaces one of the same step, then removes those that need not be kept.
    ///
    /// # Errors
    /// When the file system refuses. Earlier checkpoints are intact then, and a further call starts with new
    /// files.
    pub fn save(&self, checkpoint: &Checkpoint, layout: &Layout) -> Result<Saved, StoreError> {
        let step = checkpoint.position.step;
        let name = directory(step);
        let [target, writing, replaced] =
            ["", WRITING, REPLACED].map(|prefix| self.root.join(format!("{prefix}{name}")));
        self.remove(&writing)?;
        self.disk.create_dir(&writing).map_err(failed("create", &writing))?;
        let Encoded { manifest, files } = checkpoint.encode(layout);
        for (file, bytes) in files {
            let path = writing.join(file);
            let mut new = self.disk.create_new(&path).map_err(failed("create", &path))?;
            new.write(&bytes).map_err(failed("write", &path))?;
            new.sync().map_err(failed("sync", &path))?;
        }
        self.disk.sync_dir(&writing).map_err(failed("sync", &writing))?;
        if self.disk.exists(&target) {
            self.remove(&replaced)?;
            self.disk.rename(&target, &replaced).map_err(failed("rename", &target))?;
        }
        self.disk.rename(&writing, &target).map_err(failed("rename", &writing))?;
        self.disk.sync_dir(&self.root).map_err(failed("sync", &self.root))?;
        self.remove(&replaced)?;
        self.prune(step, checkpoint.position.best.map(|best| best.step))?;
        Ok(Saved::new(target, &manifest))
    }

    /// Moves all checkpoints into a new subdirectory `earlier-<n>`. Returns it if there were any.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn set_aside(&self) -> Result<Option<PathBuf>, StoreError> {
        self.move_aside(|_| true)
    }

    fn move_aside(&self, which: impl Fn(Step) -> bool) -> Result<Option<PathBuf>, StoreError> {
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
            self.disk.rename(&from, &to).map_err(failed("rename", &from))?;
        }
        self.disk.sync_dir(&aside).map_err(failed("sync", &aside))?;
        self.disk.sync_dir(&self.root).map_err(failed("sync", &self.root))?;
        Ok(Some(aside))
    }

    /// Finds the newest valid checkpoint up to a step. If the run goes back to it, all later ones are moved
    /// into a new subdirectory.
    fn look_back(&self, asked: &LookBack) -> Result<Option<(PathBuf, Verified)>, StoreError> {
        let mut earlier = self.steps()?;
        earlier.retain(|&step| step <= asked.until);
        let paths = earlier.into_iter().rev().map(|step| (step, self.root.join(directory(step))));
        let mut valid = paths.filter_map(|(step, path)| {
            Some((step, (path.clone(), load_on(&*self.disk, &path, &asked.expected).ok()?)))
        });
        let found = valid.next();
        if asked.goes_back {
            let kept = found.as_ref().map(|&(step, _)| step);
            self.move_aside(|step| kept.is_none_or(|kept| step > kept))?;
        }
        Ok(found.map(|(_, found)| found))
    }

    /// Steps of the checkpoints, ascending.
    fn steps(&self) -> Result<Vec<Step>, StoreError> {
        let names = self.disk.list(&self.root).map_err(failed("list", &self.root))?;
        let mut steps: Vec<Step> = names.iter().filter_map(|name| step_of(name)).collect();
        steps.sort_unstable();
        Ok(steps)
    }

    /// Removes all checkpoints up to `step` but the newest ones and the best. Later ones were written before
    /// the run was resumed: they stay.
    fn prune(&self, step: Step, best: Option<Step>) -> Result<(), StoreError> {
        let past: Vec<Step> = self.steps()?.into_iter().filter(|&s| s <= step).collect();
        let old = &past[..past.len().saturating_sub(self.keep)];
        for &step in old.iter().filter(|&&step| Some(step) != best) {
            self.remove(&self.root.join(directory(step)))?;
        }
        Ok(())
    }

    fn clear_leftovers(&self) -> Result<(), StoreError> {
        for name in self.disk.list(&self.root).map_err(failed("list", &self.root))? {
            let path = self.root.join(&name);
            if let Some(target) = name.strip_prefix(REPLACED).map(|target| self.root.join(target))
                && !self.disk.exists(&target)
            {
                // The crash came between the two renames: the old directory is still the valid one.
                self.disk.rename(&path, &target).map_err(failed("rename", &path))?;
            } else if name.starts_with(WRITING) || name.starts_with(REPLACED) {
                self.remove(&path)?;
            }
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<(), StoreError> {
        self.disk.remove_dir(path).map_err(failed("remove", path))
    }
}

/// Reads and verifies the checkpoint in the directory `path`.
///
/// # Errors
/// When it can't be read, is not valid, or is of another configuration.
pub fn load(path: &Path, expected: &Expected) -> Result<Verified, StoreError> {
    load_on(&FileSystem, path, expected)
}

fn load_on(disk: &dyn Disk, path: &Path, expected: &Expected) -> Result<Verified, StoreError> {
    let invalid = |source| StoreError::Invalid { path: path.to_owned(), source };
    let read = |file, bytes_max| {
        let path = path.join(file);
        disk.read(&path, bytes_max).map_err(|source| StoreError::File { path, source })
    };
    let manifest = Manifest::parse(&read(MANIFEST_FILE, MANIFEST_BYTES_MAX)?).map_err(invalid)?;
    let differences = expected.differences(&manifest);
    if !differences.is_empty() {
        return Err(StoreError::Different { path: path.to_owned(), differences });
    }
    // Its own configuration, once it is valid, says how large the files can be.
    let config = RunConfig::from_fields(&manifest.config)
        .map_err(|source| StoreError::Config { path: path.to_owned(), source: Box::new(source) })?;
    let layout = config.model().layout();
    let model = read(MODEL_FILE, tensors_bytes_max(layout, &[""]))?;
    let slots = config.training().optimizer.slots();
    let optimizer = read(OPTIMIZER_FILE, tensors_bytes_max(layout, slots))?;
    manifest.verify(model, optimizer).map_err(invalid)
}

/// The name of a checkpoint's directory.
#[must_use]
pub fn directory(step: Step) -> String {
    format!("{STEP}{:012}", step.0)
}

fn step_of(name: &str) -> Option<Step> {
    let step = Step(name.strip_prefix(STEP)?.parse().ok()?);
    (directory(step) == name).then_some(step)
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { action, path, source }
}

#[cfg(test)]
mod tests;
