//! What normalisations compute, channel by channel, of `[rows, channels]`: moments over the rows, an affine
//! function of each value, and its gradients. A row is a pixel, or a sample's vector.
//!
//! Rows are taken in stripes of about [`LANES`] values, so that a wide register has work even with few
//! channels. A place of the stripe adds up to [`BLOCK`] stripes in f32; blocks are joined in f64, and then
//! the places of one channel, in order. So the order of additions depends on the numbers of rows and channels
//! alone. `moments` has the means and variances.

mod moments;

pub(crate) use moments::{Moments, moments};

use pulp::{Arch, Simd, WithSimd};

/// Values that a stripe has, at least while channels are fewer.
const LANES: usize = 64;
/// Stripes that one f32 adds up: 16 kB, which stay in the L1 cache for a second look.
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
    let places = stripe(channels);
    let mut total = vec![0.0; places];
    let mut part = vec![0.0; places];
    for block in x.chunks(BLOCK * places) {
        part.fill(0.0);
        Arch::new().dispatch(AddStripes { x: block, sums: &mut part });
        join(&mut total, &part);
    }
    of_channels(&total, channels)
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

    /// Writes the function's values for `x` to `y`.
    pub(crate) fn apply(&self, x: &[f32], y: &mut [f32]) {
        if self.relu {
            Arch::new().dispatch(Apply::<true> { affine: self, x, y });
        } else {
            Arch::new().dispatch(Apply::<false> { affine: self, x, y });
        }
    }

    /// Sums over each channel of `grad`, and of `grad · (x - mean)`, where the ReLU lets it pass.
    pub(crate) fn gradient_sums(&self, x: &[f32], grad: &[f32], channels: usize) -> [Vec<f64>; 2] {
        let places = self.mean.len();
        let mut totals = [(); 2].map(|()| vec![0.0; places]);
        let mut parts = [(); 2].map(|()| vec![0.0; places]);
        for (x, grad) in x.chunks(BLOCK * places).zip(grad.chunks(BLOCK * places)) {
            parts.iter_mut().for_each(|part| part.fill(0.0));
            let [plain, weighted] = &mut parts;
            if self.relu {
                Arch::new().dispatch(AddGradients::<true> { affine: self, x, grad, plain, weighted });
            } else {
                Arch::new().dispatch(AddGradients::<false> { affine: self, x, grad, plain, weighted });
            }
            totals.iter_mut().zip(&parts).for_each(|(total, part)| join(total, part));
        }
        totals.map(|total| of_channels(&total, channels))
    }

    /// Writes `grad · scale - offset - (x - mean) · slope` to `dx`, where offset and slope are those of each
    /// channel, and `grad` counts where the ReLU lets it pass.
    pub(crate) fn input_gradient(
        &self,
        x: &[f32],
        grad: &[f32],
        [offset, slope]: [&[f32]; 2],
        dx: &mut [f32],
    ) {
        let [offset, slope] = [&tiled(offset)[..], &tiled(slope)];
        if self.relu {
            Arch::new().dispatch(InputGradient::<true> { affine: self, x, grad, offset, slope, dx });
        } else {
            Arch::new().dispatch(InputGradient::<false> { affine: self, x, grad, offset, slope, dx });
        }
    }
}

struct Apply<'a, const RELU: bool> {
    affine: &'a Affine,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl<const RELU: bool> WithSimd for Apply<'_, RELU> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Affine { mean, scale, shift, .. } = self.affine;
        let places = mean.len();
        for (x, y) in self.x.chunks(places).zip(self.y.chunks_mut(places)) {
            for ((y, x), ((mean, scale), shift)) in y.iter_mut().zip(x).zip(mean.iter().zip(scale).zip(shift))
            {
                let value = (x - mean).mul_add(*scale, *shift);
                *y = if RELU && value <= 0.0 { 0.0 } else { value };
            }
        }
    }
}

struct AddGradients<'a, const RELU: bool> {
    affine: &'a Affine,
    x: &'a [f32],
    grad: &'a [f32],
    /// Sums of `grad`.
    plain: &'a mut [f32],
    /// Sums of `grad · (x - mean)`.
    weighted: &'a mut [f32],
}

impl<const RELU: bool> WithSimd for AddGradients<'_, RELU> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Affine { mean, scale, shift, .. } = self.affine;
        let places = mean.len();
        for (x, grad) in self.x.chunks(places).zip(self.grad.chunks(places)) {
            let sums = self.plain.iter_mut().zip(&mut *self.weighted);
            let constants = mean.iter().zip(scale).zip(shift);
            for (((plain, weighted), (x, grad)), ((mean, scale), shift)) in
                sums.zip(x.iter().zip(grad)).zip(constants)
            {
                let deviation = x - mean;
                let grad = passed::<RELU>(deviation, *scale, *shift, *grad);
                *plain += grad;
                *weighted = grad.mul_add(deviation, *weighted);
            }
        }
    }
}

