//! Running statistics, which follow what a step's leaves have measured: the running mean and variance of a
//! batch norm.
//!
//! ```text
//! running = (1 - 0.1) · running + 0.1 · mean of the step's leaves, weighted by their samples
//! ```
//!
//! That is PyTorch's rule (momentum 0.1), with the mean over the leaves in the place of a batch's statistics.

use super::mean::Mean;
use super::{Partition, Treatment};
use std::num::NonZeroUsize;
use std::ops::Range;

/// Share of the new mean (PyTorch's default).
const MOMENTUM: f32 = 0.1;

/// Sets to 0 what counts in no norm and what no rule changes: the gradients of frozen parameters, and the
/// means of running statistics, which are returned.
pub(super) fn take_out(
    partition: &Partition,
    mean: &mut Mean<'_>,
    threads: NonZeroUsize,
) -> Vec<(Range<usize>, Vec<f32>)> {
    let frozen: Vec<_> = partition.of(Treatment::Frozen).collect();
    let running: Vec<_> = partition.of(Treatment::Running).collect();
    if !frozen.is_empty() || !running.is_empty() {
        let _ = mean.average(threads);
    }
    let measure = |range: &Range<usize>| {
        let mut means = mean.left[range.clone()].to_vec();
        // What a leaf measured is not multiplied by its samples' weights, and was divided by them.
        mean.mean_weight.iter().for_each(|weight| means.iter_mut().for_each(|mean| *mean *= weight));
        (range.clone(), means)
    };
    let measured = running.iter().map(measure).collect();
    frozen.into_iter().chain(running).for_each(|range| mean.left[range].fill(0.0));
    measured
}

/// Moves each value towards the step's mean; returns whether all are finite afterwards.
pub(super) fn follow(running: &mut [f32], means: &[f32]) -> bool {
    for (value, mean) in running.iter_mut().zip(means) {
        *value = (1.0 - MOMENTUM) * *value + MOMENTUM * mean;
    }
    crate::reduce::precision::are_finite(running)
}

#[cfg(test)]
mod tests {
    use crate::data::digits::SPEC;
    use crate::model::architecture::Architecture;
    use crate::reduce::precision::Precision;
    use crate::train::optim::{Decayed, GradientSum, Groups, NonFinite, Optimizer, Stepped};
    use std::num::NonZeroUsize;

    #[test]
    fn running_statistics_follow_the_mean_and_count_in_no_norm() {
        let model = Architecture::parse(SPEC, "conv(2,3) batchnorm flatten dense").unwrap();
        let layout = model.layout();
        let range = layout.find("bn1.running_var").unwrap().1;
        let partition = || Groups::default().partition(layout, Decayed::All).unwrap();
        let spec = "sgd(momentum=0,nesterov=false,weight_decay=0.1)".parse().unwrap();
        let step = |measured: f32, clip, weight: Option<f64>| {
            let mut optimizer = Optimizer::new(spec, partition());
            let mut params = vec![1.0; layout.len()];
            let mut sum = vec![0.0; layout.len()];
            sum[range.clone()].fill(measured);
            sum[layout.find("fc1.bias").unwrap().1.start] = 8.0;
            let sum = GradientSum::new(sum, Precision::F32);
            let sum = weight.map_or(sum.clone(), |weight| sum.with_weight(weight));
            let stepped = optimizer.step(&mut params, sum, 4, clip, 0.5, NonZeroUsize::MIN);
            (stepped, params)
        };
        for clip in [None, Some(1e-3)] {
            let (Stepped { grad_norm, non_finite }, params) = step(12.0, clip, None);
            assert_eq!((grad_norm, non_finite), (2.0, None));
            assert!(params[range.clone()].iter().all(|&value| value == 0.9f32 * 1.0 + 0.1 * 3.0));
        }
        // With weights of 8 together, the gradient is divided by 8, and a mean still by 4 samples.
        let (Stepped { grad_norm, .. }, params) = step(12.0, None, Some(8.0));
        assert_eq!(grad_norm, 1.0);
        assert!(params[range.clone()].iter().all(|&value| value == 0.9f32 * 1.0 + 0.1 * 3.0));
        assert_eq!(step(f32::INFINITY, None, None).0.non_finite, Some(NonFinite::Parameters));
    }
}
