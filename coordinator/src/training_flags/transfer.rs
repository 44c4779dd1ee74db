//! Flags with which a run begins from what another one has learned, and learns from few labels.

use super::belongs;
use clap::Args;
use common::train::config::TrainingConfig;
use common::train::optim::Groups;
use common::train::patterns::Patterns;
use common::train::pseudo::SelfTraining;
use std::path::PathBuf;

/// Settings of a run that begins with values from elsewhere, or with few samples.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Training")]
pub struct TransferFlags {
    /// First values: a checkpoint, a folder of checkpoints (its newest valid one), or a file of safetensors
    /// (.safetensors), PyTorch (.pth, .pt) or Keras (.weights.h5). Every tensor of the network must be there,
    /// but for those of --reset [default: drawn as --init says]
    #[arg(long, value_name = "CHECKPOINT|FILE", env = "LOCKSTEP_INIT_FROM")]
    pub init_from: Option<PathBuf>,
    /// With --init-from: tensors that are drawn nevertheless, such as "fc2.*" for a new head; with spaces or
    /// commas between several patterns
    #[arg(long, value_name = "PATTERN ...", env = "LOCKSTEP_RESET")]
    pub reset: Option<Patterns>,
    /// Tensors that stay as they are, such as "conv* bn*"; the same as PATTERN(frozen) for each, before all
    /// other --param-groups
    #[arg(long, value_name = "PATTERN ...", env = "LOCKSTEP_FREEZE")]
    pub freeze: Option<Patterns>,
    /// Train on so many samples of each class, drawn by --seed from what is left after the validation split
    /// [default: all samples]
    #[arg(long, value_name = "N", env = "LOCKSTEP_PER_CLASS")]
    pub per_class: Option<u32>,
    /// With --per-class: learn from the samples that it leaves out too, without their labels. Before each
    /// epoch the network guesses them, and those of which it is at least so sure, as 0.95, are trained on as
    /// what it takes them for. The weights that guess are those of --average, if there are some
    #[arg(long, value_name = "PROBABILITY", env = "LOCKSTEP_PSEUDO_LABELS")]
    pub pseudo_labels: Option<f64>,
    /// With --pseudo-labels: first epoch that has some, from 1 [default: 2]
    #[arg(long, value_name = "EPOCH", env = "LOCKSTEP_PSEUDO_FROM")]
    pub pseudo_from: Option<u64>,
    /// With --pseudo-labels: smallest share of an epoch that is samples with labels [default: 0.1]
    #[arg(long, value_name = "SHARE", env = "LOCKSTEP_LABELLED_SHARE")]
    pub labelled_share: Option<f64>,
}

impl TransferFlags {
    /// The parameter groups: what is frozen, then those that were given, or the ones of the checkpoint whose
    /// settings are to be taken.
    pub(super) fn groups(&self, given: Option<&Groups>, base: Option<&TrainingConfig>) -> Groups {
        let saved = base.map(|base| &base.param_groups);
        let frozen = |rest: &Groups| match &self.freeze {
            Some(patterns) => rest.clone().behind_frozen(patterns),
            None => rest.clone(),
        };
        match (given, saved) {
            (Some(given), _) => frozen(given),
            // They begin with what is frozen already.
            (None, Some(saved)) if saved.begin_with(&frozen(&Groups::default())) => saved.clone(),
            (None, _) => frozen(&Groups::default()),
        }
    }

    /// How samples without a label are learned from, if they are.
    ///
    /// # Errors
    /// When a flag has no effect.
    pub(super) fn self_training(
        &self,
        base: Option<&TrainingConfig>,
    ) -> Result<Option<SelfTraining>, String> {
        let saved = base.and_then(|base| base.self_training);
        let Some(threshold) = self.pseudo_labels.or(saved.map(|saved| saved.threshold)) else {
            belongs("--pseudo-from", self.pseudo_from.is_some(), "--pseudo-labels")?;
            belongs("--labelled-share", self.labelled_share.is_some(), "--pseudo-labels")?;
            return Ok(None);
        };
        let otherwise = saved.unwrap_or_default();
        Ok(Some(SelfTraining {
            threshold,
            from: self.pseudo_from.unwrap_or(otherwise.from),
            labelled_share: self.labelled_share.unwrap_or(otherwise.labelled_share),
        }))
    }

    /// Checks what can be checked without the file.
    ///
    /// # Errors
    /// When a flag has no effect.
    pub(super) fn check(&self) -> Result<(), String> {
        belongs("--reset", self.reset.is_some() && self.init_from.is_none(), "--init-from")
    }
}

#[cfg(test)]
mod tests {
    use crate::training_flags::TrainingFlags;
    use common::train::config::TrainingConfig;
    use common::train::pseudo::SelfTraining;

    fn groups(freeze: &str, given: &str, base: Option<&str>) -> String {
        let mut flags = TrainingFlags::default();
        flags.transfer.freeze = (!freeze.is_empty()).then(|| freeze.parse().unwrap());
        flags.param_groups = (!given.is_empty()).then(|| given.parse().unwrap());
        let plain = TrainingFlags::default().resolve(None).unwrap();
        let base = base.map(|saved| TrainingConfig { param_groups: saved.parse().unwrap(), ..plain });
        flags.resolve(base.as_ref()).unwrap().param_groups.to_string()
    }

    #[test]
    fn frozen_patterns_stand_before_the_given_groups_and_agree_with_the_saved_ones() {
        assert_eq!(groups("conv* bn*", "", None), "conv*(frozen) bn*(frozen)");
        assert_eq!(groups("conv*", "*.bias(lr_factor=2)", None), "conv*(frozen) *.bias(lr_factor=2)");
        let saved = "conv*(frozen) *.bias(lr_factor=2)";
        assert_eq!(groups("", "", Some(saved)), saved);
        assert_eq!(groups("conv*", "", Some(saved)), saved);
        assert_eq!(groups("fc1*", "", Some(saved)), "fc1*(frozen)");
    }

    #[test]
    fn what_is_not_said_of_pseudo_labels_is_the_default_or_the_checkpoints() {
        let resolved = |labels, from, share, base: Option<&TrainingConfig>| {
            let mut flags = TrainingFlags::default();
            flags.transfer.pseudo_labels = labels;
            (flags.transfer.pseudo_from, flags.transfer.labelled_share) = (from, share);
            flags.resolve(base)
        };
        let of = |threshold, from, labelled_share| Some(SelfTraining { threshold, from, labelled_share });
        let saved = resolved(Some(0.9), Some(4), None, None).unwrap();
        assert_eq!(saved.self_training, of(0.9, 4, 0.1));
        assert_eq!(resolved(None, None, None, Some(&saved)), Ok(saved.clone()));
        let other = resolved(Some(0.8), None, Some(0.25), Some(&saved)).unwrap();
        assert_eq!(other.self_training, of(0.8, 4, 0.25));
        let error = resolved(None, Some(3), None, None).unwrap_err();
        assert_eq!(error, "--pseudo-from has a meaning with --pseudo-labels only");
        assert!(resolved(None, None, Some(0.5), None).unwrap_err().starts_with("--labelled-share"));
    }

    #[test]
    fn resetting_needs_values_to_be_reset() {
        let mut flags = TrainingFlags::default();
        flags.transfer.reset = Some("fc2.*".parse().unwrap());
        let error = flags.resolve(None).unwrap_err();
        assert_eq!(error, "--reset has a meaning with --init-from only");
        flags.transfer.init_from = Some("pretrained".into());
        assert!(flags.resolve(None).is_ok());
    }
}
