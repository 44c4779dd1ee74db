//! The optimizers: SGD, Adam and AdamW on flat slices, with PyTorch's formulas.
//!
//! One pass over the parameters, element by element, each element's arithmetic in f32 in a fixed order; what depends on
//! the step alone is computed once in f64. The moments are plain slices, so they can be checkpointed.

use serde::{Deserialize, Serialize};
use std::fmt;

/// An optimizer and its constants.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerSpec {
    /// `torch.optim.SGD`, without dampening.
    Sgd {
        /// Share of the old direction that is kept, in `[0, 1)`.
        momentum: f64,
        /// Whether to look ahead (Sutskever et al. 2013); needs momentum.
        nesterov: bool,
        /// L2 penalty, added to the gradient.
        weight_decay: f64,
    },
    /// `torch.optim.Adam` (Kingma and Ba 2015).
    Adam(Moments),
    /// `torch.optim.AdamW`: weight decay apart from the gradient (Loshchilov and Hutter 2019).
    AdamW(Moments),
}

/// Constants of Adam and AdamW.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    /// Decay of the mean, in `[0, 1)`.
    pub beta1: f64,
    /// Decay of the mean square, in `[0, 1)`.
    pub beta2: f64,
    /// Added to the denominator, above 0.
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

/// Why an optimizer can't be.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum OptimError {
    /// A constant out of its range.
    #[error("{name} is {got}; it must be {range}")]
    Range {
        /// The constant.
        name: &'static str,
        /// Its value.
        got: f64,
        /// What it may be.
        range: &'static str,
    },
    /// Nesterov momentum without momentum.
    #[error("nesterov needs a momentum above 0")]
    Nesterov,
    /// A saved state of another optimizer or model.
    #[error("the optimizer's state must be {expected}, the saved one is {got}")]
    State {
        /// Names and lengths wanted.
        expected: String,
        /// Names and lengths found.
        got: String,
    },
}

impl OptimizerSpec {
    /// Checks the constants' ranges.
    ///
    /// # Errors
    /// When one is out of range or not a number, or Nesterov is asked for without momentum.
    pub fn validate(&self) -> Result<(), OptimError> {
        let check = |name, got: f64, range, ok: bool| {
            if ok { Ok(()) } else { Err(OptimError::Range { name, got, range }) }
        };
        let share = |name, v: f64| check(name, v, "at least 0 and below 1", (0.0..1.0).contains(&v));
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
                check("eps", m.eps, "above 0 and finite", m.eps > 0.0 && m.eps.is_finite())?;
                decay(m.weight_decay)
            }
        }
    }

    /// Names of the state's slices, as in PyTorch's `state_dict`; each is as long as the parameters.
    #[must_use]
    pub fn slots(&self) -> &'static [&'static str] {
        match self {
            Self::Sgd { momentum, .. } if *momentum == 0.0 => &[],
            Self::Sgd { .. } => &["momentum_buffer"],
            Self::Adam(_) | Self::AdamW(_) => &["exp_avg", "exp_avg_sq"],
        }
    }
}

impl fmt::Display for OptimizerSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sgd { momentum, nesterov, weight_decay } => {
                write!(f, "sgd(momentum {momentum}, nesterov {nesterov}, weight decay {weight_decay})")
            }
            Self::Adam(m) | Self::AdamW(m) => {
                let name = if matches!(self, Self::Adam(_)) { "adam" } else { "adamw" };
                let Moments { beta1, beta2, eps, weight_decay } = m;
                write!(f, "{name}(beta1 {beta1}, beta2 {beta2}, eps {eps}, weight decay {weight_decay})")
            }
        }
    }
}

/// An optimizer at work.
#[derive(Clone, Debug, PartialEq)]
pub struct Optimizer {
    spec: OptimizerSpec,
    steps: u64,
    /// In the order of [`OptimizerSpec::slots`].
    slots: Vec<Vec<f32>>,
}

impl Optimizer {
    /// One that has not stepped yet, for `len` parameters.
    #[must_use]
    pub fn new(spec: OptimizerSpec, len: usize) -> Self {
        Self { spec, steps: 0, slots: vec![vec![0.0; len]; spec.slots().len()] }
    }

    /// One that has done `steps` steps, with its saved state.
    ///
    /// # Errors
    /// When names or lengths are not this optimizer's.
    pub fn restore(
        spec: OptimizerSpec,
        len: usize,
        steps: u64,
        saved: Vec<(String, Vec<f32>)>,
    ) -> Result<Self, OptimError> {
        let shape = |names: &mut dyn Iterator<Item = (&str, usize)>| {
            let parts: Vec<String> = names.map(|(name, len)| format!("{name} [{len}]")).collect();
            if parts.is_empty() { "empty".to_owned() } else { parts.join(", ") }
        };
        let expected = shape(&mut spec.slots().iter().map(|&name| (name, len)));
        let got = shape(&mut saved.iter().map(|(name, values)| (name.as_str(), values.len())));
        if expected != got {
            return Err(OptimError::State { expected, got });
        }
        Ok(Self { spec, steps, slots: saved.into_iter().map(|(_, values)| values).collect() })
    }

