//! What a cluster asks its driver to do.

use super::RoundTimes;
use common::event::Event;
use common::ids::{Incarnation, ParamsId, Process, Rank, Round, SetupId};
use common::protocol::coordinator::{Cause, Refusal};
use common::reduce::tree::{Inserted, Node};

/// One thing to be done.
#[allow(missing_docs, reason = "field names say all")]
#[derive(Clone, Debug, PartialEq)]
pub enum Output<V> {
    /// Send a message. If that fails the worker is gone.
    Send { connection: u64, message: Message },
    /// Send a last message and close the connection.
    Close { connection: u64, last: Farewell },
    /// Read the gradient that waits on this connection.
    Enter { connection: u64 },
    /// Tell all observers of the run.
    Tell { run: SetupId, event: Event },
    /// Remember that this worker has a place.
    Joined { process: Process },
    /// An answer was added to the round's sum.
    Added { run: SetupId, from: Incarnation, node: Node, inserted: Inserted },
    /// The round is complete.
    Complete {
        run: SetupId,
        round: Round,
        sum: V,
        /// Answers whose numbers were out of line, whatever came of them.
        out_of_line: u32,
        times: RoundTimes,
    },
    /// Begin the round again without this worker, whose answers must not stay in any sum.
    Anew { run: SetupId, piece: Node, worker: String, process: Process, contradicted_by: [String; 2] },
    /// Stop the run: workers agree that this leaf is not finite.
    NonFinite { run: SetupId, leaf: u32, workers: Vec<String> },
    /// Stop the run: workers give one piece different bits.
    Disputed { run: SetupId, piece: Node, workers: Vec<String> },
}

/// A message to a worker, without what it carries.
#[allow(missing_docs, reason = "field names say all")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    Welcome {
        incarnation: Incarnation,
        rank: Rank,
    },
    Spare {
        incarnation: Incarnation,
        ahead: u32,
    },
    Setup(SetupId),
    /// The run of this setup is over.
    Forget(SetupId),
    Parameters(SetupId, ParamsId),
    Piece {
        round: Round,
        node: Node,
        setup: SetupId,
        parameters: ParamsId,
    },
    Heartbeat,
}

/// The last message on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// The worker is not admitted.
    Refused(Refusal),
    /// The worker is no member any more.
    Dropped(Cause),
    /// The run is complete.
    Finished,
    /// The coordinator stops, and may come back.
    Stopped,
    /// The run has failed.
    Failed,
}
