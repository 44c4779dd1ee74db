//! Plateau: the learning rate falls where the validation's loss has not become lower for a while.
//!
//! A loss is better if it is below best · (1 - threshold). After more than `patience` epochs in a row without
//! a better one the rate is multiplied by `factor`, and the epochs are counted anew:
//! `torch.optim.lr_scheduler.ReduceLROnPlateau` on the loss, with its relative threshold and without its
//! `cooldown` and `eps`.

use super::{ScheduleError, in_range};
use serde::{Deserialize, Serialize};

/// Constants of plateau; the defaults are PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plateau {
    /// Factor of each fall, in `(0, 1)`.
    pub factor: f64,
    /// Epochs without a better loss that are borne in a row.
    pub patience: u64,
    /// Share by which a loss must be below the best one to be better, in `[0, 1)`.
    pub threshold: f64,
    /// Least rate, at most the highest one.
    pub min_lr: f64,
}

/// What a run keeps of its validations for a plateau.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlateauState {
    /// The loss that later ones must be below; the largest number before the first.
    pub best_loss: f64,
    /// Epochs in a row without a better one.
    pub epochs: u64,
    /// How often the rate has fallen.
    pub falls: u64,
}

impl Default for Plateau {
    fn default() -> Self {
        Self { factor: 0.1, patience: 10, threshold: 1e-4, min_lr: 0.0 }
    }
}

impl PlateauState {
    /// The state before the first validation. JSON has no infinity.
    pub const BEGINNING: Self = Self { best_loss: f64::MAX, epochs: 0, falls: 0 };
}

impl Plateau {
    /// The state after one more validation with that mean loss.
    #[must_use]
    pub fn after(self, state: PlateauState, loss: f64) -> PlateauState {
        let PlateauState { best_loss, epochs, falls } = state;
        if loss < best_loss * (1.0 - self.threshold) {
            PlateauState { best_loss: loss, epochs: 0, falls }
        } else if epochs < self.patience {
            PlateauState { best_loss, epochs: epochs + 1, falls }
        } else {
            PlateauState { best_loss, epochs: 0, falls: falls.saturating_add(1) }
        }
    }

    /// Checks the constants' ranges, for a run with that highest rate.
    pub(super) fn validate(self, highest: f64) -> Result<(), ScheduleError> {
        let Self { factor, patience: _, threshold, min_lr } = self;
        in_range("plateau-factor", factor, "above 0 and below 1", factor > 0.0 && factor < 1.0)?;
        let ok = (0.0..1.0).contains(&threshold);
        in_range("plateau-threshold", threshold, "at least 0 and below 1", ok)?;
        in_range("min-lr", min_lr, "at least 0 and at most --lr", (0.0..=highest).contains(&min_lr))
    }
}
