//! The optimizers on flat slices, with PyTorch's formulas.
//!
//! `spec` says which there are, with their constants; `rule` updates one element, and `mean` prepares the
//! gradient. This file has an optimizer's parts and state, and divides its pass over all elements. The
//! moments are plain slices, so they can be checkpointed.

pub use groups::{Decayed, Group, GroupError, Groups, Partition, Treatment};
pub use mask::NothingMasked;
pub use mean::GradientSum;
pub use spec::{Lion, Moments, OptimError, OptimizerSpec, RmsProp};

use crate::reduce::parallel;
use crate::reduce::precision::are_finite;
use crate::simd::{self, Loops};
use mean::Mean;
use rule::Rule;
use std::fmt;
use std::num::NonZeroUsize;
use std::ops::{DerefMut, Range};

/// Number of elements per block. With mean and two slots that is 64 KiB: at most half of a core's
/// second-level cache.
const BLOCK: usize = 4096;

/// Result of an optimizer step.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct Stepped {
    /// L2 norm of the mean gradient before clipping, added in f64 in an order that depends only on its
    /// length.
    pub grad_norm: f64,
    /// Kind of values that hold an infinity or a NaN after the step.
    pub non_finite: Option<NonFinite>,
}

/// Values that are not finite after a step. Training must not go on with them, and no checkpoint may keep
/// them. If there are several kinds, it is the one from which the others follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonFinite {
    /// The mean gradient over a step's samples.
    Gradient,
    /// The optimizer's slot of that name.
    Slot(&'static str),
    /// The parameters after the update.
    Parameters,
}

impl fmt::Display for NonFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gradient => f.write_str("gradient"),
            Self::Slot(name) => write!(f, "optimizer's state {name}"),
            Self::Parameters => f.write_str("updated model"),
        }
    }
}

/// An optimizer with its state.
#[derive(Clone, Debug, PartialEq)]
pub struct Optimizer {
    spec: OptimizerSpec,
    partition: Partition,
    steps: u64,
    /// State slices in the order of [`OptimizerSpec::slots`].
    slots: Vec<Vec<f32>>,
}

impl Optimizer {
    /// An optimizer that has not stepped yet, for parameters of these groups.
    #[must_use]
    pub fn new(spec: OptimizerSpec, partition: Partition) -> Self {
        let slots = vec![vec![0.0; partition.len()]; spec.slots().len()];
        Self { spec, partition, steps: 0, slots }
    }

    /// An optimizer that has done `steps` steps, with its saved state.
    ///
    /// # Errors
    /// When names or lengths are not this optimizer's.
    pub fn restore(
        spec: OptimizerSpec,
        partition: Partition,
        steps: u64,
        saved: Vec<(String, Vec<f32>)>,
    ) -> Result<Self, OptimError> {
        let shape = |names: &mut dyn Iterator<Item = (&str, usize)>| {
            let parts: Vec<String> = names.map(|(name, len)| format!("{name} [{len}]")).collect();
            if parts.is_empty() { "empty".to_owned() } else { parts.join(", ") }
        };
        let expected = shape(&mut spec.slots().iter().map(|&name| (name, partition.len())));
        let got = shape(&mut saved.iter().map(|(name, values)| (name.as_str(), values.len())));
        if expected != got {
            return Err(OptimError::State { expected, got });
        }
        Ok(Self { spec, partition, steps, slots: saved.into_iter().map(|(_, values)| values).collect() })
    }

    /// Number of steps done.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Sets the momentum, or beta1, of the steps that follow. It must not be 0: with it goes the state.
    pub fn set_momentum(&mut self, momentum: f64) {
        self.spec = self.spec.with_momentum(momentum);
    }

    /// State to save: names and values, each as long as the parameters.
    pub fn slots(&self) -> impl Iterator<Item = (&'static str, &[f32])> {
        self.spec.slots().iter().copied().zip(self.slots.iter().map(Vec::as_slice))
    }

