//! Forward pass without a patch matrix, for a multiple of [`OUTPUTS`] output channels.
//!
//! Lanes are output channels. A product takes four positions of the map (with pooling, the four of one
//! window) and `R` registers of channels; its sums stay in registers while the patch is walked once.
//!
//! Each output's sum runs over the patch in memory order with fused multiply-adds, whatever the register's
//! width: the bits are the same on every instruction set.
//!
//! Images are taken in blocks that fit the L1 cache; a panel of weights is used for a whole block.

use super::epilogue::{relu, strongest};
use super::registers::{Kernel, OverOutputs};
use super::tile::{ROWS, Sums, multiply, registers};
use super::{Forward, Geometry, Output, weights};
use crate::engine::op::scratch::Scratch;
use pulp::{Arch, Simd};

/// Output channels must be a multiple of this, the widest register's lanes.
const OUTPUTS: usize = 16;

/// Whether this path computes such a convolution.
pub(super) fn fits(geometry: &Geometry) -> bool {
    geometry.slides() && geometry.outputs.is_multiple_of(OUTPUTS)
}

/// The forward pass of this path; see [`super::forward`].
pub(super) fn forward(arch: Arch, pass: Forward<'_>) -> Output {
    assert!(fits(pass.geometry), "{:?} is another path's", pass.geometry);
    let mut output = Output::empty(pass.geometry);
    let kernel = Direct { pass, output: &mut output };
    arch.dispatch(OverOutputs { outputs: pass.geometry.outputs, kernel });
    output
}

struct Direct<'a> {
    pass: Forward<'a>,
    output: &'a mut Output,
}

impl Kernel for Direct<'_> {
    #[inline(always)]
    fn run<S: Simd, const R: usize>(self, simd: S) {
        let Self { pass: Forward { geometry, x, w, b }, output: Output { y, codes } } = self;
        let width = R * S::F32_LANES;
        let mut panels = Scratch::zeros(w.len());
        weights::by_output(geometry, w, width, &mut panels);
        let (out_rows, out_columns) = geometry.out();
        let block = geometry.block();
        let image = geometry.height * geometry.width * geometry.inputs;
        let out_image = out_rows * out_columns * geometry.outputs;
        let out_block = block * out_image / S::F32_LANES;
        y.resize(geometry.n * out_image, 0.0);
        codes.resize(geometry.n * out_image, 0);
        let y = S::as_mut_simd_f32s(y).0;
        let codes = S::as_mut_simd_u32s(codes).0;
        let outputs = y.chunks_mut(out_block).zip(codes.chunks_mut(out_block));
        for (x, (y, codes)) in x.chunks(block * image).zip(outputs) {
            for (panel, weights) in panels.chunks_exact(geometry.patch() * width).enumerate() {
                let channels = panel * width..(panel + 1) * width;
                let bias = registers::<S, R>(&b[channels.clone()]);
                let panel = Panel { weights, bias, first: channels.start };
                if geometry.pool {
                    panel.pooled(simd, geometry, x, y, codes);
                } else {
                    panel.unpooled(simd, geometry, x, y, codes);
                }
            }
        }
    }
}

/// `R` registers of output channels.
struct Panel<'a, S: Simd, const R: usize> {
    /// Weights `[patch, R registers]`.
    weights: &'a [f32],
    bias: [S::f32s; R],
    /// Index of the first channel.
    first: usize,
}

impl<S: Simd, const R: usize> Panel<'_, S, R> {
    /// One tile per window of the pooling.
    #[inline(always)]
    fn pooled(&self, simd: S, geometry: &Geometry, x: &[f32], y: &mut [S::f32s], codes: &mut [S::u32s]) {
        let Geometry { height, width, inputs, outputs, .. } = *geometry;
        let (out_rows, out_columns) = geometry.out();
        let mut at = self.first / S::F32_LANES;
        for image in x.chunks_exact(height * width * inputs) {
            for row in 0..out_rows {
                for column in 0..out_columns {
                    let corner = (2 * row * width + 2 * column) * inputs;
                    let below = corner + width * inputs;
                    let sums =
                        self.tile(simd, geometry, image, [corner, corner + inputs, below, below + inputs]);
                    for r in 0..R {
                        let window = [sums[0][r], sums[1][r], sums[2][r], sums[3][r]];
                        let (value, code) = strongest(simd, window);
                        let (value, code) = relu(simd, simd.add_f32s(value, self.bias[r]), code);
                        (y[at + r], codes[at + r]) = (value, code);
                    }
                    at += outputs / S::F32_LANES;
                }
            }
        }
    }

    /// Four neighbouring positions per tile, across the ends of rows and images. The last tile may repeat
    /// one.
    #[inline(always)]
    fn unpooled(&self, simd: S, geometry: &Geometry, x: &[f32], y: &mut [S::f32s], codes: &mut [S::u32s]) {
        let Geometry { height, width, inputs, outputs, .. } = *geometry;
        let (rows, columns) = geometry.map();
        let places = y.len() * S::F32_LANES / outputs;
        let offset = |place: usize| {
            let image = place / (rows * columns);
            let place = place % (rows * columns);
            ((image * height + place / columns) * width + place % columns) * inputs
        };
        for first in (0..places).step_by(ROWS) {
            let last = places - 1;
            let tile = [first, (first + 1).min(last), (first + 2).min(last), (first + 3).min(last)];
            let offsets = [offset(tile[0]), offset(tile[1]), offset(tile[2]), offset(tile[3])];
            let sums = self.tile(simd, geometry, x, offsets);
            for (place, sums) in tile.into_iter().zip(sums) {
                for (r, (sum, bias)) in sums.into_iter().zip(self.bias).enumerate() {
                    let value = simd.add_f32s(sum, bias);
                    let (value, code) = relu(simd, value, simd.splat_u32s(0));
                    let at = (place * outputs + self.first) / S::F32_LANES + r;
                    (y[at], codes[at]) = (value, code);
                }
            }
        }
    }

    /// The sums of four patches, which start at `offsets` in x.
    #[inline(always)]
    fn tile(&self, simd: S, geometry: &Geometry, x: &[f32], offsets: [usize; ROWS]) -> Sums<S, R> {
        let run = geometry.kernel_w * geometry.inputs;
        let mut sums = [[simd.splat_f32s(0.0); R]; ROWS];
        for (row, weights) in self.weights.chunks_exact(run * R * S::F32_LANES).enumerate() {
            let start = row * geometry.width * geometry.inputs;
            let patch = |tile: usize| &x[offsets[tile] + start..][..run];
            sums = multiply(simd, [patch(0), patch(1), patch(2), patch(3)], weights, sums);
        }
        sums
    }
}
