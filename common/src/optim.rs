//! The optimizers: SGD, Adam and AdamW on flat slices, with PyTorch's formulas.
//!
//! What is done to one element stands in `rule`; here is what an optimizer consists of, and how its pass over all
//! elements is divided. The moments are plain slices, so they can be checkpointed.

use crate::parallel;
use rule::Rule;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::num::NonZeroUsize;

/// Elements that are worked on in one go: with gradient and two slots 64 KiB, half of a core's second cache or less.
const BLOCK: usize = 4096;

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

    /// One update of `params` by the mean `gradient`, each of its elements times `scale` (1 unless it is clipped).
    /// Returns whether all parameters are finite after it.
    ///
    /// # Panics
    /// When the lengths differ.
    #[must_use]
    pub fn step(
        &mut self,
        params: &mut [f32],
        gradient: &[f32],
        scale: f32,
        learning_rate: f64,
        threads: NonZeroUsize,
    ) -> bool {
        assert_eq!(params.len(), gradient.len(), "one gradient a parameter");
        self.steps += 1;
        let rule = Rule::new(self.spec, self.steps, scale, learning_rate);
        let part = parallel::part_len(params.len(), threads);
        let mut slots: Vec<_> = self.slots.iter_mut().map(|slot| slot.chunks_mut(part)).collect();
        let parts = params.chunks_mut(part).zip(gradient.chunks(part));
        let jobs = parts.map(|(params, gradient)| {
            let mut slots: Vec<&mut [f32]> = slots.iter_mut().filter_map(Iterator::next).collect();
            move || rule.apply(params, gradient, &mut slots)
        });
        parallel::all(jobs.collect()).into_iter().all(|is_finite| is_finite)
    }
}

/// Divides a sum of gradients by its number of samples; returns the L2 norm of the mean, added up in f64 in an order
/// that depends on its length alone.
#[must_use]
pub fn average(sum: &mut [f32], samples: f32, threads: NonZeroUsize) -> f64 {
    let part = parallel::part_len(sum.len(), threads);
    let jobs = sum.chunks_mut(part).map(|part| {
        move || part.chunks_mut(BLOCK).map(|block| average_block(block, samples)).collect::<Vec<f64>>()
    });
    parallel::all(jobs.collect()).into_iter().flatten().sum::<f64>().sqrt()
}

/// The same for one block; returns its sum of squares.
fn average_block(block: &mut [f32], samples: f32) -> f64 {
    // Eight sums side by side: one sum would wait for each addition before the next.
    const LANES: usize = 8;
    let mut squares = [0.0; LANES];
    let mut take = |group: &mut [f32]| {
        for (square, g) in squares.iter_mut().zip(group) {
            *g /= samples;
            *square += f64::from(*g) * f64::from(*g);
        }
    };
    let (groups, rest) = block.as_chunks_mut::<LANES>();
    groups.iter_mut().for_each(|group| take(group));
    take(rest);
    squares.into_iter().sum()
}

/// What a gradient of length `norm` is to be multiplied with, so that it is not longer than `max`; 1 if it is shorter
/// (`torch.nn.utils.clip_grad_norm_`).
#[must_use]
pub fn clip_scale(norm: f64, max: f64) -> f32 {
    (max / (norm + 1e-6)).min(1.0) as f32
}

mod rule;

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
