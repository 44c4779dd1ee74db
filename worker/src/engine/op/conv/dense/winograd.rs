//! Sums of a 3x3 kernel of stride 1 by Winograd's minimal filtering, F(2x2, 3x3): 16 multiply-adds an input
//! and output channel for the four places of a window, where the definition takes 36. (Lavin and Gray, "Fast
//! Algorithms for Convolutional Neural Networks", 2015, section 4.1.)
//!
//! For the 4x4 input `d` under a window and a kernel `g`, the window's four values are `Aᵀ [Σ over inputs of
//! (G g Gᵀ) ∘ (Bᵀ d B)] A`: the element-wise products make 16 small matrix products, one for each place of
//! the 4x4. Lanes are input channels in `Bᵀ d B`, output channels after it.
//!
//! `T` windows are a group. Their transformed inputs (16 kB for 32 channels and eight windows) and, for one
//! panel of output channels, the 16 products (8 kB) stay in the L1 cache; the transformed weights (131 kB for
//! 32 and 64 channels) come from L2, each cache line for eight registers of multiply-adds.
//!
//! The transforms add and halve, so a value's error is a few times that of the plain sum, and equal inputs
//! still give equal values: ties in a window stay ties. Every element's operations have one order, whatever
//! the register's width: the bits are the same on every instruction set.

mod gradient;

pub(super) use gradient::WeightGradient;

use super::frame::Frame;
use crate::engine::op::conv::epilogue::{relu, strongest};
use crate::engine::op::conv::registers::{OverPanel, PanelKernel, WIDTH};
use crate::engine::op::conv::tile::multiply;
use crate::engine::op::conv::{Geometry, weights};
use crate::engine::op::scratch::Scratch;
use pulp::{Arch, Simd};

/// Rows and columns of the kernel.
const KERNEL: usize = 3;
/// Rows and columns of the input under a window.
const SIDE: usize = 4;
/// Products of a window and a channel.
const PLACES: usize = SIDE * SIDE;

/// Whether these are the forward pass's sums. Those without padding belonged to other paths before, but for
/// pooled ones behind a ReLU, and keep their bits.
pub(super) fn fits_forward(geometry: &Geometry) -> bool {
    let channels = geometry.inputs.is_multiple_of(WIDTH) && geometry.outputs.is_multiple_of(WIDTH);
    let kernel = (geometry.kernel_h, geometry.kernel_w) == (KERNEL, KERNEL);
    let kernel = kernel && (geometry.stride, geometry.groups) == (1, 1);
    kernel && channels && (geometry.padding > 0 || geometry.pool && geometry.relu)
}

/// Whether this is the way to the gradients of x and of the weights.
pub(super) fn fits_backward(geometry: &Geometry) -> bool {
    fits_forward(geometry) && (1..KERNEL).contains(&geometry.padding) && !geometry.pool
}

/// Zeros that the gradient of the map needs on its upper and left side for that of x.
pub(super) fn before(geometry: &Geometry) -> usize {
    KERNEL - 1 - geometry.padding
}

/// Rows and columns of the input that the windows over a map of that size read.
pub(super) fn reach((rows, columns): (usize, usize)) -> (usize, usize) {
    (rows.next_multiple_of(2) + KERNEL - 1, columns.next_multiple_of(2) + KERNEL - 1)
}

/// `G g Gᵀ` as panels `[outputs / WIDTH, PLACES, inputs, WIDTH]`.
pub(super) fn transformed(arch: Arch, geometry: &Geometry, w: &[f32]) -> Scratch {
    let Geometry { inputs, outputs, .. } = *geometry;
    let mut matrix = Scratch::zeros(w.len());
    weights::by_output(geometry, w, WIDTH, &mut matrix);
    let mut panels = Scratch::zeros(PLACES * inputs * outputs);
    arch.dispatch(OverPanel(Weights { inputs, matrix: &matrix, panels: &mut panels }));
    panels
}

/// The same for x's gradient: a convolution of the map's gradient with the kernels turned by half a circle,
/// from outputs to inputs.
pub(super) fn transformed_backward(arch: Arch, geometry: &Geometry, w: &[f32]) -> Scratch {
    const TAPS: usize = KERNEL * KERNEL;
    let Geometry { inputs, outputs, .. } = *geometry;
    let mut turned = vec![0.0; w.len()];
    for (index, kernel) in w.chunks_exact(TAPS).enumerate() {
        let at = (index % inputs * outputs + index / inputs) * TAPS;
        turned[at..at + TAPS].iter_mut().zip(kernel.iter().rev()).for_each(|(to, from)| *to = *from);
    }
    transformed(arch, &Geometry { inputs: outputs, outputs: inputs, ..*geometry }, &turned)
}

