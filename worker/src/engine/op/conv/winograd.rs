//! Forward pass of a 3x3 kernel with pooling by Winograd's minimal filtering, F(2x2, 3x3): 16 multiply-adds
//! an input and output channel for the four positions of a window, where the definition takes 36. (Lavin and
//! Gray, "Fast Algorithms for Convolutional Neural Networks", 2015, section 4.1.)
//!
//! For the 4x4 input `d` under a window and a kernel `g`, the window's four values are `Aᵀ [Σ over inputs of
//! (G g Gᵀ) ∘ (Bᵀ d B)] A`: the element-wise products make 16 small matrix products, one for each place of
//! the 4x4. Lanes are input channels in `Bᵀ d B`, output channels after it.
//!
//! Four windows are a group. Their transformed inputs (8 kB for 32 channels) and, for one panel of output
//! channels, the 16 products (4 kB) stay in the L1 cache; the transformed weights (131 kB for 32 and 64
//! channels) come from L2, each cache line for 8 registers of multiply-adds.
//!
//! The transforms add and halve, so a value's error is a few times that of the plain sum, and equal inputs
//! still give equal values: ties in a window stay ties. Every element's operations have one order, whatever
//! the register's width: the bits are the same on every instruction set.

use super::epilogue::{relu, strongest};
use super::registers::{Kernel, OverOutputs};
use super::tile::{ROWS, multiply, registers};
use super::{Forward, Geometry, Output, weights};
use crate::engine::op::scratch::Scratch;
use pulp::{Arch, Simd};

/// Input and output channels must be multiples of this, the widest register's lanes.
const LANES_MAX: usize = 16;
/// Rows and columns of the kernel.
const KERNEL: usize = 3;
/// Rows and columns of the input under a window.
const SIDE: usize = 4;
/// Products of a window and a channel.
const PLACES: usize = SIDE * SIDE;

/// Whether this path computes such a convolution.
pub(super) fn fits(geometry: &Geometry) -> bool {
    let Geometry { inputs, outputs, kernel_h, kernel_w, pool, .. } = *geometry;
    let channels = inputs.is_multiple_of(LANES_MAX) && outputs.is_multiple_of(LANES_MAX);
    geometry.slides() && pool && (kernel_h, kernel_w) == (KERNEL, KERNEL) && channels
}

/// The forward pass of this path; see [`super::forward`].
pub(super) fn forward(arch: Arch, pass: Forward<'_>) -> Output {
    assert!(fits(pass.geometry), "{:?} is another path's", pass.geometry);
    let mut output = Output::empty(pass.geometry);
    let kernel = Winograd { pass, output: &mut output };
    arch.dispatch(OverOutputs { outputs: pass.geometry.outputs, kernel });
    output
}

struct Winograd<'a> {
    pass: Forward<'a>,
    output: &'a mut Output,
}

impl Kernel for Winograd<'_> {
    #[inline(always)]
    fn run<S: Simd, const R: usize>(self, simd: S) {
        let Self { pass: Forward { geometry, x, w, b }, output: Output { y, codes } } = self;
        let Geometry { inputs, outputs, .. } = *geometry;
        let width = R * S::F32_LANES;
        let panels = transformed_weights::<S, R>(simd, geometry, w);
        let mut y_group = Scratch::zeros(ROWS * outputs);
        let mut codes_group = vec![0; ROWS * outputs];
        let mut inputs_4x4 = Scratch::zeros(PLACES * ROWS * inputs);
        let mut products = Scratch::zeros(PLACES * ROWS * width);
        let (out_rows, out_columns) = geometry.out();
        let windows = geometry.n * out_rows * out_columns;
        for first in (0..windows).step_by(ROWS) {
            let group = first..(first + ROWS).min(windows);
            let values = group.len() * outputs;
            for (row, window) in group.clone().enumerate() {
                transform_input(simd, geometry, &x[corner(geometry, window)..], row, &mut inputs_4x4);
            }
            for (panel, weights) in panels.chunks_exact(PLACES * inputs * width).enumerate() {
                let bias = registers::<S, R>(&b[panel * width..(panel + 1) * width]);
                multiply_places::<S, R>(simd, inputs, &inputs_4x4, weights, &mut products);
                let y = S::as_mut_simd_f32s(&mut y_group).0;
                let codes = S::as_mut_simd_u32s(&mut codes_group).0;
                for row in 0..group.len() {
                    for (r, &bias) in bias.iter().enumerate() {
                        let sums = transform_products::<S, R>(simd, &products, row, r);
                        let (value, code) = strongest(simd, sums);
                        let at = (row * outputs + panel * width) / S::F32_LANES + r;
                        (y[at], codes[at]) = relu(simd, simd.add_f32s(value, bias), code);
                    }
                }
            }
            y.extend_from_slice(&y_group[..values]);
            codes.extend_from_slice(&codes_group[..values]);
        }
    }
}

/// Start in x of the input under a window; windows are counted over all images.
fn corner(geometry: &Geometry, window: usize) -> usize {
    let (rows, columns) = geometry.out();
    let image = window / (rows * columns);
    let window = window % (rows * columns);
    let row = 2 * (window / columns);
    let column = 2 * (window % columns);
    ((image * geometry.height + row) * geometry.width + column) * geometry.inputs
}

