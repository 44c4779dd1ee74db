//! What normalisations compute, channel by channel: sums over the rows of `[rows, channels]`, and an affine
//! function of each value. A row is a pixel, or a sample's vector.
//!
//! The order of additions depends on the numbers of rows and channels alone. Rows are taken in stripes of
//! about [`LANES`] values, so that a wide register has work even with few channels. A place of the stripe
//! adds up [`BLOCK`] stripes in f32, then goes on from 0; the blocks' sums are added in f64, then the places
//! of one channel, in order. A term is computed in f32.

use common::simd;

/// Values that a stripe has, at least while channels are fewer.
const LANES: usize = 64;
/// Stripes that one f32 adds up.
const BLOCK: usize = 64;

/// Number of values in a stripe of whole rows.
fn stripe(channels: usize) -> usize {
    channels * LANES.div_ceil(channels)
}

/// `per_channel` once for each row of a stripe.
fn tiled(per_channel: &[f32]) -> Vec<f32> {
    per_channel.iter().copied().cycle().take(stripe(per_channel.len())).collect()
}

/// Sum of each channel of `x`, `[rows, channels]`.
pub(crate) fn sums(x: &[f32], channels: usize) -> Vec<f64> {
    let mut total = Total::new(channels);
    simd::widest(|| {
        for x in x.chunks(stripe(channels)) {
            total.part.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
            total.next();
        }
    });
    total.of_channels(channels)
}

/// Sum over each channel of the squared differences from `mean`.
pub(crate) fn squared_deviations(x: &[f32], mean: &[f32]) -> Vec<f64> {
    let channels = mean.len();
    let mean = tiled(mean);
    let mut total = Total::new(channels);
    simd::widest(|| {
        for x in x.chunks(mean.len()) {
            for ((sum, x), mean) in total.part.iter_mut().zip(x).zip(&mean) {
                let deviation = x - mean;
                *sum = deviation.mul_add(deviation, *sum);
            }
            total.next();
        }
    });
    total.of_channels(channels)
}

/// An affine function of each channel: `(x - mean) · scale + shift`, and max(that, 0) if it has a ReLU.
#[derive(Debug)]
pub(crate) struct Affine {
    mean: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
    relu: bool,
}

impl Affine {
    /// The function with these values for each channel.
    pub(crate) fn new(mean: &[f32], scale: &[f32], shift: &[f32], relu: bool) -> Self {
        Self { mean: tiled(mean), scale: tiled(scale), shift: tiled(shift), relu }
    }

    /// Scale of each channel.
    pub(crate) fn scale(&self, channels: usize) -> &[f32] {
        &self.scale[..channels]
    }

    /// Appends the function's values for `x` to `y`.
    pub(crate) fn apply(&self, x: &[f32], y: &mut Vec<f32>) {
        let Self { mean, scale, shift, relu } = self;
        let start = y.len();
        y.resize(start + x.len(), 0.0);
        simd::widest(|| {
            for (x, y) in x.chunks(mean.len()).zip(y[start..].chunks_mut(mean.len())) {
                let constants = mean.iter().zip(scale).zip(shift);
                for ((y, x), ((mean, scale), shift)) in y.iter_mut().zip(x).zip(constants) {
                    let value = (x - mean).mul_add(*scale, *shift);
                    *y = if *relu && value <= 0.0 { 0.0 } else { value };
                }
            }
        });
    }

    /// Sets to 0 each of `grad` that the ReLU lets not pass, given the function's `x`.
    pub(crate) fn close(&self, x: &[f32], grad: &mut [f32]) {
        let Self { mean, scale, shift, relu } = self;
        if !relu {
            return;
        }
        simd::widest(|| {
            for (x, grad) in x.chunks(mean.len()).zip(grad.chunks_mut(mean.len())) {
                let constants = mean.iter().zip(scale).zip(shift);
                for ((grad, x), ((mean, scale), shift)) in grad.iter_mut().zip(x).zip(constants) {
                    let value = (x - mean).mul_add(*scale, *shift);
                    *grad = if value <= 0.0 { 0.0 } else { *grad };
                }
            }
        });
    }

    /// Sums over each channel of `grad`, and of `grad · (x - mean)`.
    pub(crate) fn gradient_sums(&self, x: &[f32], grad: &[f32], channels: usize) -> [Vec<f64>; 2] {
        let mean = &self.mean;
        let mut plain = Total::new(channels);
        let mut weighted = Total::new(channels);
        simd::widest(|| {
            for (x, grad) in x.chunks(mean.len()).zip(grad.chunks(mean.len())) {
                let sums = plain.part.iter_mut().zip(&mut weighted.part);
                for (((plain, weighted), (x, mean)), grad) in sums.zip(x.iter().zip(mean)).zip(grad) {
                    *plain += grad;
                    *weighted = grad.mul_add(x - mean, *weighted);
                }
                plain.next();
                weighted.next();
            }
        });
        [plain, weighted].map(|total| total.of_channels(channels))
    }