struct Weights<'a> {
    inputs: usize,
    /// `[outputs / WIDTH, taps, inputs, WIDTH]`
    matrix: &'a [f32],
    panels: &'a mut [f32],
}

impl PanelKernel for Weights<'_> {
    #[inline(always)]
    fn run<S: Simd, const R: usize, const T: usize>(self, simd: S) {
        let Self { inputs, matrix, panels } = self;
        let kernels = S::as_simd_f32s(matrix).0.chunks_exact(KERNEL * KERNEL * inputs * R);
        let panels = S::as_mut_simd_f32s(panels).0.chunks_exact_mut(PLACES * inputs * R);
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
    }
}

/// Computes the maps of some images.
pub(super) struct Winograd<'a> {
    /// Where the images lie.
    pub(super) frame: Frame,
    pub(super) source: &'a [f32],
    /// Transformed weights.
    pub(super) weights: &'a [f32],
    /// Rows and columns of a map.
    pub(super) size: (usize, usize),
    pub(super) images: usize,
    pub(super) target: Target<'a>,
}

/// Where the values of a window go.
pub(super) enum Target<'a> {
    /// To the maps `[images, rows, columns, outputs]`.
    Map(&'a mut [f32]),
    /// To the outputs `[windows, outputs]` of a pooled convolution with this bias and ReLU.
    Pooled { bias: &'a [f32], y: &'a mut [f32], codes: &'a mut [u32] },
}

impl PanelKernel for Winograd<'_> {
    #[inline(always)]
    fn run<S: Simd, const R: usize, const T: usize>(self, simd: S) {
        let Self { frame, source, weights, size: (rows, columns), images, mut target } = self;
        let inputs = frame.channels;
        let mut inputs_4x4 = Scratch::zeros(PLACES * T * inputs);
        let mut products = Scratch::zeros(PLACES * T * WIDTH);
        let outputs = weights.len() / (PLACES * inputs);
        let mut done = 0;
        let mut windows = (0..images).flat_map(|image| {
            let windows = (0..rows).step_by(2).map(move |row| (image, row));
            windows.flat_map(|(image, row)| (0..columns).step_by(2).map(move |column| (image, row, column)))
        });
        let mut group = Vec::with_capacity(T);
        loop {
            group.clear();
            group.extend(windows.by_ref().take(T));
            if group.is_empty() {
                break;
            }
            for (index, &(image, row, column)) in group.iter().enumerate() {
                let corner = ((image * frame.total.0 + row) * frame.total.1 + column) * inputs;
                transform_input(simd, &frame, &source[corner..], [T, index], &mut inputs_4x4);
            }
            for (panel, weights) in weights.chunks_exact(PLACES * inputs * WIDTH).enumerate() {
                multiply_places::<S, R, T>(simd, inputs, &inputs_4x4, weights, &mut products);
                for (index, &(image, row, column)) in group.iter().enumerate() {
                    let mut values = [[simd.splat_f32s(0.0); 4]; R];
                    for (r, values) in values.iter_mut().enumerate() {
                        *values = transform_products::<S, R, T>(simd, &products, index, r);
                    }
                    match &mut target {
                        Target::Map(map) => {
                            let pixel = (image * rows + row) * columns + column;
                            let map = &mut map[pixel * outputs + panel * WIDTH..];
                            let inside = (row + 1 < rows, column + 1 < columns);
                            spread::<S, R>(&values, map, columns * outputs, outputs, inside);
                        }
                        Target::Pooled { bias, y, codes } => {
                            let bias = &bias[panel * WIDTH..];
                            let at = (done + index) * outputs + panel * WIDTH;
                            pool::<S, R>(simd, &values, bias, &mut y[at..], &mut codes[at..]);
                        }
                    }
                }
            }
            done += group.len();
        }
    }
}

