//! The driver's inputs: from the connections, the runs' checkpoint threads and the operator. Decides nothing.

use crate::cluster::Farewell;
use crate::net::outbox::Outbox;
use crate::run::in_progress::{Over, RunInProgress};
use crate::store::Saved;
use crate::store::writer::Done;
use common::ids::Round;
use common::protocol::coordinator::{Disconnect, ProtocolError};
use common::reduce::tree::Node;
use common::selftest::NumericsDigest;
use proto::message::{Hello, ReceivedMessage};
use std::fmt;
use tokio::sync::oneshot;

/// Most inputs that wait for the driver; senders wait when it is full. It is small, because each may hold a
/// gradient.
pub(crate) const INBOX: usize = 16;

/// An input of the driver.
#[derive(Debug)]
pub(crate) enum Input {
    /// A connection has sent its hello.
    Hello { connection: u64, hello: Hello, outbox: Outbox },
    /// A large gradient is about to arrive; its stream waits until `enter` is dropped.
    Announced { connection: u64, round: Round, node: Node, enter: oneshot::Sender<()> },
    /// A message or a part of one has arrived.
    Message { connection: u64, message: Option<ReceivedMessage> },
    /// Something invalid has arrived.
    Invalid { connection: u64, what: ProtocolError },
    /// The stream has ended.
    Ended { connection: u64, why: Disconnect },
    /// A run is to begin.
    Start(Box<Start>),
    /// A run's checkpoint thread has written a checkpoint, or searched earlier ones.
    Done(RunNumber, Done),
    /// An operator has asked a run to stop.
    Stop(RunNumber),
    /// All workers that this coordinator started have ended.
    NoLocalWorkers,
    /// No worker can connect any more.
    ServerFailed { address: String, what: String },
    /// The driver is to end, with this last word to all workers.
    Close(Farewell),
}

/// The number of a run among all that a driver has had. Unlike the number of its setup it is never used
/// again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunNumber(pub(crate) u64);

/// A run that is to begin.
pub(crate) struct Start {
    pub(crate) number: RunNumber,
    pub(crate) run: RunInProgress,
    /// The arithmetic that its checkpoint records, where it goes on from one that does.
    pub(crate) numerics: Option<NumericsDigest>,
    /// The checkpoint that it goes on from.
    pub(crate) resumed: Option<Saved>,
    /// Who waits for its end.
    pub(crate) over: oneshot::Sender<Over>,
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Start").field("number", &self.number).finish_non_exhaustive()
    }
}
