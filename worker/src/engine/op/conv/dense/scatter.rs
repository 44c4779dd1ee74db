//! The gradient of few channels of x: a place's gradient, times the weights, is added to its patch.
//!
//! Lanes lie along a kernel row, as few channels would leave most of a panel idle. Only those output channels
//! are walked whose gradient is not zero: ReLU and pooling leave few. The order is that of `plain`: a place's
//! part of a pixel's gradient is a sum over the outputs from 0.

use super::channels;
use super::product::Place;
use crate::engine::op::conv::Geometry;
use crate::engine::op::conv::registers::WIDTH;
use crate::engine::op::scratch::Scratch;
use pulp::{Simd, WithSimd};

/// Whether this is the way to x's gradient.
pub(super) fn fits(geometry: &Geometry) -> bool {
    !channels::fits(geometry) && !geometry.inputs.is_multiple_of(WIDTH)
}

/// Values of a kernel row, rounded up to whole panels.
fn row_lanes(geometry: &Geometry) -> usize {
    (geometry.kernel_w * geometry.inputs).next_multiple_of(WIDTH)
}

/// Weights `[kernel rows, outputs, row lanes]`.
pub(super) fn weights(geometry: &Geometry, w: &[f32]) -> Scratch {
    let Geometry { inputs, outputs, kernel_h, kernel_w, .. } = *geometry;
    let lanes = row_lanes(geometry);
    let mut rows = Scratch::zeros(kernel_h * outputs * lanes);
    for (index, &weight) in w.iter().enumerate() {
        let (rest, kx) = (index / kernel_w, index % kernel_w);
        let (rest, ky) = (rest / kernel_h, rest % kernel_h);
        let (output, input) = (rest / inputs, rest % inputs);
        rows[(ky * outputs + output) * lanes + kx * inputs + input] = weight;
    }
    rows
}

/// Adds the gradient of x of one image.
pub(super) struct Scatter<'a> {
    pub(super) geometry: &'a Geometry,
    pub(super) gradient: &'a [f32],
    pub(super) places: &'a [Place],
    /// Starts of the kernel's rows, from a patch's start on.
    pub(super) rows: &'a [usize],
    /// Weights of this file.
    pub(super) weights: &'a [f32],
    /// Gradient of the framed input, with room for a panel behind it.
    pub(super) dx: &'a mut [f32],
}

impl WithSimd for Scatter<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { geometry, gradient, places, rows, weights, dx } = self;
        let lanes = row_lanes(geometry);
        let mut live = vec![(0, 0.0); geometry.outputs + 1];
        for place in places {
            let mut count = 0;
            for (output, &gradient) in gradient[place.to..][..geometry.outputs].iter().enumerate() {
                live[count] = (output * lanes, gradient);
                count += usize::from(gradient != 0.0);
            }
            if count == 0 {
                continue;
            }
            let live = &live[..count];
            for (&row, weights) in rows.iter().zip(weights.chunks_exact(geometry.outputs * lanes)) {
                let dx = S::as_mut_simd_f32s(&mut dx[place.from + row..][..lanes]).0;
                for (at, dx) in (0..lanes).step_by(S::F32_LANES).zip(dx) {
                    let mut sum = simd.splat_f32s(0.0);
                    for &(output, gradient) in live {
                        let weight = S::as_simd_f32s(&weights[output + at..][..S::F32_LANES]).0[0];
                        sum = simd.mul_add_f32s(simd.splat_f32s(gradient), weight, sum);
                    }
                    *dx = simd.add_f32s(*dx, sum);
                }
            }
        }
    }
}
