//! The sum over samples of the softmax cross-entropy: logits `[n, classes]` and labels `[n]` → scalar.
//!
//! loss_i = log Σ_j exp(z_ij) - z_i,label. Its gradient is softmax(z_i) - onehot(label_i). The row's maximum
//! is subtracted first, so that no exponential overflows. Sums run in f64, row by row.
//!
//! While training, the target may be spread over several classes: with u_j = weight_j · target_j, the loss is
//! Σ_j u_j (log Σ exp - z_j) and its gradient softmax(z) Σ u - u (`common::train::objective`). A teacher's
//! part is in `teacher`.
//!
//! exp and ln are those of the `libm` crate, a fixed sequence of additions and multiplications: the standard
//! library's are the system's, whose bits depend on its version and on the CPU.

mod teacher;

pub use teacher::Taught;

use super::values;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use common::train::augment::Mixed;
use common::train::objective::Objective;

/// The loss as a Candle operator that returns an f32 scalar.
#[derive(Debug)]
pub struct CrossEntropy {
    labels: Vec<u16>,
    mixed: Vec<Mixed>,
    objective: Objective,
    taught: Option<Taught>,
}

impl CrossEntropy {
    /// The loss of samples with these labels.
    #[must_use]
    pub fn new(labels: &[u16]) -> Self {
        Self { labels: labels.to_vec(), mixed: Vec::new(), objective: Objective::default(), taught: None }
    }

    /// The same with smoothed labels and class weights, and what is mixed into each sample, if anything is.
    #[must_use]
    pub fn with_objective(self, objective: Objective, mixed: Vec<Mixed>) -> Self {
        Self { objective, mixed, ..self }
    }

    /// The same with what a teacher makes of the samples.
    #[must_use]
    pub fn with_teacher(self, taught: Taught) -> Self {
        Self { taught: Some(taught), ..self }
    }

    /// The summed loss without class weights, and `scale` times the gradient of the one with them, with
    /// respect to logits `[n, classes]`.
    ///
    /// # Errors
    /// When the labels or the teacher's logits do not fit the logits.
    pub fn with_gradient(&self, logits: &Tensor, scale: f32) -> Result<(f64, Tensor)> {
        let (n, classes) = logits.dims2()?;
        self.check(n, classes)?;
        let mut gradient = super::to_vec(logits)?;
        let mut losses = Vec::with_capacity(n);
        let mut target = vec![0.0; classes];
        for (sample, row) in gradient.chunks_exact_mut(classes).enumerate() {
            self.set_target(sample, &mut target);
            let log_sum = log_sum_exp(row);
            let log_loss = |(&target, &z): (&f64, &f32)| {
                if target == 0.0 { 0.0 } else { target * (log_sum - f64::from(z)) }
            };
            let loss = target.iter().zip(&*row).map(log_loss).sum::<f64>();
            let distance = self.taught.as_ref().map(|taught| taught.distance(sample, row));
            losses.push(distance.as_ref().map_or(loss, |distance| distance.loss(loss)));
            let weights = self.objective.class_weights.as_slice();
            target.iter_mut().zip(weights).for_each(|(target, &weight)| *target *= f64::from(weight));
            let total: f64 = target.iter().sum();
            for (class, (value, target)) in row.iter_mut().zip(&target).enumerate() {
                let softmax = libm::exp(f64::from(*value) - log_sum);
                let own = softmax * total - target;
                let slope = distance.as_ref().map_or(own, |distance| distance.slope(class, own, total));
                *value = (f64::from(scale) * slope) as f32;
            }
        }
        Ok((losses.iter().sum(), Tensor::from_vec(gradient, logits.shape(), logits.device())?))
    }

    /// Writes the share that each class has in a sample's target.
    fn set_target(&self, sample: usize, target: &mut [f64]) {
        let smoothing = self.objective.label_smoothing;
        target.fill(smoothing / target.len() as f64);
        let own = usize::from(self.labels[sample]);
        let Some(&Mixed { label, share }) = self.mixed.get(sample) else {
            target[own] += 1.0 - smoothing;
            return;
        };
        target[own] += (1.0 - smoothing) * (1.0 - f64::from(share));
        target[usize::from(label)] += (1.0 - smoothing) * f64::from(share);
    }

