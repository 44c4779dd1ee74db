//! A plan computed in whole numbers. This is the definition: every other program that computes the same plan
//! gives equal integers.
//!
//! 1. A sum begins with its bias and adds `q · weight` over its window, in 32 bits; outside the image `q` is
//!    the input's zero.
//! 2. It is scaled by its channel's factor: times the multiplier in 64 bits, plus half of 2^shift, shifted
//!    right by shift. Then the output's zero is added.
//! 3. The result is cut to 0 to 255, with a ReLU to the output's zero and above. Logits are not cut.
//! 4. A mean scales the sum of its window, less the window's zeros. The sum of two values adds both, less
//!    their zeros and times their multipliers, in 64 bits, before it is shifted.
//! 5. A function of each value is a table of 256 steps.

use super::plan::{Geometry, Op, Sizes, Step};
use super::planar;
use super::quantize::{Factor, Integers, Quantized, Scale, VALUE_MAX};
use common::data::samples::Samples;
use common::reduce::parallel;
use std::num::NonZeroUsize;

/// Logits of all samples, `[n, classes]`, in steps of the last scale.
///
/// # Panics
/// When the samples are not of the plan's input form.
#[must_use]
pub fn logits(network: &Quantized, samples: &Samples, threads: NonZeroUsize) -> Vec<i32> {
    let part = samples.len().div_ceil(threads.get()).max(1);
    let jobs = (0..samples.len()).step_by(part).map(|start| {
        move || {
            let end = samples.len().min(start + part);
            (start..end).flat_map(|index| logits_of(network, &planar(samples, index))).collect::<Vec<_>>()
        }
    });
    parallel::all(jobs.collect()).concat()
}

/// Logits of an image, whose bytes lie channel by channel.
///
/// # Panics
/// When there are more or fewer bytes than the plan's input has.
#[must_use]
pub fn logits_of(network: &Quantized, image: &[u8]) -> Vec<i32> {
    let Quantized { plan, scales } = network;
    assert_eq!(image.len(), plan.values[0].iter().product::<usize>(), "an image of the plan's form");
    let mut values = vec![image.to_vec()];
    for (at, Step { inputs, op }) in plan.steps.iter().enumerate() {
        let x = &values[inputs[0]];
        let [from, to] = [plan.values[inputs[0]], plan.values[at + 1]];
        let [input, output] = [scales[inputs[0]], scales[at + 1]];
        let next = match op {
            Op::Sum { geometry, weights, relu } => {
                let sums = sums(x, input.zero, [from, to], *geometry, weights);
                if at + 1 == plan.steps.len() {
                    return if *relu { sums.iter().map(|&sum| sum.max(0)).collect() } else { sums };
                }
                sums.into_iter().map(|sum| cut(sum.saturating_add(output.zero), output, *relu)).collect()
            }
            Op::Max(geometry) => maxima(x, [from, to], *geometry),
            Op::Mean(geometry) => {
                means(x, [from, to], *geometry, [input, output], network.mean_factor(at, *geometry))
            }
            Op::Function(_) => {
                let table = network.table(at).expect("a function has a table");
                x.iter().map(|&step| table[usize::from(step)]).collect()
            }
            Op::Add { relu } => {
                let (multipliers, shift) = network.add_factors(at);
                let zeros = [input.zero, scales[inputs[1]].zero];
                let pairs = x.iter().zip(&values[inputs[1]]);
                let sum = |(&a, &b)| added([a, b], zeros, multipliers, shift);
                pairs.map(|pair| cut(sum(pair).saturating_add(output.zero), output, *relu)).collect()
            }
        };
        values.push(next);
    }
    // A network that does not end in a sum has logits of 8 bits.
    let last = values.pop().unwrap_or_default();
    let scale = scales[scales.len() - 1];
    last.into_iter().map(|step| i32::from(step) - scale.zero).collect()
}

/// A sum in steps of its value: `sum · multiplier / 2^shift`, rounded, a half upwards.
#[must_use]
pub fn scaled(sum: i32, Factor { multiplier, shift }: Factor) -> i32 {
    shifted(i64::from(sum) * i64::from(multiplier), shift)
}

