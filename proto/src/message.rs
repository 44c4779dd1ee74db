//! The messages of both sides, in `common`'s types: complete, checked, and free of wire details.

use crate::setup::Setup;
use crate::values::Values;
use common::data::samples::Samples;
use common::ids::{Incarnation, Instance, ParamsId, Rank, Round, SetupId, Step};
use common::reduce::precision::Precision;
use common::reduce::tree::{Node, Tree};
use common::selftest::NumericsDigest;
use common::train::metrics::{Confusion, Totals};
use common::train::pseudo::Guess;
use std::sync::Arc;

/// Longest name of a worker, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Largest number of threads that a worker may announce.
pub const THREADS_MAX: u32 = 4096;
/// Bits that stand for every NaN in an answer's checksum.
const ANY_NAN: u64 = 0x7ff8_0000_0000_0000;
/// Longest reason in a refusal, in bytes; longer ones are truncated.
pub const REASON_BYTES_MAX: usize = 1024;

/// What a worker's process uses, as it says itself; zeros where its system does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time since its start, in microseconds.
    pub cpu_us: u64,
    /// Resident memory, in bytes.
    pub resident_bytes: u64,
}

/// A message from a worker. `A` is an answer as it is sent, or as it was received.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "field names say all")]
pub enum WorkerMessage<A = Answer> {
    /// The introduction, which is the first message of a stream.
    Hello(Hello),
    /// A sign that the worker is alive, with what it uses.
    Heartbeat(Usage),
    /// The sum over a piece's samples.
    Answer(A),
    /// The worker leaves the run.
    Leave,
    /// A step of agreeing on shared memory and pipes.
    Sharing(Sharing),
}

/// A message from a worker, as it is received.
pub type ReceivedMessage = WorkerMessage<ReceivedAnswer>;

/// How a worker introduces itself when it connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Name of the worker, unique within the run.
    pub name: String,
    /// Random number of its process, not 0; the same on each of its streams.
    pub instance: Instance,
    /// Number of leaves that it computes at once.
    pub threads: u32,
    /// Digest of its self-test's results.
    pub numerics: NumericsDigest,
}

/// The sum over a piece's samples.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Answer {
    /// Membership in which the answer was computed.
    pub incarnation: Incarnation,
    /// Setup of the piece.
    pub setup: SetupId,
    pub round: Round,
    /// Node of the piece.
    pub node: Node,
    /// Number of samples and correct predictions, and sum of losses.
    pub totals: Totals,
    /// Sum of gradients or of counts, or guesses.
    pub body: AnswerBody,
    /// Data type of a gradient's values.
    pub precision: Precision,
}

/// An answer, with what its receiver has seen of its numbers.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "field names say all")]
pub struct ReceivedAnswer {
    pub answer: Answer,
    /// Properties of a gradient's values; `None` for counts and guesses.
    pub inspection: Option<Inspection>,
}

/// Properties of a tensor's values, found as they arrive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Inspection {
    /// Checksum over all values.
    pub checksum: u32,
    /// Largest magnitude; infinite or NaN if one of the values is not finite.
    pub largest: f32,
}

impl Inspection {
    /// Whether all values are finite.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        self.largest.is_finite()
    }
}

/// The sum that an answer carries.
#[derive(Clone, Debug, PartialEq)]
pub enum AnswerBody {
    /// Gradient of the summed loss, flat, in layout order.
    Gradient(Values),
    /// Confusion matrix of an evaluation.
    Confusion(Box<Confusion>),
    /// Guesses of samples, in their order.
    Guesses(Vec<Guess>),
}