    /// Updates `params` by the mean of `sum` over its samples, scaled so that its L2 norm is at most `clip`.
    /// Without `clip` that is one pass over everything; with it the norm must be known first.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn step(
        &mut self,
        params: &mut [f32],
        mut sum: GradientSum<impl DerefMut<Target = [f32]>>,
        samples: u64,
        clip: Option<f64>,
        learning_rate: f64,
        threads: NonZeroUsize,
    ) -> Stepped {
        let mut mean = Mean::of(&mut sum, samples);
        assert_eq!(params.len(), mean.left.len(), "one gradient a parameter");
        self.steps += 1;
        let measured = running::take_out(&self.partition, &mut mean, threads);
        mask::take_out(&self.partition, params, &mut mean, threads);
        let clipped = clip.map(|max| {
            let norm = mean.average(threads);
            (norm, mean::clip_scale(norm, max))
        });
        let scale = clipped.map_or(1.0, |(_, scale)| scale);
        let rules: Vec<Ruled> = self
            .partition
            .ranges()
            .filter_map(|(range, treatment)| {
                let Treatment::Trained { lr_factor, weight_decay, masked } = treatment else { return None };
                let spec = weight_decay.map_or(self.spec, |decay| self.spec.with_weight_decay(decay));
                let rule = Rule::new(spec, self.steps, scale, learning_rate * lr_factor);
                Some(Ruled { range, rule, masked })
            })
            .collect();
        let (norm, mut is_finite) = self.pass(&rules, params, mean, threads);
        for (range, means) in measured {
            is_finite &= running::follow(&mut params[range], &means);
        }
        let grad_norm = clipped.map_or(norm, |(norm, _)| norm);
        let non_finite = if !grad_norm.is_finite() {
            Some(NonFinite::Gradient)
        } else if is_finite {
            None
        } else {
            let slot = self.slots().find(|(_, values)| !are_finite(values));
            Some(slot.map_or(NonFinite::Parameters, |(name, _)| NonFinite::Slot(name)))
        };
        Stepped { grad_norm, non_finite }
    }

    /// Updates everything; returns the norm of the mean, and whether parameters and slots are finite
    /// afterwards.
    fn pass(
        &mut self,
        rules: &[Ruled],
        params: &mut [f32],
        mean: Mean<'_>,
        threads: NonZeroUsize,
    ) -> (f64, bool) {
        let part = parallel::part_len(params.len(), threads);
        let mut slots: Vec<_> = self.slots.iter_mut().map(|slot| slot.chunks_mut(part)).collect();
        let parts = (0..).step_by(part).zip(params.chunks_mut(part).zip(mean.parts(part)));
        let jobs = parts.map(|(start, (params, part))| {
            let mut slots: Vec<&mut [f32]> = slots.iter_mut().filter_map(Iterator::next).collect();
            move || {
                let mut squares = Vec::new();
                let mut is_finite = true;
                let mut block = [0.0; BLOCK];
                for (index, params) in params.chunks_mut(BLOCK).enumerate() {
                    let at = index * BLOCK;
                    let block = &mut block[..params.len()];
                    let slots = &mut slots[..];
                    let update = Update { part: &part, rules, start, at, params, mean: block, slots };
                    let (square, block_is_finite) = simd::widest(update);
                    squares.push(square);
                    is_finite &= block_is_finite;
                }
                (squares, is_finite)
            }
        });
        let parts = parallel::all(jobs.collect());
        let is_finite = parts.iter().all(|&(_, is_finite)| is_finite);
        (mean::norm(parts.into_iter().flat_map(|(squares, _)| squares)), is_finite)
    }
}

/// A range of the parameters, with its rule for one step.
#[derive(Clone, Debug)]
struct Ruled {
    range: Range<usize>,
    rule: Rule,
    /// Whether values that are 0 stay 0.
    masked: bool,
}

/// The update of a block, which begins at element `at` of a part. Parameters without a rule stay unchanged.
struct Update<'a, 'slots> {
    /// Gradients of the part.
    part: &'a Mean<'a>,
    rules: &'a [Ruled],
    /// Element of all parameters at which the part begins.
    start: usize,
    at: usize,
    /// Parameters of the block.
    params: &'a mut [f32],
    /// Room for the block's mean gradient.
    mean: &'a mut [f32],
    /// The optimizer's state for the part.
    slots: &'a mut [&'slots mut [f32]],
}

impl Loops for Update<'_, '_> {
    /// Sum of the mean's squares, and whether parameters and slots are finite afterwards.
    type Output = (f64, bool);

    #[inline(always)]
    fn run(self) -> (f64, bool) {
        let Self { part, rules, start, at, params, mean, slots } = self;
        let squares = part.block(at, mean);
        let first = start + at;
        let end = first + params.len();
        let mut is_finite = true;
        for Ruled { range, rule, masked } in
            rules.iter().filter(|of| of.range.start < end && of.range.end > first)
        {
            let own = range.start.max(first) - first..range.end.min(end) - first;
            let (at, params, mean) = (at + own.start, &mut params[own.clone()], &mean[own]);
            is_finite &= match masked {
                false => rule.apply(at, params, mean, slots),
                true => mask::apply(*rule, at, params, mean, slots),
            };
        }
        (squares, is_finite)
    }
}

mod groups;
mod mask;
mod mean;
mod rule;
mod running;
mod spec;

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
