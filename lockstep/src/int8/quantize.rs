//! Scales for values and weights, and weights rounded to them.
//!
//! 1. A value's range over the calibration images, widened to hold 0, is divided into 255 steps; 0 is one of
//!    them, so that padding is exact. The image's own scale is 1 / 255.
//! 2. A maximum over windows keeps its input's scale.
//! 3. Weights are rounded as `common::train::quantise` does while a network is trained for it. A bias is
//!    rounded to the scale of the sums, and what the input's zero adds to a sum is taken off it.
//! 4. The logits are not rounded to 8 bits: they stay 32-bit numbers of one scale.

use super::float::{Range, apply};
use super::plan::{Geometry, Op, Plan, Step, Weights};
use common::train::quantise;

/// Largest whole number of a value.
pub(super) const VALUE_MAX: i32 = 255;
/// Steps of the logits in one step of the last layer's coarsest sum.
const LOGIT_STEPS: f64 = 16.0;
/// Largest bias, so that no sum overflows.
const BIAS_MAX: f64 = (1 << 29) as f64;
/// Bits of a multiplier.
const MULTIPLIER_BITS: i32 = 31;
/// Bytes of an output's bias, multiplier and shift.
const OUTPUT_BYTES: usize = 4 + 4 + 1;
/// Longest shift: a product has 62 bits.
const SHIFT_MAX: i32 = 62;

/// Scale and zero of a value: it stands for `scale · (q - zero)`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Scale {
    pub scale: f32,
    pub zero: i32,
}

/// A factor as a whole number and a shift: `multiplier / 2^shift`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Factor {
    pub multiplier: i32,
    pub shift: u8,
}

/// Weights and biases of a sum, in whole numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Integers {
    /// `[outputs, inputs / groups, kernel height, kernel width]`.
    pub weights: Vec<i8>,
    /// Scale of each output's weights.
    pub scales: Vec<f32>,
    /// What each output's sum begins with.
    pub biases: Vec<i32>,
    /// Biases as they were, in f32.
    pub float_biases: Vec<f32>,
    /// From each output's sum to the value's steps.
    pub factors: Vec<Factor>,
}

/// A plan in whole numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantized {
    /// The steps.
    pub plan: Plan<Integers>,
    /// Scale of each value; the last one is the logits'.
    pub scales: Vec<Scale>,
}

impl Scale {
    /// The scale for values of that range.
    fn of(range: Range) -> Self {
        let [low, high] = [range.low.min(0.0), range.high.max(0.0)];
        let width = high - low;
        if !width.is_finite() || width <= f32::MIN_POSITIVE {
            return Self { scale: 1.0, zero: 0 };
        }
        let scale = width / VALUE_MAX as f32;
        Self { scale, zero: ((-low / scale).round() as i32).clamp(0, VALUE_MAX) }
    }

    /// The step that is nearest to a value.
    #[must_use]
    pub fn nearest(&self, value: f32) -> u8 {
        let step = (f64::from(value) / f64::from(self.scale)).round_ties_even() + f64::from(self.zero);
        step.clamp(0.0, f64::from(VALUE_MAX)) as u8
    }

    /// The value of a step.
    #[must_use]
    pub fn value(&self, step: u8) -> f32 {
        self.scale * (i32::from(step) - self.zero) as f32
    }
}

impl Factor {
    /// The factor that is nearest to a number of 0 or more.
    #[must_use]
    pub fn nearest(number: f64) -> Self {
        let (fraction, exponent) = libm::frexp(number);
        let mut multiplier = libm::ldexp(fraction, MULTIPLIER_BITS).round();
        let mut shift = MULTIPLIER_BITS - exponent;
        if multiplier >= libm::ldexp(1.0, MULTIPLIER_BITS) {
            multiplier /= 2.0;
            shift -= 1;
        }
        if number <= 0.0 || !number.is_finite() || shift > SHIFT_MAX {
            return Self { multiplier: 0, shift: 1 };
        }
        // A factor of 2^30 or more: nothing has one that is measured.
        let shift = shift.max(1);
        Self { multiplier: multiplier as i32, shift: shift as u8 }
    }
}

impl Quantized {
    /// The plan in whole numbers, for values of these ranges.
    ///
    /// # Panics
    /// When there is not a range for each value.
    #[must_use]
    pub fn of(plan: &Plan<Weights>, ranges: &[Range]) -> Self {
        assert_eq!(plan.values.len(), ranges.len(), "a range for each value");
        let mut scales = vec![Scale { scale: 1.0 / 255.0, zero: 0 }];
        let mut steps = Vec::new();
        for (at, Step { inputs, op }) in plan.steps.iter().enumerate() {
            let input = scales[inputs[0]];
            let is_last = at + 1 == plan.steps.len();
            let mut scale = Scale::of(ranges[at + 1]);
            let op = match op {
                Op::Sum { geometry, weights, relu } => {
                    let (integers, logits) = integers(weights, input, scale, is_last);
                    scale = logits;
                    Op::Sum { geometry: *geometry, weights: integers, relu: *relu }
                }
                Op::Max(geometry) => {
                    scale = input;
                    Op::Max(*geometry)
                }
                Op::Mean(geometry) => Op::Mean(*geometry),
                Op::Function(activation) => Op::Function(*activation),
                Op::Add { relu } => Op::Add { relu: *relu },
            };
            steps.push(Step { inputs: inputs.clone(), op });
            scales.push(scale);
        }
        Self { plan: Plan { values: plan.values.clone(), steps }, scales }
    }

