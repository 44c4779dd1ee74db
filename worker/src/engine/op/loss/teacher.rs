//! The part of the loss that comes from a teacher: how far a network's softened probabilities are from the
//! teacher's (`common::train::distil`).
//!
//! With q = softmax(z / T) and p = softmax(t / T) it is T² · Σ_j p_j (ln p_j - ln q_j). Its gradient with
//! respect to the logits z is T · (q - p). All is in f64, row by row.

use super::log_sum_exp_of;
use common::train::distil::Blend;

/// What a teacher makes of the samples of a leaf.
#[derive(Clone, Debug)]
pub struct Taught {
    /// The teacher's logits, `[n, classes]`.
    logits: Vec<f32>,
    blend: Blend,
}

/// How far a row of logits is from the teacher's.
pub(super) struct Distance {
    blend: Blend,
    /// T² times the divergence.
    loss: f64,
    /// Gradient of that, for each class.
    gradient: Vec<f64>,
}

impl Taught {
    /// What a teacher with these logits makes of the samples.
    #[must_use]
    pub fn new(logits: Vec<f32>, blend: Blend) -> Self {
        Self { logits, blend }
    }

    /// Whether there is a row for each of `n` samples.
    pub(super) fn fits(&self, n: usize, classes: usize) -> bool {
        self.logits.len() == n * classes
    }

    /// How far a sample's logits are from the teacher's.
    pub(super) fn distance(&self, sample: usize, row: &[f32]) -> Distance {
        let temperature = self.blend.temperature;
        let softened = |row: &[f32]| -> Vec<f64> {
            let row = row.iter().map(|&z| f64::from(z) / temperature);
            let log_sum = log_sum_exp_of(row.clone());
            row.map(|z| z - log_sum).collect()
        };
        let theirs = softened(&self.logits[sample * row.len()..][..row.len()]);
        let each = theirs.into_iter().zip(softened(row));
        let each: Vec<[f64; 3]> = each.map(|(log_p, log_q)| [log_p, log_q, libm::exp(log_p)]).collect();
        let divergence: f64 = each.iter().map(|[log_p, log_q, p]| p * (log_p - log_q)).sum();
        let gradient = each.iter().map(|[_, log_q, p]| temperature * (libm::exp(*log_q) - p)).collect();
        Distance { blend: self.blend, loss: temperature * temperature * divergence, gradient }
    }
}

impl Distance {
    /// A sample's loss, where the one of its labels is `loss`.
    pub(super) fn loss(&self, loss: f64) -> f64 {
        let weight = self.blend.weight;
        (1.0 - weight) * loss + weight * self.loss
    }

    /// The gradient of a class's logit, where that of the labels is `slope`. The target's classes have so
    /// much `weight` together.
    pub(super) fn slope(&self, class: usize, slope: f64, weight: f64) -> f64 {
        let share = self.blend.weight;
        (1.0 - share) * slope + share * weight * self.gradient[class]
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CrossEntropy, loss_sum};
    use super::*;
    use crate::engine::op::testing::{noise, variable};
    use crate::engine::op::to_vec;
    use candle_core::{Device, Tensor};
    use common::train::augment::Mixed;
    use common::train::objective::{ClassWeights, Objective};

    /// Difference on either side of a logit: exact in f32.
    const STEP: f32 = 1.0 / 256.0;
    const CLASSES: usize = 5;

    fn taught(samples: usize, weight: f64, temperature: f64) -> Taught {
        let logits = noise(9, samples * CLASSES).iter().map(|value| 4.0 * value).collect();
        Taught::new(logits, Blend { weight, temperature })
    }

    fn logits(samples: usize) -> Vec<f32> {
        // Multiples of the step, so that moving them rounds nothing.
        noise(3, samples * CLASSES).iter().map(|value| (2.0 * value / STEP).round() * STEP).collect()
    }

