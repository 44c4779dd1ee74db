//! A checkpoint goes to the bucket: whole, or not at all.
//!
//! 1. Its files go below an attempt of this incarnation's, where nobody looks for them.
//! 2. The prefix is listed: the files must have the sizes that were sent.
//! 3. The lock must be ours this moment. Then the manifest is put where there is none, and the checkpoint is
//!    there. If another manifest is there, it is of a damaged checkpoint or of steps that the run has gone
//!    back from: it is replaced, on the condition that it still is that one.
//! 4. The manifest is read back. Then old checkpoints are removed, manifest first, by the rule of the local
//!    ones. What is left of dead attempts is removed. What can't be removed now is left to the next time.

use super::bucket::{Bucket, PART, REQUEST_MAX};
use super::contents::Contents;
use super::error::MirrorError;
use super::keeper::{Keeper, Unheld};
use super::key::{self, Attempt, ManifestId};
use super::request::RequestError;
use super::source::{Reading, Source, SourceFile};
use crate::store::retention::to_remove;
use common::checkpoint::MANIFEST_BYTES_MAX;
use common::ids::Step;
use std::collections::BTreeMap;

/// Most objects below a prefix: far more than a run's checkpoints are.
pub(super) const OBJECTS_MAX: usize = 100_000;

/// Step of a checkpoint in the bucket, and that of the best one so far.
pub(super) type Saved = (Step, Option<Step>);

/// Why a checkpoint is not in the bucket.
#[derive(Debug, thiserror::Error)]
pub(super) enum UploadError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Unheld(#[from] Unheld),
    /// The bucket does not have what it was sent.
    #[error("{url} has {} bytes, and {sent} were sent", .found.map_or("no".to_owned(), |bytes| bytes.to_string()))]
    Size { url: String, found: Option<u64>, sent: u64 },
    /// The bucket has another manifest than it was sent.
    #[error("{url} is not what was sent")]
    Altered { url: String },
    #[error(transparent)]
    List(MirrorError),
}

/// The bucket with what is known of it.
#[derive(Debug)]
pub(super) struct Target<'a> {
    pub(super) bucket: &'a Bucket,
    pub(super) keeper: &'a Keeper,
    /// Number of newest checkpoints that are kept.
    pub(super) keep: usize,
    pub(super) known: &'a mut Known,
}

/// What is remembered of the bucket.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Manifests that were read or written.
    pub(super) manifests: BTreeMap<Step, ManifestId>,
    /// Objects with which a start tried the store, as they were listed last. One that is there twice is not
    /// of a start in progress.
    pub(super) probes: Vec<String>,
}

/// What is below the prefix.
pub(super) async fn list(bucket: &Bucket) -> Result<Contents, MirrorError> {
    let objects = bucket.list(OBJECTS_MAX).await?;
    let too_many = || MirrorError::TooMany { url: bucket.url().to_owned(), most: OBJECTS_MAX };
    let objects = objects.ok_or_else(too_many)?;
    Ok(Contents::of(objects.iter().map(|(key, bytes)| (key.as_str(), *bytes))))
}

