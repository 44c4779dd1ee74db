//! What a file system lacks that checkpoints want, found out by trying it at the start of a run.
//!
//! Object stores that are mounted as folders have no renames, some network file systems no locks, and some
//! user-space file systems can't sync folders. A run goes on there, and says what it does without:
//!
//! 1. Without renames a checkpoint is written under its own name, its manifest last: a folder without a
//!    manifest is none.
//! 2. Without syncs nothing is synced.
//! 3. Without locks nothing keeps a second coordinator out.

use super::disk::Disk;
use super::{StoreError, failed};
use host::files::is_unsupported;
use std::io;
use std::path::Path;

/// Prefix of the directory that is made to try the file system.
pub(super) const PROBE: &str = ".probe-";

/// What a file system lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lacks {
    /// It can't rename directories.
    pub rename: bool,
    /// It can't make files or directories durable.
    pub sync: bool,
    /// It has no file locks.
    pub lock: bool,
}

impl Lacks {
    /// What follows for a run, a sentence for each thing that is lacking.
    pub fn consequences(self) -> impl Iterator<Item = &'static str> {
        let all = [
            (
                self.rename,
                "it can't rename folders: checkpoints are written in place, and a crash may cost the one being written",
            ),
            (self.sync, "it can't sync folders or files: a power failure may cost the newest checkpoints"),
            (self.lock, "it has no locks: make sure that no second coordinator uses the folder"),
        ];
        all.into_iter().filter_map(|(lacks, what)| lacks.then_some(what))
    }
}

/// Tries the calls of a save in `root`, and leaves nothing there. Locks are not tried.
///
/// # Errors
/// When a directory or a file can't be written at all.
pub(super) fn probe(disk: &dyn Disk, root: &Path) -> Result<Lacks, StoreError> {
    let [from, to] = ["", "-renamed"].map(|end| root.join(format!("{PROBE}{}{end}", std::process::id())));
    let found = try_in(disk, root, &from, &to);
    let removed = [&from, &to].map(|path| disk.remove_dir(path).map_err(failed("remove", path)));
    let found = found?;
    removed.into_iter().collect::<Result<(), _>>()?;
    Ok(found)
}

fn try_in(disk: &dyn Disk, root: &Path, from: &Path, to: &Path) -> Result<Lacks, StoreError> {
    disk.create_dir(from).map_err(failed("create", from))?;
    let path = from.join("probe");
    let mut file = disk.create_new(&path).map_err(failed("create", &path))?;
    file.write(b"probe").map_err(failed("write", &path))?;
    let syncs = [file.sync(), disk.sync_dir(from), disk.sync_dir(root)].into_iter().map(has);
    let sync =
        !syncs.collect::<Result<Vec<_>, _>>().map_err(failed("sync", from))?.into_iter().all(|has| has);
    // Not every file system says that it has no renames: some only fail.
    let rename = disk.rename(from, to).is_err();
    Ok(Lacks { rename, sync, lock: false })
}

/// Whether the file system has the call with this outcome.
fn has(outcome: io::Result<()>) -> io::Result<bool> {
    match outcome {
        Ok(()) => Ok(true),
        Err(error) if is_unsupported(&error) => Ok(false),
        Err(error) => Err(error),
    }
}
