//! The mirror's thread: it alone talks to the bucket.
//!
//! 1. A request that fails is repeated by the store's client a few times. An upload that fails is tried anew
//!    after a pause that doubles up to [`PAUSE_MAX`], or with a newer checkpoint. One warning says so, and
//!    one line that it works again.
//! 2. Without the lock the thread ends.
//! 3. At its end it lets go of the lock.

use super::bucket::Bucket;
use super::candidate::{self, Candidates};
use super::error::MirrorError;
use super::keeper::{Keeper, Unheld};
use super::lease::{Owner, Times};
use super::lock::Lock;
use super::probe::probe;
use super::request::RequestError;
use super::shared::{Fetch, Shared, Task};
use super::source::Source;
use super::upload::{Known, Saved, Target, UploadError, list};
use crate::store::directory;
use common::ids::Step;
use std::sync::Arc;
use std::time::Duration;
use tracing::{debug, info, warn};

/// Longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A bucket that can be used, and its lock.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) bucket: Arc<Bucket>,
    pub(super) keeper: Keeper,
    pub(super) candidates: Candidates,
}

/// Tries the store, takes the lock, and reads what is there.
pub(super) async fn open(
    bucket: Bucket,
    me: &Owner,
    forget_from: Option<Step>,
    times: Times,
) -> Result<Opened, MirrorError> {
    let bucket = Arc::new(bucket);
    probe(&bucket).await?;
    let above = list(&bucket).await?.incarnation_max();
    let lock = Lock::take(Arc::clone(&bucket), me, above, &times).await?;
    let keeper = Keeper::start(lock, &bucket, times);
    let found = async {
        let contents = list(&bucket).await?;
        candidate::read(&bucket, &contents, forget_from).await
    };
    match found.await {
        Ok(candidates) => Ok(Opened { bucket, keeper, candidates }),
        Err(error) => {
            keeper.release(false).await;
            Err(error)
        }
    }
}

/// The thread's work, until it is to end or the lock is lost.
pub(super) struct Work<'a> {
    pub(super) shared: &'a Shared,
    pub(super) bucket: Arc<Bucket>,
    pub(super) keeper: Keeper,
    pub(super) keep: usize,
    pub(super) times: Times,
    pub(super) known: Known,
    /// Pause before the next try, while requests fail.
    pub(super) pause: Option<Duration>,
}

impl Work<'_> {
    pub(super) async fn run(mut self) {
        loop {
            let task = tokio::select! {
                task = self.shared.next() => task,
                name = self.keeper.until_lost() => return self.lose(&name),
            };
            let done = match task {
                Task::End => break,
                Task::Fetch(fetch) => {
                    let Fetch { candidate, attempt, into, done } = *fetch;
                    // Whoever asked may be gone.
                    let _ = done.send(candidate::download(&self.bucket, &candidate, &attempt, &into).await);
                    continue;
                }
                Task::Tidy(saved) => self.tidy(saved).await,
                Task::Forget(from) => self.forget(from).await,
                Task::Upload(source) => self.upload(*source).await,
            };
            match done {
                Ok(()) => self.works(),
                Err(Failure::Deadline) => break,
                Err(Failure::Lost(name)) => return self.lose(&name),
                Err(Failure::Again) => {
                    let pause = self.pause.map_or(self.times.pause, |pause| (2 * pause).min(PAUSE_MAX));
                    self.pause = Some(pause);
                    tokio::select! {
                        () = self.shared.pause(pause) => {}
                        () = self.shared.until_deadline() => break,
                        name = self.keeper.until_lost() => return self.lose(&name),
                    }
                }
            }
        }
        self.keeper.release(self.shared.has_begun()).await;
    }

    async fn upload(&mut self, source: Source) -> Result<(), Failure> {
        let step = source.step;
        let problem = match self.within(async |target| target.save(&source).await).await {
            Ok(()) => {
                self.shared.saved(step);
                debug!("step {step} is in {}", self.bucket.url());
                return Ok(());
            }
            Err(Stopped::Failure(failure)) => return Err(failure),
            Err(Stopped::Error(error)) => error,
        };
        // What this machine's disk lacks, it will lack later.
        let source = (!matches!(problem, UploadError::Request(RequestError::Here { .. }))).then_some(source);
        self.fails(&format!("the checkpoint of step {step} is not in {} yet", self.bucket.url()), &problem);
        let is_tried_again = source.is_some();
        self.shared.failed(source, problem.to_string());
        if is_tried_again { Err(Failure::Again) } else { Ok(()) }
    }

    async fn forget(&mut self, from: Step) -> Result<(), Failure> {
        match self.within(async |target| target.forget(from).await).await {
            Ok(()) => {
                self.shared.forgotten();
                Ok(())
            }
            Err(Stopped::Failure(failure)) => Err(failure),
            Err(Stopped::Error(error)) => {
                let first = directory(from);
                let what = format!(
                    "{} has checkpoints from {first} on that do not count any more, and they can't be removed yet",
                    self.bucket.url()
                );
                self.fails(&what, &error);
                self.shared.failed_to_forget(from, error.to_string());
                Err(Failure::Again)
            }
        }
    }

    /// Removes what earlier starts have left. What can't be removed now is left to the next upload.
    async fn tidy(&mut self, saved: Option<Saved>) -> Result<(), Failure> {
        let tidied = self.within(async |target| {
            let contents = list(target.bucket).await.map_err(UploadError::List)?;
            target.tidy(&contents, saved).await
        });
        match tidied.await {
            Err(Stopped::Failure(failure)) => Err(failure),
            Err(Stopped::Error(error)) => {
                debug!(%error, "{} is not tidied", self.bucket.url());
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Does something with the bucket, unless the deadline or the loss of the lock comes first.
    async fn within(
        &mut self,
        what: impl AsyncFnOnce(&mut Target<'_>) -> Result<(), UploadError>,
    ) -> Result<(), Stopped> {
        let Self { shared, bucket, keeper, keep, known, .. } = self;
        let mut target = Target { bucket, keeper, keep: *keep, known };
        let done = tokio::select! {
            done = what(&mut target) => done,
            () = shared.until_deadline() => return Err(Stopped::Failure(Failure::Deadline)),
            name = keeper.until_lost() => return Err(Stopped::Failure(Failure::Lost(name))),
        };
        done.map_err(|error| match error {
            UploadError::Unheld(Unheld::Lost(name)) => Stopped::Failure(Failure::Lost(name)),
            error => Stopped::Error(error),
        })
    }

    fn lose(&self, name: &str) {
        let url = self.bucket.url();
        warn!("the lock of {url} was taken by {name}: nothing more is mirrored, and the run goes on without");
        self.shared.lost(format!("the lock was taken by {name}"));
    }

    fn fails(&self, what: &str, error: &UploadError) {
        if self.pause.is_none() {
            warn!(%error, "{what}; the run goes on, and it is tried again");
        } else {
            debug!(%error, "{what}");
        }
    }

    fn works(&mut self) {
        if self.pause.take().is_some() {
            info!("{} can be written again", self.bucket.url());
        }
    }
}

/// Why a task is not done.
enum Failure {
    /// It is tried again.
    Again,
    /// There is no time left.
    Deadline,
    /// Somebody else has the lock.
    Lost(String),
}

enum Stopped {
    Failure(Failure),
    Error(UploadError),
}
