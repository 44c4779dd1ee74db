//! What waits to be sent to one worker, bounded in messages, bytes and versions of the parameters.
//!
//! Nothing that has become useless waits: newer parameters take the place of older ones, and a piece goes when one of a
//! later round comes, or newer parameters do: its round is over. So an outbox holds one version at most, and what has been
//! taken out of it to be encoded another. Whoever takes nothing at all is dropped in time by the driver, which looks at
//! [`Outbox::stalled_us`].

use crate::net::pending::{Presence, Standing};
use crate::stall::Stall;
use common::protocol::coordinator::Disconnect;
use futures_util::stream::{self, Stream};
use proto::message::{CoordinatorMessage, Piece};
use proto::parameters::EncodedParameters;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, oneshot};

/// Messages that wait for one worker: more than it is ever given in a round.
const OUTBOX_MESSAGES: usize = 256;
/// Bytes of samples that wait for one worker: those of 80,000 images. Parameters are bounded by their versions.
const OUTBOX_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Something to send.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// For this worker.
    Message(CoordinatorMessage),
    /// For all: encoded once.
    Parameters(Arc<EncodedParameters>),
}

/// Why nothing can be sent to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SendError {
    /// Too much waits for it already.
    #[error("it does not read what it is sent")]
    Full,
    /// Its stream is over.
    #[error("its stream is closed")]
    Closed,
}

impl From<SendError> for Disconnect {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Full => Self::Backlog,
            SendError::Closed => Self::SendClosed,
        }
    }
}

/// The driver's end of a connection. Dropping it ends the stream after what was queued.
#[derive(Debug)]
pub(crate) struct Outbox {
    queue: Arc<Queue>,
    presence: Arc<Presence>,
    /// While the connection is a member's or a spare's.
    accepted: Option<Standing>,
    stall: Stall,
    /// Dropped with the outbox: the task that reads sees it.
    _open: oneshot::Sender<Infallible>,
}

impl Outbox {
    /// An outbox; `open` is dropped with it.
    pub(crate) fn new(queue: Arc<Queue>, presence: Arc<Presence>, open: oneshot::Sender<Infallible>) -> Self {
        Self { queue, presence, accepted: None, stall: Stall::default(), _open: open }
    }

    /// Queues a message.
    ///
    /// # Errors
    /// Why the worker is to be given up.
    pub(crate) fn send(&self, message: Outgoing) -> Result<(), SendError> {
        self.queue.push(message)
    }

    /// The worker is a member or a spare from now on.
    pub(crate) fn accept(&mut self) {
        self.accepted = Some(self.presence.accept());
    }

    /// Bytes of gradients that have come on the connection.
    pub(crate) fn arrived(&self) -> u64 {
        self.presence.arrived()
    }

    /// For how long the connection has taken no byte while something waits. To be asked at least every `look_us`.
    pub(crate) fn stalled_us(&mut self, now_us: u64, look_us: u64) -> u64 {
        let is_due = !self.queue.lock().waiting.is_empty();
        self.stall.look(now_us, look_us, self.presence.written(), is_due)
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.queue.lock().is_closed = true;
        self.queue.changed.notify_one();
    }
}

/// Between the driver, the task that reads and the stream.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Outgoing>,
    /// Of the samples in it.
    bytes: usize,
    /// Nothing more comes.
    is_closed: bool,
    /// Nobody takes anything any more.
    is_abandoned: bool,
}

impl Queue {
    /// Puts something at the end; what it makes useless goes.
    ///
    /// # Errors
    /// When it is too much, or in vain.
    pub(crate) fn push(&self, new: Outgoing) -> Result<(), SendError> {
        let mut state = self.lock();
        if state.is_abandoned {
            return Err(SendError::Closed);
        }
        match &new {
            // Whatever comes first is as good a sign of life.
            Outgoing::Message(CoordinatorMessage::Heartbeat) if !state.waiting.is_empty() => return Ok(()),
            Outgoing::Message(CoordinatorMessage::Piece(piece)) => {
                state.keep(|old| !matches!(piece_of(old), Some(old) if old.round < piece.round));
            }
            Outgoing::Parameters(_) => {
                // Pieces are queued behind their own parameters: those that are here are of earlier ones.
                state.keep(|old| !matches!(old, Outgoing::Parameters(_)) && piece_of(old).is_none());
            }
            Outgoing::Message(_) => {}
        }
        let bytes = bytes_of(&new);
        let is_too_much = state.bytes > 0 && state.bytes + bytes > OUTBOX_BYTES_MAX;
        if state.waiting.len() >= OUTBOX_MESSAGES || is_too_much {
            return Err(SendError::Full);
        }
        state.bytes += bytes;
        state.waiting.push_back(new);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for the next; `None` when no more comes.
    async fn next(&self) -> Option<Outgoing> {
        loop {
            {
                let mut state = self.lock();
                if let Some(next) = state.waiting.pop_front() {
                    state.bytes -= bytes_of(&next);
                    return Some(next);
                }
                if state.is_closed {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn keep(&mut self, is_of_use: impl Fn(&Outgoing) -> bool) {
        self.waiting.retain(is_of_use);
        self.bytes = self.waiting.iter().map(bytes_of).sum();
    }
}

/// What is to be sent, in order, until the outbox is dropped.
pub(crate) fn stream(queue: Arc<Queue>) -> impl Stream<Item = Outgoing> {
    stream::unfold(Taker(queue), |taker| async { Some((taker.0.next().await?, taker)) })
}

/// The stream's end of the queue.
struct Taker(Arc<Queue>);

impl Drop for Taker {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_abandoned = true;
        state.keep(|_| false);
    }
}

fn piece_of(outgoing: &Outgoing) -> Option<&Piece> {
    match outgoing {
        Outgoing::Message(CoordinatorMessage::Piece(piece)) => Some(piece),
        _ => None,
    }
}

fn bytes_of(outgoing: &Outgoing) -> usize {
    let samples = piece_of(outgoing).into_iter().flat_map(|piece| &piece.leaves);
    samples.map(|samples| samples.pixels().len() + size_of_val(samples.labels())).sum()
}

#[cfg(test)]
mod tests;
