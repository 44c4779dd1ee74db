//! Masks: in the tensors that are named, values that are 0 stay 0, such as those that pruning has removed.
//!
//! The values are their own mask, so nothing has to be kept beside them. A value that is 0 before a step is 0
//! after it, whatever the rule and the optimizer's state; its gradient counts as 0, also in the norm. A mask
//! belongs to no parameter group: it goes together with each group's settings. What is frozen or follows a
//! mean has no mask.

use super::mean::Mean;
use super::rule::Rule;
use super::{Partition, Treatment};
use crate::model::params::Layout;
use crate::train::patterns::{Patterns, matches};
use std::num::NonZeroUsize;
use std::ops::Range;

/// Values that are updated at once.
const VALUES: usize = 256;

/// A pattern of a mask that matches no tensor that is trained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pattern} matches no tensor that is trained; they are {tensors}")]
pub struct NothingMasked {
    /// The pattern.
    pub pattern: String,
    /// Names of the tensors that are trained.
    pub tensors: String,
}

impl Partition {
    /// The same division with a mask on the tensors that the patterns choose.
    ///
    /// # Errors
    /// When a pattern chooses none that is trained.
    pub fn masked(self, patterns: &Patterns, layout: &Layout) -> Result<Self, NothingMasked> {
        let tensors: Vec<_> = layout
            .iter()
            .filter_map(|(tensor, range)| Some((tensor.name.as_str(), self.at(range.start)?, range)))
            .collect();
        let is_trained = |treatment: Treatment| matches!(treatment, Treatment::Trained { .. });
        let trained = || tensors.iter().filter(|(_, of, _)| is_trained(*of)).map(|&(name, ..)| name);
        for pattern in patterns.iter() {
            if !trained().any(|name| matches(pattern, name)) {
                let tensors = trained().collect::<Vec<_>>().join(", ");
                return Err(NothingMasked { pattern: pattern.to_owned(), tensors });
            }
        }
        let each = tensors.iter().map(|(name, treatment, range)| {
            (range.clone(), if patterns.choose(name) { treatment.masked() } else { *treatment })
        });
        Ok(Self::of_tensors(each))
    }

    /// Number of values with a mask, and how many of them are 0.
    #[must_use]
    pub fn zeros(&self, values: &[f32]) -> [usize; 2] {
        let masked = || self.with_mask().flat_map(|range| &values[range]);
        [masked().count(), masked().filter(|&&value| value == 0.0).count()]
    }

    /// Ranges with a mask.
    fn with_mask(&self) -> impl Iterator<Item = Range<usize>> {
        self.ranges().filter(|(_, treatment)| treatment.is_masked()).map(|(range, _)| range)
    }
}

/// Sets the gradients to 0 of values that stay 0.
pub(super) fn take_out(partition: &Partition, params: &[f32], mean: &mut Mean<'_>, threads: NonZeroUsize) {
    let masked: Vec<_> = partition.with_mask().collect();
    if !masked.is_empty() {
        let _ = mean.average(threads);
    }
    for range in masked {
        for (gradient, &value) in mean.left[range.clone()].iter_mut().zip(&params[range]) {
            if value == 0.0 {
                *gradient = 0.0;
            }
        }
    }
}