    /// Bytes of weights, biases, factors and tables.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let of = |step: &Step<Integers>| match &step.op {
            Op::Sum { weights, .. } => weights.weights.len() + OUTPUT_BYTES * weights.biases.len(),
            Op::Function(_) => 256,
            Op::Max(_) | Op::Mean(_) | Op::Add { .. } => 0,
        };
        self.plan.steps.iter().map(of).sum()
    }

    /// The step for each step of an activation's input.
    #[must_use]
    pub fn table(&self, at: usize) -> Option<[u8; 256]> {
        let Step { inputs, op: Op::Function(activation) } = &self.plan.steps[at] else { return None };
        let [from, to] = [self.scales[inputs[0]], self.scales[at + 1]];
        Some(std::array::from_fn(|step| to.nearest(apply(*activation, from.value(step as u8)))))
    }

    /// From the sum of a mean's window to its value's steps.
    ///
    /// # Panics
    /// When the step has no input.
    #[must_use]
    pub fn mean_factor(&self, at: usize, geometry: Geometry) -> Factor {
        let [from, to] = [self.scales[self.plan.steps[at].inputs[0]], self.scales[at + 1]].map(f64_scale);
        let count = geometry.kernel[0] * geometry.kernel[1];
        Factor::nearest(from / (to * count as f64))
    }

    /// From each of two values that are added to their sum's steps: two multipliers, and one shift.
    ///
    /// # Panics
    /// When the step has fewer inputs.
    #[must_use]
    pub fn add_factors(&self, at: usize) -> ([i32; 2], u8) {
        let inputs = &self.plan.steps[at].inputs;
        let to = f64_scale(self.scales[at + 1]);
        let numbers = [0, 1].map(|of| f64_scale(self.scales[inputs[of]]) / to);
        let Factor { shift, .. } = Factor::nearest(numbers[0].max(numbers[1]));
        let multiplier = |number| {
            let multiplier = libm::ldexp(number, shift.into()).round();
            multiplier.min(libm::ldexp(1.0, MULTIPLIER_BITS) - 1.0) as i32
        };
        (numbers.map(multiplier), shift)
    }
}

fn f64_scale(of: Scale) -> f64 {
    f64::from(of.scale)
}

/// The weights in whole numbers, and the scale of what they give.
fn integers(weights: &Weights, input: Scale, output: Scale, is_last: bool) -> (Integers, Scale) {
    let taps = weights.weights.len() / weights.biases.len();
    let kernels = || weights.weights.chunks_exact(taps);
    // A channel whose weights are all 0 has any scale; a bias is divided by it.
    let scale = |kernel: &[f32]| {
        let scale = quantise::scale(kernel);
        if scale > f32::MIN_POSITIVE { scale } else { 1.0 }
    };
    let scales: Vec<f32> = kernels().map(scale).collect();
    let rounded = |(kernel, &scale): (&[f32], &f32)| {
        kernel.iter().map(|&weight| quantise::quantised(weight, scale)).collect()
    };
    let kernels: Vec<Vec<i8>> = kernels().zip(&scales).map(rounded).collect();
    let of_sum = |scale: &f32| f64::from(input.scale) * f64::from(*scale);
    let output = if is_last {
        let coarsest = scales.iter().map(of_sum).fold(0.0, f64::max);
        Scale { scale: (coarsest / LOGIT_STEPS) as f32, zero: 0 }
    } else {
        output
    };
    let bias = |((&bias, scale), kernel): ((&f32, &f32), &Vec<i8>)| {
        let bias = (f64::from(bias) / of_sum(scale)).round().clamp(-BIAS_MAX, BIAS_MAX) as i32;
        let of_zero: i32 = kernel.iter().map(|&weight| i32::from(weight)).sum::<i32>() * input.zero;
        bias - of_zero
    };
    let biases = weights.biases.iter().zip(&scales).zip(&kernels).map(bias).collect();
    let factor = |scale| Factor::nearest(of_sum(scale) / f64::from(output.scale));
    let factors = scales.iter().map(factor).collect();
    let float_biases = weights.biases.clone();
    (Integers { weights: kernels.concat(), biases, float_biases, factors, scales }, output)
}