/// `G g Gᵀ` as panels `[outputs / width, PLACES, inputs, width]`, `width` = `R` registers.
#[inline(always)]
fn transformed_weights<S: Simd, const R: usize>(simd: S, geometry: &Geometry, w: &[f32]) -> Scratch {
    let Geometry { inputs, outputs, .. } = *geometry;
    let mut matrix = Scratch::zeros(w.len());
    weights::by_output(geometry, w, R * S::F32_LANES, &mut matrix);
    let mut transformed = Scratch::zeros(PLACES * inputs * outputs);
    let kernels = S::as_simd_f32s(&matrix).0.chunks_exact(KERNEL * KERNEL * inputs * R);
    let panels = S::as_mut_simd_f32s(&mut transformed).0.chunks_exact_mut(PLACES * inputs * R);
    for (kernel, panel) in kernels.zip(panels) {
        for at in 0..inputs * R {
            let mut halfway = [[simd.splat_f32s(0.0); KERNEL]; SIDE];
            for column in 0..KERNEL {
                let tap = |row: usize| kernel[(row * KERNEL + column) * inputs * R + at];
                for (to, value) in halfway.iter_mut().zip(widen(simd, [tap(0), tap(1), tap(2)])) {
                    to[column] = value;
                }
            }
            for (row, &taps) in halfway.iter().enumerate() {
                for (column, value) in widen(simd, taps).into_iter().enumerate() {
                    panel[(row * SIDE + column) * inputs * R + at] = value;
                }
            }
        }
    }
    transformed
}

/// `G`, applied to three values.
#[inline(always)]
fn widen<S: Simd>(simd: S, [a, b, c]: [S::f32s; KERNEL]) -> [S::f32s; SIDE] {
    let half = simd.splat_f32s(0.5);
    let outer = simd.add_f32s(a, c);
    [a, simd.mul_f32s(half, simd.add_f32s(outer, b)), simd.mul_f32s(half, simd.sub_f32s(outer, b)), c]
}

/// `Bᵀ d B` of the input that starts at `x`, as row `row` of every place of `[PLACES, ROWS, inputs]`.
#[inline(always)]
fn transform_input<S: Simd>(simd: S, geometry: &Geometry, x: &[f32], row: usize, places: &mut [f32]) {
    let Geometry { width, inputs, .. } = *geometry;
    for at in (0..inputs).step_by(S::F32_LANES) {
        let load = |y: usize, column: usize| S::as_simd_f32s(&x[(y * width + column) * inputs + at..]).0[0];
        let mut halfway = [[simd.splat_f32s(0.0); SIDE]; SIDE];
        for column in 0..SIDE {
            let values = [load(0, column), load(1, column), load(2, column), load(3, column)];
            for (to, value) in halfway.iter_mut().zip(differences(simd, values)) {
                to[column] = value;
            }
        }
        for (y, &values) in halfway.iter().enumerate() {
            for (column, value) in differences(simd, values).into_iter().enumerate() {
                let to = ((y * SIDE + column) * ROWS + row) * inputs + at;
                S::as_mut_simd_f32s(&mut places[to..to + S::F32_LANES]).0[0] = value;
            }
        }
    }
}

/// `Bᵀ`, applied to four values.
#[inline(always)]
fn differences<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; SIDE]) -> [S::f32s; SIDE] {
    [simd.sub_f32s(a, c), simd.add_f32s(b, c), simd.sub_f32s(c, b), simd.sub_f32s(b, d)]
}

/// Products `[PLACES, ROWS, R registers]` of transformed inputs `[PLACES, ROWS, inputs]` and one panel of
/// weights.
#[inline(always)]
fn multiply_places<S: Simd, const R: usize>(
    simd: S,
    inputs: usize,
    x: &[f32],
    weights: &[f32],
    products: &mut [f32],
) {
    let weights = weights.chunks_exact(inputs * R * S::F32_LANES);
    let products = S::as_mut_simd_f32s(products).0.as_chunks_mut::<R>().0.as_chunks_mut::<ROWS>().0;
    for ((x, weights), products) in x.chunks_exact(ROWS * inputs).zip(weights).zip(products) {
        let rows =
            [&x[..inputs], &x[inputs..2 * inputs], &x[2 * inputs..3 * inputs], &x[3 * inputs..4 * inputs]];
        *products = multiply(simd, rows, weights, [[simd.splat_f32s(0.0); R]; ROWS]);
    }
}

/// `Aᵀ m A` of one window and register: the values at the window's four places.
#[inline(always)]
fn transform_products<S: Simd, const R: usize>(
    simd: S,
    products: &[f32],
    row: usize,
    r: usize,
) -> [S::f32s; 4] {
    let products = S::as_simd_f32s(products).0.as_chunks::<R>().0.as_chunks::<ROWS>().0;
    let product = |y: usize, x: usize| products[y * SIDE + x][row][r];
    let mut halfway = [[simd.splat_f32s(0.0); SIDE]; 2];
    for column in 0..SIDE {
        let values = [product(0, column), product(1, column), product(2, column), product(3, column)];
        for (to, value) in halfway.iter_mut().zip(narrow(simd, values)) {
            to[column] = value;
        }
    }
    let ([a, b], [c, d]) = (narrow(simd, halfway[0]), narrow(simd, halfway[1]));
    [a, b, c, d]
}

/// `Aᵀ`, applied to four values.
#[inline(always)]
fn narrow<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; SIDE]) -> [S::f32s; 2] {
    let first = simd.add_f32s(simd.add_f32s(a, b), c);
    [first, simd.sub_f32s(simd.sub_f32s(b, c), d)]
}
