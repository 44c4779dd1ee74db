//! Why a worker is dropped or not let in: what the rules decide by, what logs and metrics show, what the
//! worker is told.
//!
//! Each reason is a value that a test or a metric's label can match; its text is for people.

use super::{OtherArithmetic, QUARANTINE_AFTER};
use crate::ids::{Incarnation, Round};
use crate::reduce::tree::Node;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a member, or a spare, is one no longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Nothing was heard of it for too long.
    #[error("nothing heard for {} ms", silent_us / 1000)]
    Silent {
        /// For how long, in microseconds.
        silent_us: u64,
    },
    /// It is heard, and answers nothing.
    #[error("no answer to round {round} piece {node} for {} ms", waited_us / 1000)]
    NoAnswer {
        /// The round.
        round: Round,
        /// The piece.
        node: Node,
        /// For how long, in microseconds.
        waited_us: u64,
    },
    /// It sent something that can't be.
    #[error("sent something invalid: {0}")]
    Invalid(ProtocolError),
    /// It answered with NaN or infinity.
    #[error("answered round {round} piece {node} with a non-finite number")]
    NonFinite {
        /// The round.
        round: Round,
        /// The piece.
        node: Node,
    },
    /// It answered with a number out of line, and another worker, or itself, gave other bits.
    #[error("answered round {round} piece {node} with numbers out of line, which nobody else got")]
    OutOfLine {
        /// The round.
        round: Round,
        /// The piece.
        node: Node,
    },
    /// Two other workers agree on a piece for which it gave other bits.
    #[error("miscomputes: two other workers gave round {round} piece {node} other bits than it did")]
    Miscomputed {
        /// The round.
        round: Round,
        /// The piece.
        node: Node,
    },
    /// Its stream broke.
    #[error("connection lost: {0}")]
    Gone(Disconnect),
    /// It takes nothing of what it is sent.
    #[error("takes nothing of what it is sent: no byte for {} ms, and more waits", still_us / 1000)]
    NotReading {
        /// For how long, in microseconds.
        still_us: u64,
    },
    /// A gradient that it announced, and for which room was kept, does not arrive.
    #[error("its gradient for piece {node} does not arrive: {bytes} bytes in {} ms", took_us / 1000)]
    Stalled {
        /// The piece.
        node: Node,
        /// What came of it.
        bytes: u64,
        /// In how long, in microseconds.
        took_us: u64,
    },
    /// It said goodbye.
    #[error("left")]
    Left,
    /// The same worker connected anew.
    #[error("replaced by a new connection of the same worker")]
    Replaced,
    /// The run's arithmetic was settled after it had come, and is another.
    #[error(transparent)]
    Numerics(OtherArithmetic),
}

impl Cause {
    /// Whether a worker that works as it should can't be dropped for it.
    #[must_use]
    pub fn is_offence(&self) -> bool {
        matches!(
            self,
            Self::Invalid(_) | Self::NonFinite { .. } | Self::OutOfLine { .. } | Self::Miscomputed { .. }
        )
    }
}

/// Why a newcomer is not let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// No place is free, not even a spare's.
    #[error("all {max} places are taken, and {spares} spares wait for one")]
    Full {
        /// How many places there are.
        max: u32,
        /// How many spares there may be.
        spares: u32,
    },
    /// It computes other bits than the run.
    #[error(transparent)]
    Numerics(OtherArithmetic),
    /// Another process has its name.
    #[error(
        "another worker is connected under the name {name}; try again once it is gone (one whose connection broke silently \
         is, after --heartbeat-timeout), or give this worker another name with --name"
    )]
    NameTaken {
        /// The name.
        name: String,
    },
    /// An audit found that it computes wrongly.
    #[error(
        "this worker miscomputes: two others agreed on other bits than it gave; check its machine (a restart of the worker \
         is another worker)"
    )]
    Miscomputes,
    /// It was dropped too often for what it sent.
    #[error(
        "quarantined: worker {name} was dropped {QUARANTINE_AFTER} times for an invalid or non-finite answer; check its \
         machine and its build, then start it again"
    )]
    Quarantined {
        /// Its name.
        name: String,
    },
}

impl Refusal {
    /// Whether knocking again may help.
    #[must_use]
    pub fn may_retry(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::NameTaken { .. })
    }
}

/// A message that a worker which works as it should never sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum ProtocolError {
    /// An answer by a spare, which has no pieces.
    #[error("an answer to piece {node} of round {round}, but it is a spare")]
    AnswerOfSpare {
        /// The round that was answered.
        round: Round,
        /// The piece that was answered.
        node: Node,
    },
    /// An answer to a round of the future.
    #[error("an answer to round {round}, which has not begun")]
    RoundNotBegun {
        /// The round that was answered.
        round: Round,
    },
    /// An answer to a piece that somebody else has.
    #[error("an answer to piece {node} of round {round}, which it was not given")]
    AnswerNotGiven {
        /// The round that was answered.
        round: Round,
        /// The piece that was answered.
        node: Node,
    },
    /// The announcement of a gradient for a piece that somebody else has.
    #[error("a gradient for piece {node} of round {round}, which it was not given")]
    GradientNotGiven {
        /// The round that was answered.
        round: Round,
        /// The piece that was answered.
        node: Node,
    },
    /// An answer in the name of another member, or of an earlier life.
    #[error("an answer of incarnation {got}, but it is {expected}")]
    OtherIncarnation {
        /// The sender's incarnation.
        expected: Incarnation,
        /// The incarnation in the answer.
        got: Incarnation,
    },
    /// An answer over another number of samples than the piece has.
    #[error("{got} samples for piece {node}, which has {expected}")]
    Samples {
        /// The piece that was answered.
        node: Node,
        /// Samples of the piece.
        expected: u64,
        /// Samples in the answer.
        got: u64,
    },
    /// A gradient in an evaluation, or the counts of an evaluation in a training step.
    #[error("an answer of the wrong kind for piece {node}, of a round that asks for {expected}")]
    AnswerKind {
        /// The piece that was answered.
        node: Node,
        /// What the round asks for.
        expected: AnswerKind,
    },
    /// A second introduction.
    #[error("a second hello")]
    SecondHello,
    /// More frames, bytes or small messages than a worker may send.
    #[error("{what}")]
    Flood {
        /// The limit that was passed, in words.
        what: String,
    },
    /// Bytes that are no valid message.
    #[error("{what}")]
    Malformed {
        /// What is wrong with them, in the decoder's words.
        what: String,
    },
}

/// What a round asks its workers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerKind {
    /// A sum of gradients.
    Gradient,
    /// A confusion matrix.
    Confusion,
}

impl fmt::Display for AnswerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gradient => "a gradient",
            Self::Confusion => "a confusion matrix",
        })
    }
}

/// How a connection was lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Disconnect {
    /// The worker ended its stream without a goodbye.
    #[error("it closed its stream")]
    Closed,
    /// The transport reports an error.
    #[error("{what}")]
    Broken {
        /// The transport's words.
        what: String,
    },
    /// Too much waits to be sent to it.
    #[error("it does not read what it is sent")]
    Backlog,
    /// Nothing can be sent any more.
    #[error("its stream is closed")]
    SendClosed,
    /// The run is over.
    #[error("the run is over")]
    RunOver,
}
