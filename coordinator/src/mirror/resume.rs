//! From which checkpoint a run goes on that has a mirror, and which runs a bucket is not for.

use super::shared::Fetch;
use super::{Mirror, MirrorError};
use crate::RunError;
use crate::mirror::candidate::Candidate;
use crate::mirror::key::Attempt;
use crate::mirror::request::RequestError;
use crate::store::{Expected, Store, StoreError, directory};
use common::checkpoint::Verified;
use common::ids::Step;
use common::train::config::{Fields, difference};
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use tracing::{info, warn};

impl Mirror {
    /// Downloads the newest valid checkpoint of the bucket that is newer than that step, into the store,
    /// which adopts it when the run begins. Blocks.
    ///
    /// # Errors
    /// When the bucket or the disk fails, or the newest checkpoint with an intact manifest is of another
    /// configuration.
    pub(crate) fn bring_newer(
        &self,
        store: &mut Store,
        than: Option<Step>,
        expected: &Expected,
    ) -> Result<Option<(PathBuf, Verified)>, RunError> {
        let is_newer = |step: Step| than.is_none_or(|than| step > than);
        for (step, problem) in self.candidates.damaged.iter().filter(|(step, _)| is_newer(*step)) {
            warn!("passing over {}: {problem}", self.url_of(*step));
        }
        for candidate in self.candidates.intact.iter().filter(|candidate| is_newer(candidate.step)) {
            let differences = expected.differences(&candidate.manifest);
            if !differences.is_empty() {
                return Err(
                    StoreError::Different { path: self.url_of(candidate.step).into(), differences }.into()
                );
            }
            if candidate.attempts.is_empty() {
                warn!("passing over {}: its files are missing or cut", self.url_of(candidate.step));
            }
            for attempt in &candidate.attempts {
                if let Some(found) = self.bring(store, candidate, attempt, expected)? {
                    return Ok(Some(found));
                }
            }
        }
        store.unstage();
        Ok(None)
    }

    /// Downloads that attempt of a checkpoint; `None` if it is not valid.
    fn bring(
        &self,
        store: &mut Store,
        candidate: &Candidate,
        attempt: &Attempt,
        expected: &Expected,
    ) -> Result<Option<(PathBuf, Verified)>, RunError> {
        let url = self.url_of(candidate.step);
        let into = store.stage(candidate.step)?;
        match self.fetch(candidate, attempt, &into) {
            Ok(()) => {}
            Err(MirrorError::Request(error)) if error.is_of_object() => {
                warn!(%error, "passing over {url}");
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        }
        match store.load_staged(expected) {
            Ok(found) => {
                info!("downloaded {url}");
                Ok(found)
            }
            Err(error) => {
                warn!(%error, "passing over {url}, which is not as it was uploaded");
                Ok(None)
            }
        }
    }

    fn fetch(&self, candidate: &Candidate, attempt: &Attempt, into: &Path) -> Result<(), MirrorError> {
        let (done, result) = sync_channel::<Result<(), RequestError>>(1);
        let (candidate, attempt, into) = (candidate.clone(), attempt.clone(), into.to_owned());
        self.shared.fetch(Fetch { candidate, attempt, into, done });
        Ok(result.recv().map_err(|_| MirrorError::Ended)??)
    }

    /// Checks that a run with that configuration, which goes on from `resumed` or begins anew, may mirror to
    /// this bucket: it must be the same run's. With `is_newest`, that is the newest valid checkpoint of both.
    ///
    /// # Errors
    /// When the bucket has another configuration's checkpoints, or later ones of this run.
    pub(crate) fn check(
        &self,
        config: &Fields,
        resumed: Option<Step>,
        is_newest: bool,
    ) -> Result<(), RunError> {
        for candidate in &self.candidates.intact {
            let differences = difference(&candidate.manifest.config, config);
            if !differences.is_empty() {
                return Err(
                    StoreError::Different { path: self.url_of(candidate.step).into(), differences }.into()
                );
            }
            if !is_newest && Some(candidate.step) > resumed {
                return Err(MirrorError::Ahead { url: self.url.clone(), step: candidate.step }.into());
            }
        }
        Ok(())
    }

    fn url_of(&self, step: Step) -> String {
        format!("{}/{}", self.url, directory(step))
    }
}