impl Target<'_> {
    /// Uploads a checkpoint, then removes what need not be kept.
    pub(super) async fn save(&mut self, source: &Source) -> Result<(), UploadError> {
        let attempt = Attempt { incarnation: self.keeper.incarnation(), manifest: source.id.clone() };
        for file in &source.files {
            self.put(&key::data(source.step, &attempt, file.name), file).await?;
        }
        let contents = list(self.bucket).await.map_err(UploadError::List)?;
        for file in &source.files {
            let found = contents.bytes(source.step, &attempt, file.name);
            if found != Some(file.bytes) {
                let url = self.bucket.url_of(&key::data(source.step, &attempt, file.name));
                return Err(UploadError::Size { url, found, sent: file.bytes });
            }
        }
        self.keeper.confirm().await?;
        self.show(source).await?;
        self.known.manifests.insert(source.step, source.id.clone());
        if let Err(error) = self.tidy(&contents, Some((source.step, source.best))).await {
            tracing::warn!(%error, "old checkpoints in {} are not removed yet", self.bucket.url());
        }
        Ok(())
    }

    /// Removes all checkpoints from that step on.
    pub(super) async fn forget(&mut self, from: Step) -> Result<(), UploadError> {
        let contents = list(self.bucket).await.map_err(UploadError::List)?;
        for step in contents.checkpoints().into_iter().filter(|&step| step >= from) {
            self.remove(&contents, step).await?;
        }
        Ok(())
    }

    async fn put(&self, key: &str, file: &SourceFile) -> Result<(), UploadError> {
        let mut reading = Reading::new(file);
        if file.bytes <= PART as u64 {
            let bytes = reading.next().await?.unwrap_or_default();
            return Ok(self.bucket.put(key, bytes).await?);
        }
        Ok(self.bucket.put_parts(key, &mut reading).await?)
    }

    /// Puts the manifest, with which the checkpoint is there.
    async fn show(&self, source: &Source) -> Result<(), UploadError> {
        let key = key::manifest(source.step);
        let created = self.bucket.create(&key, source.manifest.clone(), REQUEST_MAX).await;
        // It may be there although the answer was lost, and another one although it was said to be there.
        let found = match self.bucket.read(&key, MANIFEST_BYTES_MAX, REQUEST_MAX).await {
            Ok(found) => found,
            Err(RequestError::TooLong { .. }) => {
                self.bucket.remove(&key).await?;
                return Err(UploadError::Altered { url: self.bucket.url_of(&key) });
            }
            Err(error) => return Err(created.err().unwrap_or(error).into()),
        };
        match (found, created) {
            (Some(found), _) if found.bytes == source.manifest => Ok(()),
            (Some(found), Err(error)) if error.is_refused() => {
                self.keeper.confirm().await?;
                let bytes = source.manifest.clone();
                self.bucket.replace(&key, bytes, &found.version, REQUEST_MAX).await?;
                Ok(())
            }
            (_, Err(error)) => Err(error.into()),
            (_, Ok(_)) => {
                self.bucket.remove(&key).await?;
                Err(UploadError::Altered { url: self.bucket.url_of(&key) })
            }
        }
    }

    /// Removes old checkpoints, if the newest and the best are known, and what is left of dead attempts.
    pub(super) async fn tidy(
        &mut self,
        contents: &Contents,
        saved: Option<Saved>,
    ) -> Result<(), UploadError> {
        if let Some((saved, best)) = saved {
            let mut steps = contents.checkpoints();
            if let Err(at) = steps.binary_search(&saved) {
                steps.insert(at, saved);
            }
            for step in to_remove(&steps, saved, self.keep, best) {
                self.remove(contents, step).await?;
            }
        }
        self.clear(contents).await
    }

    /// Removes what is left of dead attempts. Nothing must be under way.
    async fn clear(&mut self, contents: &Contents) -> Result<(), UploadError> {
        for (step, attempt) in contents.dead(self.keeper.incarnation(), &self.known.manifests) {
            // What was uploaded after the listing is in its manifest by now.
            if self.known.manifests.get(&step) == Some(&attempt.manifest) {
                continue;
            }
            self.remove_attempt(contents, step, &attempt).await?;
        }
        for key in contents.probes.iter().filter(|key| self.known.probes.contains(key)) {
            self.bucket.remove(key).await?;
        }
        self.known.probes.clone_from(&contents.probes);
        Ok(())
    }

    /// Removes a checkpoint, its manifest first.
    async fn remove(&mut self, contents: &Contents, step: Step) -> Result<(), UploadError> {
        self.keeper.confirm().await?;
        self.bucket.remove(&key::manifest(step)).await?;
        self.known.manifests.remove(&step);
        let own = self.keeper.incarnation();
        for (attempt, _) in contents.all_attempts(step).filter(|(attempt, _)| attempt.incarnation <= own) {
            self.remove_attempt(contents, step, attempt).await?;
        }
        Ok(())
    }

    async fn remove_attempt(
        &self,
        contents: &Contents,
        step: Step,
        attempt: &Attempt,
    ) -> Result<(), UploadError> {
        self.keeper.confirm().await?;
        let files = contents.all_attempts(step).filter(|(other, _)| *other == attempt);
        for file in files.flat_map(|(_, files)| files) {
            self.bucket.remove(&key::data(step, attempt, file)).await?;
        }
        self.bucket.sweep(&key::attempt(step, attempt)).await;
        Ok(())
    }
}
