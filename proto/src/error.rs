//! Everything that can be wrong with a message from the wire.

use common::data::samples::SamplesError;
use common::data::spec::SpecError;
use common::ids::SetupId;
use common::model::architecture::ModelError;
use common::reduce::precision::Precision;
use common::reduce::tree::Node;
use common::train::metrics::ConfusionError;

/// Why a message is refused. The peer that sent it is to be dropped, and told: so nothing in here comes from anywhere but
/// the message itself and the run's configuration.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WireError {
    /// A message or a required part of it is missing.
    #[error("a message without {0}")]
    Missing(&'static str),
    /// A message came where another was due.
    #[error("{got} where {expected} was due")]
    Order {
        /// What was due.
        expected: &'static str,
        /// What came.
        got: &'static str,
    },
    /// Another version of the protocol.
    #[error("protocol version {got}, this build speaks version {expected}: use the same build on both sides")]
    Version {
        /// Ours.
        expected: u32,
        /// The peer's.
        got: u32,
    },
    /// A name that is empty, too long, or not printable.
    #[error("a worker's name has 1 to {max} printable characters")]
    Name {
        /// The longest name.
        max: usize,
    },
    /// A number out of its range.
    #[error("{field} is {got}, which is not in {min}..={max}")]
    Range {
        /// The field.
        field: &'static str,
        /// The value.
        got: u64,
        /// Lowest allowed.
        min: u64,
        /// Highest allowed.
        max: u64,
    },
    /// A form of samples that can't be.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A network that can't be.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A message of a setup that was not sent before.
    #[error("setup {0} is not known here")]
    Setup(SetupId),
    /// Samples that can't be.
    #[error(transparent)]
    Samples(#[from] SamplesError),
    /// A node outside its round's tree.
    #[error("piece {node} is not in a tree of {leaves} leaves")]
    Node {
        /// The node.
        node: Node,
        /// Leaves of the tree.
        leaves: u32,
    },
    /// A tensor of another size than the model's.
    #[error("a tensor of {got} elements where the model has {expected}")]
    Elements {
        /// The model's.
        expected: usize,
        /// The announced.
        got: u64,
    },
    /// A tensor of another precision than agreed on.
    #[error("a tensor of {got} where {expected} was agreed on")]
    Dtype {
        /// Agreed on.
        expected: Precision,
        /// Announced.
        got: Precision,
    },
    /// A chunk that is not cut where it must be.
    #[error("a chunk of {got} bytes at offset {at} of a tensor, where one of {expected} is due")]
    Chunk {
        /// Bytes before it.
        at: usize,
        /// Its due size.
        expected: usize,
        /// Its size.
        got: usize,
    },
    /// A chunk that was changed on its way.
    #[error(
        "a chunk at offset {at} of a tensor does not have the checksum {announced:08x} that was announced"
    )]
    Checksum {
        /// Bytes before it.
        at: usize,
        /// What it should have been. What it was the sender must not learn, or it could have foreign bytes read to it.
        announced: u32,
    },
    /// A chunk that is said to lie in shared memory, and does not.
    #[error("a chunk at offset {at} of a tensor is not in the sender's shared memory")]
    Memory {
        /// Bytes before it.
        at: usize,
    },
    /// A confusion matrix that can't be.
    #[error(transparent)]
    Confusion(#[from] ConfusionError),
    /// Evaluation counts that do not agree with the answer's totals.
    #[error("the confusion matrix does not add up to the answer's totals")]
    Counts,
}