/// Updates a block by a rule, but for values that are 0. Returns whether the block and the slots are finite
/// afterwards.
#[inline(always)]
pub(super) fn apply(
    rule: Rule,
    at: usize,
    params: &mut [f32],
    gradient: &[f32],
    slots: &mut [&mut [f32]],
) -> bool {
    let mut is_finite = true;
    let mut before = [0.0; VALUES];
    let parts = (0..).step_by(VALUES).zip(params.chunks_mut(VALUES).zip(gradient.chunks(VALUES)));
    for (start, (params, gradient)) in parts {
        let before = &mut before[..params.len()];
        before.copy_from_slice(params);
        is_finite &= rule.apply(at + start, params, gradient, slots);
        for (value, &before) in params.iter_mut().zip(&*before) {
            *value = if before == 0.0 { before } else { *value };
        }
    }
    is_finite
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::digits::SPEC;
    use crate::model::architecture::Architecture;
    use crate::model::params::Init;
    use crate::reduce::precision::Precision;
    use crate::train::average::Averaging;
    use crate::train::optim::{Decayed, GradientSum, Groups, Optimizer, OptimizerSpec};

    const GROUPS: &str = "conv*(lr_factor=0.5,weight_decay=0.25) fc1.bias(frozen)";
    const OPTIMIZERS: [&str; 7] = [
        "sgd(momentum=0,nesterov=false,weight_decay=0.1)",
        "sgd(momentum=0.9,nesterov=true,weight_decay=0.1)",
        "adam(beta1=0.9,beta2=0.999,eps=1e-8,weight_decay=0.1)",
        "adamw(beta1=0.9,beta2=0.999,eps=1e-8,weight_decay=0.1)",
        "rmsprop(alpha=0.9,eps=1e-8,momentum=0,weight_decay=0.1)",
        "rmsprop(alpha=0.9,eps=1e-8,momentum=0.9,weight_decay=0.1)",
        "lion(beta1=0.9,beta2=0.99,weight_decay=0.1)",
    ];

    fn model() -> Architecture {
        Architecture::parse(SPEC, "conv(7,3) batchnorm relu flatten dense").unwrap()
    }

    fn partition(model: &Architecture, mask: &str) -> Result<Partition, NothingMasked> {
        let groups: Groups = GROUPS.parse().unwrap();
        let partition = groups.partition(model.layout(), Decayed::Weights).unwrap();
        partition.masked(&mask.parse().unwrap(), model.layout())
    }

    /// Values of which about half are 0, in both signs.
    fn pruned(model: &Architecture) -> Vec<f32> {
        let mut values = Init::He.draw(model.layout(), 1);
        let of = |at: usize| if at % 4 == 1 { -0.0 } else { 0.0 };
        (0..values.len()).filter(|at| at % 4 < 2).for_each(|at| values[at] = of(at));
        values
    }

    /// The values after so many steps with gradients of all sizes.
    fn trained(optimizer: &mut Optimizer, params: &mut [f32], steps: usize, clip: Option<f64>) -> f64 {
        let mut norm = 0.0;
        for step in 0..steps {
            let sum: Vec<f32> = (0..params.len()).map(|at| ((at + step) % 13) as f32 - 5.5).collect();
            let sum = GradientSum::new(sum, Precision::F32);
            let stepped = optimizer.step(params, sum, 2, clip, 0.01, NonZeroUsize::new(2).unwrap());
            assert_eq!(stepped.non_finite, None);
            norm = stepped.grad_norm;
        }
        norm
    }

    #[test]
    fn zeros_stay_zero_with_their_state_through_each_optimizer_and_average() {
        let model = model();
        let first = pruned(&model);
        let partition = partition(&model, "*.weight").unwrap();
        let masked: Vec<usize> = partition.with_mask().flatten().filter(|&at| first[at] == 0.0).collect();
        let names = ["bn1.weight", "conv1.weight", "fc1.weight"];
        let of_names = names.iter().map(|name| model.layout().find(name).unwrap().0.len());
        assert_eq!(partition.zeros(&first), [of_names.sum(), masked.len()]);
        assert!(masked.len() > 2 * VALUES, "{}", masked.len());
        for spec in OPTIMIZERS {
            for (clip, averaging) in [(None, "ema(0.9)"), (Some(0.5), "swa(1)")] {
                let spec: OptimizerSpec = spec.parse().unwrap();
                let mut optimizer = Optimizer::new(spec, partition.clone());
                let (mut params, mut average) = (first.clone(), first.clone());
                for step in 1..=5 {
                    trained(&mut optimizer, &mut params, 1, clip);
                    let averaging: Averaging = averaging.parse().unwrap();
                    averaging.follow(&mut average, &params, step, Some(step), NonZeroUsize::MIN);
                }
                for &at in &masked {
                    assert_eq!(params[at].to_bits(), first[at].to_bits(), "{spec}: value {at}");
                    assert_eq!(average[at], 0.0, "{spec}: average of value {at}");
                    assert!(optimizer.slots().all(|(_, slot)| slot[at] == 0.0), "{spec}: state of {at}");
                }
                let biases = model.layout().find("conv1.bias").unwrap().1;
                assert!(params[biases].iter().all(|&value| value != 0.0), "{spec}: biases have no mask");
            }
        }
    }

    #[test]
    fn values_that_are_not_zero_have_the_bits_that_they_have_without_a_mask() {
        let model = model();
        let groups: Groups = GROUPS.parse().unwrap();
        let plain = groups.partition(model.layout(), Decayed::Weights).unwrap();
        for spec in OPTIMIZERS {
            let after = |partition: &Partition| {
                let mut params = pruned(&model);
                trained(&mut Optimizer::new(spec.parse().unwrap(), partition.clone()), &mut params, 3, None);
                params
            };
            let [free, kept] = [plain.clone(), partition(&model, "*.weight").unwrap()].map(|of| after(&of));
            for (at, first) in pruned(&model).into_iter().enumerate().filter(|&(_, first)| first != 0.0) {
                assert_eq!(kept[at].to_bits(), free[at].to_bits(), "{spec}: value {at}, first {first}");
            }
        }
    }

    #[test]
    fn a_value_that_becomes_zero_stays_so_whatever_its_momentum_and_counts_in_no_norm() {
        let model = Architecture::parse(SPEC, "flatten dense").unwrap();
        let partition = Groups::default().partition(model.layout(), Decayed::All).unwrap();
        let partition = partition.masked(&"fc1*".parse().unwrap(), model.layout()).unwrap();
        for spec in &OPTIMIZERS[1..] {
            let mut optimizer = Optimizer::new(spec.parse().unwrap(), partition.clone());
            let mut params = vec![1.0; model.layout().len()];
            assert!(trained(&mut optimizer, &mut params, 1, None) > 0.0);
            params.fill(0.0);
            assert_eq!(trained(&mut optimizer, &mut params, 3, Some(1.0)), 0.0, "{spec}");
            assert!(params.iter().all(|&value| value == 0.0), "{spec}");
        }
    }

    #[test]
    fn a_mask_goes_with_the_groups_and_names_what_is_trained() {
        let model = model();
        let parts = partition(&model, "conv1.weight").unwrap();
        let at = |name: &str| parts.at(model.layout().find(name).unwrap().1.start).unwrap();
        let conv = |masked| Treatment::Trained { lr_factor: 0.5, weight_decay: Some(0.25), masked };
        assert_eq!([at("conv1.weight"), at("conv1.bias")], [conv(true), conv(false)]);
        assert_eq!([at("fc1.bias"), at("bn1.running_var")], [Treatment::Frozen, Treatment::Running]);
        assert_eq!(parts.len(), model.layout().len());
        for nothing in ["fc1.bias", "*running*", "fc2*", "conv* cnv*"] {
            let error = partition(&model, nothing).unwrap_err().to_string();
            let tensors = "they are bn1.bias, bn1.weight, conv1.bias, conv1.weight, fc1.weight";
            assert!(error.ends_with(tensors), "{nothing}: {error}");
        }
    }
}
