//! The driver's inputs: from the connections, the checkpoint writer and the operator. Decides nothing.

use crate::net::outbox::Outbox;
use crate::store::writer::{Done, LookedBack, Written};
use common::ids::Round;
use common::protocol::coordinator::{Disconnect, ProtocolError};
use common::reduce::tree::Node;
use proto::message::{Hello, ReceivedMessage};
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
    /// A checkpoint has been written, or has failed.
    Written(Written),
    /// The search for an earlier checkpoint has ended.
    LookedBack(Box<LookedBack>),
    /// An operator has asked the run to stop.
    Stop,
    /// All workers that this coordinator started have ended.
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
