//! The task that keeps the lock: it alone renews it, and says whether it is still ours.

use super::bucket::Bucket;
use super::lease::Times;
use super::lock::{Lock, Unrenewed};
use super::request::RequestError;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

/// Questions that wait; the uploader has one at a time.
const QUESTIONS: usize = 4;

/// Why nothing may be made visible or removed in the bucket.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unheld {
    /// Somebody else has the lock.
    #[error("its lock was taken by {0}")]
    Lost(String),
    /// The lock can't be renewed now.
    #[error("its lock can't be renewed: {0}")]
    Unrenewed(#[from] RequestError),
}

enum Question {
    /// Is the lock ours this moment?
    Confirm(oneshot::Sender<Result<(), Unheld>>),
    /// Let go of it, and remove it if it is new and no run has begun.
    Release { has_begun: bool },
}

/// The other end of the task.
#[derive(Debug)]
pub(super) struct Keeper {
    questions: mpsc::Sender<Question>,
    /// Name of the one who has taken the lock.
    lost: watch::Receiver<Option<String>>,
    incarnation: u64,
    task: tokio::task::JoinHandle<()>,
}

impl Keeper {
    /// Starts the task on the present runtime. It ends when the lock is lost or released.
    pub(super) fn start(lock: Lock, bucket: &Arc<Bucket>, times: Times) -> Self {
        let (questions, asked) = mpsc::channel(QUESTIONS);
        let (tell, lost) = watch::channel(None);
        let incarnation = lock.incarnation();
        let url = bucket.url().to_owned();
        let task = tokio::spawn(keep(lock, url, times, asked, tell));
        Self { questions, lost, incarnation, task }
    }

    /// Number of times that the lock has changed hands.
    pub(super) fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Makes sure that the lock is ours this moment.
    pub(super) async fn confirm(&self) -> Result<(), Unheld> {
        let (answer, answered) = oneshot::channel();
        // The task is gone only when the lock is lost.
        let asked = self.questions.send(Question::Confirm(answer)).await;
        match (asked, answered.await) {
            (Ok(()), Ok(result)) => result,
            _ => Err(Unheld::Lost(self.taken_by().unwrap_or_default())),
        }
    }

    /// Name of the one who has taken the lock, if it is lost.
    pub(super) fn taken_by(&self) -> Option<String> {
        self.lost.borrow().clone()
    }

    /// Waits until the lock is lost.
    pub(super) async fn until_lost(&self) -> String {
        let mut lost = self.lost.clone();
        let found = lost.wait_for(Option::is_some).await.map(|name| name.clone());
        match found {
            Ok(name) => name.unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }

    /// Lets go of the lock, if it is ours. One that is new is removed if no run has begun.
    pub(super) async fn release(self, has_begun: bool) {
        let _ = self.questions.send(Question::Release { has_begun }).await;
        let _ = self.task.await;
    }
}

/// Body of the task.
async fn keep(
    mut lock: Lock,
    url: String,
    times: Times,
    mut asked: mpsc::Receiver<Question>,
    tell: watch::Sender<Option<String>>,
) {
    let mut has_warned = false;
    let mut next = Instant::now() + times.renew_every;
    loop {
        let question = tokio::select! {
            question = asked.recv() => question,
            () = sleep_until(next) => None,
        };
        let answer = match question {
            Some(Question::Release { has_begun }) => {
                if let Err(error) = lock.release(has_begun).await {
                    warn!(%error, "the lock of {url} is not released; another coordinator has to wait until it is abandoned");
                }
                return;
            }
            Some(Question::Confirm(answer)) if lock.renewed().elapsed() < times.fresh => {
                let _ = answer.send(Ok(()));
                continue;
            }
            Some(Question::Confirm(answer)) => Some(answer),
            None if asked.is_closed() => return,
            None => None,
        };
        next = Instant::now() + times.renew_every;
        let renewed = match lock.renew().await {
            Ok(()) => {
                if std::mem::take(&mut has_warned) {
                    info!("the lock of {url} is renewed again");
                }
                Ok(())
            }
            Err(Unrenewed::Lost(name)) => {
                tell.send_replace(Some(name.clone()));
                if let Some(answer) = answer {
                    let _ = answer.send(Err(Unheld::Lost(name)));
                }
                return;
            }
            Err(Unrenewed::Failed(error)) => {
                if std::mem::replace(&mut has_warned, true) {
                    debug!(%error, "the lock of {url} can't be renewed");
                } else {
                    warn!(%error, "the lock of {url} can't be renewed; nothing is shown there until it is");
                }
                Err(Unheld::Unrenewed(error))
            }
        };
        if let Some(answer) = answer {
            let _ = answer.send(renewed);
        }
    }
}