    fn check(&self, n: usize, classes: usize) -> Result<()> {
        let Self { labels, mixed, objective, taught } = self;
        let is_class = |label: u16| usize::from(label) < classes;
        let fits = n == labels.len()
            && labels.iter().all(|&label| is_class(label))
            && (mixed.is_empty() || mixed.len() == n)
            && mixed.iter().all(|mixed| is_class(mixed.label))
            && objective.class_weights.fits(classes)
            && taught.as_ref().is_none_or(|taught| taught.fits(n, classes));
        if !fits {
            let labels = self.labels.len();
            candle_core::bail!("cross-entropy: {labels} labels do not fit logits [{n}, {classes}]");
        }
        Ok(())
    }
}

/// The summed loss of logits `[n, classes]` in f64, which is precise enough for the sum over an epoch.
#[must_use]
pub fn loss_sum(logits: &[f32], classes: usize, labels: &[u16]) -> f64 {
    let rows = logits.chunks_exact(classes).zip(labels);
    rows.map(|(row, &label)| loss_of(row, log_sum_exp(row), label)).sum()
}

/// The class of the largest logit in each row; of equal ones the lowest class.
#[must_use]
pub fn predictions(logits: &[f32], classes: usize) -> Vec<u16> {
    let best = |row: &[f32]| {
        let mut best = 0;
        for (class, &logit) in row.iter().enumerate() {
            if logit > row[best] {
                best = class;
            }
        }
        best as u16
    };
    logits.chunks_exact(classes).map(best).collect()
}

/// Probabilities of one row of logits.
pub fn softmax(logits: &[f32]) -> impl Iterator<Item = f64> {
    let log_sum = log_sum_exp(logits);
    logits.iter().map(move |&z| libm::exp(f64::from(z) - log_sum))
}

/// Loss of one sample, given the logarithm of its row's sum of exponentials.
fn loss_of(row: &[f32], log_sum: f64, label: u16) -> f64 {
    log_sum - f64::from(row[usize::from(label)])
}

fn log_sum_exp(row: &[f32]) -> f64 {
    log_sum_exp_of(row.iter().map(|&z| f64::from(z)))
}

