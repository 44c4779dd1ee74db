//! Which optimizers there are: their constants, the names of their state, and their text.

use crate::text::{Call, TextError, shortened};
use std::fmt;
use std::str::FromStr;

/// Kind of an optimizer, with its constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OptimizerSpec {
    /// `torch.optim.SGD`, without dampening.
    Sgd {
        /// Momentum factor, in `[0, 1)`.
        momentum: f64,
        /// Whether to use Nesterov momentum (Sutskever et al. 2013); needs momentum.
        nesterov: bool,
        /// L2 penalty, added to the gradient.
        weight_decay: f64,
    },
    /// `torch.optim.Adam` (Kingma and Ba 2015).
    Adam(Moments),
    /// `torch.optim.AdamW`: weight decay decoupled from the gradient (Loshchilov and Hutter 2019).
    AdamW(Moments),
    /// `torch.optim.RMSprop` (Hinton 2012), not centred.
    RmsProp(RmsProp),
    /// Lion: the sign of a momentum, with decoupled weight decay (Chen et al. 2023, algorithm 2).
    Lion(Lion),
}

/// Constants of Adam and AdamW.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moments {
    /// Decay rate of the mean, in `[0, 1)`.
    pub beta1: f64,
    /// Decay rate of the mean square, in `[0, 1)`.
    pub beta2: f64,
    /// Term added to the denominator, above 0.
    pub eps: f64,
    /// Weight decay, 0 or more.
    pub weight_decay: f64,
}

impl Moments {
    /// PyTorch's defaults with this weight decay.
    #[must_use]
    pub fn new(weight_decay: f64) -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay }
    }
}

/// Constants of RMSprop; the defaults are PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsProp {
    /// Decay rate of the mean square, in `[0, 1)`.
    pub alpha: f64,
    /// Term added to the denominator, above 0.
    pub eps: f64,
    /// Momentum factor, in `[0, 1)`.
    pub momentum: f64,
    /// L2 penalty, added to the gradient.
    pub weight_decay: f64,
}

impl Default for RmsProp {
    fn default() -> Self {
        Self { alpha: 0.99, eps: 1e-8, momentum: 0.0, weight_decay: 0.0 }
    }
}

/// Constants of Lion; the defaults are those of its authors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lion {
    /// Share of the momentum in the update's sign, in `[0, 1)`.
    pub beta1: f64,
    /// Decay rate of the momentum, in `[0, 1)`.
    pub beta2: f64,
    /// Weight decay, 0 or more.
    pub weight_decay: f64,
}

impl Default for Lion {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.99, weight_decay: 0.0 }
    }
}

/// Reason why an optimizer is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum OptimError {
    /// A constant is out of its range.
    #[error("{name} is {got}; it must be {range}")]
    Range { name: &'static str, got: f64, range: &'static str },
    /// Nesterov momentum is set without momentum.
    #[error("nesterov needs a momentum above 0")]
    Nesterov,
    /// The saved state belongs to another optimizer or model.
    #[error("the optimizer's state must be {expected}, the saved one is {got}")]
    State {
        /// Names and lengths of the slots that are needed.
        expected: String,
        /// Names and lengths of the slots that were saved.
        got: String,
    },
}

impl OptimizerSpec {
    /// Checks the constants' ranges.
    ///
    /// # Errors
    /// When one is out of range or not a number, or Nesterov is set without momentum.
    pub fn validate(&self) -> Result<(), OptimError> {
        let check = |name, got: f64, range, ok: bool| {
            if ok { Ok(()) } else { Err(OptimError::Range { name, got, range }) }
        };
        let share = |name, v: f64| check(name, v, "at least 0 and below 1", (0.0..1.0).contains(&v));
        let positive = |name, v: f64| check(name, v, "above 0 and finite", v > 0.0 && v.is_finite());
        let decay = |v: f64| check("weight decay", v, "0 or more and finite", v >= 0.0 && v.is_finite());
        match *self {
            Self::Sgd { momentum, nesterov, weight_decay } => {
                share("momentum", momentum)?;
                decay(weight_decay)?;
                if nesterov && momentum == 0.0 { Err(OptimError::Nesterov) } else { Ok(()) }
            }
            Self::Adam(m) | Self::AdamW(m) => {
                share("beta1", m.beta1)?;
                share("beta2", m.beta2)?;
                positive("eps", m.eps)?;
                decay(m.weight_decay)
            }
            Self::RmsProp(RmsProp { alpha, eps, momentum, weight_decay }) => {
                share("alpha", alpha)?;
                positive("eps", eps)?;
                share("momentum", momentum)?;
                decay(weight_decay)
            }
            Self::Lion(Lion { beta1, beta2, weight_decay }) => {
                share("beta1", beta1)?;
                share("beta2", beta2)?;
                decay(weight_decay)
            }
        }
    }

