//! The learning rate of each step: a shape over the run, after a linear warm-up.
//!
//! The rate is computed in f64 from the step alone. There is no state to save, and nothing drifts after a
//! resume.

use crate::text::{Call, TextError, shortened};
use std::fmt;
use std::str::FromStr;

/// Shape of the learning rate after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// The rate stays the same.
    Constant,
    /// Half a cosine, down to 0 at the end of the run (Loshchilov and Hutter 2017, eq. 5, without restarts).
    Cosine,
    /// Multiplication by `factor` every `every_epochs` epochs (`torch.optim.lr_scheduler.StepLR`, counted in
    /// epochs).
    Step {
        /// Epochs between two decays, at least 1.
        every_epochs: u64,
        /// Decay factor, in `(0, 1]`.
        factor: f64,
    },
}

/// A learning rate for every step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Highest learning rate, above 0.
    pub base: f64,
    /// Shape of the rate after the warm-up.
    pub shape: Shape,
    /// Steps in which the rate rises linearly from base / warmup_steps to base.
    pub warmup_steps: u64,
}

/// Length of an epoch and of the run, in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    /// Steps per epoch, at least 1.
    pub epoch: u64,
    /// Steps in the whole run.
    pub total: u64,
}

impl Schedule {
    /// The learning rate of `step`, counted from 0.
    #[must_use]
    pub fn rate(&self, step: u64, length: Length) -> f64 {
        if step < self.warmup_steps {
            return self.base * (step + 1) as f64 / self.warmup_steps as f64;
        }
        match self.shape {
            Shape::Constant => self.base,
            Shape::Cosine => {
                let span = length.total.saturating_sub(self.warmup_steps).max(1);
                let done = (step - self.warmup_steps).min(span);
                self.base * (1.0 + cos_pi(done as f64 / span as f64)) / 2.0
            }
            Shape::Step { every_epochs, factor } => {
                let falls = step / length.epoch.max(1) / every_epochs.max(1);
                (0..falls.min(10_000)).fold(self.base, |rate, _| rate * factor)
            }
        }
    }
}

impl Shape {
    /// Whether a rate depends on the run's length, so that a longer run is another run.
    #[must_use]
    pub fn depends_on_total(self) -> bool {
        self == Self::Cosine
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant => f.write_str("constant"),
            Self::Cosine => f.write_str("cosine"),
            Self::Step { every_epochs, factor } => {
                write!(f, "step(every_epochs={every_epochs},factor={factor})")
            }
        }
    }
}

impl FromStr for Shape {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let call = Call::parse(text)?;
        match call.name {
            "constant" => call.expect_keys(&[]).map(|()| Self::Constant),
            "cosine" => call.expect_keys(&[]).map(|()| Self::Cosine),
            "step" => {
                call.expect_keys(&["every_epochs", "factor"])?;
                Ok(Self::Step { every_epochs: call.key("every_epochs")?, factor: call.key("factor")? })
            }
            name => Err(TextError::Unknown {
                got: shortened(name),
                known: "constant, cosine and step".to_owned(),
            }),
        }
    }
}

/// cos(πx) for x in [0, 1], from sums and products alone. Unlike a math library's, its bits are the same on
/// every platform.
///
/// cos(πx) = 1 - 2 sin²(πx/2), the sine by its Taylor series to the 21st power: below 1e-15 off.
fn cos_pi(x: f64) -> f64 {
    let y = x * std::f64::consts::FRAC_PI_2;
    let mut sum = 0.0;
    for n in (1..=10).rev() {
        let n = f64::from(n);
        sum = (1.0 + sum) * (-y * y / (2.0 * n * (2.0 * n + 1.0)));
    }
    let sine = y * (1.0 + sum);
    1.0 - 2.0 * sine * sine
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Length = Length { epoch: 10, total: 100 };

    fn schedule(shape: Shape, warmup_steps: u64) -> Schedule {
        Schedule { base: 0.1, shape, warmup_steps }
    }

    #[test]
    fn the_polynomial_cosine_is_the_cosine() {
        for i in 0..=1000 {
            let x = f64::from(i) / 1000.0;
            #[allow(clippy::disallowed_methods, reason = "the comparison is the test")]
            let error = cos_pi(x) - (std::f64::consts::PI * x).cos();
            assert!(error.abs() < 1e-15, "cos(pi {x}) is off by {error}");
        }
    }

    #[test]
    fn cosine_falls_from_base_to_nothing() {
        // torch.optim.lr_scheduler.CosineAnnealingLR(T_max=100, lr=0.1) at steps 0, 25, 50, 99.
        let torch = [0.1, 0.085_355_339_059_327_37, 0.05, 2.467_198_171_342_000_5e-5];
        for (step, want) in [0, 25, 50, 99].into_iter().zip(torch) {
            let got = schedule(Shape::Cosine, 0).rate(step, LENGTH);
            assert!((got - want).abs() < 1e-14, "step {step}: {got} is not {want}");
        }
    }

    #[test]
    fn warm_up_rises_to_base_and_then_the_shape_begins() {
        for shape in [Shape::Constant, Shape::Cosine] {
            let rates: Vec<f64> = (0..5).map(|step| schedule(shape, 4).rate(step, LENGTH)).collect();
            assert_eq!(rates, [0.025, 0.05, 0.075_000_000_000_000_01, 0.1, 0.1]);
        }
    }

    #[test]
    fn steps_fall_at_epoch_boundaries() {
        let stairs = schedule(Shape::Step { every_epochs: 2, factor: 0.5 }, 0);
        let rates: Vec<f64> = [0, 19, 20, 39, 40].map(|step| stairs.rate(step, LENGTH)).to_vec();
        assert_eq!(rates, [0.1, 0.1, 0.05, 0.05, 0.025]);
    }
}
