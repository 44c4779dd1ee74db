//! The mirror: each checkpoint goes to a bucket too, so that a run goes on from an empty disk.
//!
//! 1. The local disk stays the first copy. A bucket never delays a step and never ends a run: a thread of its
//!    own (`thread`) has one checkpoint in flight, and one waits (`shared`). Memory holds a part of one
//!    file.
//! 2. A checkpoint is in the bucket whole, or not at all: `upload`. Old ones are removed by the rule of the
//!    local ones. `key` has the names of objects, `contents` what a listing says.
//! 3. One coordinator mirrors to a prefix: `lease` has the rules of its lock, `lock` and `keeper` the
//!    object. Who has lost it stops to mirror; the run goes on.
//! 4. A store that ignores conditions can't keep a lock, and is refused: `probe`.
//! 5. A run that goes on with `--resume auto` takes the newest valid checkpoint of both. One from the bucket
//!    is downloaded and verified like any other: `candidate`. What the bucket holds is anybody's until then.
//! 6. What the run has gone back from does not count any more. The checkpoint folder remembers that until the
//!    bucket has lost it: `owner`.
//! 7. Each wait has a deadline, and one warning says what is not there. At the end the last checkpoint is
//!    waited for, up to `LAST_GRACE`, or `STOP_GRACE` once a stop was asked for.
//!
//! `url` has the stores and where their credentials come from. The rest of the coordinator knows [`Mirror`]
//! and `Submitter` alone.

mod bucket;
mod candidate;
mod conditional;
mod contents;
mod error;
mod keeper;
mod key;
mod lease;
mod lock;
mod owner;
mod probe;
mod request;
mod resume;
mod shared;
mod source;
mod thread;
mod upload;
mod url;

pub use error::MirrorError;
pub use request::RequestError;
pub use url::{MirrorUrl, UrlError};

use self::bucket::Bucket;
use self::candidate::Candidates;
use self::conditional::Folder;
use self::lease::Times;
use self::owner::OwnerFile;
use self::shared::{Shared, Standing};
use self::source::Source;
use self::thread::{Opened, Work, open};
use self::upload::{Known, Saved};
use crate::store::directory;
use common::ids::Step;
use host::stop::StopRequests;
use std::fmt::{self, Display};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// Longest wait for the last checkpoint of a run that is over.
const LAST_GRACE: Duration = Duration::from_secs(300);
/// The same once a stop was asked for: a minute after that the program ends anyway.
const STOP_GRACE: Duration = Duration::from_secs(30);
/// For the thread to let go of its lock, after that.
const RELEASE_GRACE: Duration = Duration::from_secs(10);
/// Time between two looks whether a stop was asked for.
const LOOK: Duration = Duration::from_millis(100);

/// A bucket that a run mirrors to. Dropping it lets go of the lock.
#[derive(Debug)]
pub struct Mirror {
    shared: Arc<Shared>,
    url: String,
    /// What was in the bucket at the start.
    candidates: Candidates,
    /// The folder of a `file://` URL, which is not kept where it is new and no run begins.
    folder: Option<Folder>,
    is_finished: bool,
}

/// What hands checkpoints to the mirror. It never waits.
#[derive(Clone, Debug)]
pub(crate) struct Submitter {
    shared: Arc<Shared>,
    url: String,
}

/// What became of a run's checkpoints in the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirrored {
    url: String,
    /// The last checkpoint, if it is there.
    step: Option<Step>,
    /// Otherwise what is missing, and why.
    missing: Option<String>,
}

impl Mirrored {
    /// Whether the last checkpoint is in the bucket.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.missing.is_none()
    }
}

impl Display for Mirrored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.missing, self.step) {
            (Some(missing), _) => f.write_str(missing),
            (None, Some(step)) => write!(f, "{}/{}", self.url, directory(step)),
            (None, None) => write!(f, "{} has no checkpoint of this run", self.url),
        }
    }
}

impl Mirror {
    /// Opens the bucket for the checkpoints of a folder, takes its lock, and reads what is there. Of the
    /// checkpoints the `keep` newest are kept. Blocks; where another coordinator has had the lock, for the
    /// time of its lease.
    ///
    /// # Errors
    /// When the bucket can't be used, or another coordinator does.
    pub fn open(url: &MirrorUrl, checkpoints: &Path, keep: usize) -> Result<Self, MirrorError> {
        let (bucket, folder) = url.open()?;
        let mut mirror = Self::open_on(bucket, checkpoints, keep, Times::default())?;
        mirror.folder = folder;
        Ok(mirror)
    }

    fn open_on(bucket: Bucket, checkpoints: &Path, keep: usize, times: Times) -> Result<Self, MirrorError> {
        let url = bucket.url().to_owned();
        let shared = Arc::new(Shared::new(OwnerFile::of(checkpoints)));
        let (tell, opened) = sync_channel(1);
        let theirs = Arc::clone(&shared);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(MirrorError::Thread)?;
        let thread = std::thread::Builder::new().name("mirror".into()).spawn(move || {
            let ended = Ended(theirs);
            runtime.block_on(work(&ended.0, bucket, keep, times, &tell));
            // A look-up of a name can't be interrupted.
            runtime.shutdown_background();
        });
        thread.map_err(MirrorError::Thread)?;
        let candidates = opened.recv().map_err(|_| MirrorError::Ended)??;
        Ok(Self { shared, url, candidates, folder: None, is_finished: false })
    }

