//! How an epoch becomes steps and a step becomes leaves: a function of (seed, epoch, step, leaf) alone.
//!
//! Every training sample is in exactly one leaf of an epoch: nothing is padded, dropped or repeated. The last
//! leaf of a step and the last step of an epoch may be short.

use crate::ids::{Epoch, Leaf, Step};
use crate::rng::Stream;
use std::ops::Range;

/// The division of a run into epochs, steps and leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    samples: u32,
    batch: u32,
    micro_batch: u32,
    seed: u64,
}

/// Position of a step in the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Number of the epoch, from 0.
    pub epoch: Epoch,
    /// Number of the step within its epoch, from 0.
    pub step_in_epoch: u64,
}

impl Plan {
    /// A plan over `samples` training samples with global batches of `batch` and leaves of `micro_batch`.
    ///
    /// # Panics
    /// When any of them is 0: the configuration refuses that earlier.
    #[must_use]
    pub fn new(samples: u32, batch: u32, micro_batch: u32, seed: u64) -> Self {
        assert!(samples > 0 && batch > 0 && micro_batch > 0, "a plan needs samples and sizes above 0");
        Self { samples, batch, micro_batch, seed }
    }

    /// Number of steps in every epoch.
    #[must_use]
    pub fn steps_per_epoch(&self) -> u64 {
        u64::from(self.samples.div_ceil(self.batch))
    }

    /// Epoch of `step`, and its position there.
    #[must_use]
    pub fn position(&self, step: Step) -> Position {
        let per_epoch = self.steps_per_epoch();
        Position { epoch: Epoch(step.0 / per_epoch), step_in_epoch: step.0 % per_epoch }
    }

    /// Range of the step in its epoch's order.
    #[must_use]
    pub fn step_range(&self, step: Step) -> Range<u32> {
        let start = self.position(step).step_in_epoch * u64::from(self.batch);
        let end = (start + u64::from(self.batch)).min(u64::from(self.samples));
        start as u32..end as u32
    }

    /// Number of leaves in this step, at least 1.
    #[must_use]
    pub fn leaves(&self, step: Step) -> u32 {
        leaves_of(self.step_range(step).len() as u32, self.micro_batch)
    }

    /// Range of the leaf in its epoch's order; empty if the step has no such leaf.
    #[must_use]
    pub fn leaf_range(&self, step: Step, leaf: Leaf) -> Range<u32> {
        let step = self.step_range(step);
        let leaf = leaf_of(step.len() as u32, self.micro_batch, leaf);
        step.start + leaf.start..step.start + leaf.end
    }

    /// The order in which an epoch visits the training samples: positions in `0..samples`.
    #[must_use]
    pub fn order(&self, epoch: Epoch) -> Vec<u32> {
        Stream::new(self.seed, "permutation", &[epoch.0]).permutation(self.samples)
    }
}

/// Number of leaves for `samples` samples.
#[must_use]
pub fn leaves_of(samples: u32, micro_batch: u32) -> u32 {
    samples.div_ceil(micro_batch)
}

/// Range of leaf `leaf` in `0..samples`; empty if there is no such leaf.
#[must_use]
pub fn leaf_of(samples: u32, micro_batch: u32, leaf: Leaf) -> Range<u32> {
    let start = u64::from(leaf.0) * u64::from(micro_batch);
    let cut = |at: u64| at.min(u64::from(samples)) as u32;
    cut(start)..cut(start + u64::from(micro_batch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_of_an_epoch_is_seen_exactly_once() {
        for (samples, batch, micro) in [
            (1, 1, 1),
            (10, 3, 2),
            (100, 128, 32),
            (1000, 128, 32),
            (1003, 100, 33),
            (997, 7, 7),
            (64, 10, 100),
        ] {
            let plan = Plan::new(samples, batch, micro, 3);
            for epoch in 0..3 {
                let order = plan.order(Epoch(epoch));
                let mut seen = vec![0; samples as usize];
                for s in 0..plan.steps_per_epoch() {
                    let step = Step(epoch * plan.steps_per_epoch() + s);
                    assert_eq!(plan.position(step), Position { epoch: Epoch(epoch), step_in_epoch: s });
                    for leaf in 0..plan.leaves(step) {
                        let range = plan.leaf_range(step, Leaf(leaf));
                        assert!(!range.is_empty() && range.len() <= micro as usize);
                        for position in range {
                            seen[order[position as usize] as usize] += 1;
                        }
                    }
                }
                assert!(seen.iter().all(|&n| n == 1), "samples {samples}, batch {batch}, micro {micro}");
            }
        }
    }

    #[test]
    fn epochs_and_seeds_have_orders_of_their_own() {
        let plan = Plan::new(100, 10, 5, 3);
        assert_ne!(plan.order(Epoch(0)), plan.order(Epoch(1)));
        assert_ne!(plan.order(Epoch(0)), Plan::new(100, 10, 5, 4).order(Epoch(0)));
        assert_eq!(plan.order(Epoch(1)), Plan::new(100, 20, 4, 3).order(Epoch(1)));
    }

    #[test]
    fn a_leaf_past_the_end_is_empty() {
        let plan = Plan::new(10, 4, 3, 0);
        assert_eq!(plan.leaf_range(Step(2), Leaf(0)), 8..10);
        assert!(plan.leaf_range(Step(2), Leaf(1)).is_empty());
        assert!(plan.leaf_range(Step(2), Leaf(u32::MAX)).is_empty());
    }
}
