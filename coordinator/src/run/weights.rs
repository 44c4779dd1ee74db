//! The versions of a run's weights: those that are trained, their average, and those of the best validation.
//!
//! The average exists where the configuration asks for it, the best ones where a run may end early. Each is
//! shared with tasks that send or write it, and changed in place when nobody else holds it.

use common::checkpoint::{AVERAGED_FILE, BEST_FILE, CheckpointError, Position, Versioned};
use common::train::average::{Averaging, Weights};
use std::num::NonZeroUsize;
use std::sync::Arc;

/// The versions of a run's weights, each as a flat vector in layout order.
#[derive(Clone, Debug)]
pub(super) struct Versions {
    pub(super) last: Arc<Vec<f32>>,
    averaging: Averaging,
    /// The average; as long as there is none, the first weights.
    averaged: Option<Arc<Vec<f32>>>,
    keeps_best: bool,
    best: Option<Arc<Vec<f32>>>,
}

impl Versions {
    /// Those of a run that begins with these weights.
    pub(super) fn new(first: Arc<Vec<f32>>, averaging: Averaging, keeps_best: bool) -> Self {
        let averaged = (averaging != Averaging::None).then(|| Arc::clone(&first));
        Self { last: first, averaging, averaged, keeps_best, best: None }
    }

    /// Takes those of a checkpoint with that position.
    ///
    /// # Errors
    /// When the checkpoint lacks a version that the run needs.
    pub(super) fn restore(
        &mut self,
        position: &Position,
        last: Vec<f32>,
        more: Versioned,
    ) -> Result<(), CheckpointError> {
        let lacks = |file| move || CheckpointError::Unrecorded(file);
        self.last = Arc::new(last);
        if let Some(own) = &mut self.averaged {
            *own = if self.averaging.has_begun(position.step.0, position.epoch.0) {
                Arc::new(more.averaged.ok_or_else(lacks(AVERAGED_FILE))?)
            } else {
                Arc::clone(&self.last)
            };
        }
        self.best = match position.best.filter(|_| self.keeps_best) {
            None => None,
            Some(best) if best.step == position.step => Some(Arc::clone(&self.last)),
            Some(_) => Some(Arc::new(more.best.ok_or_else(lacks(BEST_FILE))?)),
        };
        Ok(())
    }

    /// What a checkpoint with that position has besides the weights that are trained.
    pub(super) fn to_keep(&self, position: &Position) -> Versioned {
        let has_average = self.averaging.has_begun(position.step.0, position.epoch.0);
        let is_best = position.best.is_some_and(|best| best.step == position.step);
        Versioned {
            averaged: self.averaged.as_ref().filter(|_| has_average).map(|averaged| averaged.to_vec()),
            best: self.best.as_ref().filter(|_| !is_best).map(|best| best.to_vec()),
        }
    }

    /// A version; that of the trained weights in the place of one that there is not.
    pub(super) fn get(&self, weights: Weights) -> Arc<Vec<f32>> {
        let version = match weights {
            Weights::Last => None,
            Weights::Averaged => self.averaged.as_ref(),
            Weights::Best => self.best.as_ref(),
        };
        Arc::clone(version.unwrap_or(&self.last))
    }

    /// Has the average follow a step; `epochs` are done if it was an epoch's last.
    pub(super) fn follow(&mut self, steps: u64, epochs: Option<u64>, threads: NonZeroUsize) {
        if let Some(averaged) = &mut self.averaged {
            let average: &mut Vec<f32> = Arc::make_mut(averaged);
            self.averaging.follow(average, &self.last, steps, epochs, threads);
        }
    }

    /// The weights that are trained are the best so far.
    pub(super) fn set_best(&mut self) {
        self.best = self.keeps_best.then(|| Arc::clone(&self.last));
    }
}