    /// Turns `grad` into `grad · scale - offset - (x - mean) · slope`, where offset and slope are those of each
    /// channel.
    pub(crate) fn input_gradient(&self, x: &[f32], grad: &mut [f32], offset: &[f32], slope: &[f32]) {
        let Self { mean, scale, .. } = self;
        let offset = tiled(offset);
        let slope = tiled(slope);
        simd::widest(|| {
            for (x, grad) in x.chunks(mean.len()).zip(grad.chunks_mut(mean.len())) {
                let constants = mean.iter().zip(scale).zip(offset.iter().zip(&slope));
                for ((grad, x), ((mean, scale), (offset, slope))) in grad.iter_mut().zip(x).zip(constants) {
                    let straight = grad.mul_add(*scale, -offset);
                    *grad = (x - mean).mul_add(-slope, straight);
                }
            }
        });
    }
}

/// The sums of a stripe's places.
struct Total {
    /// Sums of the present block.
    part: Vec<f32>,
    /// Sums of the blocks before it.
    blocks: Vec<f64>,
    /// Stripes in the present block.
    stripes: usize,
}

impl Total {
    fn new(channels: usize) -> Self {
        let places = stripe(channels);
        Self { part: vec![0.0; places], blocks: vec![0.0; places], stripes: 0 }
    }

    /// Ends a stripe.
    #[inline(always)]
    fn next(&mut self) {
        self.stripes += 1;
        if self.stripes == BLOCK {
            self.end_block();
        }
    }

    fn end_block(&mut self) {
        for (sum, part) in self.blocks.iter_mut().zip(&mut self.part) {
            *sum += f64::from(std::mem::take(part));
        }
        self.stripes = 0;
    }

    fn of_channels(mut self, channels: usize) -> Vec<f64> {
        self.end_block();
        let mut totals = vec![0.0; channels];
        for row in self.blocks.chunks_exact(channels) {
            totals.iter_mut().zip(row).for_each(|(total, sum)| *total += sum);
        }
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::op::testing::noise;

    #[test]
    fn sums_are_those_of_plain_loops() {
        for (rows, channels) in [(1, 1), (7, 3), (5000, 16), (130, 64), (3, 200), (9000, 1)] {
            let x = noise(1, rows * channels);
            let grad = noise(2, rows * channels);
            let mean = noise(3, channels);
            let affine = Affine::new(&mean, &mean, &mean, false);
            let plain = |term: &dyn Fn(usize) -> f64| {
                let channel = |channel| (channel..x.len()).step_by(channels).map(term).sum::<f64>();
                (0..channels).map(channel).collect::<Vec<f64>>()
            };
            let deviation = |at: usize| f64::from(x[at]) - f64::from(mean[at % channels]);
            let [of_grad, weighted] = affine.gradient_sums(&x, &grad, channels);
            for (got, want) in [
                (sums(&x, channels), plain(&|at| x[at].into())),
                (squared_deviations(&x, &mean), plain(&|at| deviation(at) * deviation(at))),
                (of_grad, plain(&|at| grad[at].into())),
                (weighted, plain(&|at| f64::from(grad[at]) * deviation(at))),
            ] {
                for (got, want) in got.iter().zip(&want) {
                    assert!(
                        (got - want).abs() < 1e-5 * (rows as f64).sqrt(),
                        "{rows}x{channels}: {got}, {want}"
                    );
                }
            }
        }
    }

    #[test]
    fn values_are_those_of_plain_arithmetic() {
        let (rows, channels) = (37, 5);
        let x = noise(1, rows * channels);
        let [mean, scale, shift, slope] = [3, 4, 5, 6].map(|stream| noise(stream, channels));
        for relu in [false, true] {
            let affine = Affine::new(&mean, &scale, &shift, relu);
            let mut y = vec![9.0];
            affine.apply(&x, &mut y);
            let mut closed = vec![1.0; x.len()];
            affine.close(&x, &mut closed);
            let mut grad = noise(7, x.len());
            affine.input_gradient(&x, &mut grad, &shift, &slope);
            for (at, before) in noise(7, x.len()).into_iter().enumerate() {
                let channel = at % channels;
                let deviation = x[at] - mean[channel];
                let value = deviation.mul_add(scale[channel], shift[channel]);
                let open = !relu || value > 0.0;
                assert_eq!(y[at + 1], if open { value } else { 0.0 });
                assert_eq!(closed[at], if open { 1.0 } else { 0.0 });
                let straight = before.mul_add(scale[channel], -shift[channel]);
                assert_eq!(grad[at], deviation.mul_add(-slope[channel], straight));
            }
        }
    }
}
