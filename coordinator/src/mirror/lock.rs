//! The lock of a prefix, as an object. [`lease`](super::lease) has its rules.

use super::bucket::{Bucket, LOCK_MAX, Object};
use super::error::MirrorError;
use super::key::LOCK;
use super::lease::{Judged, LOCK_BYTES_MAX, LockText, Owner, Standing, Times, judge};
use super::request::RequestError;
use host::printable;
use object_store::UpdateVersion;
use std::sync::Arc;
use tokio::time::{Instant, sleep};
use tracing::info;

/// How often a lock that changes under our hands is looked at anew.
const TRIES: u32 = 5;

/// The lock, held.
#[derive(Debug)]
pub(super) struct Lock {
    bucket: Arc<Bucket>,
    text: LockText,
    version: UpdateVersion,
    /// Whether there was none before.
    is_new: bool,
    /// When the last renewal that succeeded was sent.
    renewed: Instant,
}

/// Why a lock could not be renewed.
#[derive(Debug)]
pub(super) enum Unrenewed {
    /// Somebody else has it; the name is printable.
    Lost(String),
    /// The bucket could not be asked.
    Failed(RequestError),
}

impl Lock {
    /// Takes the lock, if nobody else has it. Its incarnation will be above that number.
    pub(super) async fn take(
        bucket: Arc<Bucket>,
        me: &Owner,
        above: u64,
        times: &Times,
    ) -> Result<Self, MirrorError> {
        for _ in 0..TRIES {
            let found = find(&bucket).await?;
            if let Some((text, _)) = &found
                && text.standing(me) == Standing::Others
            {
                watch(&bucket, text, times).await?;
            }
            // As it was before it was watched: if it is another one now, the condition says so.
            let (before, version) = found.map_or((None, None), |(text, version)| (Some(text), Some(version)));
            let text = LockText::taken(me, before.as_ref(), above, host::random());
            let renewed = Instant::now();
            if let Some(version) = write(&bucket, &text, version.as_ref()).await? {
                return Ok(Self { bucket, text, version, is_new: before.is_none(), renewed });
            }
        }
        let url = bucket.url_of(LOCK);
        Err(MirrorError::Lock { url, problem: "it changes again and again".to_owned() })
    }

    /// Number of times that the lock has changed hands.
    pub(super) fn incarnation(&self) -> u64 {
        self.text.incarnation
    }

    /// When the last renewal that succeeded was sent.
    pub(super) fn renewed(&self) -> Instant {
        self.renewed
    }

    /// Renews it, or finds out that it is lost.
    pub(super) async fn renew(&mut self) -> Result<(), Unrenewed> {
        let sent = Instant::now();
        let text = self.text.renewed();
        match write(&self.bucket, &text, Some(&self.version)).await.map_err(Unrenewed::Failed)? {
            Some(version) => (self.text, self.version) = (text, version),
            // An earlier renewal may have been done whose answer was lost.
            None => match find(&self.bucket).await {
                Ok(Some((text, version))) if text.is_same_hold(&self.text) => {
                    (self.text, self.version) = (text, version);
                }
                Ok(Some((text, _))) => return Err(Unrenewed::Lost(printable(&text.name).into_owned())),
                Ok(None) => return Err(Unrenewed::Lost("whoever has removed it".to_owned())),
                Err(MirrorError::Request(error)) => return Err(Unrenewed::Failed(error)),
                Err(error) => return Err(Unrenewed::Lost(error.to_string())),
            },
        }
        self.renewed = sent;
        Ok(())
    }

    /// Lets go of it, for the next coordinator to take it at once. One that is new is removed if no run has
    /// begun.
    pub(super) async fn release(self, has_begun: bool) -> Result<(), RequestError> {
        if self.is_new && !has_begun {
            return self.bucket.remove(LOCK).await;
        }
        let text = self.text.released().text();
        match self.bucket.replace(LOCK, text, &self.version, LOCK_MAX).await {
            Err(error) if error.is_refused() => Ok(()),
            other => other.map(|_| ()),
        }
    }
}

/// Writes the lock in place of that version, or where there is none. `None` if there is another one now.
async fn write(
    bucket: &Bucket,
    text: &LockText,
    before: Option<&UpdateVersion>,
) -> Result<Option<UpdateVersion>, RequestError> {
    let bytes = text.text();
    let written = match before {
        Some(version) => bucket.replace(LOCK, bytes, version, LOCK_MAX).await,
        None => bucket.create(LOCK, bytes, LOCK_MAX).await,
    };
    let failed = match written {
        Ok(version) => return Ok(Some(version)),
        Err(error) => error,
    };
    // Whether it was written does not follow from an answer that was lost.
    match bucket.read(LOCK, LOCK_BYTES_MAX, LOCK_MAX).await {
        Ok(Some(Object { bytes, version })) if bytes == text.text() => Ok(Some(version)),
        _ if failed.is_refused() => Ok(None),
        _ => Err(failed),
    }
}

/// The lock that is there, if there is one.
async fn find(bucket: &Bucket) -> Result<Option<(LockText, UpdateVersion)>, MirrorError> {
    let Some(Object { bytes, version }) = bucket.read(LOCK, LOCK_BYTES_MAX, LOCK_MAX).await? else {
        return Ok(None);
    };
    let problem =
        |problem: String| MirrorError::Lock { url: bucket.url_of(LOCK), problem: printable(&problem).into() };
    Ok(Some((LockText::parse(&bytes).map_err(problem)?, version)))
}

/// Watches a lock of somebody else until it can be taken.
async fn watch(bucket: &Bucket, first: &LockText, times: &Times) -> Result<(), MirrorError> {
    let began = Instant::now();
    let name = printable(&first.name).into_owned();
    info!(
        "{} is locked by {name}; watching for {} s whether it is alive",
        bucket.url(),
        times.lease.as_secs_f32()
    );
    loop {
        sleep(times.look).await;
        let now = find(bucket).await?.map(|(text, _)| text);
        match judge(first, now.as_ref(), began.elapsed(), times.lease) {
            Judged::TooEarly => {}
            Judged::Free | Judged::Abandoned => return Ok(()),
            Judged::Renewed => return Err(MirrorError::Held { url: bucket.url().to_owned(), name }),
        }
    }
}