    fn loss_of(loss: &CrossEntropy, logits: Vec<f32>) -> (f64, Vec<f32>) {
        let samples = logits.len() / CLASSES;
        let logits = Tensor::from_vec(logits, (samples, CLASSES), &Device::Cpu).unwrap();
        let (loss, gradient) = loss.with_gradient(&logits, 1.0).unwrap();
        (loss, to_vec(&gradient).unwrap())
    }

    /// Checks the gradient at each logit; `weight` is that of the only sample's class.
    fn check(loss: &CrossEntropy, logits: &[f32], weight: f64) {
        let (_, gradient) = loss_of(loss, logits.to_vec());
        for (at, &got) in gradient.iter().enumerate() {
            let moved = |by: f32| {
                let mut logits = logits.to_vec();
                logits[at] += by;
                loss_of(loss, logits).0
            };
            let expected = weight * (moved(STEP) - moved(-STEP)) / (2.0 * f64::from(STEP));
            assert!((f64::from(got) - expected).abs() < 1e-4, "logit {at}: {got}, not {expected}");
        }
    }

    #[test]
    fn gradients_equal_finite_differences() {
        for (weight, temperature) in [(0.9, 4.0), (0.5, 1.0), (1.0, 0.5), (0.0, 4.0)] {
            let plain = CrossEntropy::new(&[3, 0, 4]);
            check(&plain.with_teacher(taught(3, weight, temperature)), &logits(3), 1.0);
        }
        let objective = Objective { label_smoothing: 0.1, ..Objective::default() };
        let mixed = vec![Mixed { label: 2, share: 0.25 }, Mixed { label: 0, share: 0.5 }];
        let loss = CrossEntropy::new(&[1, 4]).with_objective(objective, mixed);
        check(&loss.with_teacher(taught(2, 0.7, 3.0)), &logits(2), 1.0);
        // The loss that is told has no class weights.
        let class_weights: ClassWeights = "1,1,0.5,1,1".parse().unwrap();
        let loss = CrossEntropy::new(&[2])
            .with_objective(Objective { class_weights, ..Objective::default() }, Vec::new());
        check(&loss.with_teacher(taught(1, 0.7, 3.0)), &logits(1), 0.5);
    }

    #[test]
    fn the_divergence_is_the_cross_entropy_with_the_teachers_probabilities_less_their_entropy() {
        let taught = taught(1, 1.0, 1.0);
        let logits = logits(1);
        let p: Vec<f64> = super::super::softmax(&taught.logits).collect();
        let of = |logits: &[f32]| {
            let losses = (0..CLASSES as u16).map(|class| loss_sum(logits, CLASSES, &[class]));
            losses.zip(&p).map(|(loss, p)| p * loss).sum::<f64>()
        };
        let expected = of(&logits) - of(&taught.logits);
        let (loss, _) = loss_of(&CrossEntropy::new(&[0]).with_teacher(taught), logits);
        assert!((loss - expected).abs() < 1e-12, "{loss}, not {expected}");
    }

    #[test]
    fn a_network_that_agrees_with_its_teacher_has_nothing_to_learn_from_it() {
        let taught = taught(2, 1.0, 4.0);
        let logits = taught.logits.clone();
        let (loss, gradient) = loss_of(&CrossEntropy::new(&[0, 1]).with_teacher(taught), logits);
        assert_eq!((loss, gradient), (0.0, vec![0.0; 2 * CLASSES]));
    }

    #[test]
    fn huge_logits_do_not_overflow_and_other_sizes_are_refused() {
        let huge = Taught::new(vec![1e30, 0.0, -1e30, 0.0, 0.0], Blend { weight: 0.5, temperature: 0.1 });
        let (loss, gradient) =
            loss_of(&CrossEntropy::new(&[0]).with_teacher(huge.clone()), vec![0.0; CLASSES]);
        assert!(loss.is_finite() && gradient.iter().all(|value| value.is_finite()));
        let two = variable(1, &[2, CLASSES], 1.0);
        assert!(CrossEntropy::new(&[0, 1]).with_teacher(huge).with_gradient(&two, 1.0).is_err());
    }
}
