//! What the two sides mean to say, in `common`'s types: complete, checked, and free of wire details.

use crate::setup::Setup;
use crate::values::Values;
use common::data::samples::Samples;
use common::ids::{Incarnation, Instance, ParamsId, Rank, Round, SetupId};
use common::reduce::parallel;
use common::reduce::precision::Precision;
use common::reduce::tree::{Node, Tree};
use common::selftest::NumericsDigest;
use common::train::metrics::{Confusion, Totals};
use std::num::NonZeroUsize;

/// Longest name of a worker, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Most threads that a worker may announce.
pub const THREADS_MAX: u32 = 4096;
/// Longest reason in a refusal, in bytes; longer ones are cut.
pub const REASON_BYTES_MAX: usize = 1024;

/// From a worker.
#[derive(Clone, Debug, PartialEq)]
pub enum WorkerMessage {
    /// The first message of a stream.
    Hello(Hello),
    /// Alive.
    Heartbeat,
    /// A piece's sum.
    Answer(Answer),
    /// Goodbye.
    Leave,
    /// How tensors travel within a machine.
    Sharing(Sharing),
}

/// A worker's introduction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Its name, unique among the run's workers.
    pub name: String,
    /// Its process, not 0: a random number, the same on each of its streams.
    pub instance: Instance,
    /// Leaves that it computes at once.
    pub threads: u32,
    /// What its self-test came to.
    pub numerics: NumericsDigest,
}

/// The sum over a piece's samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The membership under which it was computed.
    pub incarnation: Incarnation,
    /// The piece's setup.
    pub setup: SetupId,
    /// The round.
    pub round: Round,
    /// The piece.
    pub node: Node,
    /// Samples, right answers, loss.
    pub totals: Totals,
    /// What the round is for.
    pub body: AnswerBody,
    /// Of a gradient's values.
    pub precision: Precision,
    /// What the receiver saw of the body; a sender's does not travel.
    pub inspection: Inspection,
}

/// What a receiver sees of a tensor's values as they arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Inspection {
    /// A checksum over all of them.
    pub checksum: u32,
    /// The largest magnitude; infinite or a NaN where one of them is not finite.
    pub largest: f32,
}

impl Inspection {
    /// Whether all values are finite.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        self.largest.is_finite()
    }
}

/// What a round is for.
#[derive(Clone, Debug, PartialEq)]
pub enum AnswerBody {
    /// The gradient of the summed loss, flat, in layout order.
    Gradient(Values),
    /// Counts.
    Confusion(Box<Confusion>),
}

impl Answer {
    /// Whether every number in it is finite, as its receiver saw.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        self.inspection.is_finite() && self.totals.loss_sum.is_finite()
    }

    /// A checksum over every number in it, as its receiver saw: equal for equal answers to a piece.
    #[must_use]
    pub fn checksum(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        let Totals { samples, correct, loss_sum } = self.totals;
        [u64::from(self.inspection.checksum), samples, correct, loss_sum.to_bits()]
            .iter()
            .for_each(|word| hasher.update(&word.to_le_bytes()));
        if let AnswerBody::Confusion(confusion) = &self.body {
            for (cell, count) in confusion.sparse() {
                hasher.update(&cell.to_le_bytes());
                hasher.update(&count.to_le_bytes());
            }
        }
        hasher.finalize()
    }
}

/// From the coordinator.
#[derive(Clone, Debug, PartialEq)]
pub enum CoordinatorMessage {
    /// Admission.
    Welcome(Welcome),
    /// No admission yet.
    Spare(Spare),
    /// No admission.
    Refused {
        /// Why.
        reason: String,
        /// Whether dialling again may help.
        retry: bool,
    },
    /// Alive.
    Heartbeat,
    /// What is to be known of a run.
    Setup(Setup),
    /// New parameters.
    Parameters {
        /// Their number, higher than that of any before.
        id: ParamsId,
        /// The setup that they belong to.
        setup: SetupId,
        /// Flat, in layout order.
        values: Values,
    },
    /// Work.
    Piece(Piece),
    /// The run is over.
    Finished,
    /// The stream ends here.
    Dropped(String),
    /// How tensors travel within a machine.
    Sharing(Sharing),
}

/// Admission to the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// This membership's number.
    pub incarnation: Incarnation,
    /// The worker's slot.
    pub rank: Rank,
    /// The run's name.
    pub run_id: String,
    /// A heartbeat at least this often.
    pub heartbeat_ms: u32,
    /// Silence after which the other side is taken for dead.
    pub timeout_ms: u32,
}

/// A place in the queue for a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spare {
    /// Spares that will be welcomed before it.
    pub ahead: u32,
    /// A heartbeat at least this often.
    pub heartbeat_ms: u32,
    /// Silence after which the other side is taken for dead.
    pub timeout_ms: u32,
}

/// What to do with the samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Gradient, loss, right answers.
    Train,
    /// Confusion matrix and loss.
    Evaluate,
}

/// A node of the reduction tree, with everything that its leaves need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The round.
    pub round: Round,
    /// What to do.
    pub task: Task,
    /// The setup that the round belongs to.
    pub setup: SetupId,
    /// The parameters to use: the newest of that setup.
    pub parameters: ParamsId,
    /// The round's tree.
    pub tree: Tree,
    /// The node to compute.
    pub node: Node,
    /// One per leaf below the node.
    pub leaves: Vec<Samples>,
}

/// A step of agreeing on shared memory for tensors, the same both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Where the sender's memory is to be found.
    Offer {
        /// Its descriptor in the sender's process.
        descriptor: u32,
        /// Part of its name, and of no other memory's.
        token: u64,
    },
    /// The receiver's memory is open at the sender's.
    Opened,
    /// The tensor that has lain longest in the receiver's memory has been read.
    Released,
}

impl AnswerBody {
    /// Adds `right` to the right of this, element by element and rounded, by `threads` threads: one node of the
    /// reduction tree.
    ///
    /// # Panics
    /// When one is a gradient and the other counts, or the gradients differ in length: within a round neither can be.
    pub fn add(&mut self, right: Self, precision: Precision, threads: NonZeroUsize) {
        match (self, right) {
            (Self::Gradient(left), Self::Gradient(right)) => {
                parallel::add(left, &right, precision, threads);
            }
            (Self::Confusion(left), Self::Confusion(right)) => left.add(&right),
            _ => unreachable!("a round is either for training or for evaluation"),
        }
    }
}
