//! From the sums of a map to the output: pooling, bias, ReLU and codes.

use crate::engine::op::conv::epilogue::{relu, strongest};
use crate::engine::op::conv::{Geometry, Output};
use crate::engine::op::scratch::Scratch;
use pulp::{Simd, WithSimd};

/// Appends the outputs of some images.
pub(super) struct Finish<'a> {
    pub(super) geometry: &'a Geometry,
    /// Bias `[lanes]`.
    pub(super) bias: &'a [f32],
    /// Sums `[images, rows, columns, lanes]`, of those rows and columns that count.
    pub(super) map: &'a [f32],
    pub(super) output: &'a mut Output,
}

impl WithSimd for Finish<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { geometry, bias, map, output: Output { y, codes } } = self;
        let Geometry { outputs, pool, .. } = *geometry;
        let (out_rows, out_columns) = geometry.out();
        let (rows, columns) = geometry.counted();
        let lanes = bias.len();
        let registers = lanes / S::F32_LANES;
        let bias = S::as_simd_f32s(bias).0;
        let mut y_row = Scratch::zeros(out_columns * lanes);
        let mut codes_row = vec![0; out_columns * lanes];
        for image in map.chunks_exact(rows * columns * lanes) {
            let image = S::as_simd_f32s(image).0;
            for row in 0..out_rows {
                let y_registers = S::as_mut_simd_f32s(&mut y_row).0.chunks_exact_mut(registers);
                let code_registers = S::as_mut_simd_u32s(&mut codes_row).0.chunks_exact_mut(registers);
                for (column, (y, codes)) in y_registers.zip(code_registers).enumerate() {
                    for (r, &bias) in bias.iter().enumerate() {
                        let at = |row: usize, column: usize| image[(row * columns + column) * registers + r];
                        let (value, code) = if pool {
                            let (row, column) = (2 * row, 2 * column);
                            let upper = [at(row, column), at(row, column + 1)];
                            let lower = [at(row + 1, column), at(row + 1, column + 1)];
                            strongest(simd, [upper[0], upper[1], lower[0], lower[1]])
                        } else {
                            (at(row, column), simd.splat_u32s(0))
                        };
                        let value = simd.add_f32s(value, bias);
                        (y[r], codes[r]) =
                            if geometry.relu { relu(simd, value, code) } else { (value, code) };
                    }
                }
                append(y, &y_row, lanes, outputs);
                if geometry.has_codes() {
                    append(codes, &codes_row, lanes, outputs);
                }
            }
        }
    }
}

/// Turns sums into outputs where they are: without pooling and idle lanes.
pub(super) struct FinishInPlace<'a> {
    pub(super) relu: bool,
    pub(super) bias: &'a [f32],
    /// Sums, then outputs `[places, outputs]`.
    pub(super) y: &'a mut [f32],
    /// Codes `[places, outputs]`, or none.
    pub(super) codes: &'a mut [u32],
}

impl WithSimd for FinishInPlace<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { relu: has_relu, bias, y, codes } = self;
        let bias = S::as_simd_f32s(bias).0;
        let places = S::as_mut_simd_f32s(y).0.chunks_exact_mut(bias.len());
        if !has_relu {
            for y in places {
                y.iter_mut().zip(bias).for_each(|(y, &bias)| *y = simd.add_f32s(*y, bias));
            }
            return;
        }
        let codes = S::as_mut_simd_u32s(codes).0.chunks_exact_mut(bias.len());
        for (y, codes) in places.zip(codes) {
            for ((y, code), &bias) in y.iter_mut().zip(codes).zip(bias) {
                (*y, *code) = relu(simd, simd.add_f32s(*y, bias), simd.splat_u32s(0));
            }
        }
    }
}

/// Appends the first `channels` of every `lanes` values.
fn append<T: Copy>(to: &mut Vec<T>, row: &[T], lanes: usize, channels: usize) {
    if lanes == channels {
        to.extend_from_slice(row);
    } else {
        row.chunks_exact(lanes).for_each(|pixel| to.extend_from_slice(&pixel[..channels]));
    }
}
