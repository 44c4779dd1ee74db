//! Reasons for dropping or refusing a worker. The rules decide by them, logs and metrics show them, and the
//! worker is told.
//!
//! Each reason is a value that a test or a metric's label can match; its text is for people.

use super::{KEY_QUARANTINE_AFTER, OtherArithmetic, QUARANTINE_AFTER};
use crate::ids::{Incarnation, Round, SetupId};
use crate::reduce::tree::Node;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Reason why a member or a spare is removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "field names say all")]
pub enum Cause {
    /// Nothing was heard of the worker for too long.
    #[error("nothing heard for {} ms", silent_us / 1000)]
    Silent { silent_us: u64 },
    /// The worker sends heartbeats, but no answers.
    #[error("no answer to round {round} piece {node} for {} ms", waited_us / 1000)]
    NoAnswer { round: Round, node: Node, waited_us: u64 },
    /// The worker sent a message that is not valid.
    #[error("sent something invalid: {0}")]
    Invalid(ProtocolError),
    /// The worker answered with NaN or infinity.
    #[error("answered round {round} piece {node} with a non-finite number")]
    NonFinite { round: Round, node: Node },
    /// The worker answered with outlying numbers, and another worker, or itself, computed other bits.
    #[error("answered round {round} piece {node} with numbers out of line, which nobody else got")]
    OutOfLine { round: Round, node: Node },
    /// Two other workers agree on other bits than the worker's for a piece.
    #[error("miscomputes: two other workers gave round {round} piece {node} other bits than it did")]
    Miscomputed { round: Round, node: Node },
    /// The connection was lost.
    #[error("connection lost: {0}")]
    Gone(Disconnect),
    /// The worker does not read what it is sent.
    #[error("takes nothing of what it is sent: no byte for {} ms, and more waits", still_us / 1000)]
    NotReading { still_us: u64 },
    /// A gradient that the worker announced, and for which memory was reserved, does not arrive.
    #[error("its gradient for piece {node} does not arrive: {bytes} bytes in {} ms", took_us / 1000)]
    Stalled {
        node: Node,
        /// Number of bytes that have arrived.
        bytes: u64,
        /// Time since the announcement, in microseconds.
        took_us: u64,
    },
    /// The worker said goodbye.
    #[error("left")]
    Left,
    /// The same worker connected again.
    #[error("replaced by a new connection of the same worker")]
    Replaced,
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

/// Reason why a newcomer is not admitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "field names say all")]
pub enum Refusal {
    /// All places are taken, those of spares too.
    #[error("all {max} places are taken, and {spares} spares wait for one")]
    Full {
        /// Number of places for members.
        max: u32,
        /// Number of places for spares.
        spares: u32,
    },
    /// The worker computes other bits than the program.
    #[error(transparent)]
    Numerics(OtherArithmetic),
    /// Another process uses the same name.
    #[error(
        "another worker is connected under the name {name}; try again once it is gone (one whose connection broke silently \
         is, after --heartbeat-timeout), or give this worker another name with --name"
    )]
    NameTaken { name: String },
    /// An audit found that the worker miscomputes.
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
    /// Several workers with the same key were quarantined, or found to miscompute.
    #[error(
        "{KEY_QUARANTINE_AFTER} workers with this token's key were quarantined or found to miscompute; check their \
         machines, give the honest ones a new token (coordinator token new NAME), and revoke this one"
    )]
    KeyQuarantined,
}

impl Refusal {
    /// Whether connecting again may help.
    #[must_use]
    pub fn may_retry(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::NameTaken { .. })
    }
}

/// A message that a correct worker never sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "field names say all")]
pub enum ProtocolError {
    /// A spare, which has no pieces, sent an answer.
    #[error("an answer to piece {node} of round {round}, but it is a spare")]
    AnswerOfSpare { round: Round, node: Node },
    /// An answer belongs to a round that has not begun.
    #[error("an answer to round {round}, which has not begun")]
    RoundNotBegun { round: Round },
    /// An answer belongs to a piece that another worker has.
    #[error("an answer to piece {node} of round {round}, which it was not given")]
    AnswerNotGiven { round: Round, node: Node },
    /// A gradient is announced for a piece that another worker has.
    #[error("a gradient for piece {node} of round {round}, which it was not given")]
    GradientNotGiven { round: Round, node: Node },
    /// An answer carries the incarnation of another member, or an earlier one.
    #[error("an answer of incarnation {got}, but it is {expected}")]
    OtherIncarnation {
        /// Incarnation of the sender.
        expected: Incarnation,
        /// Incarnation in the answer.
        got: Incarnation,
    },
    /// An answer was computed with the setup of another run.
    #[error("an answer of setup {got} for piece {node}, which has setup {expected}")]
    OtherSetup {
        node: Node,
        /// Setup of the piece.
        expected: SetupId,
        /// Setup of the answer.
        got: SetupId,
    },
    /// An answer covers another number of samples than the piece has.
    #[error("{got} samples for piece {node}, which has {expected}")]
    Samples {
        node: Node,
        /// Number of samples in the piece.
        expected: u64,
        /// Number of samples in the answer.
        got: u64,
    },
    /// An answer has another kind of value than its round asks for, such as counts in a training step.
    #[error("an answer of the wrong kind for piece {node}, of a round that asks for {expected}")]
    AnswerKind {
        node: Node,
        /// Kind of answer that the round asks for.
        expected: AnswerKind,
    },
    /// The worker sent a second hello.
    #[error("a second hello")]
    SecondHello,
    /// The worker sent more frames, bytes or small messages than it may.
    #[error("{what}")]
    Flood {
        /// The exceeded limit, in words.
        what: String,
    },
    /// The bytes are not a valid message.
    #[error("{what}")]
    Malformed {
        /// The decoder's error message.
        what: String,
    },
}

/// Kind of answer that a round asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerKind {
    /// A sum of gradients.
    Gradient,
    /// A confusion matrix.
    Confusion,
    /// Guesses of samples.
    Guesses,
}

impl fmt::Display for AnswerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gradient => "a gradient",
            Self::Confusion => "a confusion matrix",
            Self::Guesses => "guesses",
        })
    }
}

/// The way in which a connection was lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Disconnect {
    /// The worker ended its stream without a goodbye.
    #[error("it closed its stream")]
    Closed,
    /// The transport reports an error.
    #[error("{what}")]
    Broken {
        /// The transport's error message.
        what: String,
    },
    /// Too many bytes wait to be sent to the worker.
    #[error("it does not read what it is sent")]
    Backlog,
    /// The stream can't be written any more.
    #[error("its stream is closed")]
    SendClosed,
    /// The run is over.
    #[error("the run is over")]
    RunOver,
}
