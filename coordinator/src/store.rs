//! The checkpoint store: a directory for each checkpoint, written so that a crash at any moment leaves the
//! earlier ones intact.
//!
//! `step-<12 digits>/` holds the files of [`common::checkpoint`]. A new one is written under another
//! name beside it, every file and then the directory synced, renamed, and the parent synced. So a directory
//! with the final name is complete. Reading verifies everything. The other files are read only if the
//! manifest's configuration is valid and the one that is wanted: it bounds their sizes. A checkpoint that is
//! damaged is passed over by name, and the one before is taken. A lock file keeps a second coordinator out.
//! [`disk`] is the file system, [`lacks`] what it may be without, [`writer`] the thread that writes. Each
//! checkpoint that is written may be handed to a [`Mirror`](crate::mirror::Mirror).
//!
//! Until [`Store::begin`] nothing that was there is changed, and what was created is removed again with the
//! store: a start that fails leaves everything as it was.

mod aside;
pub mod disk;
mod elsewhere;
pub mod lacks;
mod lock;
mod origin;
pub(crate) mod retention;
mod save;
mod staged;
pub mod writer;

pub use elsewhere::{newest_in, newest_manifest_in};
pub(crate) use lock::{LOCK_FILE, lock};

use crate::folder::NewFolder;
use crate::mirror::Submitter;
use common::checkpoint::{
    CheckpointError, FileRecord, LABELS_FILE, MANIFEST_BYTES_MAX, MANIFEST_FILE, MODEL_FILE, Manifest,
    OPTIMIZER_FILE, Verified, labels_bytes_max, tensors_bytes_max,
};
use common::ids::Step;
use common::train::config::{DATA_FIELDS, FieldError, Fields, RunConfig, TrainingConfig, difference};
use disk::{Disk, FileSystem};
use host::files::FileError;
use host::printable;
use lacks::{Lacks, PROBE};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

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
        "{} is of another configuration:{}\nuse its values to go on with it, another --checkpoint-dir (or --mirror) for \
         another run, or --resume never to move earlier checkpoints aside and start anew",
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
    /// Fields that depend on the data.
    open: Vec<&'static str>,
}

impl Expected {
    /// The checkpoints of a run with these training settings, on any data.
    #[must_use]
    pub fn of(training: &TrainingConfig) -> Self {
        Self { training: Some(training.fields()), open: Vec::new() }
    }

    /// Checkpoints of any run.
    #[must_use]
    pub fn any() -> Self {
        Self { training: None, open: Vec::new() }
    }

    /// The same, but for a field that depends on the data.
    #[must_use]
    pub fn but_for(mut self, field: &'static str) -> Self {
        self.open.push(field);
        self
    }

    /// Settings in which the manifest's configuration differs.
    pub(crate) fn differences(&self, manifest: &Manifest) -> Vec<(String, String, String)> {
        let Some(training) = &self.training else { return Vec::new() };
        let is_known = |name: &str| !DATA_FIELDS.contains(&name) && !self.open.contains(&name);
        let (mut saved, mut training) = (manifest.config.clone(), training.clone());
        [&mut saved, &mut training].into_iter().for_each(|fields| fields.retain(|name, _| is_known(name)));
        difference(&saved, &training)
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
    lacks: Lacks,
    /// The directory, which is not kept where it is new and no run begins.
    folder: NewFolder,
    /// Step of the checkpoint from elsewhere that has no name of its own yet.
    staged: Option<Step>,
    /// Where each checkpoint that is written goes too.
    mirror: Option<Submitter>,
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
        let folder = NewFolder::create(root).map_err(failed("create", root))?;
        let (lock, locks) = lock(root)?;
        let lacks = Lacks { lock: !locks, ..Lacks::default() };
        let store = Self {
            root: root.to_owned(),
            keep: keep.max(1),
            disk,
            lacks,
            folder,
            staged: None,
            mirror: None,
            _lock: lock,
        };
        store.clear_leftovers()?;
        Ok(store)
    }

    /// Tries what the file system has, and keeps to that from now on.
    ///
    /// # Errors
    /// When nothing can be written.
    pub fn probe(&mut self) -> Result<Lacks, StoreError> {
        let found = lacks::probe(&*self.disk, &self.root)?;
        self.lacks = Lacks { lock: self.lacks.lock, ..found };
        Ok(self.lacks)
    }

    /// The run begins: from now on the directory stays.
    pub fn begin(&mut self) {
        self.folder.keep();
    }

    /// Has each checkpoint that is written from now on go to a mirror too.
    pub(crate) fn mirror_to(&mut self, mirror: Submitter) {
        self.mirror = Some(mirror);
    }

    /// Number of newest checkpoints that are kept.
    #[must_use]
    pub fn keep(&self) -> usize {
        self.keep
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
            if self.lacks.rename && !self.disk.exists(&path.join(MANIFEST_FILE)) {
                // A crash came before it was complete.
                continue;
            }
            match load_on(&*self.disk, &path, expected) {
                Ok(verified) => return Ok(Found { newest: Some((path, verified)), rejected }),
                Err(error @ StoreError::Different { .. }) => return Err(error),
                Err(error) => rejected.push(error),
            }
        }
        Ok(Found { newest: None, rejected })
    }

    /// Steps of the checkpoints, ascending.
    fn steps(&self) -> Result<Vec<Step>, StoreError> {
        let names = self.disk.list(&self.root).map_err(failed("list", &self.root))?;
        let mut steps: Vec<Step> = names.iter().filter_map(|name| step_of(name)).collect();
        steps.sort_unstable();
        Ok(steps)
    }

    fn clear_leftovers(&self) -> Result<(), StoreError> {
        for name in self.disk.list(&self.root).map_err(failed("list", &self.root))? {
            let path = self.root.join(&name);
            if let Some(target) = name.strip_prefix(REPLACED).map(|target| self.root.join(target))
                && !self.disk.exists(&target)
            {
                // The crash came between the two renames: the old directory is still the valid one.
                self.disk.rename(&path, &target).map_err(failed("rename", &path))?;
            } else if [WRITING, REPLACED, PROBE].iter().any(|prefix| name.starts_with(prefix)) {
                self.remove(&path)?;
            }
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<(), StoreError> {
        self.disk.remove_dir(path).map_err(failed("remove", path))
    }
}

impl Drop for Store {
    /// Removes what was put together for nothing, and the lock file of a folder that is about to be removed
    /// with the store.
    fn drop(&mut self) {
        self.unstage();
        if self.folder.is_new() {
            let _ = std::fs::remove_file(self.root.join(LOCK_FILE));
        }
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
    let labels = labels_bytes_max(config.unlabelled());
    let most = |file| if file == LABELS_FILE { labels } else { tensors_bytes_max(layout, &[""]) };
    let more = manifest.more_files().map(|file| Ok((file, read(file, most(file))?)));
    let more = more.collect::<Result<_, StoreError>>()?;
    manifest.verify(model, optimizer, more).map_err(invalid)
}

/// The name of a checkpoint's directory.
#[must_use]
pub fn directory(step: Step) -> String {
    format!("{STEP}{:012}", step.0)
}

pub(crate) fn step_of(name: &str) -> Option<Step> {
    let step = Step(name.strip_prefix(STEP)?.parse().ok()?);
    (directory(step) == name).then_some(step)
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { action, path, source }
}

#[cfg(test)]
pub(crate) mod tests;
