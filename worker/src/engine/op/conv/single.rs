//! One input channel, a 3x3 kernel and pooling: the first layer, where a patch is too short for a matrix
//! product.
//!
//! Lanes are output channels. Forward, the nine weights of a register of channels stay in registers while a
//! row of windows is walked; each window reads the 4x4 pixels under it and makes four sums. Backward, the
//! nine sums of the weight gradient and that of the bias stay in registers in the same way. Each lane may
//! have its maximum elsewhere, so the gradient is split by code into four, zero in the lanes of other codes,
//! and each part meets its nine pixels.
//!
//! Images of digits are mostly background. A window without ink yields the bias alone, and adds nothing to
//! the weights' gradient.
//!
//! Every sum runs in one order (taps; images, then windows, then codes) with fused multiply-adds, whatever
//! the register's width: the bits are the same on every instruction set. x gets no gradient here: it is data.

use super::epilogue::{relu, strongest};
use super::{Backward, CLOSED, Forward, Geometry, Gradients, Output, weights};
use crate::engine::op::scratch::Scratch;
use pulp::{Arch, Simd, WithSimd};

/// Output channels must be a multiple of this, the widest register's lanes.
const OUTPUTS: usize = 16;
/// Rows and columns of the kernel.
const KERNEL: usize = 3;
/// Weights of one output channel.
const TAPS: usize = KERNEL * KERNEL;

/// Whether this path computes such a convolution.
pub(super) fn fits(geometry: &Geometry) -> bool {
    let Geometry { inputs, outputs, kernel_h, kernel_w, pool, .. } = *geometry;
    let first = geometry.slides() && pool && inputs == 1 && (kernel_h, kernel_w) == (KERNEL, KERNEL);
    first && outputs.is_multiple_of(OUTPUTS)
}

/// The forward pass of this path; see [`super::forward`].
pub(super) fn forward(arch: Arch, pass: Forward<'_>) -> Output {
    let Forward { geometry, x, w, b } = pass;
    assert!(fits(geometry), "{geometry:?} is another path's");
    let mut output = Output::empty(geometry);
    let mut matrix = Scratch::zeros(w.len());
    weights::by_output(geometry, w, geometry.outputs, &mut matrix);
    arch.dispatch(Rows { geometry, x, matrix: &matrix, bias: b, output: &mut output });
    output
}

/// The backward pass of this path; see [`super::backward`].
pub(super) fn backward(arch: Arch, pass: Backward<'_>) -> Gradients {
    let geometry = pass.geometry;
    assert!(fits(geometry), "{geometry:?} is another path's");
    let mut sums = Scratch::zeros((TAPS + 1) * geometry.outputs);
    arch.dispatch(RowGradients { pass, sums: &mut sums });
    let (matrix, bias) = sums.split_at(TAPS * geometry.outputs);
    let w = weights::from_by_output(geometry, matrix, geometry.outputs);
    Gradients { x: None, w, b: bias.to_vec() }
}

struct Rows<'a> {
    geometry: &'a Geometry,
    x: &'a [f32],
    /// Weights `[TAPS, outputs]`.
    matrix: &'a [f32],
    bias: &'a [f32],
    output: &'a mut Output,
}

impl WithSimd for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { geometry, x, matrix, bias, output: Output { y, codes } } = self;
        let Geometry { height, width, outputs, .. } = *geometry;
        let (out_rows, out_columns) = geometry.out();
        let registers = outputs / S::F32_LANES;
        // Blank windows are skipped only if all weights are finite: 0 times infinity is not 0.
        let finite = matrix.iter().all(|w| w.is_finite());
        let matrix = S::as_simd_f32s(matrix).0;
        let bias = S::as_simd_f32s(bias).0;
        let mut ink = vec![false; width];
        let mut blank = vec![false; out_columns];
        let all_rows =
            x.chunks_exact(height * width).flat_map(|image| rows_of_windows(image, width, out_rows));
        let mut y_row = Scratch::zeros(out_columns * outputs);
        let mut codes_row = vec![0; out_columns * outputs];
        for rows in all_rows {
            mark_blank(rows, width, &mut ink, &mut blank);
            let y_registers = S::as_mut_simd_f32s(&mut y_row).0;
            let code_registers = S::as_mut_simd_u32s(&mut codes_row).0;
            for (register, &bias) in bias.iter().enumerate() {
                let mut w = [simd.splat_f32s(0.0); TAPS];
                for (tap, w) in w.iter_mut().enumerate() {
                    *w = matrix[tap * registers + register];
                }
                let nothing = relu(simd, bias, simd.splat_u32s(0));
                let windows =
                    y_registers.chunks_exact_mut(registers).zip(code_registers.chunks_exact_mut(registers));
                for ((column, &blank), (y, code)) in blank.iter().enumerate().zip(windows) {
                    (y[register], code[register]) = if blank && finite {
                        nothing
                    } else {
                        let sums = four_sums(simd, &w, under_window(rows, width, column));
                        let (value, place) = strongest(simd, sums);
                        relu(simd, simd.add_f32s(value, bias), place)
                    };
                }
            }
            y.extend_from_slice(&y_row);
            codes.extend_from_slice(&codes_row);
        }
    }
}

