//! What training minimises: the softmax cross-entropy with label smoothing and class weights.
//!
//! ```text
//! loss of a sample = Σ_c weight_c · target_c · -log p_c
//! step's gradient  = Σ gradients of its samples / Σ weights of its samples' labels
//! ```
//!
//! With a label smoothing of ε, a target is 1 - ε of the label and ε / C of each of the C classes (Szegedy et
//! al. 2016). That is PyTorch's `CrossEntropyLoss(weight, label_smoothing)` with the mean as reduction. The
//! loss that is reported leaves the weights out, and an evaluation's is the plain cross-entropy.

use crate::text::{TextError, parsed};
use std::fmt;
use std::str::FromStr;

/// Largest weight of a class; the smallest is its inverse.
const WEIGHT_MAX: f32 = 1e4;
/// Text form of equal weights.
const NONE: &str = "none";

/// Label smoothing and class weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Objective {
    /// Share of a target that all classes have in common, 0 or more and below 1.
    pub label_smoothing: f64,
    /// Weights of the classes.
    pub class_weights: ClassWeights,
}

/// A weight for each class, or none where all are 1.
///
/// ```
/// use common::train::objective::ClassWeights;
///
/// assert_eq!(ClassWeights::balanced(&[6, 2]).to_string(), "0.6666667,2");
/// assert!("1,-1".parse::<ClassWeights>().is_err());
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClassWeights(Vec<f32>);

/// Weights that are refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum ClassWeightsError {
    /// A text is no number.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A weight is out of its range.
    #[error("the weight of class {class} is {got}; it must be {} to {WEIGHT_MAX}", 1.0 / WEIGHT_MAX)]
    Range { class: usize, got: f32 },
}

impl Objective {
    /// Whether it is the plain cross-entropy.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the label smoothing is in its range.
    #[must_use]
    pub fn smoothing_fits(&self) -> bool {
        (0.0..1.0).contains(&self.label_smoothing)
    }
}

impl ClassWeights {
    /// Weights of the classes in their order.
    ///
    /// # Errors
    /// When one is out of its range.
    pub fn new(weights: Vec<f32>) -> Result<Self, ClassWeightsError> {
        let range = 1.0 / WEIGHT_MAX..=WEIGHT_MAX;
        match weights.iter().position(|weight| !range.contains(weight)) {
            Some(class) => Err(ClassWeightsError::Range { class, got: weights[class] }),
            None => Ok(Self(weights)),
        }
    }

    /// Weights that make all classes count alike: samples / (classes · samples of the class), as scikit-learn
    /// has it. A class without samples has the weight 1.
    #[must_use]
    pub fn balanced(counts: &[u32]) -> Self {
        let samples: u64 = counts.iter().map(|&count| u64::from(count)).sum();
        let weight = |&count: &u32| {
            if count == 0 {
                return 1.0;
            }
            let weight = samples as f64 / (counts.len() as f64 * f64::from(count));
            (weight as f32).clamp(1.0 / WEIGHT_MAX, WEIGHT_MAX)
        };
        Self(counts.iter().map(weight).collect())
    }

    /// The weights; empty where all are 1.
    #[must_use]
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }

    /// Weight of a class.
    #[must_use]
    pub fn of(&self, class: u16) -> f32 {
        self.0.get(usize::from(class)).copied().unwrap_or(1.0)
    }

    /// Whether there is one for each of `classes`, or none.
    #[must_use]
    pub fn fits(&self, classes: usize) -> bool {
        self.0.is_empty() || self.0.len() == classes
    }
}

impl fmt::Display for ClassWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str(NONE);
        }
        let weights: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&weights.join(","))
    }
}

impl FromStr for ClassWeights {
    type Err = ClassWeightsError;

    fn from_str(text: &str) -> Result<Self, ClassWeightsError> {
        if text == NONE {
            return Ok(Self::default());
        }
        let weights = text.split(',').map(|weight| parsed("a class's weight", weight.trim()));
        Self::new(weights.collect::<Result<_, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balanced_weights_are_those_of_scikit_learn() {
        // compute_class_weight("balanced", classes=[0, 1, 2], y=[0] * 5 + [1] * 3 + [2] * 1).
        let weights = ClassWeights::balanced(&[5, 3, 1]);
        assert_eq!(weights.as_slice(), [0.6, 1.0, 3.0]);
        assert_eq!(ClassWeights::balanced(&[2, 0]).as_slice(), [0.5, 1.0]);
    }

    #[test]
    fn weights_read_back_and_bad_ones_are_refused() {
        for text in ["none", "1,2.5,0.001"] {
            assert_eq!(text.parse::<ClassWeights>().unwrap().to_string(), text);
        }
        for text in ["", "1,", "0,1", "1,NaN", "1,1e9", "-1"] {
            assert!(text.parse::<ClassWeights>().is_err(), "{text}");
        }
        let weights: ClassWeights = "1,2".parse().unwrap();
        assert!(weights.fits(2) && !weights.fits(3) && ClassWeights::default().fits(3));
        assert_eq!((weights.of(1), ClassWeights::default().of(1)), (2.0, 1.0));
    }
}
