//! The update of each parameter: PyTorch's formulas, and Lion's, in f32, element by element in a fixed order
//! of operations.
//!
//! Values that depend only on the step are computed once, in f64. A rule is applied to a block that is in the
//! cache, so that checking for non-finite values costs no memory traffic. They have to be checked for: an
//! infinite second moment would make every later update 0, and nothing else would show it.

use super::{Moments, OptimizerSpec, spec};
use crate::reduce::precision::are_finite;

/// Arithmetic of one optimizer step.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    Sgd { rate: f32, momentum: f32, nesterov: bool, decay: f32, scale: f32 },
    Adam(Adam),
    RmsProp(RmsProp),
    Lion(Lion),
}

/// Constants of Adam and AdamW in one step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Adam {
    /// Factor applied to the gradient, from clipping.
    scale: f32,
    /// L2 penalty added to the gradient, in Adam.
    coupled: f32,
    /// Share subtracted directly from the parameter, in AdamW.
    fade: f32,
    /// The value 1 - beta1.
    lerp: f32,
    /// The value beta2; `take` is 1 - beta2.
    keep: f32,
    take: f32,
    eps: f32,
    step_size: f32,
    /// The value sqrt(1 - beta2^steps).
    root: f32,
}

/// Constants of RMSprop in one step.
#[derive(Clone, Copy, Debug)]
pub(super) struct RmsProp {
    /// Factor applied to the gradient, from clipping.
    scale: f32,
    /// L2 penalty added to the gradient.
    decay: f32,
    /// The value alpha; `take` is 1 - alpha.
    keep: f32,
    take: f32,
    eps: f32,
    momentum: f32,
    rate: f32,
}

/// Constants of Lion in one step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lion {
    /// Factor applied to the gradient, from clipping.
    scale: f32,
    /// Share subtracted directly from the parameter.
    fade: f32,
    /// The values beta1 and 1 - beta1, for the sign.
    ahead: [f32; 2],
    /// The values beta2 and 1 - beta2, for the momentum.
    follow: [f32; 2],
    rate: f32,
}

impl Rule {
    /// The rule for step number `steps`, counted from 1.
    pub(super) fn new(spec: OptimizerSpec, steps: u64, scale: f32, rate: f64) -> Self {
        match spec {
            OptimizerSpec::Sgd { momentum, nesterov, weight_decay } => Self::Sgd {
                rate: rate as f32,
                momentum: momentum as f32,
                nesterov,
                decay: weight_decay as f32,
                scale,
            },
            OptimizerSpec::Adam(m) => Self::Adam(Adam::new(m, steps, scale, rate, [m.weight_decay, 0.0])),
            OptimizerSpec::AdamW(m) => Self::Adam(Adam::new(m, steps, scale, rate, [0.0, m.weight_decay])),
            OptimizerSpec::RmsProp(of) => Self::RmsProp(RmsProp::new(of, scale, rate)),
            OptimizerSpec::Lion(of) => Self::Lion(Lion::new(of, scale, rate)),
        }
    }

    /// Updates a block of parameters, which begins at element `at` of the slots. Returns whether both are
    /// finite afterwards.
    ///
    /// A momentum or mean that is not finite makes its parameter so in the same step, with any formula and
    /// any rate. Only values in a denominator need a check of their own. Lion's momentum lies between numbers
    /// that are finite.
    #[inline(always)]
    pub(super) fn apply(
        self,
        at: usize,
        params: &mut [f32],
        gradient: &[f32],
        slots: &mut [&mut [f32]],
    ) -> bool {
        let others_are_finite = match (self, slots) {
            (Self::Sgd { rate, decay, scale, .. }, []) => {
                let gradient = gradient.iter().map(|&g| g * scale);
                params.iter_mut().zip(gradient).for_each(|(p, g)| *p -= rate * (g + decay * *p));
                true
            }
            (Self::Sgd { .. }, [buffer]) => {
                self.sgd_momentum(params, gradient, &mut buffer[at..at + params.len()]);
                true
            }
            (Self::Adam(adam), [mean, square]) => {
                let block = at..at + params.len();
                adam.apply(params, gradient, &mut mean[block.clone()], &mut square[block])
            }
            (Self::RmsProp(rmsprop), [square]) => {
                rmsprop.apply(params, gradient, &mut square[at..at + params.len()])
            }
            (Self::RmsProp(rmsprop), [square, buffer]) => {
                let block = at..at + params.len();
                rmsprop.with_momentum(params, gradient, &mut square[block.clone()], &mut buffer[block])
            }
            (Self::Lion(lion), [mean]) => {
                lion.apply(params, gradient, &mut mean[at..at + params.len()]);
                true
            }
            _ => unreachable!("an optimizer has the slots that its specification names"),
        };
        are_finite(params) && others_are_finite
    }

