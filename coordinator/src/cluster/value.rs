//! What the cluster must know of the values that workers send: enough to judge them and to add them up.

use common::ids::SetupId;
use common::protocol::coordinator::AnswerKind;

/// A value of a node of the reduction tree: a gradient or counts in a run, a digest in the simulation.
pub trait RoundValue {
    /// The setup with which it was computed.
    fn setup(&self) -> SetupId;

    /// Whether it is a gradient or counts.
    fn kind(&self) -> AnswerKind;

    /// Number of samples that it is the sum over.
    fn samples(&self) -> u64;

    /// What its receiver has seen of its numbers.
    fn measure(&self) -> Measure;

    /// Adds the value of the node to the right, in place. `is_root` says that the sum is the round's.
    fn add(&mut self, right: Self, is_root: bool);
}

/// What a receiver has seen of a value's numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measure {
    /// Checksum over all numbers: equal for equal values.
    pub checksum: u32,
    /// Whether all numbers are finite.
    pub is_finite: bool,
    /// Largest magnitude, where that can be out of line.
    pub largest: Option<f32>,
}