    /// Steps done.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The state to save: names and values, each as long as the parameters.
    pub fn slots(&self) -> impl Iterator<Item = (&'static str, &[f32])> {
        self.spec.slots().iter().copied().zip(self.slots.iter().map(Vec::as_slice))
    }

    /// One update of `params` by the mean `gradient`.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn step(&mut self, params: &mut [f32], gradient: &[f32], learning_rate: f64) {
        assert_eq!(params.len(), gradient.len(), "one gradient a parameter");
        self.steps += 1;
        match self.spec {
            OptimizerSpec::Sgd { momentum, nesterov, weight_decay } => {
                let (momentum, decay, rate) = (momentum as f32, weight_decay as f32, learning_rate as f32);
                match self.slots.as_mut_slice() {
                    [buffer] => sgd_momentum(params, gradient, buffer, momentum, nesterov, decay, rate),
                    _ => params.iter_mut().zip(gradient).for_each(|(p, &g)| *p -= rate * (g + decay * *p)),
                }
            }
            OptimizerSpec::Adam(m) => self.adam(params, gradient, m, m.weight_decay, 0.0, learning_rate),
            OptimizerSpec::AdamW(m) => self.adam(params, gradient, m, 0.0, m.weight_decay, learning_rate),
        }
    }

    /// `coupled` decay goes into the gradient, `apart` straight off the parameter.
    fn adam(
        &mut self,
        params: &mut [f32],
        gradient: &[f32],
        m: Moments,
        coupled: f64,
        apart: f64,
        rate: f64,
    ) {
        let [mean, square] = self.slots.as_mut_slice() else { unreachable!("Adam has two slots") };
        let step_size = (rate / (1.0 - power(m.beta1, self.steps))) as f32;
        let scale = (1.0 - power(m.beta2, self.steps)).sqrt() as f32;
        let (keep, take) = (m.beta2 as f32, (1.0 - m.beta2) as f32);
        let (lerp, eps, coupled) = ((1.0 - m.beta1) as f32, m.eps as f32, coupled as f32);
        let fade = (rate * apart) as f32;
        let state = mean.iter_mut().zip(square.iter_mut());
        for ((p, &g), (mean, square)) in params.iter_mut().zip(gradient).zip(state) {
            let g = g + coupled * *p;
            *mean += lerp * (g - *mean);
            *square = keep * *square + take * (g * g);
            *p = (*p - fade * *p) - step_size * (*mean / (square.sqrt() / scale + eps));
        }
    }
}

fn sgd_momentum(
    params: &mut [f32],
    gradient: &[f32],
    buffer: &mut [f32],
    momentum: f32,
    nesterov: bool,
    decay: f32,
    rate: f32,
) {
    for ((p, &g), buffer) in params.iter_mut().zip(gradient).zip(buffer) {
        let g = g + decay * *p;
        *buffer = momentum * *buffer + g;
        *p -= rate * if nesterov { g + momentum * *buffer } else { *buffer };
    }
}

/// base^exponent by repeated squaring: the same bits everywhere, unlike a math library's `pow`.
fn power(base: f64, mut exponent: u64) -> f64 {
    let (mut result, mut square) = (1.0, base);
    while exponent > 0 {
        if exponent % 2 == 1 {
            result *= square;
        }
        square *= square;
        exponent /= 2;
    }
    result
}

/// The L2 norm of `gradient`, added up in f64 in an order that depends on its length alone.
#[must_use]
pub fn norm(gradient: &[f32]) -> f64 {
    // Eight sums side by side: one sum would wait for each addition before the next.
    const LANES: usize = 8;
    let (blocks, rest) = gradient.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for block in blocks {
        sums.iter_mut().zip(block).for_each(|(sum, &g)| *sum += f64::from(g) * f64::from(g));
    }
    let rest = rest.iter().map(|&g| f64::from(g) * f64::from(g));
    sums.into_iter().chain(rest).sum::<f64>().sqrt()
}

/// Scales `gradient` down to the norm `max` if it is longer; returns the norm before (`torch.nn.utils.clip_grad_norm_`).
pub fn clip_norm(gradient: &mut [f32], max: f64) -> f64 {
    let norm = norm(gradient);
    let factor = max / (norm + 1e-6);
    if factor < 1.0 {
        let factor = factor as f32;
        gradient.iter_mut().for_each(|g| *g *= factor);
    }
    norm
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
