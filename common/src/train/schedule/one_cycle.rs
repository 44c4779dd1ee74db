//! One-cycle (Smith and Topin 2018): the learning rate rises and falls once over the run, and the momentum
//! falls and rises against it.
//!
//! ```text
//! rise   base / div            to  base                      momentum  high to low
//! fall   base                  to  base / div / final_div    momentum  low to high
//! ```
//!
//! Each way is half a cosine. The rise ends at step rise · steps - 1, the fall at the last step: this is
//! `torch.optim.lr_scheduler.OneCycleLR` with its cosine and two phases.

use super::{ScheduleError, cos_pi, in_range};
use crate::text::{TextError, parsed, shortened};
use std::fmt;
use std::str::FromStr;

/// Constants of one-cycle; the defaults are PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OneCycle {
    /// Share of the steps in which the rate rises, in `(0, 1)`.
    pub rise: f64,
    /// The first rate is the highest one divided by this, at least 1.
    pub div: f64,
    /// The last rate is the first one divided by this, at least 1.
    pub final_div: f64,
    /// What becomes of the momentum, or beta1.
    pub momentum: Momentum,
}

/// The momentum during one-cycle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Momentum {
    /// It is the optimizer's.
    Constant,
    /// It falls from `high` to `low` while the rate rises, and rises again afterwards.
    Between {
        /// Lowest momentum, above 0.
        low: f64,
        /// Highest momentum, below 1.
        high: f64,
    },
}

impl Default for OneCycle {
    fn default() -> Self {
        let momentum = Momentum::Between { low: 0.85, high: 0.95 };
        Self { rise: 0.3, div: 25.0, final_div: 1e4, momentum }
    }
}

impl OneCycle {
    pub(super) fn rate(self, base: f64, step: u64, total: u64) -> f64 {
        let first = base / self.div;
        self.between(first, base, first / self.final_div, step, total)
    }

    pub(super) fn momentum(self, step: u64, total: u64) -> Option<f64> {
        match self.momentum {
            Momentum::Constant => None,
            Momentum::Between { low, high } => Some(self.between(high, low, high, step, total)),
        }
    }

    /// The value that goes from `first` to `middle` in the rise, and on to `last` in the fall.
    fn between(self, first: f64, middle: f64, last: f64, step: u64, total: u64) -> f64 {
        let step = step as f64;
        let top = self.rise * total as f64 - 1.0;
        if top > 0.0 && step <= top {
            return annealed(first, middle, step / top);
        }
        let span = total as f64 - 1.0 - top;
        annealed(middle, last, ((step - top) / span).clamp(0.0, 1.0))
    }

    pub(super) fn validate(self) -> Result<(), ScheduleError> {
        let Self { rise, div, final_div, momentum } = self;
        in_range("cycle-rise", rise, "above 0 and below 1", rise > 0.0 && rise < 1.0)?;
        in_range("cycle-div", div, "1 or more and finite", div >= 1.0 && div.is_finite())?;
        let finite = final_div >= 1.0 && final_div.is_finite();
        in_range("cycle-final-div", final_div, "1 or more and finite", finite)?;
        let ok = match momentum {
            Momentum::Constant => true,
            Momentum::Between { low, high } => low > 0.0 && low <= high && high < 1.0,
        };
        in_range("cycle-momentum", momentum, "constant, or LOW..HIGH within 0 and 1", ok)
    }
}

/// The value at `share` of half a cosine from `start` to `end`.
fn annealed(start: f64, end: f64, share: f64) -> f64 {
    end + (start - end) / 2.0 * (1.0 + cos_pi(share))
}

impl fmt::Display for Momentum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant => f.write_str("constant"),
            Self::Between { low, high } => write!(f, "{low}..{high}"),
        }
    }
}

impl FromStr for Momentum {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        if text == "constant" {
            return Ok(Self::Constant);
        }
        let form = || TextError::Unknown {
            got: shortened(text),
            known: "constant and LOW..HIGH, such as 0.85..0.95".to_owned(),
        };
        let (low, high) = text.split_once("..").ok_or_else(form)?;
        Ok(Self::Between {
            low: parsed("the lowest momentum", low)?,
            high: parsed("the highest momentum", high)?,
        })
    }
}