/// The sum of two values in steps of the result, without its zero.
#[must_use]
pub fn added(steps: [u8; 2], zeros: [i32; 2], multipliers: [i32; 2], shift: u8) -> i32 {
    let term = |at: usize| i64::from(i32::from(steps[at]) - zeros[at]) * i64::from(multipliers[at]);
    shifted(term(0) + term(1), shift)
}

fn shifted(product: i64, shift: u8) -> i32 {
    ((product + (1 << (shift - 1))) >> shift).clamp(i32::MIN.into(), i32::MAX.into()) as i32
}

fn cut(step: i32, output: Scale, relu: bool) -> u8 {
    step.clamp(if relu { output.zero } else { 0 }, VALUE_MAX) as u8
}

/// The sums of all windows, scaled.
fn sums(x: &[u8], zero: i32, [from, to]: [Sizes; 2], geometry: Geometry, of: &Integers) -> Vec<i32> {
    let [channels, places] = [from[0] / geometry.groups, to[1] * to[2]];
    let outputs = to[0] / geometry.groups;
    // Products of 16 bits are what processors add fastest.
    let weights: Vec<i16> = of.weights.iter().map(|&weight| weight.into()).collect();
    let taps = weights.len() / to[0];
    let mut sums = vec![0; to[0] * places];
    let mut values = vec![0; taps];
    for group in 0..geometry.groups {
        let x = &x[group * channels * from[1] * from[2]..];
        for place in 0..places {
            gather(x, zero as i16, from, geometry, [place / to[2], place % to[2]], &mut values);
            for output in group * outputs..(group + 1) * outputs {
                let kernel = &weights[output * taps..(output + 1) * taps];
                let products =
                    kernel.iter().zip(&values).map(|(&weight, &value)| i32::from(weight) * i32::from(value));
                let sum = of.biases[output] + products.sum::<i32>();
                sums[output * places + place] = scaled(sum, of.factors[output]);
            }
        }
    }
    sums
}

/// The values of the window at an output's place; outside the image the input's zero.
fn gather(
    x: &[u8],
    zero: i16,
    [_, height, width]: Sizes,
    Geometry { kernel: [rows, columns], stride, padding, .. }: Geometry,
    [row, column]: [usize; 2],
    values: &mut [i16],
) {
    let planes = x.chunks_exact(height * width);
    for (values, plane) in values.chunks_exact_mut(rows * columns).zip(planes) {
        for (dy, values) in values.chunks_exact_mut(columns).enumerate() {
            let y = (row * stride + dy).wrapping_sub(padding);
            for (dx, value) in values.iter_mut().enumerate() {
                let at = (column * stride + dx).wrapping_sub(padding);
                let is_inside = y < height && at < width;
                *value = if is_inside { plane[y * width + at].into() } else { zero };
            }
        }
    }
}

/// The taps of each window of each channel.
fn windows(
    x: &[u8],
    [from, to]: [Sizes; 2],
    geometry: Geometry,
) -> impl Iterator<Item = impl Iterator<Item = u8>> {
    let Geometry { kernel: [rows, columns], stride, .. } = geometry;
    x.chunks_exact(from[1] * from[2]).flat_map(move |plane| {
        (0..to[1] * to[2]).map(move |place| {
            let corner = place / to[2] * stride * from[2] + place % to[2] * stride;
            (0..rows * columns).map(move |tap| plane[corner + tap / columns * from[2] + tap % columns])
        })
    })
}

fn maxima(x: &[u8], sizes: [Sizes; 2], geometry: Geometry) -> Vec<u8> {
    windows(x, sizes, geometry).map(|window| window.max().unwrap_or_default()).collect()
}

fn means(
    x: &[u8],
    sizes: [Sizes; 2],
    geometry: Geometry,
    [input, output]: [Scale; 2],
    factor: Factor,
) -> Vec<u8> {
    let mean = |window: &mut dyn Iterator<Item = u8>| {
        let sum: i32 = window.map(|step| i32::from(step) - input.zero).sum();
        cut(scaled(sum, factor).saturating_add(output.zero), output, false)
    };
    windows(x, sizes, geometry).map(|mut window| mean(&mut window)).collect()
}