/// The four sums of a window, without the bias.
#[inline(always)]
fn four_sums<S: Simd>(simd: S, w: &[S::f32s; TAPS], pixels: Pixels<'_>) -> [S::f32s; 4] {
    let mut sums = [simd.splat_f32s(0.0); 4];
    for (y, row) in pixels.into_iter().enumerate() {
        for (x, &pixel) in row.iter().enumerate() {
            let pixel = simd.splat_f32s(pixel);
            for (place, sum) in sums.iter_mut().enumerate() {
                if let Some(tap) = tap(y, x, place) {
                    *sum = simd.mul_add_f32s(w[tap], pixel, *sum);
                }
            }
        }
    }
    sums
}

struct RowGradients<'a> {
    pass: Backward<'a>,
    /// Gradients `[TAPS + 1, outputs]`: the weights', then the bias's.
    sums: &'a mut [f32],
}

impl WithSimd for RowGradients<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { pass: Backward { geometry, x, codes, grad, .. }, sums } = self;
        let Geometry { height, width, outputs, .. } = *geometry;
        let (out_rows, out_columns) = geometry.out();
        let registers = outputs / S::F32_LANES;
        let sums = S::as_mut_simd_f32s(sums).0;
        let mut ink = vec![false; width];
        let mut blank = vec![false; out_columns];
        let all_rows =
            x.chunks_exact(height * width).flat_map(|image| rows_of_windows(image, width, out_rows));
        let grad = S::as_simd_f32s(grad).0.chunks_exact(out_columns * registers);
        let codes = S::as_simd_u32s(codes).0.chunks_exact(out_columns * registers);
        for ((rows, grad), codes) in all_rows.zip(grad).zip(codes) {
            mark_blank(rows, width, &mut ink, &mut blank);
            for register in 0..registers {
                let mut dw = [simd.splat_f32s(0.0); TAPS];
                for (tap, dw) in dw.iter_mut().enumerate() {
                    *dw = sums[tap * registers + register];
                }
                let mut db = sums[TAPS * registers + register];
                let windows = grad.chunks_exact(registers).zip(codes.chunks_exact(registers));
                for ((column, &blank), (grad, code)) in blank.iter().enumerate().zip(windows) {
                    let grad = grad[register];
                    let code = code[register];
                    if !blank {
                        add_window(simd, &mut dw, under_window(rows, width, column), grad, code);
                    }
                    let closed = simd.equal_u32s(code, simd.splat_u32s(CLOSED));
                    db = simd.add_f32s(db, simd.select_f32s(closed, simd.splat_f32s(0.0), grad));
                }
                for (tap, &dw) in dw.iter().enumerate() {
                    sums[tap * registers + register] = dw;
                }
                sums[TAPS * registers + register] = db;
            }
        }
    }
}

/// Adds one window's part of the weight gradient.
#[inline(always)]
fn add_window<S: Simd>(simd: S, dw: &mut [S::f32s; TAPS], pixels: Pixels<'_>, grad: S::f32s, code: S::u32s) {
    let mut grads = [simd.splat_f32s(0.0); 4];
    for (place, part) in (0..).zip(&mut grads) {
        *part = simd.select_f32s(simd.equal_u32s(code, simd.splat_u32s(place)), grad, *part);
    }
    for (y, row) in pixels.into_iter().enumerate() {
        for (x, &pixel) in row.iter().enumerate() {
            let pixel = simd.splat_f32s(pixel);
            for (place, &grad) in grads.iter().enumerate() {
                if let Some(tap) = tap(y, x, place) {
                    dw[tap] = simd.mul_add_f32s(grad, pixel, dw[tap]);
                }
            }
        }
    }
}

/// The kernel tap over pixel (y, x) of a window's 4x4, for one of the window's four places.
#[inline(always)]
fn tap(y: usize, x: usize, place: usize) -> Option<usize> {
    let row = y.checked_sub(place / 2)?;
    let column = x.checked_sub(place % 2)?;
    (row < KERNEL && column < KERNEL).then_some(row * KERNEL + column)
}

/// The four rows of pixels under each row of windows.
#[inline(always)]
fn rows_of_windows(image: &[f32], width: usize, out_rows: usize) -> impl Iterator<Item = &[f32]> {
    (0..out_rows).map(move |row| &image[2 * row * width..(2 * row + 4) * width])
}

/// Marks the windows whose 16 pixels are all zero.
fn mark_blank(rows: &[f32], width: usize, ink: &mut [bool], blank: &mut [bool]) {
    ink.fill(false);
    for row in rows.chunks_exact(width) {
        ink.iter_mut().zip(row).for_each(|(ink, &pixel)| *ink |= pixel != 0.0);
    }
    for (column, blank) in blank.iter_mut().enumerate() {
        *blank = ink[2 * column..2 * column + 4] == [false; 4];
    }
}

/// The 4x4 pixels under a window, borrowed: a copy would be read back before it is written.
type Pixels<'a> = [&'a [f32; 4]; 4];

/// The pixels under window number `column` of four rows.
#[inline(always)]
fn under_window(rows: &[f32], width: usize, column: usize) -> Pixels<'_> {
    let row = |index: usize| {
        rows[index * width + 2 * column..].first_chunk().expect("a window lies inside its rows")
    };
    [row(0), row(1), row(2), row(3)]
}
