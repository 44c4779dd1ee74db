//! Flags with which a run makes a model small.

use super::belongs;
use clap::Args;
use common::train::compression::Compression;
use common::train::config::TrainingConfig;
use common::train::distil::Blend;
use common::train::patterns::Patterns;
use std::path::PathBuf;

/// Settings of a run whose model is to be small.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Training")]
pub struct CompressionFlags {
    /// With --init-from: tensors in which values that are 0 stay 0, such as "*.weight", to train a model on
    /// that was pruned; with spaces or commas between several patterns. It goes with all --param-groups
    #[arg(long, value_name = "PATTERN ...", env = "LOCKSTEP_MASK")]
    pub mask: Option<Patterns>,
    /// Compute with the weights of convolutions and dense layers rounded to 8 bits for each output channel,
    /// in training, validation and test, so that the model learns to be an int8 model. The checkpoints have
    /// the weights that are not rounded
    #[arg(long, env = "LOCKSTEP_QUANTISE_AWARE")]
    pub quantise_aware: bool,
    /// Learn from the outputs of another network besides the labels: a checkpoint, a folder of checkpoints
    /// (its newest valid one), or a file that lockstep export --format safetensors wrote. It must be for
    /// images of the same size and as many classes [default: labels alone]
    #[arg(long, value_name = "CHECKPOINT|FILE", env = "LOCKSTEP_DISTIL")]
    pub distil: Option<PathBuf>,
    /// With --distil: share of the teacher in the loss, 0 to 1 [default: 0.9]
    #[arg(long, value_name = "SHARE", env = "LOCKSTEP_DISTIL_WEIGHT")]
    pub distil_weight: Option<f64>,
    /// With --distil: by what the logits of both are divided before they are compared [default: 4]
    #[arg(long, value_name = "T", env = "LOCKSTEP_DISTIL_TEMPERATURE")]
    pub distil_temperature: Option<f64>,
}

impl CompressionFlags {
    /// The settings. What is not given comes from `base`, or has its default. Which teacher it is follows
    /// where its file is read.
    ///
    /// # Errors
    /// When a flag has no effect.
    pub(super) fn resolve(&self, base: Option<&TrainingConfig>) -> Result<Compression, String> {
        let before = base.map(|base| base.compression.clone()).unwrap_or_default();
        let is_alone = self.distil.is_none();
        belongs("--distil-weight", is_alone && self.distil_weight.is_some(), "--distil")?;
        belongs("--distil-temperature", is_alone && self.distil_temperature.is_some(), "--distil")?;
        Ok(Compression {
            mask: self.mask.clone().or(before.mask),
            quantise_aware: self.quantise_aware || before.quantise_aware,
            distillation: before.distillation,
        })
    }

    /// How labels and teacher share in the loss. What is not given comes from `before`, the checkpoint's, or
    /// has its default.
    #[must_use]
    pub fn blend(&self, before: Option<Blend>) -> Blend {
        let otherwise = before.unwrap_or_default();
        Blend {
            weight: self.distil_weight.unwrap_or(otherwise.weight),
            temperature: self.distil_temperature.unwrap_or(otherwise.temperature),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::training_flags::TrainingFlags;
    use common::train::distil::Blend;

    #[test]
    fn what_is_not_given_is_the_checkpoints() {
        let mut flags = TrainingFlags::default();
        flags.compression.mask = Some("*.weight".parse().unwrap());
        flags.compression.quantise_aware = true;
        let saved = flags.resolve(None).unwrap();
        assert!(saved.compression.quantise_aware);
        assert_eq!(TrainingFlags::default().resolve(Some(&saved)), Ok(saved.clone()));
        assert_eq!(flags.resolve(Some(&saved)), Ok(saved));
    }

    #[test]
    fn a_teachers_settings_need_a_teacher() {
        let mut flags = TrainingFlags::default();
        flags.compression.distil_weight = Some(0.5);
        let error = flags.resolve(None).unwrap_err();
        assert_eq!(error, "--distil-weight has a meaning with --distil only");
        flags.compression.distil = Some("teacher".into());
        assert!(flags.resolve(None).is_ok());
        assert_eq!(flags.compression.blend(None), Blend { weight: 0.5, temperature: 4.0 });
        let before = Blend { weight: 0.1, temperature: 2.0 };
        assert_eq!(flags.compression.blend(Some(before)), Blend { weight: 0.5, temperature: 2.0 });
    }
}
