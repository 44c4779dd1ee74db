//! What reaches the driver, from the connections, the checkpoint writer and the operator. Decides nothing.

use crate::net::outbox::Outbox;
use crate::store::writer::{Done, LookedBack, Written};
use common::ids::Round;
use common::protocol::coordinator::{Disconnect, ProtocolError};
use common::reduce::tree::Node;
use proto::message::{Hello, WorkerMessage};
use tokio::sync::oneshot;

/// Inputs that wait for the driver; senders wait when it is full. Few: each may be a whole gradient.
pub(crate) const INBOX: usize = 16;

/// What reaches the driver.
#[derive(Debug)]
pub(crate) enum Input {
    /// A connection has introduced itself.
    Hello { connection: u64, hello: Hello, outbox: Outbox },
    /// A large gradient is about to arrive; its stream waits until `enter` is dropped.
    Announced { connection: u64, round: Round, node: Node, enter: oneshot::Sender<()> },
    /// Something arrived: a whole message, or a part of one.
    Message { connection: u64, message: Option<WorkerMessage> },
    /// Something arrived that can't be.
    Invalid { connection: u64, what: ProtocolError },
    /// The stream is over.
    Ended { connection: u64, why: Disconnect },
    /// A checkpoint has been written, or not.
    Written(Written),
    /// Earlier checkpoints have been looked at.
    LookedBack(Box<LookedBack>),
    /// An operator asks for an end.
    Stop,
    /// No worker that this coordinator has started is left.
    NoLocalWorkers,
}

impl From<Done> for Input {
    fn from(done: Done) -> Self {
        match done {
            Done::Written(written) => Self::Written(written),
            Done::LookedBack(found) => Self::LookedBack(found),
        }
    }
}
