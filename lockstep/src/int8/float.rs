//! A plan computed in f32, to see which ranges the values have.

use super::plan::{Geometry, Op, Plan, Sizes, Step, Weights};
use super::planar;
use common::data::samples::Samples;
use common::model::activation::Activation;
use common::reduce::parallel;
use std::num::NonZeroUsize;

/// Smallest and largest of some values.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Range {
    pub low: f32,
    pub high: f32,
}

impl Range {
    /// The range of nothing: any value widens it.
    const NONE: Self = Self { low: f32::INFINITY, high: f32::NEG_INFINITY };

    fn with(self, other: Self) -> Self {
        Self { low: self.low.min(other.low), high: self.high.max(other.high) }
    }

    fn of(values: &[f32]) -> Self {
        let with = |range: Self, &value: &f32| range.with(Self { low: value, high: value });
        values.iter().fold(Self::NONE, with)
    }
}

/// The range of each value over all samples.
///
/// # Panics
/// When the samples are not of the plan's input form.
#[must_use]
pub fn ranges(plan: &Plan<Weights>, samples: &Samples, threads: NonZeroUsize) -> Vec<Range> {
    let part = samples.len().div_ceil(threads.get()).max(1);
    let jobs = (0..samples.len()).step_by(part).map(|start| {
        move || {
            let mut ranges = vec![Range::NONE; plan.values.len()];
            for index in start..samples.len().min(start + part) {
                for (range, values) in ranges.iter_mut().zip(values(plan, &planar(samples, index))) {
                    *range = range.with(Range::of(&values));
                }
            }
            ranges
        }
    });
    let joined = |all: Vec<Range>, part: Vec<Range>| {
        all.into_iter().zip(part).map(|(one, other)| one.with(other)).collect()
    };
    parallel::all(jobs.collect()).into_iter().fold(vec![Range::NONE; plan.values.len()], joined)
}

/// All values for an image's bytes, value 0 first; the last are the logits.
///
/// # Panics
/// When there are more or fewer bytes than the plan's input has.
#[must_use]
pub fn values(plan: &Plan<Weights>, image: &[u8]) -> Vec<Vec<f32>> {
    assert_eq!(image.len(), plan.values[0].iter().product::<usize>(), "an image of the plan's form");
    let mut values = vec![image.iter().map(|&byte| f32::from(byte) / 255.0).collect::<Vec<_>>()];
    for (at, Step { inputs, op }) in plan.steps.iter().enumerate() {
        let x = &values[inputs[0]];
        let [from, to] = [plan.values[inputs[0]], plan.values[at + 1]];
        let mut output = match op {
            Op::Sum { geometry, weights, .. } => sums(x, from, to, *geometry, weights),
            Op::Max(geometry) => {
                pooled(x, from, to, *geometry, |window| window.fold(f32::NEG_INFINITY, f32::max))
            }
            Op::Mean(geometry) => {
                let count = geometry.kernel[0] * geometry.kernel[1];
                pooled(x, from, to, *geometry, |window| window.sum::<f32>() / count as f32)
            }
            Op::Function(activation) => x.iter().map(|&value| apply(*activation, value)).collect(),
            Op::Add { .. } => x.iter().zip(&values[inputs[1]]).map(|(a, b)| a + b).collect(),
        };
        if matches!(op, Op::Sum { relu: true, .. } | Op::Add { relu: true }) {
            output.iter_mut().for_each(|value| *value = value.max(0.0));
        }
        values.push(output);
    }
    values
}

/// Where a tap of a window meets the image: for each output row that it meets, the row and columns of output
/// and input.
fn tap_rows(
    from: Sizes,
    to: Sizes,
    geometry: Geometry,
    [dy, dx]: [usize; 2],
) -> impl Iterator<Item = TapRow> {
    let Geometry { stride, padding, .. } = geometry;
    let [_, height, width] = from;
    let [_, rows, columns] = to;
    // The first and the last column whose tap lies within the image.
    let first = padding.saturating_sub(dx).div_ceil(stride);
    let last = (width + padding).saturating_sub(dx + 1) / stride + 1;
    let last = if width + padding > dx { last.min(columns) } else { 0 };
    (0..rows).filter_map(move |row| {
        let y = (row * stride + dy).checked_sub(padding).filter(|&y| y < height)?;
        (first < last).then(|| TapRow {
            output: row * columns + first,
            count: last - first,
            input: y * width + first * stride + dx - padding,
        })
    })
}

/// A stretch of an output row, and where the input for its first place is.
struct TapRow {
    output: usize,
    count: usize,
    input: usize,
}

fn sums(x: &[f32], from: Sizes, to: Sizes, geometry: Geometry, weights: &Weights) -> Vec<f32> {
    let Geometry { kernel: [rows, columns], stride, groups, .. } = geometry;
    let [channels, pixels, places] = [from[0] / groups, from[1] * from[2], to[1] * to[2]];
    let mut output = vec![0.0; to[0] * places];
    let kernels = weights.weights.chunks_exact(channels * rows * columns);
    for (at, (plane, kernel)) in output.chunks_exact_mut(places).zip(kernels).enumerate() {
        plane.fill(weights.biases[at]);
        let group = at / (to[0] / groups);
        for (tap, &weight) in kernel.iter().enumerate() {
            let [channel, place] = [group * channels + tap / (rows * columns), tap % (rows * columns)];
            let input = &x[channel * pixels..(channel + 1) * pixels];
            for row in tap_rows(from, to, geometry, [place / columns, place % columns]) {
                let places = &mut plane[row.output..row.output + row.count];
                if stride == 1 {
                    let values = &input[row.input..row.input + row.count];
                    places.iter_mut().zip(values).for_each(|(sum, &value)| *sum += weight * value);
                } else {
                    let values = input[row.input..].iter().step_by(stride);
                    places.iter_mut().zip(values).for_each(|(sum, &value)| *sum += weight * value);
                }
            }
        }
    }
    output
}

/// A function of each window of each channel.
fn pooled(
    x: &[f32],
    from: Sizes,
    to: Sizes,
    geometry: Geometry,
    function: impl Fn(&mut dyn Iterator<Item = f32>) -> f32,
) -> Vec<f32> {
    let Geometry { kernel: [rows, columns], stride, .. } = geometry;
    let planes = x.chunks_exact(from[1] * from[2]);
    let places = |plane| {
        let function = &function;
        (0..to[1] * to[2]).map(move |place| {
            let plane: &[f32] = plane;
            let corner = place / to[2] * stride * from[2] + place % to[2] * stride;
            let taps = (0..rows * columns).map(|tap| plane[corner + tap / columns * from[2] + tap % columns]);
            function(&mut { taps })
        })
    };
    planes.flat_map(places).collect()
}

/// An activation's value, by `libm`.
#[must_use]
pub fn apply(activation: Activation, value: f32) -> f32 {
    let x = f64::from(value);
    let sigmoid = || 1.0 / (1.0 + libm::exp(-x));
    match activation {
        Activation::Relu => value.max(0.0),
        Activation::LeakyRelu { slope } => {
            if value < 0.0 {
                value * slope
            } else {
                value
            }
        }
        Activation::Gelu => (0.5 * x * (1.0 + libm::erf(x / std::f64::consts::SQRT_2))) as f32,
        Activation::Silu => (x * sigmoid()) as f32,
        Activation::Tanh => libm::tanh(x) as f32,
        Activation::Sigmoid => sigmoid() as f32,
    }
}
