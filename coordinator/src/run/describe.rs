//! What a run would do, for `--dry-run`: its configuration as it was resolved, and where it would begin.

use super::Gathered;
use crate::RunError;
use common::text::shortened;
use common::train::average::Averaging;
use common::train::config::CLASSES_FIELD;
use std::fmt::Write as _;
use std::path::Path;

impl Gathered {
    /// The description, in lines of a name and a value.
    ///
    /// # Errors
    /// When the checkpoint folder has too little room.
    pub(crate) fn describe(&self) -> Result<String, RunError> {
        let config = self.trainer.config();
        let mut text = "nothing is trained (--dry-run); the run would be\n".to_owned();
        let mut line = |name: &str, value: &dyn std::fmt::Display| {
            // Writing to a string can't fail.
            let _ = writeln!(text, "{name:<19} {value}");
        };
        for (name, value) in config.fields() {
            // A thousand names are of no use here.
            let value = if name == CLASSES_FIELD { shortened(&value) } else { value };
            line(&name, &value);
        }
        line("parameters", &self.trainer.layout().len());
        line("training samples", &config.train_samples());
        if config.unlabelled() > 0 {
            line("without labels", &config.unlabelled());
        }
        line("steps", &format!("{} to {}", self.trainer.step(), self.trainer.end()));
        let root = self.store.root();
        line("checkpoints", &root.display());
        if let Some(mirror) = &self.mirror {
            line("mirror", &mirror.describe());
        }
        match &self.resumed {
            Some(from) => line("resumes from", &from.path.display()),
            None => line("resumes from", &"nothing: it starts at the beginning"),
        }
        line("metrics", &self.metrics.path().display());
        let needed = self.bytes_needed();
        let free = free_bytes(root);
        line("disk", &format!("{needed} bytes are needed, {free} are free"));
        if free < needed {
            return Err(RunError::TooLittleRoom { folder: root.to_owned(), needed, free });
        }
        Ok(text)
    }

    /// Room for the checkpoints that are kept, the best one, and the one that is being written.
    fn bytes_needed(&self) -> u64 {
        let training = self.trainer.config().training();
        // The versions of the parameters, and the optimizer's state of each.
        let versions =
            1 + u64::from(training.average != Averaging::None) + u64::from(training.patience.is_some());
        let tensors = versions + training.optimizer.slots().len() as u64;
        let one = 4 * tensors * self.trainer.layout().len() as u64;
        one.saturating_mul(self.store.keep() as u64 + 2)
    }
}

/// Free room in a folder for this user, in bytes; without an answer of the system, any.
fn free_bytes(folder: &Path) -> u64 {
    rustix::fs::statvfs(folder).map_or(u64::MAX, |found| found.f_bavail.saturating_mul(found.f_frsize))
}
