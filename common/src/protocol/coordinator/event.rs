//! Events that the coordinator's machine takes, and actions that it returns. Decides nothing.

use super::{OtherArithmetic, QUARANTINE_AFTER};
use crate::ids::{Incarnation, Instance, Rank, Round};
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
        /// The worker's process, whatever its name; a second connection of it replaces the first.
        instance: Instance,
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
    Invalid(Incarnation, String),
    /// A member's connection was lost.
    Gone(Incarnation, String),
    /// The driver found a reason to drop a member or a spare.
    GiveUp(Incarnation, Cause),
    /// A member leaves and hands back its pieces.
    Leave(Incarnation),
    /// The driver has parameters and leaves for the next round; the one before is complete.
    Begin {
        /// Number of the round, higher than all before.
        round: Round,
        /// Leaves of the round, at least 1.
        leaves: u32,
    },
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

/// Why a member or a spare was dropped.
#[allow(missing_docs, reason = "field names say all")]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// Nothing arrived for the heartbeat timeout.
    #[error("nothing heard for {} ms", silent_us / 1000)]
    Silent { silent_us: u64 },
    /// Heartbeats arrived, but no answer.
    #[error("no answer to round {round} piece {node} for {} ms", waited_us / 1000)]
    NoAnswer { round: Round, node: Node, waited_us: u64 },
    /// The worker sent an invalid message.
    #[error("sent something invalid: {0}")]
    Invalid(String),
    /// An answer held NaN or infinity.
    #[error("answered round {round} piece {node} with a non-finite number")]
    NonFinite { round: Round, node: Node },
    /// An answer was out of line, and another worker, or the same one, gave other bits.
    #[error("answered round {round} piece {node} with numbers out of line, which nobody else got")]
    OutOfLine { round: Round, node: Node },
    /// Two other workers agree on other bits for a piece.
    #[error("miscomputes: two other workers gave round {round} piece {node} other bits than it did")]
    Miscomputed { round: Round, node: Node },
    /// The stream broke.
    #[error("connection lost: {0}")]
    Gone(String),
    /// The worker reads nothing of what it is sent.
    #[error("takes nothing of what it is sent: no byte for {} ms, and more waits", still_us / 1000)]
    NotReading { still_us: u64 },
    /// An announced gradient, for which budget was reserved, does not arrive.
    #[error("its gradient for piece {node} does not arrive: {bytes} bytes in {} ms", took_us / 1000)]
    Stalled {
        node: Node,
        /// Bytes that arrived in `took_us`.
        bytes: u64,
        took_us: u64,
    },
    /// The worker said goodbye.
    #[error("left")]
    Left,
    /// The same worker process connected again.
    #[error("replaced by a new connection of the same worker")]
    Replaced,
    /// The run's arithmetic was settled after the worker had joined, and differs from its own.
    #[error(transparent)]
    Numerics(OtherArithmetic),
}

impl Cause {
    /// Whether only a faulty worker can cause this.
    #[must_use]
    pub fn is_offence(&self) -> bool {
        matches!(
            self,
            Self::Invalid(_) | Self::NonFinite { .. } | Self::OutOfLine { .. } | Self::Miscomputed { .. }
        )
    }
}

/// Why a newcomer is refused.
#[allow(missing_docs, reason = "field names say all")]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No place is free, neither a member's nor a spare's.
    #[error("all {max} places are taken, and {spares} spares wait for one")]
    Full { max: u32, spares: u32 },
    /// The worker's arithmetic differs from the run's.
    #[error(transparent)]
    Numerics(OtherArithmetic),
    /// Another process is connected under the same name.
    #[error(
        "another worker is connected under the name {name}; try again once it is gone (one whose connection broke silently \
         is, after --heartbeat-timeout), or give this worker another name with --name"
    )]
    NameTaken { name: String },
    /// An audit found that the worker computes wrongly.
    #[error(
        "this worker miscomputes: two others agreed on other bits than it gave; check its machine (a restart of the worker \
         is another worker)"
    )]
    Miscomputes,
    /// The worker was dropped too often for what it sent.
    #[error(
        "quarantined: worker {name} was dropped {QUARANTINE_AFTER} times for an invalid or non-finite answer; check its \
         machine and its build, then start it again"
    )]
    Quarantined { name: String },
}

impl Refusal {
    /// Whether a later attempt may be admitted.
    #[must_use]
    pub fn may_retry(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::NameTaken { .. })
    }
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
    Doubted { from: Incarnation, node: Node },
    /// Report that the next accepted answer is out of line but confirmed.
    Confirmed {
        from: Incarnation,
        node: Node,
        /// Names of the workers that gave the same answer before.
        by: Vec<String>,
    },
    /// Add this answer to the reduction.
    Accept { from: Incarnation, node: Node },
    /// Discard this answer: it is late, or a backup task's.
    Discard { from: Incarnation },
    /// Close the member's stream if it is still open, and report the cause.
    Removed {
        member: Incarnation,
        cause: Cause,
        /// Pieces that went back to the queue.
        returned: Vec<Node>,
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
    /// that contributed to it.
    Anew {
        round: Round,
        node: Node,
        /// Name of the worker that miscomputes.
        worker: String,
        instance: Instance,
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
