//! Everything that can be wrong with a message from the wire.

use common::data::normalize::ChannelError;
use common::data::samples::SamplesError;
use common::data::spec::SpecError;
use common::ids::SetupId;
use common::model::architecture::ModelError;
use common::reduce::precision::Precision;
use common::reduce::tree::Node;
use common::train::augment::AugmentError;
use common::train::metrics::ConfusionError;
use common::train::objective::ClassWeightsError;

/// Reason why a message is refused. The peer that sent it is dropped and told the reason, so its text
/// contains nothing but the message itself and the run's configuration.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum WireError {
    /// The message or a required part of it is missing.
    #[error("a message without {0}")]
    Missing(&'static str),
    /// The bytes are no message.
    #[error("bytes that are no message: {0}")]
    Bytes(String),
    /// Another message was due.
    #[error("{got} where {expected} was due")]
    Order { expected: &'static str, got: &'static str },
    /// The peer speaks another version of the protocol.
    #[error("protocol version {got}, this build speaks version {expected}: use the same build on both sides")]
    Version { expected: u32, got: u32 },
    /// The worker's name is empty, too long, or not printable.
    #[error("a worker's name has 1 to {max} printable characters")]
    Name { max: usize },
    /// A number is out of its range.
    #[error("{field} is {got}, which is not in {min}..={max}")]
    Range { field: &'static str, got: u64, min: u64, max: u64 },
    /// The form of samples is not valid.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A mean or a deviation is not valid.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The normalization is for other channels than the samples have.
    #[error("a normalization of {means} means and {deviations} deviations for {channels} channels")]
    Normalization { means: usize, deviations: usize, channels: usize },
    /// The augmentation is not valid.
    #[error(transparent)]
    Augment(#[from] AugmentError),
    /// The label smoothing is out of its range.
    #[error("a label smoothing of {0}, which is not 0 or more and below 1")]
    LabelSmoothing(f64),
    /// A class's weight is out of its range.
    #[error(transparent)]
    ClassWeight(#[from] ClassWeightsError),
    /// The weights are for other classes than the samples have.
    #[error("{weights} class weights for {classes} classes")]
    ClassWeights { weights: usize, classes: usize },
    /// A teacher's share or temperature is out of its range.
    #[error("a teacher of weight {weight} and temperature {temperature}")]
    Blend { weight: f64, temperature: f64 },
    /// The network is not valid.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The message belongs to a setup that is not known.
    #[error("setup {0} is not known here")]
    Setup(SetupId),
    /// The samples are not valid.
    #[error(transparent)]
    Samples(#[from] SamplesError),
    /// The node is outside its round's tree.
    #[error("piece {node} is not in a tree of {leaves} leaves")]
    Node { node: Node, leaves: u32 },
    /// A tensor has another size than the model.
    #[error("a tensor of {got} elements where the model has {expected}")]
    Elements { expected: usize, got: u64 },
    /// A tensor has another precision than was agreed on.
    #[error("a tensor of {got} where {expected} was agreed on")]
    Dtype { expected: Precision, got: Precision },
    /// A chunk has another size than is due at its offset.
    #[error("a chunk of {got} bytes at offset {at} of a tensor, where one of {expected} is due")]
    Chunk { at: usize, expected: usize, got: usize },
    /// A chunk's checksum does not match.
    #[error(
        "a chunk at offset {at} of a tensor does not have the checksum {announced:08x} that was announced"
    )]
    Checksum {
        /// Offset of the chunk in the tensor, in bytes.
        at: usize,
        /// Checksum that was announced. The computed one must not reach the sender, or it could have foreign
        /// bytes read to it.
        announced: u32,
    },
    /// A chunk is announced in shared memory, and can't be read there.
    #[error("a chunk at offset {at} of a tensor is not in the sender's shared memory")]
    Memory {
        /// Offset of the chunk in the tensor, in bytes.
        at: usize,
    },
    /// The confusion matrix is not valid.
    #[error(transparent)]
    Confusion(#[from] ConfusionError),
    /// The counts of an evaluation disagree with the answer's totals.
    #[error("the confusion matrix does not add up to the answer's totals")]
    Counts,
    /// There is not a guess for each of an answer's samples.
    #[error("{bytes} bytes of guesses for {samples} samples, which have 4 each")]
    Guesses { samples: u64, bytes: usize },
}
