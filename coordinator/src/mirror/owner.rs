//! What a checkpoint folder keeps about its mirror: who its coordinator is to other ones, and what must not
//! be taken from the bucket any more.

use super::error::MirrorError;
use super::lease::Owner;
use crate::folder;
use common::ids::Step;
use host::files::{Links, read_regular};
use serde::{Deserialize, Serialize};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Name of the file in the checkpoint folder.
const FILE: &str = "mirror.json";
/// Longest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 4096;

/// The file.
#[derive(Clone, Debug)]
pub(super) struct OwnerFile {
    path: PathBuf,
    content: Content,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Content {
    owner: String,
    /// First of the steps that the run has gone back from, and that may still be in the bucket.
    forget_from: Option<u64>,
}

impl OwnerFile {
    /// The file in a checkpoint folder. Where there is none, or none that can be read, the owner is a new
    /// one. Nothing is written yet.
    pub(super) fn of(folder: &Path) -> Self {
        let path = folder.join(FILE);
        let read = read_regular(&path, FILE_BYTES_MAX, Links::Refused).ok();
        let found = read.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let mut content: Content = found.unwrap_or_default();
        if content.owner.is_empty() {
            content.owner = format!("{:016x}{:016x}", host::random(), host::random());
        }
        Self { path, content }
    }

    /// The owner, with a name for people.
    pub(super) fn owner(&self) -> Owner {
        let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let folder = self.path.parent().unwrap_or(&self.path);
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        Owner { id: self.content.owner.clone(), name: format!("{}:{}", machine.trim(), folder.display()) }
    }

    /// First of the steps that the run has gone back from.
    pub(super) fn forget_from(&self) -> Option<Step> {
        self.content.forget_from.map(Step)
    }

    /// Keeps the owner.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(super) fn save(&self) -> Result<(), MirrorError> {
        self.write().map_err(|source| MirrorError::Owner { path: self.path.clone(), source })
    }

    /// Keeps from which step on the bucket's checkpoints do not count any more.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(super) fn set_forget_from(&mut self, from: Option<Step>) -> Result<(), MirrorError> {
        self.content.forget_from = from.map(|step| step.0);
        self.save()
    }

    fn write(&self) -> io::Result<()> {
        let mut new = NamedTempFile::new_in(self.path.parent().unwrap_or(Path::new(".")))?;
        new.as_file().set_permissions(folder::permissions())?;
        serde_json::to_writer(&mut new, &self.content)?;
        new.write_all(b"\n")?;
        // Where files can't be synced, a loss of power may cost the name: then another coordinator's lease
        // has to be waited for.
        let _ = new.as_file().sync_all();
        folder::put(new, &self.path).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_keeps_its_owner_and_what_is_to_be_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = OwnerFile::of(folder.path());
        assert_ne!(OwnerFile::of(folder.path()).owner(), file.owner(), "nothing is written yet");
        file.save().unwrap();
        file.set_forget_from(Some(Step(7))).unwrap();
        let again = OwnerFile::of(folder.path());
        assert_eq!((again.owner(), again.forget_from()), (file.owner(), Some(Step(7))));
        file.set_forget_from(None).unwrap();
        assert_eq!(OwnerFile::of(folder.path()).forget_from(), None);
        std::fs::write(folder.path().join(FILE), "no json").unwrap();
        assert_ne!(OwnerFile::of(folder.path()).owner(), file.owner());
    }
}
