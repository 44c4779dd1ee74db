//! The messages that wait for one worker, bounded in number, bytes and versions of the parameters.
//!
//! Nothing obsolete waits. Newer parameters of a setup replace older ones. A piece is removed when one of a
//! later round or newer parameters of its setup arrive, or the setup is to be forgotten: its round is over.
//! So an outbox holds at most one version of each setup's parameters, and its run holds another. The driver
//! drops a worker that reads nothing for too long; it asks [`Outbox::stalled_us`].

use crate::net::pending::{AcceptedMark, ConnectionState};
use crate::stall::Stall;
use common::ids::{KeyId, Network, SetupId};
use common::protocol::coordinator::Disconnect;
use proto::message::{CoordinatorMessage, Piece, Sharing, Usage};
use proto::parameters::EncodedParameters;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, oneshot};

/// Most messages that wait for one worker: more than it is ever given in a round.
const OUTBOX_MESSAGES: usize = 256;
/// Most bytes of samples that wait for one worker: those of 80,000 images. Parameters are bounded by their
/// versions.
const OUTBOX_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A message that waits to be sent.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// A message for one worker.
    Message(CoordinatorMessage),
    /// Parameters for all workers, encoded once.
    Parameters(Arc<EncodedParameters>),
}

impl Outgoing {
    /// Whether it is this step of agreeing on what is shared.
    pub(super) fn is(&self, step: Sharing) -> bool {
        matches!(self, Self::Message(CoordinatorMessage::Sharing(own)) if *own == step)
    }
}

/// Why nothing can be sent to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SendError {
    /// Too many messages or bytes wait already.
    #[error("it does not read what it is sent")]
    Full,
    /// The worker's stream has ended.
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
    connection: Arc<ConnectionState>,
    /// Set while the connection is a member's or a spare's.
    accepted: Option<AcceptedMark>,
    stall: Stall,
    /// Dropped with the outbox, which tells the reader's task.
    _open: oneshot::Sender<Infallible>,
}

impl Outbox {
    /// An outbox on `queue`; `open` is dropped with it.
    pub(crate) fn new(
        queue: Arc<Queue>,
        connection: Arc<ConnectionState>,
        open: oneshot::Sender<Infallible>,
    ) -> Self {
        Self { queue, connection, accepted: None, stall: Stall::default(), _open: open }
    }

    /// Queues a message.
    ///
    /// # Errors
    /// When the worker must be given up.
    pub(crate) fn send(&self, message: Outgoing) -> Result<(), SendError> {
        self.queue.push(message)
    }

    /// Marks the connection as a member's or a spare's from now on.
    pub(crate) fn accept(&mut self) {
        self.accepted = Some(self.connection.accept());
    }

    /// Bytes of gradients that have arrived on the connection.
    pub(crate) fn arrived(&self) -> u64 {
        self.connection.arrived()
    }

    /// Bytes of messages that the connection has taken.
    pub(crate) fn sent(&self) -> u64 {
        self.connection.written()
    }

    /// The other end: its network or address, and the key that it has proved.
    pub(crate) fn peer(&self) -> (Option<Network>, Option<KeyId>) {
        let key = self.connection.key().map(|key| KeyId(key.pin.short()));
        let number = |network: IpAddr| match network {
            IpAddr::V4(address) => Network(address.to_ipv6_mapped().to_bits()),
            IpAddr::V6(address) => Network(address.to_bits()),
        };
        (self.connection.network().map(number), key)
    }

    /// What the worker said last that it uses.
    pub(crate) fn usage(&self) -> Usage {
        self.connection.usage()
    }

    /// How long the connection has taken no byte while something waits. Must be called at least every
    /// `look_us`.
    pub(crate) fn stalled_us(&mut self, now_us: u64, look_us: u64) -> u64 {
        let is_due = !self.queue.lock().waiting.is_empty();
        self.stall.look(now_us, look_us, self.connection.written(), is_due)
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.queue.lock().is_closed = true;
        self.queue.changed.notify_one();
    }
}

/// The queue between the driver, the reader's task and the stream.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Outgoing>,
    /// Bytes of the samples in `waiting`.
    bytes: usize,
    /// Whether the driver has dropped the outbox.
    is_closed: bool,
    /// Whether the stream has ended, so that nothing is taken any more.
    is_abandoned: bool,
}

impl Queue {
    /// Appends a message, and removes those that it makes obsolete.
    ///
    /// # Errors
    /// When too much waits, or nothing is taken any more.
    pub(crate) fn push(&self, new: Outgoing) -> Result<(), SendError> {
        let mut state = self.lock();
        if state.is_abandoned {
            return Err(SendError::Closed);
        }
        match &new {
            // Any message that waits is as good a sign of life.
            Outgoing::Message(CoordinatorMessage::Heartbeat) if !state.waiting.is_empty() => return Ok(()),
            Outgoing::Message(CoordinatorMessage::Piece(piece)) => {
                let is_over = |old: &Piece| old.setup == piece.setup && old.round < piece.round;
                state.keep(|old| !piece_of(old).is_some_and(is_over));
            }
            Outgoing::Parameters(parameters) => {
                // Pieces follow their own parameters: those that wait belong to earlier ones.
                state.keep(|old| setup_of(old) != Some(parameters.setup()));
            }
            Outgoing::Message(CoordinatorMessage::Forget(setup)) => {
                state.keep(|old| setup_of(old) != Some(*setup));
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

    /// Waits for the next message; `None` when no more can come.
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

/// The sender's end of the queue. Once it is dropped nothing more can be queued.
#[derive(Debug)]
pub(super) struct Taker(Arc<Queue>);

impl Taker {
    /// The only one of this queue.
    pub(super) fn of(queue: Arc<Queue>) -> Self {
        Self(queue)
    }

    /// Waits for the next message, in order; `None` once the outbox is dropped and nothing waits.
    pub(super) async fn next(&mut self) -> Option<Outgoing> {
        self.0.next().await
    }

    /// Whether a message waits.
    pub(super) fn has_more(&self) -> bool {
        !self.0.lock().waiting.is_empty()
    }
}

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

/// The setup of parameters or a piece.
fn setup_of(outgoing: &Outgoing) -> Option<SetupId> {
    match outgoing {
        Outgoing::Parameters(parameters) => Some(parameters.setup()),
        Outgoing::Message(_) => piece_of(outgoing).map(|piece| piece.setup),
    }
}

fn bytes_of(outgoing: &Outgoing) -> usize {
    let samples = piece_of(outgoing).into_iter().flat_map(|piece| &piece.leaves);
    samples.map(|samples| samples.pixels().len() + size_of_val(samples.labels())).sum()
}

#[cfg(test)]
mod tests;