    #[inline(always)]
    fn sgd_momentum(self, params: &mut [f32], gradient: &[f32], buffer: &mut [f32]) {
        let Self::Sgd { rate, momentum, nesterov, decay, scale } = self else { return };
        for ((p, &g), buffer) in params.iter_mut().zip(gradient).zip(buffer) {
            let g = g * scale + decay * *p;
            *buffer = momentum * *buffer + g;
            *p -= rate * if nesterov { g + momentum * *buffer } else { *buffer };
        }
    }
}

impl Adam {
    fn new(m: Moments, steps: u64, scale: f32, rate: f64, [coupled, apart]: [f64; 2]) -> Self {
        Self {
            scale,
            coupled: coupled as f32,
            fade: (rate * apart) as f32,
            lerp: (1.0 - m.beta1) as f32,
            keep: m.beta2 as f32,
            take: (1.0 - m.beta2) as f32,
            eps: m.eps as f32,
            step_size: (rate / (1.0 - power(m.beta1, steps))) as f32,
            root: (1.0 - power(m.beta2, steps)).sqrt() as f32,
        }
    }

    /// Updates a block; returns whether its mean squares are finite.
    #[inline(always)]
    fn apply(self, params: &mut [f32], gradient: &[f32], mean: &mut [f32], square: &mut [f32]) -> bool {
        let mut seen = 0;
        for (((p, &g), mean), square) in params.iter_mut().zip(gradient).zip(mean).zip(&mut *square) {
            let g = g * self.scale + self.coupled * *p;
            *mean += self.lerp * (g - *mean);
            *square = self.keep * *square + self.take * (g * g);
            seen |= square.to_bits();
            *p = (*p - self.fade * *p) - self.step_size * (*mean / (square.sqrt() / self.root + self.eps));
        }
        looked_finite(seen, square)
    }
}

impl RmsProp {
    fn new(of: spec::RmsProp, scale: f32, rate: f64) -> Self {
        Self {
            scale,
            decay: of.weight_decay as f32,
            keep: of.alpha as f32,
            take: (1.0 - of.alpha) as f32,
            eps: of.eps as f32,
            momentum: of.momentum as f32,
            rate: rate as f32,
        }
    }

    /// Updates a block; returns whether its mean squares are finite.
    #[inline(always)]
    fn apply(self, params: &mut [f32], gradient: &[f32], square: &mut [f32]) -> bool {
        let mut seen = 0;
        for ((p, &g), square) in params.iter_mut().zip(gradient).zip(&mut *square) {
            let g = g * self.scale + self.decay * *p;
            *square = self.keep * *square + self.take * (g * g);
            seen |= square.to_bits();
            *p -= self.rate * (g / (square.sqrt() + self.eps));
        }
        looked_finite(seen, square)
    }

    /// The same with momentum.
    #[inline(always)]
    fn with_momentum(
        self,
        params: &mut [f32],
        gradient: &[f32],
        square: &mut [f32],
        buffer: &mut [f32],
    ) -> bool {
        let mut seen = 0;
        for (((p, &g), square), buffer) in params.iter_mut().zip(gradient).zip(&mut *square).zip(buffer) {
            let g = g * self.scale + self.decay * *p;
            *square = self.keep * *square + self.take * (g * g);
            seen |= square.to_bits();
            *buffer = self.momentum * *buffer + g / (square.sqrt() + self.eps);
            *p -= self.rate * *buffer;
        }
        looked_finite(seen, square)
    }
}

impl Lion {
    fn new(of: spec::Lion, scale: f32, rate: f64) -> Self {
        let shares = |beta: f64| [beta as f32, (1.0 - beta) as f32];
        Self {
            scale,
            fade: (rate * of.weight_decay) as f32,
            ahead: shares(of.beta1),
            follow: shares(of.beta2),
            rate: rate as f32,
        }
    }

    /// Updates a block.
    #[inline(always)]
    fn apply(self, params: &mut [f32], gradient: &[f32], mean: &mut [f32]) {
        let Self { scale, fade, ahead, follow, rate } = self;
        for ((p, &g), mean) in params.iter_mut().zip(gradient).zip(mean) {
            let g = g * scale;
            let direction = ahead[0] * *mean + ahead[1] * g;
            let up = if direction > 0.0 { rate } else { 0.0 };
            let down = if direction < 0.0 { rate } else { 0.0 };
            *p = (*p - fade * *p) - (up - down);
            *mean = follow[0] * *mean + follow[1] * g;
        }
    }
}

/// Whether values are finite, whose bits, taken together, are `seen`.
///
/// The combined exponents are all ones if one of them is, and hardly ever below values of 2. That is one
/// operation in the loop, instead of the three that an exact check needs.
#[inline(always)]
fn looked_finite(seen: u32, values: &[f32]) -> bool {
    const EXPONENT: u32 = 0xff << 23;
    seen & EXPONENT != EXPONENT || are_finite(values)
}

/// base^exponent by repeated squaring: the same bits everywhere, unlike a math library's `pow`.
fn power(base: f64, mut exponent: u64) -> f64 {
    let mut result = 1.0;
    let mut square = base;
    while exponent > 0 {
        if exponent % 2 == 1 {
            result *= square;
        }
        square *= square;
        exponent /= 2;
    }
    result
}
