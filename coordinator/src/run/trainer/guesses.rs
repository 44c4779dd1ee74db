//! Guesses of unlabelled samples: when they are needed, whose they are, and what they become.
//!
//! The labels of an epoch come from weights that are gone once its first step is done. So a checkpoint in its
//! middle has them. One at its beginning has none: whoever goes on from it guesses anew, and gets the same.

use super::{TrainError, Trainer};
use crate::run::outcome::Guessed;
use common::checkpoint::{CheckpointError, LABELS_FILE, Position};
use common::train::average::Weights;
use common::train::pseudo::{Guess, NO_LABEL, PseudoLabels};

impl Trainer {
    /// The weights that must guess the unlabelled samples before the next step, if some have to.
    pub(super) fn has_to_ask(&self) -> Option<Weights> {
        let teacher = if self.has_average() { Weights::Averaged } else { Weights::Last };
        self.leaves.lack_labels(self.position.epoch).then_some(teacher)
    }

    /// Makes labels of the guesses for the epoch that begins.
    pub(super) fn learn(&mut self, weights: Weights, guesses: &[Guess]) -> Guessed {
        let Position { step, epoch, .. } = self.position;
        let threshold = self.config.training().self_training.unwrap_or_default().threshold;
        let labels = PseudoLabels::choose(guesses, threshold);
        let labelled = labels.as_slice().iter().filter(|&&label| label != NO_LABEL).count();
        let true_labels = self.leaves.true_labels();
        let right = labels.as_slice().iter().zip(true_labels).filter(|(label, own)| label == own).count();
        self.leaves.set_labels(epoch, &labels);
        Guessed {
            step,
            epoch,
            weights,
            samples: guesses.len() as u64,
            labelled: labelled as u64,
            right: right as u64,
        }
    }

    /// The pseudo-labels that a checkpoint has.
    pub(super) fn labels_to_keep(&self) -> Option<Vec<u16>> {
        let Position { epoch, step_in_epoch, .. } = self.position;
        self.leaves.labels(epoch).filter(|_| step_in_epoch > 0)
    }

    /// Takes the pseudo-labels of a checkpoint with that position.
    pub(super) fn restore_labels(
        &mut self,
        position: &Position,
        labels: Option<Vec<u16>>,
    ) -> Result<(), TrainError> {
        self.leaves.forget_labels();
        let Position { step, epoch, step_in_epoch, .. } = *position;
        let are_needed = step_in_epoch > 0 && self.leaves.lack_labels(epoch);
        match labels {
            Some(labels) if are_needed => {
                let samples = self.config.unlabelled();
                let classes = self.config.data().spec.classes();
                let labels = PseudoLabels::new(labels, samples as usize, classes)?;
                self.leaves.set_labels(epoch, &labels);
                Ok(())
            }
            None if are_needed => Err(CheckpointError::Unrecorded(LABELS_FILE).into()),
            Some(_) => Err(TrainError::SurplusLabels { step }),
            None => Ok(()),
        }
    }
}
