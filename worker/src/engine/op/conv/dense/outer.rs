//! The weights' gradient: for every place of the map, the outer product of its patch and its gradient.
//!
//! Lanes are output channels, [`WIDTH`] of them a panel. A block of up to 16 values of the patch keeps its
//! sums in registers while the places are walked.
//!
//! The order is that of `plain`'s matrix products: an image's places are cut as
//! [`matmul`](crate::engine::op::matmul) cuts k, each cut is summed from 0 and added to the gradient.

use super::product::Place;
use crate::engine::op::conv::registers::{PanelKernel, WIDTH};
use crate::engine::op::matmul::CHUNK_MAX;
use pulp::Simd;

/// Adds the gradient of one image.
pub(super) struct Outer<'a> {
    /// The input.
    pub(super) source: &'a [f32],
    /// The gradient of the map.
    pub(super) gradient: &'a [f32],
    /// Every place of the image: from the input, to the map.
    pub(super) places: &'a [Place],
    /// Starts of the kernel's rows, from a patch's start on.
    pub(super) rows: &'a [usize],
    /// Values of a patch in each row.
    pub(super) run: usize,
    /// Weight gradient `[panels, patch, WIDTH]`.
    pub(super) dw: &'a mut [f32],
}

impl PanelKernel for Outer<'_> {
    #[inline(always)]
    fn run<S: Simd, const R: usize, const T: usize>(self, simd: S) {
        let Self { source, gradient, places, rows, run, dw } = self;
        let count = places.len();
        for places in places.chunks(count.div_ceil(count.div_ceil(CHUNK_MAX))) {
            for (panel, dw) in dw.chunks_exact_mut(rows.len() * run * WIDTH).enumerate() {
                let gradient = &gradient[panel * WIDTH..];
                for (&row, dw) in rows.iter().zip(dw.chunks_exact_mut(run * WIDTH)) {
                    let mut at = 0;
                    while at < run {
                        let source = &source[row + at..];
                        let dw = &mut dw[at * WIDTH..];
                        at += match run - at {
                            16.. if T > 4 => add::<S, R, 16>(simd, source, gradient, places, dw),
                            8.. if T > 4 => add::<S, R, 8>(simd, source, gradient, places, dw),
                            5 => add::<S, R, 5>(simd, source, gradient, places, dw),
                            _ => add::<S, R, 4>(simd, source, gradient, places, dw),
                        };
                    }
                }
            }
        }
    }
}

/// Adds the outer products of `B` values of each patch, those that `dw` has room for. Returns `B`.
#[inline(always)]
fn add<S: Simd, const R: usize, const B: usize>(
    simd: S,
    source: &[f32],
    gradient: &[f32],
    places: &[Place],
    dw: &mut [f32],
) -> usize {
    let mut sums = [[simd.splat_f32s(0.0); R]; B];
    for place in places {
        let x: &[f32; B] = source[place.from..].first_chunk().expect("the source has slack");
        let gradient: &[S::f32s; R] =
            S::as_simd_f32s(&gradient[place.to..]).0.first_chunk().expect("a panel of channels");
        for (sums, &x) in sums.iter_mut().zip(x) {
            let x = simd.splat_f32s(x);
            for (sum, &gradient) in sums.iter_mut().zip(gradient) {
                *sum = simd.mul_add_f32s(x, gradient, *sum);
            }
        }
    }
    let rows = S::as_mut_simd_f32s(dw).0.as_chunks_mut::<R>().0;
    for (dw, sums) in rows.iter_mut().zip(sums) {
        for (dw, sum) in dw.iter_mut().zip(sums) {
            *dw = simd.add_f32s(*dw, sum);
        }
    }
    B
}