fn log_sum_exp_of(row: impl Iterator<Item = f64> + Clone) -> f64 {
    let max = row.clone().fold(f64::NEG_INFINITY, f64::max);
    max + libm::log(row.map(|z| libm::exp(z - max)).sum())
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, classes) = layout.shape().dims2()?;
        self.check(n, classes)?;
        let sum = loss_sum(values(logits, layout)?, classes, &self.labels);
        Ok((CpuStorage::F32(vec![sum as f32]), Shape::from(())))
    }

    fn bwd(&self, logits: &Tensor, _loss: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(self.with_gradient(logits, grad.to_scalar()?)?.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::op::testing::{check_gradients, noise, variable};
    use common::train::objective::ClassWeights;

    fn cross_entropy_sum(logits: &Tensor, labels: &[u16]) -> Result<Tensor> {
        logits.apply_op1(CrossEntropy::new(labels))
    }

    #[test]
    fn gradients_equal_finite_differences() {
        let logits = variable(1, &[4, 10], 2.0);
        check_gradients(&[&logits], || cross_entropy_sum(&logits, &[3, 0, 9, 3]));
    }

    #[test]
    fn the_loss_is_candles_own_times_the_number_of_samples() {
        let logits = variable(2, &[5, 10], 3.0);
        let labels = Tensor::new(&[1u32, 2, 3, 4, 5], logits.device()).unwrap();
        let mean = candle_nn::loss::cross_entropy(&logits, &labels).unwrap().to_scalar::<f32>().unwrap();
        let sum = cross_entropy_sum(&logits, &[1, 2, 3, 4, 5]).unwrap().to_scalar::<f32>().unwrap();
        assert!((mean * 5.0 - sum).abs() < 1e-5 * sum);
    }

    #[test]
    fn a_loss_beside_its_gradient_is_the_loss_alone() {
        let logits = variable(4, &[7, 10], 9.0);
        let labels = [0, 1, 2, 3, 4, 5, 9];
        let (loss, _) = CrossEntropy::new(&labels).with_gradient(&logits, 1.0).unwrap();
        let values = super::super::to_vec(&logits).unwrap();
        assert_eq!(loss.to_bits(), loss_sum(&values, 10, &labels).to_bits());
    }

    #[test]
    fn smoothed_weighted_losses_and_gradients_are_pytorchs() {
        // torch.nn.functional.cross_entropy(label_smoothing=0.1, reduction="sum") in float64: the loss, and
        // the gradient with weight=[1, 2, 0.5].
        const LOSS: f64 = 4.611_093_527_585_004_5;
        const GRADIENT: [f32; 6] =
            [0.302_639_92, -1.791_701, 1.489_061, 0.162_707_38, 0.185_054_59, -0.347_761_97];
        let logits =
            Tensor::new(&[[0.5f32, -1.0, 2.0], [0.0, 0.25, -0.5]], &candle_core::Device::Cpu).unwrap();
        let weights: ClassWeights = "1,2,0.5".parse().unwrap();
        let objective = Objective { label_smoothing: 0.1, class_weights: weights };
        let loss = CrossEntropy::new(&[1, 2]).with_objective(objective, Vec::new());
        let (loss, gradient) = loss.with_gradient(&logits, 1.0).unwrap();
        assert!((loss - LOSS).abs() < 1e-12, "{loss}");
        for (got, expected) in super::super::to_vec(&gradient).unwrap().iter().zip(GRADIENT) {
            assert!((got - expected).abs() < 1e-6, "{got}, not {expected}");
        }
    }

    #[test]
    fn a_mixed_sample_has_the_loss_of_both_labels_by_their_shares() {
        let logits = variable(5, &[1, 10], 3.0);
        let of = |label: u16, mixed: Vec<Mixed>| {
            let loss = CrossEntropy::new(&[label]).with_objective(Objective::default(), mixed);
            let (loss, gradient) = loss.with_gradient(&logits, 1.0).unwrap();
            (loss, super::super::to_vec(&gradient).unwrap())
        };
        let (both, gradient) = of(3, vec![Mixed { label: 7, share: 0.25 }]);
        let [(own, own_gradient), (other, other_gradient)] = [of(3, vec![]), of(7, vec![])];
        assert!((both - (0.75 * own + 0.25 * other)).abs() < 1e-12);
        for (both, (own, other)) in gradient.iter().zip(own_gradient.iter().zip(&other_gradient)) {
            assert!((both - (0.75 * own + 0.25 * other)).abs() < 1e-6);
        }
        let mixed = CrossEntropy::new(&[1])
            .with_objective(Objective::default(), vec![Mixed { label: 10, share: 0.5 }]);
        assert!(mixed.with_gradient(&logits, 1.0).is_err());
    }

    #[test]
    fn exponentials_and_logarithms_are_the_systems_to_the_last_place() {
        for at in -7000..7000 {
            let x = f64::from(at) / 10.0;
            #[allow(clippy::disallowed_methods, reason = "the comparison is the test")]
            let (exp, ln) = (x.exp(), (x + 700.5).ln());
            assert!((libm::exp(x) - exp).abs() <= 2.0 * f64::EPSILON * exp, "exp({x})");
            assert!((libm::log(x + 700.5) - ln).abs() <= 2.0 * f64::EPSILON * ln.abs(), "ln({x} + 700.5)");
        }
    }

    #[test]
    fn huge_logits_do_not_overflow() {
        let mut logits = noise(1, 10);
        logits[4] = 1e30;
        assert_eq!(loss_sum(&logits, 10, &[4]), 0.0);
        assert_eq!(predictions(&logits, 10), [4]);
    }

    #[test]
    fn the_lowest_class_wins_a_tie() {
        assert_eq!(predictions(&[0.5, 2.0, 2.0, 1.0, 0.0, 0.0], 3), [1, 0]);
    }

    #[test]
    fn labels_that_do_not_fit_are_an_error() {
        let logits = variable(1, &[2, 3], 1.0);
        assert!(cross_entropy_sum(&logits, &[0]).is_err());
        assert!(cross_entropy_sum(&logits, &[0, 3]).is_err());
    }
}