/// Stores the four values of a window at the start of `map`, those that are inside.
#[inline(always)]
fn spread<S: Simd, const R: usize>(
    values: &[[S::f32s; 4]; R],
    map: &mut [f32],
    row: usize,
    column: usize,
    inside: (bool, bool),
) {
    let places = [(0, true), (column, inside.1), (row, inside.0), (row + column, inside.0 && inside.1)];
    for (place, &(at, inside)) in places.iter().enumerate() {
        if inside {
            let map = S::as_mut_simd_f32s(&mut map[at..at + WIDTH]).0;
            for (to, values) in map.iter_mut().zip(values) {
                *to = values[place];
            }
        }
    }
}

/// Stores the outputs and codes of a window.
#[inline(always)]
fn pool<S: Simd, const R: usize>(
    simd: S,
    values: &[[S::f32s; 4]; R],
    bias: &[f32],
    y: &mut [f32],
    codes: &mut [u32],
) {
    let bias = S::as_simd_f32s(&bias[..WIDTH]).0;
    let y = S::as_mut_simd_f32s(&mut y[..WIDTH]).0;
    let codes = S::as_mut_simd_u32s(&mut codes[..WIDTH]).0;
    for (((y, code), values), &bias) in y.iter_mut().zip(codes).zip(values).zip(bias) {
        let (value, place) = strongest(simd, *values);
        (*y, *code) = relu(simd, simd.add_f32s(value, bias), place);
    }
}

/// `G`, applied to three values.
#[inline(always)]
fn widen<S: Simd>(simd: S, [a, b, c]: [S::f32s; KERNEL]) -> [S::f32s; SIDE] {
    let half = simd.splat_f32s(0.5);
    let outer = simd.add_f32s(a, c);
    [a, simd.mul_f32s(half, simd.add_f32s(outer, b)), simd.mul_f32s(half, simd.sub_f32s(outer, b)), c]
}

/// `Bᵀ d B` of the input that starts at `x`, as row `row` of every place of `[PLACES, rows, inputs]`.
#[inline(always)]
fn transform_input<S: Simd>(simd: S, frame: &Frame, x: &[f32], [rows, row]: [usize; 2], places: &mut [f32]) {
    let Frame { total: (_, width), channels: inputs, .. } = *frame;
    let inputs = inputs / S::F32_LANES;
    let x = S::as_simd_f32s(x).0;
    let places = S::as_mut_simd_f32s(places).0;
    for at in 0..inputs {
        let load = |y: usize, column: usize| x[(y * width + column) * inputs + at];
        let mut halfway = [[simd.splat_f32s(0.0); SIDE]; SIDE];
        for column in 0..SIDE {
            let values = [load(0, column), load(1, column), load(2, column), load(3, column)];
            for (to, value) in halfway.iter_mut().zip(differences(simd, values)) {
                to[column] = value;
            }
        }
        for (y, &values) in halfway.iter().enumerate() {
            for (column, value) in differences(simd, values).into_iter().enumerate() {
                places[((y * SIDE + column) * rows + row) * inputs + at] = value;
            }
        }
    }
}

/// `Bᵀ`, applied to four values.
#[inline(always)]
fn differences<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; SIDE]) -> [S::f32s; SIDE] {
    [simd.sub_f32s(a, c), simd.add_f32s(b, c), simd.sub_f32s(c, b), simd.sub_f32s(b, d)]
}

/// Products `[PLACES, T, R registers]` of transformed inputs `[PLACES, T, inputs]` and one panel of
/// weights.
#[inline(always)]
fn multiply_places<S: Simd, const R: usize, const T: usize>(
    simd: S,
    inputs: usize,
    x: &[f32],
    weights: &[f32],
    products: &mut [f32],
) {
    let weights = weights.chunks_exact(inputs * WIDTH);
    let products = S::as_mut_simd_f32s(products).0.as_chunks_mut::<R>().0.as_chunks_mut::<T>().0;
    for ((x, weights), products) in x.chunks_exact(T * inputs).zip(weights).zip(products) {
        let rows = std::array::from_fn(|row| &x[row * inputs..][..inputs]);
        *products = multiply(simd, rows, weights, [[simd.splat_f32s(0.0); R]; T]);
    }
}

/// `Aᵀ m A` of one window and register: the values at the window's four places.
#[inline(always)]
fn transform_products<S: Simd, const R: usize, const T: usize>(
    simd: S,
    products: &[f32],
    row: usize,
    r: usize,
) -> [S::f32s; 4] {
    let products = S::as_simd_f32s(products).0.as_chunks::<R>().0.as_chunks::<T>().0;
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
