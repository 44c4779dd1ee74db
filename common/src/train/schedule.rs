//! The learning rate of each step: a shape over the run, after a linear warm-up. One-cycle also moves the
//! momentum.
//!
//! Rates are computed in f64 from the step alone, so that nothing drifts after a resume. Only `plateau`
//! depends on something else, the losses of earlier validations; what it keeps of them is in the checkpoint.

mod one_cycle;
mod plateau;
mod text;

pub use one_cycle::{Momentum, OneCycle};
pub use plateau::{Plateau, PlateauState};

/// Shape of the learning rate after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// The rate stays the same.
    Constant,
    /// Half a cosine, down to 0 at the end of the run (Loshchilov and Hutter 2017, eq. 5, without restarts).
    Cosine,
    /// Half a cosine, again and again, each `factor` times as long as the one before (Loshchilov and Hutter
    /// 2017, eq. 5; `torch.optim.lr_scheduler.CosineAnnealingWarmRestarts`).
    CosineRestarts {
        /// Epochs of the first one, at least 1.
        epochs: u64,
        /// How much longer each further one is, at least 1.
        factor: u64,
    },
    /// Multiplication by `factor` every `every_epochs` epochs (`torch.optim.lr_scheduler.StepLR`, counted in
    /// epochs).
    Step {
        /// Epochs between two decays, at least 1.
        every_epochs: u64,
        /// Decay factor, in `(0, 1]`.
        factor: f64,
    },
    /// Up and down once over the run.
    OneCycle(OneCycle),
    /// Down where the validation does not get better.
    Plateau(Plateau),
}

/// A learning rate for every step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Highest learning rate, above 0.
    pub base: f64,
    /// Shape of the rate after the warm-up.
    pub shape: Shape,
    /// Steps in which the rate rises linearly from base / warmup_steps to base; 0 for one-cycle.
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

/// A number of a schedule is out of its range.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
#[error("{name} is {got}; it must be {range}")]
pub struct ScheduleError {
    /// The number's flag.
    pub name: &'static str,
    pub got: String,
    pub range: &'static str,
}

impl Schedule {
    /// The learning rate of `step`, counted from 0, after a plateau has let it fall `falls` times.
    #[must_use]
    pub fn rate(&self, step: u64, length: Length, falls: u64) -> f64 {
        let Self { base, shape, warmup_steps } = *self;
        if step < warmup_steps {
            return base * (step + 1) as f64 / warmup_steps as f64;
        }
        let done = step - warmup_steps;
        match shape {
            Shape::Constant => base,
            Shape::Cosine => {
                let span = length.total.saturating_sub(warmup_steps).max(1);
                half_cosine(base, done.min(span), span)
            }
            Shape::CosineRestarts { epochs, factor } => {
                let first = epochs.saturating_mul(length.epoch).max(1);
                let (done, span) = within_period(done, first, factor);
                half_cosine(base, done, span)
            }
            Shape::Step { every_epochs, factor } => {
                fallen(base, factor, step / length.epoch.max(1) / every_epochs.max(1))
            }
            Shape::OneCycle(cycle) => cycle.rate(base, step, length.total),
            Shape::Plateau(plateau) => fallen(base, plateau.factor, falls).max(plateau.min_lr),
        }
    }

    /// The momentum of `step`, where the schedule moves it.
    #[must_use]
    pub fn momentum(&self, step: u64, length: Length) -> Option<f64> {
        match self.shape {
            Shape::OneCycle(cycle) => cycle.momentum(step, length.total),
            _ => None,
        }
    }

    /// Checks the numbers' ranges.
    ///
    /// # Errors
    /// The first number that is out of its range, by its flag's name.
    pub fn validate(&self) -> Result<(), ScheduleError> {
        let rate = self.base;
        in_range("lr", rate, "above 0 and finite", rate > 0.0 && rate.is_finite())?;
        match self.shape {
            Shape::Constant | Shape::Cosine => Ok(()),
            Shape::CosineRestarts { epochs, factor } => {
                in_range("restart-every", epochs, "1 or more", epochs >= 1)?;
                in_range("restart-factor", factor, "1 or more", factor >= 1)
            }
            Shape::Step { every_epochs, factor } => {
                in_range("step-every", every_epochs, "1 or more", every_epochs >= 1)?;
                in_range("step-factor", factor, "above 0 and at most 1", factor > 0.0 && factor <= 1.0)
            }
            Shape::OneCycle(cycle) => {
                let warmup = self.warmup_steps;
                in_range("warmup-steps", warmup, "0: one-cycle has a rise of its own", warmup == 0)?;
                cycle.validate()
            }
            Shape::Plateau(plateau) => plateau.validate(rate),
        }
    }
}

impl Shape {
    /// Whether a rate depends on the run's length, so that a longer run is another run.
    #[must_use]
    pub fn depends_on_total(self) -> bool {
        matches!(self, Self::Cosine | Self::OneCycle(_))
    }

    /// The plateau whose state a run keeps, if the shape is one.
    #[must_use]
    pub fn plateau(self) -> Option<Plateau> {
        match self {
            Self::Plateau(plateau) => Some(plateau),
            _ => None,
        }
    }

    /// The momentum with which a run begins, where the schedule moves it.
    #[must_use]
    pub fn first_momentum(self) -> Option<f64> {
        match self {
            Self::OneCycle(OneCycle { momentum: Momentum::Between { high, .. }, .. }) => Some(high),
            _ => None,
        }
    }
}

/// An error unless `ok`.
fn in_range(
    name: &'static str,
    got: impl ToString,
    range: &'static str,
    ok: bool,
) -> Result<(), ScheduleError> {
    if ok { Ok(()) } else { Err(ScheduleError { name, got: got.to_string(), range }) }
}

/// `base`, multiplied `falls` times by `factor`.
fn fallen(base: f64, factor: f64, falls: u64) -> f64 {
    (0..falls.min(10_000)).fold(base, |rate, _| rate * factor)
}

/// The value that falls from `base` to 0 within `span` steps, after `done` of them.
fn half_cosine(base: f64, done: u64, span: u64) -> f64 {
    base * (1.0 + cos_pi(done as f64 / span as f64)) / 2.0
}

/// Where a step is that is the `done`-th of periods of which the first has `first` steps and each further one
/// `factor` times as many: how many steps of its period precede it, and how many the period has.
fn within_period(mut done: u64, first: u64, factor: u64) -> (u64, u64) {
    if factor <= 1 {
        return (done % first, first);
    }
    let mut span = first;
    // Periods at least double, so that there are at most 64.
    while done >= span {
        done -= span;
        span = span.saturating_mul(factor);
    }
    (done, span)
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
mod tests;
