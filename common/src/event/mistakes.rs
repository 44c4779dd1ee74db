//! The test samples that a complete run's model gets most wrong, for a person to look at.

use crate::ids::Step;
use serde::{Deserialize, Serialize};

/// What a model gets wrong of the test samples.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MistakesRecord {
    /// Last step that was committed.
    pub step: Step,
    /// Number of test samples that the model gets wrong.
    pub count: u64,
    /// The worst of them, the worst first.
    pub worst: Vec<Mistake>,
}

/// A test sample that a model gets wrong.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mistake {
    /// Its place in the test samples.
    pub index: usize,
    /// Name of its class.
    pub class: String,
    /// Name of the class that the model takes it for.
    pub answer: String,
    /// Probability that the model gives that answer, in `[0, 1]`.
    pub probability: f64,
    /// The sample as a PNG file. A serialized record lacks it: whoever reads one has the place.
    #[serde(skip)]
    pub png: Vec<u8>,
}
