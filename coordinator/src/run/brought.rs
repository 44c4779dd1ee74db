//! What a run brings from files besides its data: its first values, and its teacher.

use super::trainer::Trainer;
use crate::RunError;
use crate::first_values::FirstValues;
use crate::teacher;
use crate::training_flags::TrainingFlags;
use common::data::classes::ClassNames;
use common::data::spec::DataSpec;
use common::train::config::{RunConfig, TrainingConfig};

/// What was read.
pub(super) struct Brought {
    first: Option<FirstValues>,
    teacher: Option<teacher::Named>,
}

impl Brought {
    /// Reads what the flags name, and puts into the settings which values and which teacher it is.
    ///
    /// # Errors
    /// When something can't be had, or does not fit the network or the data.
    pub(super) fn read(
        flags: &TrainingFlags,
        training: &mut TrainingConfig,
        spec: DataSpec,
        classes: &ClassNames,
    ) -> Result<Self, RunError> {
        let first = FirstValues::of(&flags.transfer, training, spec)?;
        if let Some(first) = &first {
            training.init_from = Some(first.init_from.clone());
        }
        let teacher = teacher::of(&flags.compression, &training.compression, spec, classes)?;
        if let Some(teacher) = &teacher {
            training.compression.distillation = Some(teacher.distillation.clone());
        }
        Ok(Self { first, teacher })
    }

    /// What a person should know of it.
    pub(super) fn remarks(&self, config: &RunConfig) -> Vec<String> {
        let of_file = self.first.iter().flat_map(|first| first.said.clone());
        of_file.chain(self.zeros(config).filter(|&(zeros, _)| zeros > 0).map(|(_, said)| said)).collect()
    }

    /// What is doubtful about it.
    pub(super) fn doubts(&self, config: &RunConfig) -> Vec<String> {
        let nothing = self.zeros(config).filter(|&(zeros, _)| zeros == 0).map(|(_, said)| said);
        let of_teacher = self.teacher.as_ref().and_then(|teacher| teacher.doubt.clone());
        nothing.into_iter().chain(of_teacher).collect()
    }

    /// The number of first values that stay 0, and what to say of them, if the run has a mask.
    fn zeros(&self, config: &RunConfig) -> Option<(usize, String)> {
        let mask = config.training().compression.mask.as_ref()?;
        let [values, zeros] = config.partition().zeros(&self.first.as_ref()?.values);
        let what = match zeros {
            0 => format!("none of these {values} first values is 0, so nothing is kept"),
            _ => format!("{zeros} of these {values} values are 0 and stay so"),
        };
        Some((zeros, format!("--mask \"{mask}\": {what}")))
    }

    /// Hands it to the training.
    pub(super) fn hand_to(self, trainer: &mut Trainer) {
        if let Some(first) = self.first {
            trainer.set_first_values(first.values);
        }
        trainer.set_teacher(self.teacher.map(|named| named.teacher));
    }
}
