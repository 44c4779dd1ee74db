//! The driver's inputs: from the stream and the compute threads. Decides nothing.

use crate::pool::Outcome;
use proto::message::CoordinatorMessage;

/// Most inputs that wait for the driver; senders wait when it is full.
pub(crate) const INBOX: usize = 256;

/// An input of the driver.
#[allow(missing_docs, reason = "field names say all")]
#[derive(Debug)]
pub enum Input {
    /// A message or a part of one has arrived.
    Message {
        dial: u64,
        /// A whole message, or `None` for a part of one.
        message: Option<Box<CoordinatorMessage>>,
    },
    /// A stream has ended.
    Ended { dial: u64, why: String },
    /// A compute thread has finished a piece, or failed.
    Pool(Outcome),
}
