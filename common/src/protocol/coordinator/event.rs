//! Events that the coordinator's machine takes, and actions that it returns. Decides nothing.

use super::member::Piece;
use super::{Cause, Disconnect, OtherArithmetic, ProtocolError, Refusal};
use crate::ids::{Incarnation, Instance, KeyId, Network, Process, Rank, Round, SetupId};
use crate::reduce::tree::Node;
use crate::selftest::NumericsDigest;

/// The result of checking an answer, with the checksum of all its numbers.
#[allow(missing_docs, reason = "field names say all")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every number is finite.
    Finite { checksum: u32 },
    /// Every number is finite, but one is so large that a machine's fault is likelier than the data.
    OutOfLine { checksum: u32 },
    /// At least one number is not finite.
    NonFinite { checksum: u32 },
}

/// Input of the machine.
#[allow(missing_docs, reason = "field names say all")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A worker introduced itself.
    Join {
        /// The driver's number for the connection.
        connection: u64,
        /// Label for people; refused while another process has it.
        name: String,
        /// The key that the worker has proved on this connection, if it is of a kind that has keys.
        key: Option<KeyId>,
        /// The number that the worker says its process has drawn. A second connection with the same key and
        /// number replaces the first.
        instance: Instance,
        /// Address from which the worker has connected; `None` on a Unix socket.
        address: Option<Network>,
        /// Leaves that the worker computes at the same time, at least 1.
        threads: u32,
        /// Digest of the worker's self-test.
        numerics: NumericsDigest,
    },
    /// Anything valid arrived from a member or a spare.
    Heard(Incarnation),
    /// A part of a member's answer arrived, or waits for the gradient budget: the member is working.
    Arriving(Incarnation),
    /// A member answered a piece.
    Result {
        from: Incarnation,
        /// The round for which the piece was computed.
        round: Round,
        node: Node,
        verdict: Verdict,
    },
    /// A member sent an invalid message.
    Invalid(Incarnation, ProtocolError),
    /// A member's connection was lost.
    Gone(Incarnation, Disconnect),
    /// The driver found a reason to drop a member or a spare.
    GiveUp(Incarnation, Cause),
    /// A member leaves and hands back its pieces.
    Leave(Incarnation),
    /// The driver has parameters and leaves for the next round of a run; the run's round before is complete.
    Begin {
        /// The run, by its setup.
        run: SetupId,
        /// Number of the round, higher than all before of any run.
        round: Round,
        /// Leaves of the round, at least 1.
        leaves: u32,
    },
    /// The run begins no further round. One that is open is given up.
    End(SetupId),
    /// A deadline may have passed.
    Tick,
}

/// Why a piece is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// No other member computes any of its leaves.
    Primary,
    /// Backup task: another member computes it and is late.
    Backup,
    /// Another member's answer was accepted, and the two are to be compared.
    Audit,
    /// Another member's answer was out of line or not finite.
    Opinion,
}

/// What the driver must do.
#[allow(missing_docs, reason = "field names say all")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Admit a newcomer's or a spare's connection as this member.
    Welcome { connection: u64, incarnation: Incarnation, rank: Rank },
    /// Tell the connection that it is a spare, and waits for a member's place.
    Spare {
        connection: u64,
        /// The spare's number, which it keeps as a member.
        incarnation: Incarnation,
        /// Spares that will become members before this one.
        ahead: u32,
    },
    /// Refuse the connection and close it.
    Refuse { connection: u64, refusal: Refusal },
    /// Send the piece's samples, after the round's parameters.
    Grant { to: Incarnation, round: Round, node: Node, purpose: Purpose },
    /// Discard this out-of-line answer and report it: the piece is computed again.
    Doubted { from: Incarnation, round: Round, node: Node },
    /// Report that the next accepted answer is out of line but confirmed.
    Confirmed {
        from: Incarnation,
        round: Round,
        node: Node,
        /// Names of the workers that gave the same answer before.
        by: Vec<String>,
    },
    /// Add this answer to the reduction.
    Accept { from: Incarnation, round: Round, node: Node },
    /// Discard this answer: it is late, or a backup task's.
    Discard { from: Incarnation },
    /// Close the member's stream if it is still open, and report the cause.
    Removed {
        member: Incarnation,
        cause: Cause,
        /// Pieces that went back to the queue.
        returned: Vec<Piece>,
    },
    /// Report that a worker with another arithmetic is admitted.
    OtherNumerics { name: String, differs: OtherArithmetic },
    /// Report that this worker is refused from now on.
    Quarantined { name: String },
    /// Every leaf of the round has been accepted, and every audit made.
    Complete(Round),
    /// Report that pieces go unaudited, because no second worker can audit them.
    AuditWaits,
    /// Begin this round again under a higher number and discard its sum: two other workers contradict one
    /// that may have contributed to it.
    Anew {
        round: Round,
        /// The piece that the worker got wrong, of this round or of another that was open.
        wrong: Piece,
        /// Name of the worker that miscomputes.
        worker: String,
        process: Process,
        /// Names of the workers that contradict it.
        right: [String; 2],
    },
    /// Stop: workers gave different bits for one piece, and nobody can tell who is right.
    Disputed {
        round: Round,
        node: Node,
        /// Names of the workers that answered, in that order.
        workers: Vec<String>,
    },
    /// Report that the run waits for members.
    Waiting { live: u32, needed: u32 },
    /// Stop: enough workers agree that this leaf's loss or gradient is not finite.
    NonFinite { round: Round, leaf: u32, workers: Vec<String> },
}
