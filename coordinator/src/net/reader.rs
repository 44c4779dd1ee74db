//! The task of one connection: waits for its hello, and reads what follows until its end.
//!
//! 1. A connection has [`HELLO_TIMEOUT`] to send its hello.
//! 2. Its task ends with the peer's stream, or when the driver drops its [`Outbox`].
//! 3. Once both sides have switched to pipes, the stream is only watched for its end.

use super::accept::Limits;
use super::access::Access;
use super::incoming::{Incoming, flood};
use super::outbox::{Outbox, Outgoing};
use super::pending;
use super::pipes::{self, PipeTasks};
use crate::mailbox::Input;
use common::protocol::coordinator::{Disconnect, ProtocolError};
use proto::message::{CoordinatorMessage, Hello, WorkerMessage};
use proto::wire::FromWorker;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tonic::{Status, Streaming};

/// Longest time from opening a stream to the hello on it.
const HELLO_TIMEOUT: Duration = pending::HANDSHAKE_TIMEOUT;
/// Time for a worker to read its last message and go, after the driver has closed its stream; and for what
/// it has sent on its pipe to be read, after its stream has ended.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// A name that only a worker on the local socket may have.
#[derive(Debug, thiserror::Error)]
#[error(
    "the name {0} is kept for a worker that this coordinator starts itself; give this one another with --name"
)]
struct Reserved(String);

/// What a connection's task owns.
pub(super) struct Reader {
    pub(super) reserved: Arc<BTreeSet<String>>,
    pub(super) wire: Streaming<FromWorker>,
    pub(super) incoming: Incoming,
    pub(super) limits: Arc<Limits>,
    /// Whose tokens workers need, if they do.
    pub(super) access: Option<Arc<Access>>,
    pub(super) pipes: PipeTasks,
}

impl Reader {
    /// Reads until the peer or the driver ends the connection.
    pub(super) async fn run(mut self, outbox: Outbox, mut closed: oneshot::Receiver<Infallible>) {
        let connection = self.incoming.connection;
        match tokio::time::timeout(HELLO_TIMEOUT, self.hello()).await {
            Ok(Ok(hello)) => {
                let hello = Input::Hello { connection, hello, outbox };
                if self.incoming.inbox.send(hello).await.is_err() {
                    return;
                }
            }
            Ok(Err(Some(reason))) => {
                self.limits.note(|left_out| {
                    tracing::warn!(connection, reason, left_out, "refused a connection");
                });
                // The connection is over, whether or not the worker reads this.
                let _ = outbox.send(Outgoing::Message(CoordinatorMessage::Refused { reason, retry: false }));
                return;
            }
            Ok(Err(None)) => return,
            Err(_) => {
                self.limits.note(|left_out| {
                    tracing::warn!(connection, left_out, "closed a connection that sent no hello");
                });
                return;
            }
        }
        let end = tokio::select! {
            end = self.forward() => end,
            _ = &mut closed => return drain(self.wire).await,
        };
        let inbox = self.incoming.inbox.clone();
        let (end, wire) = match end {
            Ok(pipe) => match self.watch(pipe, closed).await {
                (Some(end), wire) => (end, wire),
                (None, wire) => return drain(wire).await,
            },
            Err(end) => (end, self.wire),
        };
        // The receiver is gone only when the run is over: then a last message is on its way.
        if inbox.send(end).await.is_err() {
            drain(wire).await;
        }
    }

    /// Reads the first message.
    ///
    /// # Errors
    /// When it is no hello: the reason, or nothing when the stream has ended.
    async fn hello(&mut self) -> Result<Hello, Option<String>> {
        let Ok(Some(wire)) = self.wire.message().await else { return Err(None) };
        match self.incoming.decoder.decode(wire) {
            Ok(Some(WorkerMessage::Hello(hello))) if self.reserved.contains(&hello.name) => {
                Err(Some(Reserved(hello.name).to_string()))
            }
            Ok(Some(WorkerMessage::Hello(hello))) => {
                if let (Some(access), Some(key)) = (&self.access, self.incoming.state.key()) {
                    access.join(&key.token, hello.instance.0).await.map_err(|why| Some(why.to_string()))?;
                }
                Ok(hello)
            }
            Ok(_) => Err(Some("the first message must be a hello".to_owned())),
            Err(error) => Err(Some(error.to_string())),
        }
    }

    /// Takes every message of the stream until they go on in a pipe.
    ///
    /// # Errors
    /// When the stream ends before: the last input.
    async fn forward(&mut self) -> Result<OwnedFd, Input> {
        loop {
            let wire = match self.wire.message().await {
                Ok(Some(wire)) => wire,
                ended => return Err(self.ended(ended)),
            };
            if let Some(pipe) = self.incoming.take(wire).await? {
                return Ok(pipe);
            }
        }
    }

    /// The last input of a stream that has ended, or has gone on after its end.
    fn ended(&self, ended: Result<Option<FromWorker>, Status>) -> Input {
        last_input(self.incoming.connection, self.incoming.state.excess().as_ref(), ended)
    }

    /// Has the pipe read, and watches the stream meanwhile. Returns the last input; `None` when the driver
    /// has closed the connection.
    async fn watch(
        self,
        pipe: OwnedFd,
        closed: oneshot::Receiver<Infallible>,
    ) -> (Option<Input>, Streaming<FromWorker>) {
        let Self { mut wire, incoming, pipes, .. } = self;
        let connection = incoming.connection;
        let state = Arc::clone(&incoming.state);
        let mut reading = pipes.spawn(pipes::read(pipe, incoming, Handle::current()));
        let end = tokio::select! {
            Some(Ok(end)) = reading.join_next() => end,
            ended = wire.message() => {
                let end = last_input(connection, state.excess().as_ref(), ended);
                // What came before the end is still to be read.
                match tokio::time::timeout(DRAIN_TIMEOUT, reading.join_next()).await {
                    Ok(Some(Ok(last))) if matches!(end, Input::Ended { .. }) => last,
                    _ => end,
                }
            }
            _ = closed => return (None, wire),
            // The driver's runtime has ended.
            else => Input::Ended { connection, why: Disconnect::RunOver },
        };
        (Some(end), wire)
    }
}

/// Reads and ignores everything until the worker closes its side. If bytes were unread when this side closed,
/// the connection would be reset, and the worker's system might discard the last message.
async fn drain(mut wire: Streaming<FromWorker>) {
    let rest = async { while let Ok(Some(_)) = wire.message().await {} };
    // A worker that goes on sending is cut off.
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, rest).await;
}

fn last_input(
    connection: u64,
    excess: Option<&pending::Excess>,
    ended: Result<Option<FromWorker>, Status>,
) -> Input {
    match (ended, excess) {
        // It is no offence: the operator has closed the connection.
        (Err(_), Some(revoked @ pending::Excess::Revoked)) => {
            Input::Ended { connection, why: Disconnect::Broken { what: revoked.to_string() } }
        }
        (Ok(None), _) => Input::Ended { connection, why: Disconnect::Closed },
        (Err(_), Some(excess)) => Input::Invalid { connection, what: flood(excess) },
        (Err(status), None) => {
            let what = status.message().to_owned();
            Input::Ended { connection, why: Disconnect::Broken { what } }
        }
        (Ok(Some(_)), _) => {
            let what = "a message on the stream after the switch to pipes".to_owned();
            Input::Invalid { connection, what: ProtocolError::Malformed { what } }
        }
    }
}