struct InputGradient<'a, const RELU: bool> {
    affine: &'a Affine,
    x: &'a [f32],
    grad: &'a [f32],
    offset: &'a [f32],
    slope: &'a [f32],
    dx: &'a mut [f32],
}

impl<const RELU: bool> WithSimd for InputGradient<'_, RELU> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Affine { mean, scale, shift, .. } = self.affine;
        let places = mean.len();
        let inputs = self.x.chunks(places).zip(self.grad.chunks(places));
        for ((x, grad), dx) in inputs.zip(self.dx.chunks_mut(places)) {
            let constants = mean.iter().zip(scale).zip(shift).zip(self.offset.iter().zip(self.slope));
            for ((dx, (x, grad)), (((mean, scale), shift), (offset, slope))) in
                dx.iter_mut().zip(x.iter().zip(grad)).zip(constants)
            {
                let deviation = x - mean;
                let grad = passed::<RELU>(deviation, *scale, *shift, *grad);
                *dx = deviation.mul_add(-slope, grad.mul_add(*scale, -offset));
            }
        }
    }
}

/// Adds each stripe of `x` to `sums`.
struct AddStripes<'a> {
    x: &'a [f32],
    sums: &'a mut [f32],
}

impl WithSimd for AddStripes<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for x in self.x.chunks(self.sums.len()) {
            self.sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
        }
    }
}

/// `grad`, or 0 where the function's value was not above 0 before a ReLU.
#[inline(always)]
fn passed<const RELU: bool>(deviation: f32, scale: f32, shift: f32, grad: f32) -> f32 {
    if RELU && deviation.mul_add(scale, shift) <= 0.0 { 0.0 } else { grad }
}

/// Adds a block's sums to the total.
fn join(total: &mut [f64], part: &[f32]) {
    total.iter_mut().zip(part).for_each(|(total, part)| *total += f64::from(*part));
}

/// The sums of each channel's places, in order.
fn of_channels(total: &[f64], channels: usize) -> Vec<f64> {
    let mut sums = vec![0.0; channels];
    for row in total.chunks_exact(channels) {
        sums.iter_mut().zip(row).for_each(|(sum, of_place)| *sum += of_place);
    }
    sums
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
            let [mean, scale, shift] = [3, 4, 5].map(|stream| noise(stream, channels));
            let plain = |term: &dyn Fn(usize) -> f64| {
                let channel = |channel| (channel..x.len()).step_by(channels).map(term).sum::<f64>();
                (0..channels).map(channel).collect::<Vec<f64>>()
            };
            let deviation = |at: usize| x[at] - mean[at % channels];
            for relu in [false, true] {
                let passed = |at: usize| {
                    let value = deviation(at).mul_add(scale[at % channels], shift[at % channels]);
                    if relu && value <= 0.0 { 0.0 } else { f64::from(grad[at]) }
                };
                let affine = Affine::new(&mean, &scale, &shift, relu);
                let [of_grad, weighted] = affine.gradient_sums(&x, &grad, channels);
                for (got, want) in [
                    (&sums(&x, channels), plain(&|at| x[at].into())),
                    (&of_grad, plain(&passed)),
                    (&weighted, plain(&|at| passed(at) * f64::from(deviation(at)))),
                ] {
                    for (got, want) in got.iter().zip(&want) {
                        let error = (got - want).abs();
                        assert!(error < 1e-5 * (rows as f64).sqrt(), "{rows}x{channels}: {got}, {want}");
                    }
                }
            }
        }
    }

    #[test]
    fn values_are_those_of_plain_arithmetic() {
        let (rows, channels) = (37, 5);
        let x = noise(1, rows * channels);
        let grad = noise(7, rows * channels);
        let [mean, scale, shift, slope] = [3, 4, 5, 6].map(|stream| noise(stream, channels));
        for relu in [false, true] {
            let affine = Affine::new(&mean, &scale, &shift, relu);
            let [mut y, mut dx] = [(); 2].map(|()| vec![9.0; x.len()]);
            affine.apply(&x, &mut y);
            affine.input_gradient(&x, &grad, [&shift, &slope], &mut dx);
            for at in 0..x.len() {
                let channel = at % channels;
                let deviation = x[at] - mean[channel];
                let value = deviation.mul_add(scale[channel], shift[channel]);
                let is_open = !relu || value > 0.0;
                assert_eq!(y[at], if is_open { value } else { 0.0 });
                let grad = if is_open { grad[at] } else { 0.0 };
                let straight = grad.mul_add(scale[channel], -shift[channel]);
                assert_eq!(dx[at], deviation.mul_add(-slope[channel], straight));
            }
        }
    }
}
