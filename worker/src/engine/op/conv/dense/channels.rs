//! Every channel alone: as many groups as input and output channels.
//!
//! Lanes are channels. The order of sums is that of `plain`. Where it takes a matrix product for each place
//! of the map, for the gradient of x, a product and a sum have a rounding each.

use super::lanes;
use super::product::Place;
use crate::engine::op::conv::registers::{PanelKernel, WIDTH};
use crate::engine::op::conv::tile::registers;
use crate::engine::op::conv::{Geometry, weights};
use crate::engine::op::matmul::CHUNK_MAX;
use crate::engine::op::scratch::Scratch;
use pulp::{Simd, WithSimd};
use std::slice::ChunksMut;

/// Whether every channel is alone.
pub(super) fn fits(geometry: &Geometry) -> bool {
    (geometry.inputs, geometry.outputs) == (geometry.groups, geometry.groups)
}

/// Weights `[kernel values, lanes]`.
pub(super) fn weights(geometry: &Geometry, w: &[f32]) -> Scratch {
    let lanes = lanes(geometry.outputs);
    let mut matrix = Scratch::zeros(lanes * geometry.patch());
    weights::by_output(geometry, w, lanes, &mut matrix);
    matrix
}

/// `map[place] = Σ weights · source`, over the kernel. With `FUSED` each step has one rounding, or else a
/// product and a sum have one each.
pub(super) struct Sums<'a, const FUSED: bool> {
    pub(super) source: &'a [f32],
    pub(super) places: &'a [Place],
    /// Where the kernel's values lie, from a place's start on.
    pub(super) taps: &'a [usize],
    /// Weights `[taps, lanes]`.
    pub(super) weights: &'a [f32],
    pub(super) map: &'a mut [f32],
}

impl<const FUSED: bool> PanelKernel for Sums<'_, FUSED> {
    #[inline(always)]
    fn run<S: Simd, const R: usize, const T: usize>(self, simd: S) {
        let Self { source, places, taps, weights, map } = self;
        let lanes = weights.len() / taps.len();
        for panel in (0..lanes).step_by(WIDTH) {
            for first in (0..places.len()).step_by(T) {
                // The last tile may repeat a place.
                let tile: [Place; T] = std::array::from_fn(|t| places[(first + t).min(places.len() - 1)]);
                let mut sums = [[simd.splat_f32s(0.0); R]; T];
                for (&tap, weights) in taps.iter().zip(weights.chunks_exact(lanes)) {
                    let weights = registers::<S, R>(&weights[panel..]);
                    let values: [&[f32; WIDTH]; T] = std::array::from_fn(|t| {
                        source[tile[t].from + tap + panel..].first_chunk().expect("a panel of channels")
                    });
                    for (sums, values) in sums.iter_mut().zip(values) {
                        let values = registers::<S, R>(values);
                        for ((sum, &weight), &x) in sums.iter_mut().zip(weights).zip(values) {
                            *sum = if FUSED {
                                simd.mul_add_f32s(weight, x, *sum)
                            } else {
                                simd.add_f32s(*sum, simd.mul_f32s(weight, x))
                            };
                        }
                    }
                }
                for (place, sums) in tile.iter().zip(sums) {
                    S::as_mut_simd_f32s(&mut map[place.to + panel..][..WIDTH]).0.copy_from_slice(&sums);
                }
            }
        }
    }
}

/// Adds the weights' gradient of one image.
pub(super) struct WeightGradient<'a> {
    pub(super) source: &'a [f32],
    pub(super) gradient: &'a [f32],
    pub(super) places: &'a [Place],
    pub(super) taps: &'a [usize],
    /// Weight gradient `[taps, lanes]`.
    pub(super) dw: &'a mut [f32],
}

impl WithSimd for WeightGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { source, gradient, places, taps, dw } = self;
        let lanes = dw.len() / taps.len();
        let count = places.len();
        for places in places.chunks(count.div_ceil(count.div_ceil(CHUNK_MAX))) {
            for at in (0..lanes).step_by(S::F32_LANES) {
                let (source, gradient) = (&source[at..], &gradient[at..]);
                let (nines, rest) = taps.as_chunks::<9>();
                let (threes, ones) = rest.as_chunks::<3>();
                let mut dw = dw[at..].chunks_mut(lanes);
                nines.iter().for_each(|taps| add(simd, source, gradient, places, taps, &mut dw));
                threes.iter().for_each(|taps| add(simd, source, gradient, places, taps, &mut dw));
                ones.iter().for_each(|&tap| add(simd, source, gradient, places, &[tap], &mut dw));
            }
        }
    }
}

/// Adds the products of `B` kernel values and one register of channels.
#[inline(always)]
fn add<S: Simd, const B: usize>(
    simd: S,
    source: &[f32],
    gradient: &[f32],
    places: &[Place],
    taps: &[usize; B],
    dw: &mut ChunksMut<'_, f32>,
) {
    let mut sums = [simd.splat_f32s(0.0); B];
    for place in places {
        let gradient = S::as_simd_f32s(&gradient[place.to..][..S::F32_LANES]).0[0];
        for (sum, tap) in sums.iter_mut().zip(taps) {
            let x = S::as_simd_f32s(&source[place.from + tap..][..S::F32_LANES]).0[0];
            *sum = simd.mul_add_f32s(x, gradient, *sum);
        }
    }
    for (sum, dw) in sums.into_iter().zip(dw) {
        let dw = &mut S::as_mut_simd_f32s(dw).0[0];
        *dw = simd.add_f32s(*dw, sum);
    }
}