impl ReceivedAnswer {
    /// Whether every number in the answer is finite.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        self.inspection.is_none_or(|seen| seen.is_finite()) && self.answer.totals.loss_sum.is_finite()
    }

    /// Checksum over every number in the answer; equal answers to a piece have equal ones. All NaN are equal:
    /// which one an operation gives depends on the CPU.
    #[must_use]
    pub fn checksum(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        let of_values = self.inspection.map_or(0, |seen| seen.checksum);
        let Totals { samples, correct, loss_sum } = self.answer.totals;
        let loss_bits = if loss_sum.is_nan() { ANY_NAN } else { loss_sum.to_bits() };
        [u64::from(of_values), samples, correct, loss_bits]
            .iter()
            .for_each(|word| hasher.update(&word.to_le_bytes()));
        match &self.answer.body {
            AnswerBody::Gradient(_) => {}
            AnswerBody::Confusion(confusion) => {
                for (cell, count) in confusion.sparse() {
                    hasher.update(&cell.to_le_bytes());
                    hasher.update(&count.to_le_bytes());
                }
            }
            AnswerBody::Guesses(guesses) => {
                for Guess { class, confidence } in guesses {
                    hasher.update(&class.to_le_bytes());
                    hasher.update(&confidence.to_le_bytes());
                }
            }
        }
        hasher.finalize()
    }
}

/// A message from the coordinator.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "field names say all")]
pub enum CoordinatorMessage {
    /// The worker is admitted.
    Welcome(Welcome),
    /// The worker waits for a free place.
    Spare(Spare),
    /// The worker is not admitted.
    Refused {
        reason: String,
        /// Whether connecting again may help.
        retry: bool,
    },
    /// A sign that the coordinator is alive.
    Heartbeat,
    /// Description of a run's network and gradients.
    Setup(Arc<Setup>),
    /// The run of this setup is over: setup, parameters and pieces are of no use any more.
    Forget(SetupId),
    /// New parameters of a setup.
    Parameters {
        /// Number of this version, higher than that of any before.
        id: ParamsId,
        /// Setup that they belong to.
        setup: SetupId,
        /// Values as a flat vector, in layout order.
        values: Values,
    },
    /// A piece to compute.
    Piece(Piece),
    /// The run is over.
    Finished,
    /// The worker is dropped, for this reason, and the stream ends.
    Dropped(String),
    /// A step of agreeing on shared memory and pipes.
    Sharing(Sharing),
}

/// Admission to the run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Welcome {
    /// Number of this membership.
    pub incarnation: Incarnation,
    pub rank: Rank,
    pub run_id: String,
    /// Longest time between two heartbeats.
    pub heartbeat_ms: u32,
    /// Silence after which the other side counts as dead.
    pub timeout_ms: u32,
}

/// Admission as a spare, which waits for a free place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spare {
    /// Number of spares that will be admitted before it.
    pub ahead: u32,
    /// Longest time between two heartbeats.
    pub heartbeat_ms: u32,
    /// Silence after which the other side counts as dead.
    pub timeout_ms: u32,
}

/// Computation that a round asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Gradient, loss, and number of correct predictions.
    Train,
    /// Confusion matrix and loss.
    Evaluate,
    /// The same over nine views of each image, whose probabilities are averaged.
    EvaluateViews,
    /// The most likely class of each sample, whose label means nothing.
    Guess,
    /// The same with the loss and the number of correct predictions by the labels.
    EvaluateEach,
}

/// A node of the reduction tree, with everything that its leaves need.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Piece {
    pub round: Round,
    pub task: Task,
    /// Step of the run, on which a leaf's random choices depend.
    pub step: Step,
    /// Setup of the round.
    pub setup: SetupId,
    /// Parameters to use: the newest of that setup.
    pub parameters: ParamsId,
    /// Reduction tree of the round.
    pub tree: Tree,
    /// Node of the tree whose leaves are to be computed.
    pub node: Node,
    /// Samples of each leaf below the node.
    pub leaves: Vec<Samples>,
}

/// A step of agreeing on what two processes of one machine share: memory for tensors, and pipes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// The sender offers its memory.
    Offer {
        /// Descriptor of the memory in the sender's process.
        descriptor: u32,
        /// Random number that is part of the memory's name and identifies it.
        token: u64,
    },
    /// The sender has opened the receiver's memory.
    Opened,
    /// The tensor that has been longest in the receiver's memory has been read.
    Released,
    /// The coordinator offers pipes, on which both sides can go on.
    Pipes {
        /// The end that the worker reads.
        reads: Pipe,
        /// The end that the worker writes.
        writes: Pipe,
    },
    /// The sender's last message on the stream: from now on it sends on its pipe.
    Switched,
}

/// An end of a pipe in the coordinator's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pipe {
    /// Descriptor of the end.
    pub descriptor: u32,
    /// The pipe's inode number, which identifies it.
    pub inode: u64,
}
