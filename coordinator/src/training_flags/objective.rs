//! Flags for what training minimises: augmentation, label smoothing and class weights.

use clap::Args;
use common::data::samples::Samples;
use common::train::augment::Augmentation;
use common::train::config::TrainingConfig;
use common::train::objective::{ClassWeights, ClassWeightsError, Objective};
use std::str::FromStr;

/// What a sample contributes to the gradient.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Training")]
pub struct ObjectiveFlags {
    /// Random changes to the training images, as words: rotate(DEGREES), shift(SHARE), scale(SHARE),
    /// shear(DEGREES), elastic(PIXELS,SMOOTHNESS), flip(PROBABILITY), crop(PIXELS), erase(PROBABILITY,AREA),
    /// mixup(ALPHA); or a preset, digits or photos, with or without more words; --preview shows what they do
    /// [default: none]
    #[arg(long, value_name = "WORD ...", env = "LOCKSTEP_AUGMENT")]
    pub augment: Option<Augmentation>,
    /// Share of each target that is spread over all classes (label smoothing) [default: 0]
    #[arg(long, value_name = "SHARE", env = "LOCKSTEP_LABEL_SMOOTHING")]
    pub label_smoothing: Option<f64>,
    /// Weight of each class in the loss, as "1,2.5,...", or balanced: samples / (classes x samples of the
    /// class) [default: none]
    #[arg(long, value_name = "WEIGHT,...|balanced|none", env = "LOCKSTEP_CLASS_WEIGHTS")]
    pub class_weights: Option<ClassWeightsChoice>,
}

/// Class weights that a person chooses.
#[derive(Clone, Debug, PartialEq)]
pub enum ClassWeightsChoice {
    /// Weights that make all classes count alike; they depend on the samples.
    Balanced,
    /// A weight for each class, by a person.
    Given(ClassWeights),
}

impl FromStr for ClassWeightsChoice {
    type Err = ClassWeightsError;

    fn from_str(text: &str) -> Result<Self, ClassWeightsError> {
        if text == "balanced" { Ok(Self::Balanced) } else { text.parse().map(Self::Given) }
    }
}

impl ObjectiveFlags {
    /// Augmentation and loss. What is not given comes from `base`, or has its default.
    pub(super) fn resolve(&self, base: Option<&TrainingConfig>) -> (Augmentation, Objective) {
        let before = base.map(|base| base.objective.clone()).unwrap_or_default();
        let augment = self.augment.or(base.map(|base| base.augment)).unwrap_or_default();
        let class_weights = match &self.class_weights {
            Some(ClassWeightsChoice::Given(weights)) => weights.clone(),
            // Balanced ones are settled where the samples are known.
            _ => before.class_weights,
        };
        let label_smoothing = self.label_smoothing.unwrap_or(before.label_smoothing);
        (augment, Objective { label_smoothing, class_weights })
    }

    /// Balanced weights for the samples at these indices, if they are asked for.
    #[must_use]
    pub fn balanced(&self, samples: &Samples, indices: &[u32]) -> Option<ClassWeights> {
        if self.class_weights != Some(ClassWeightsChoice::Balanced) {
            return None;
        }
        let mut counts = vec![0; samples.spec().classes()];
        indices.iter().for_each(|&index| counts[usize::from(samples.labels()[index as usize])] += 1);
        Some(ClassWeights::balanced(&counts))
    }
}
