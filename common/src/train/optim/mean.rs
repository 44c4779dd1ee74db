//! The mean of a step's gradients from their sum, block by block, and the mean's norm.
//!
//! The last addition of the sum is still to be made when it arrives. For a large model this saves a pass over
//! the memory: both sides are read here, and the update follows while a block is in the cache. `rule` decides
//! what the update is.

use super::BLOCK;
use crate::reduce::parallel;
use crate::reduce::precision::Precision;
use crate::simd::{self, Loops};
use std::num::NonZeroUsize;
use std::ops::DerefMut;

/// Sum of gradients, each as long as the parameters. Its last addition may be left to the optimizer.
#[derive(Clone, Debug, PartialEq)]
pub struct GradientSum<V> {
    /// The sum, or the left side of the last addition.
    left: V,
    /// Right side of the last addition, if that is still to be made.
    right: Option<V>,
    /// Precision to which every addition is rounded.
    precision: Precision,
    /// Sum of the samples' weights, where they are not all 1.
    weight: Option<f32>,
}

impl<V> GradientSum<V> {
    /// The sum of a single gradient.
    pub fn new(gradient: V, precision: Precision) -> Self {
        Self { left: gradient, right: None, precision, weight: None }
    }

    /// The sum of gradients that were multiplied by their samples' weights, which are so much together.
    #[must_use]
    pub fn with_weight(self, weight: f64) -> Self {
        Self { weight: Some(weight as f32), ..self }
    }

    /// Leaves it to the optimizer to add `right` to the right of this.
    ///
    /// # Panics
    /// When an addition is left over already.
    pub fn add_last(&mut self, right: Self) {
        assert!(self.right.is_none() && right.right.is_none(), "a single addition is left over");
        self.right = Some(right.left);
    }
}

impl<V: DerefMut<Target = [f32]>> GradientSum<V> {
    /// Adds `right` to the right of this, element by element, by `threads` threads.
    ///
    /// # Panics
    /// When an addition is left over already, or the lengths differ.
    pub fn add(&mut self, right: &Self, threads: NonZeroUsize) {
        assert!(self.right.is_none() && right.right.is_none(), "nothing follows the last addition");
        parallel::add(&mut self.left, &right.left, self.precision, threads);
    }
}

/// The mean of a step's gradients, which is computed from their sum block by block.
#[derive(Debug)]
pub(super) struct Mean<'a> {
    /// The sum, or its left side.
    pub(super) left: &'a mut [f32],
    /// Right side, if it is still to be added.
    right: Option<&'a [f32]>,
    precision: Precision,
    /// Number of samples in the sum, or the sum of their weights.
    divisor: f32,
    /// Mean weight of a sample, where they are not all 1.
    pub(super) mean_weight: Option<f32>,
}

impl<'a> Mean<'a> {
    /// The mean over the `samples` of `sum`, whose contents are meaningless afterwards.
    pub(super) fn of<V: DerefMut<Target = [f32]>>(sum: &'a mut GradientSum<V>, samples: u64) -> Self {
        let GradientSum { left, right, precision, weight } = sum;
        let divisor = weight.unwrap_or(samples as f32);
        let mean_weight = weight.map(|weight| weight / samples as f32);
        Self { left, right: right.as_deref(), precision: *precision, divisor, mean_weight }
    }

    /// Splits the sum into parts of `len` elements; the last may be shorter.
    pub(super) fn parts(self, len: usize) -> impl Iterator<Item = Mean<'a>> {
        let Self { left, right, precision, divisor, mean_weight } = self;
        assert!(
            right.is_none_or(|right| right.len() == left.len()),
            "gradients of one model have one length"
        );
        let mut right = right.map(|right| right.chunks(len));
        left.chunks_mut(len).map(move |left| {
            let right = right.as_mut().and_then(Iterator::next);
            Mean { left, right, precision, divisor, mean_weight }
        })
    }

    /// Writes the mean of the block that begins at element `at` to `mean`; returns its sum of squares.
    #[inline(always)]
    pub(super) fn block(&self, at: usize, mean: &mut [f32]) -> f64 {
        let block = at..at + mean.len();
        let left = &self.left[block.clone()];
        match self.right {
            None => mean.copy_from_slice(left),
            Some(right) => {
                let sides = left.iter().zip(&right[block]);
                mean.iter_mut().zip(sides).for_each(|(sum, (left, right))| *sum = left + right);
                self.precision.round(mean);
            }
        }
        divide(mean, self.divisor)
    }

    /// Leaves the mean in `left`; returns its L2 norm, added in f64 in an order that depends only on its
    /// length.
    pub(super) fn average(&mut self, threads: NonZeroUsize) -> f64 {
        let part = parallel::part_len(self.left.len(), threads);
        let Self { left, right, precision, divisor, mean_weight } = self;
        let right = right.take();
        let all = Mean { left, right, precision: *precision, divisor: *divisor, mean_weight: *mean_weight };
        let jobs = all.parts(part).map(|part| {
            move || {
                let mut squares = Vec::new();
                let mut mean = [0.0; BLOCK];
                for at in (0..part.left.len()).step_by(BLOCK) {
                    let end = part.left.len().min(at + BLOCK);
                    let mean = &mut mean[..end - at];
                    squares.push(simd::widest(Average { part: &part, at, mean }));
                    part.left[at..end].copy_from_slice(mean);
                }
                squares
            }
        });
        let squares = parallel::all(jobs.collect());
        self.divisor = 1.0;
        norm(squares.into_iter().flatten())
    }
}

/// The mean of a block, which begins at element `at` of a part; returns its sum of squares.
struct Average<'a> {
    part: &'a Mean<'a>,
    at: usize,
    /// Room for the block's mean.
    mean: &'a mut [f32],
}

impl Loops for Average<'_> {
    type Output = f64;

    #[inline(always)]
    fn run(self) -> f64 {
        self.part.block(self.at, self.mean)
    }
}

/// The L2 norm, from the blocks' sums of squares in their order.
pub(super) fn norm(squares: impl Iterator<Item = f64>) -> f64 {
    squares.sum::<f64>().sqrt()
}

/// Factor that scales a gradient of length `norm` so that it is not longer than `max`; 1 if it is shorter
/// (`torch.nn.utils.clip_grad_norm_`).
pub(super) fn clip_scale(norm: f64, max: f64) -> f32 {
    (max / (norm + 1e-6)).min(1.0) as f32
}

/// Divides a block by `divisor`; returns its sum of squares.
#[inline(always)]
fn divide(block: &mut [f32], divisor: f32) -> f64 {
    // Eight independent sums: with a single one, each addition would wait for the one before.
    const LANES: usize = 8;
    let mut squares = [0.0; LANES];
    let mut take = |group: &mut [f32]| {
        for (square, g) in squares.iter_mut().zip(group) {
            *g /= divisor;
            *square += f64::from(*g) * f64::from(*g);
        }
    };
    let (groups, rest) = block.as_chunks_mut::<LANES>();
    groups.iter_mut().for_each(|group| take(group));
    take(rest);
    squares.into_iter().sum()
}