    /// The run begins: its checkpoints go to the bucket from now on. `resumed` is the one that it goes on
    /// from.
    ///
    /// # Errors
    /// When the checkpoint folder can't be written.
    pub(crate) fn begin(&mut self, resumed: Option<(Step, &Path)>) -> Result<Submitter, MirrorError> {
        self.shared.begin()?;
        if let Some(folder) = &mut self.folder {
            folder.keep();
        }
        let submitter = Submitter { shared: Arc::clone(&self.shared), url: self.url.clone() };
        let there = resumed.and_then(|(step, folder)| self.find(step, folder));
        self.shared.tidy(there);
        info!("each checkpoint goes to {} too", self.url);
        if let Some((step, folder)) = resumed.filter(|_| there.is_none()) {
            submitter.submit(step, folder);
        }
        Ok(submitter)
    }

    /// What is there, for a person.
    pub(crate) fn describe(&self) -> String {
        match self.candidates.intact.first() {
            Some(newest) => format!("{}, whose newest checkpoint is of step {}", self.url, newest.step),
            None => format!("{}, which has no checkpoint yet", self.url),
        }
    }

    /// Waits until the last checkpoint is in the bucket, or for a while, and lets go of the lock. Blocks.
    pub(crate) fn finish(self, stop: &StopRequests) -> Mirrored {
        self.finish_within(LAST_GRACE, stop)
    }

    fn finish_within(mut self, mut grace: Duration, stop: &StopRequests) -> Mirrored {
        self.is_finished = true;
        let began = Instant::now();
        let mut is_stopped = false;
        self.shared.close(began + grace);
        while !self.shared.has_ended_within(LOOK) {
            if !is_stopped && *stop.borrow() > 0 {
                is_stopped = true;
                grace = grace.min(began.elapsed() + STOP_GRACE);
                self.shared.close(Instant::now() + STOP_GRACE);
            }
            if began.elapsed() > grace + RELEASE_GRACE {
                warn!("{} does not answer; the mirror's thread is left behind", self.url);
                break;
            }
        }
        self.mirrored()
    }

    fn mirrored(&self) -> Mirrored {
        let url = self.url.clone();
        let Standing { submitted, saved, problem, .. } = self.shared.standing();
        let missing = submitted.filter(|_| submitted > saved).map(|step| {
            let why = problem.unwrap_or_else(|| "the time was over".to_owned());
            format!("step {step} is not in {url}: {why}")
        });
        missing.iter().for_each(|missing| warn!("the last checkpoint is on this disk only: {missing}"));
        Mirrored { url, step: saved, missing }
    }

    /// The checkpoint in that folder, if the bucket has had it since the start.
    fn find(&self, step: Step, folder: &Path) -> Option<Saved> {
        let theirs = self.candidates.intact.iter().find(|candidate| candidate.step == step)?;
        let ours = Source::open(folder).ok()?;
        let is_there = !theirs.attempts.is_empty() && ours.manifest == theirs.bytes;
        is_there.then_some((step, ours.best))
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        if !self.is_finished {
            self.shared.close(Instant::now());
            self.shared.has_ended_within(RELEASE_GRACE);
        }
    }
}

impl Submitter {
    /// Hands over the checkpoint in that folder, which replaces one that waits.
    pub(crate) fn submit(&self, step: Step, folder: &Path) {
        match Source::open(folder) {
            Ok(source) => self.shared.submit(source),
            Err(error) => warn!(%error, "the checkpoint of step {step} does not go to {}", self.url),
        }
    }

    /// The run goes back to that checkpoint, or to its beginning: later ones do not count any more.
    pub(crate) fn went_back(&self, kept: Option<Step>) {
        self.shared.went_back(kept);
    }
}

/// Reports the thread's end when it is dropped, also by a panic.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.ended();
    }
}

/// Body of the thread.
async fn work(
    shared: &Shared,
    bucket: Bucket,
    keep: usize,
    times: Times,
    tell: &SyncSender<Result<Candidates, MirrorError>>,
) {
    let (me, forget_from) = shared.owner();
    let Opened { bucket, keeper, candidates } = match open(bucket, &me, forget_from, times).await {
        Ok(opened) => opened,
        Err(error) => {
            let _ = tell.send(Err(error));
            return;
        }
    };
    let manifests = candidates.intact.iter().map(|candidate| (candidate.step, candidate.id())).collect();
    let known = Known { manifests, probes: Vec::new() };
    let _ = tell.send(Ok(candidates));
    Work { shared, bucket, keeper, keep, times, known, pause: None }.run().await;
}

#[cfg(test)]
mod tests;
