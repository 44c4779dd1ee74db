//! What the simulated coordinator takes from the bytes of an answer, as a value that the real cluster adds
//! up.

use super::Sabotage;
use super::message::Body;
use super::trainer::{USUAL, Value};
use common::ids::SetupId;
use common::protocol::coordinator::AnswerKind;
use coordinator::cluster::{Measure, RoundValue};

/// A value of a node.
#[derive(Clone, Debug)]
pub(crate) struct SimulatedValue {
    /// `None` where it is not finite.
    pub(crate) value: Option<Value>,
    samples: u64,
    setup: SetupId,
    measure: Measure,
    sabotage: Option<Sabotage>,
}

impl SimulatedValue {
    /// The value of an answer, as a saboteur sees it.
    pub(crate) fn of(setup: SetupId, body: Body, sabotage: Option<Sabotage>) -> Self {
        match body {
            Body::Value(value) => {
                let is_blind = sabotage == Some(Sabotage::EqualChecksums);
                let sees_peaks = sabotage != Some(Sabotage::IgnoreTheLine);
                let measure = Measure {
                    checksum: if is_blind { 0 } else { value.checksum() },
                    is_finite: true,
                    largest: sees_peaks.then_some(value.peak.max(USUAL)),
                };
                Self { samples: value.leaves.len() as u64, value: Some(value), setup, measure, sabotage }
            }
            Body::NonFinite { checksum, leaves } => {
                let measure = Measure { checksum, is_finite: false, largest: None };
                Self { value: None, samples: leaves.into(), setup, measure, sabotage }
            }
            Body::Garbage => unreachable!("bytes that can't be decoded have no value"),
        }
    }
}

impl RoundValue for SimulatedValue {
    fn setup(&self) -> SetupId {
        self.setup
    }

    fn kind(&self) -> AnswerKind {
        AnswerKind::Gradient
    }

    fn samples(&self) -> u64 {
        self.samples
    }

    fn measure(&self) -> Measure {
        self.measure
    }

    fn add(&mut self, right: Self, _is_root: bool) {
        self.samples += right.samples;
        let (Some(left), Some(right)) = (&mut self.value, right.value) else { return };
        if self.sabotage == Some(Sabotage::AddTwice) {
            left.add(right.clone());
        }
        left.add(right);
    }
}
