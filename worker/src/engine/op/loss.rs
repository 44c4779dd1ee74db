//! The sum over samples of the softmax cross-entropy: logits `[n, classes]` and labels `[n]` → scalar.
//!
//! loss_i = log Σ_j exp(z_ij) - z_i,label. Its gradient is softmax(z_i) - onehot(label_i). The row's maximum
//! is subtracted first, so that no exponential overflows. Sums run in f64, row by row.
//!
//! exp and ln are those of the `libm` crate, a fixed sequence of additions and multiplications: the standard
//! library's are the system's, whose bits depend on its version and on the CPU.

use super::values;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

/// The loss as a Candle operator that returns an f32 scalar.
#[derive(Debug)]
pub struct CrossEntropy {
    labels: Vec<u16>,
}

impl CrossEntropy {
    /// The loss of samples with these labels.
    #[must_use]
    pub fn new(labels: &[u16]) -> Self {
        Self { labels: labels.to_vec() }
    }

    /// The summed loss, and `scale` times its gradient with respect to logits `[n, classes]`.
    ///
    /// # Errors
    /// When the labels do not fit the logits.
    pub fn with_gradient(&self, logits: &Tensor, scale: f32) -> Result<(f64, Tensor)> {
        let (n, classes) = logits.dims2()?;
        self.check(n, classes)?;
        let mut gradient = super::to_vec(logits)?;
        let mut losses = Vec::with_capacity(n);
        for (row, &label) in gradient.chunks_exact_mut(classes).zip(&self.labels) {
            let log_sum = log_sum_exp(row);
            losses.push(loss_of(row, log_sum, label));
            for (class, value) in row.iter_mut().enumerate() {
                let onehot = if class == usize::from(label) { 1.0 } else { 0.0 };
                *value = (f64::from(scale) * (libm::exp(f64::from(*value) - log_sum) - onehot)) as f32;
            }
        }
        Ok((losses.iter().sum(), Tensor::from_vec(gradient, logits.shape(), logits.device())?))
    }

    fn check(&self, n: usize, classes: usize) -> Result<()> {
        if n != self.labels.len() || self.labels.iter().any(|&l| usize::from(l) >= classes) {
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

/// Loss of one sample, given the logarithm of its row's sum of exponentials.
fn loss_of(row: &[f32], log_sum: f64, label: u16) -> f64 {
    log_sum - f64::from(row[usize::from(label)])
}

fn log_sum_exp(row: &[f32]) -> f64 {
    let max = row.iter().fold(f64::NEG_INFINITY, |m, &z| m.max(z.into()));
    max + libm::log(row.iter().map(|&z| libm::exp(f64::from(z) - max)).sum())
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