    /// Short name, such as `adamw`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sgd { .. } => "sgd",
            Self::Adam(_) => "adam",
            Self::AdamW(_) => "adamw",
            Self::RmsProp(_) => "rmsprop",
            Self::Lion(_) => "lion",
        }
    }

    /// Weight decay of tensors without one of their own.
    #[must_use]
    pub fn weight_decay(&self) -> f64 {
        match *self {
            Self::Sgd { weight_decay, .. } => weight_decay,
            Self::Adam(moments) | Self::AdamW(moments) => moments.weight_decay,
            Self::RmsProp(rmsprop) => rmsprop.weight_decay,
            Self::Lion(lion) => lion.weight_decay,
        }
    }

    /// Whether weight decay is decoupled from the gradient.
    #[must_use]
    pub fn is_decay_decoupled(&self) -> bool {
        matches!(self, Self::AdamW(_) | Self::Lion(_))
    }

    /// The same optimizer with another weight decay.
    #[must_use]
    pub fn with_weight_decay(self, weight_decay: f64) -> Self {
        match self {
            Self::Sgd { momentum, nesterov, .. } => Self::Sgd { momentum, nesterov, weight_decay },
            Self::Adam(moments) => Self::Adam(Moments { weight_decay, ..moments }),
            Self::AdamW(moments) => Self::AdamW(Moments { weight_decay, ..moments }),
            Self::RmsProp(rmsprop) => Self::RmsProp(RmsProp { weight_decay, ..rmsprop }),
            Self::Lion(lion) => Self::Lion(Lion { weight_decay, ..lion }),
        }
    }

    /// The momentum, or the first beta.
    #[must_use]
    pub fn momentum(&self) -> f64 {
        match *self {
            Self::Sgd { momentum, .. } => momentum,
            Self::Adam(moments) | Self::AdamW(moments) => moments.beta1,
            Self::RmsProp(rmsprop) => rmsprop.momentum,
            Self::Lion(lion) => lion.beta1,
        }
    }

    /// The same optimizer with another momentum, or first beta.
    #[must_use]
    pub fn with_momentum(self, momentum: f64) -> Self {
        let beta1 = momentum;
        match self {
            Self::Sgd { nesterov, weight_decay, .. } => Self::Sgd { momentum, nesterov, weight_decay },
            Self::Adam(moments) => Self::Adam(Moments { beta1, ..moments }),
            Self::AdamW(moments) => Self::AdamW(Moments { beta1, ..moments }),
            Self::RmsProp(rmsprop) => Self::RmsProp(RmsProp { momentum, ..rmsprop }),
            Self::Lion(lion) => Self::Lion(Lion { beta1, ..lion }),
        }
    }

    /// Names of the state's slots, as in PyTorch's `state_dict`; each is as long as the parameters.
    #[must_use]
    pub fn slots(&self) -> &'static [&'static str] {
        match self {
            Self::Sgd { momentum, .. } if *momentum == 0.0 => &[],
            Self::Sgd { .. } => &["momentum_buffer"],
            Self::Adam(_) | Self::AdamW(_) => &["exp_avg", "exp_avg_sq"],
            Self::RmsProp(rmsprop) if rmsprop.momentum == 0.0 => &["square_avg"],
            Self::RmsProp(_) => &["square_avg", "momentum_buffer"],
            Self::Lion(_) => &["exp_avg"],
        }
    }
}

impl fmt::Display for OptimizerSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Sgd { momentum, nesterov, weight_decay } => {
                write!(f, "(momentum={momentum},nesterov={nesterov},weight_decay={weight_decay})")
            }
            Self::Adam(m) | Self::AdamW(m) => {
                let Moments { beta1, beta2, eps, weight_decay } = m;
                write!(f, "(beta1={beta1},beta2={beta2},eps={eps},weight_decay={weight_decay})")
            }
            Self::RmsProp(RmsProp { alpha, eps, momentum, weight_decay }) => {
                write!(f, "(alpha={alpha},eps={eps},momentum={momentum},weight_decay={weight_decay})")
            }
            Self::Lion(Lion { beta1, beta2, weight_decay }) => {
                write!(f, "(beta1={beta1},beta2={beta2},weight_decay={weight_decay})")
            }
        }
    }
}

impl FromStr for OptimizerSpec {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let call = Call::parse(text)?;
        match call.name {
            "sgd" => {
                call.expect_keys(&["momentum", "nesterov", "weight_decay"])?;
                Ok(Self::Sgd {
                    momentum: call.key("momentum")?,
                    nesterov: call.key("nesterov")?,
                    weight_decay: call.key("weight_decay")?,
                })
            }
            "adam" => moments(&call).map(Self::Adam),
            "adamw" => moments(&call).map(Self::AdamW),
            "rmsprop" => {
                call.expect_keys(&["alpha", "eps", "momentum", "weight_decay"])?;
                Ok(Self::RmsProp(RmsProp {
                    alpha: call.key("alpha")?,
                    eps: call.key("eps")?,
                    momentum: call.key("momentum")?,
                    weight_decay: call.key("weight_decay")?,
                }))
            }
            "lion" => {
                call.expect_keys(&["beta1", "beta2", "weight_decay"])?;
                let [beta1, beta2] = [call.key("beta1")?, call.key("beta2")?];
                Ok(Self::Lion(Lion { beta1, beta2, weight_decay: call.key("weight_decay")? }))
            }
            name => Err(TextError::Unknown {
                got: shortened(name),
                known: "sgd, adam, adamw, rmsprop and lion".to_owned(),
            }),
        }
    }
}

/// The constants of Adam or AdamW.
fn moments(call: &Call<'_>) -> Result<Moments, TextError> {
    call.expect_keys(&["beta1", "beta2", "eps", "weight_decay"])?;
    Ok(Moments {
        beta1: call.key("beta1")?,
        beta2: call.key("beta2")?,
        eps: call.key("eps")?,
        weight_decay: call.key("weight_decay")?,
    })
}
