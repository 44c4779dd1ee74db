//! Backward pass over non-zero gradients only. Pooling passes a gradient to at most one of a window's four
//! positions, and ReLU may close that. After pooling an 11x11 map, at most 25 of 121 gradients are left.
//!
//! `lists` turns codes and gradients into two tables: for every output channel where in x its live patches
//! start, and for every position of the map which channels are live there. Then a patch is a row of a few
//! registers:
//!
//! - weights: for a channel, sum over its live patches of `gradient · patch of x`, the sum in registers;
//! - x: for a position, sum over its live channels of `gradient · weights of the channel`, the sum in
//!   registers, added to where the patch lies.
//!
//! Lanes lie along the patch. A patch is cut into chunks of at most [`CHUNK_MAX`] values inside a kernel row,
//! so that sums fit the registers and a chunk of all weights the L1 cache; [`chunk`] depends on the geometry
//! alone, which makes the order of every sum, and with fused multiply-adds its bits, the same on every
//! instruction set.
//!
//! Images are taken in blocks that fit the L1 cache, x copied to aligned memory and inside its padding.

mod lists;

use super::pad::{crop, pad};
use super::registers::{Kernel, OverChunk};
use super::{Backward, CLOSED, Geometry, Gradients, weights};
use crate::engine::op::scratch::Scratch;
use lists::{Lists, Live};
use pulp::{Arch, Simd};

/// Chunks are multiples of this, the widest register's lanes.
const LANES_MAX: usize = 16;
/// Largest chunk: twelve registers of eight lanes. Of 16 registers, one holds the gradient.
const CHUNK_MAX: usize = 96;

/// Whether this path computes such a convolution.
pub(super) fn fits(geometry: &Geometry) -> bool {
    let Geometry { inputs, kernel_w, stride, padding, groups, relu, pool, .. } = *geometry;
    let sparse = pool || relu && padding == 0;
    sparse && (stride, groups) == (1, 1) && (kernel_w * inputs).is_multiple_of(LANES_MAX)
}

/// Values of a chunk: the largest allowed divisor of a kernel row.
fn chunk(geometry: &Geometry) -> usize {
    let run = geometry.kernel_w * geometry.inputs;
    let mut chunk = CHUNK_MAX;
    while !run.is_multiple_of(chunk) {
        chunk -= LANES_MAX;
    }
    chunk
}

/// The backward pass of this path; see [`super::backward`].
pub(super) fn backward(arch: Arch, pass: Backward<'_>) -> Gradients {
    let Backward { geometry, x, w, codes, grad, input_gradient } = pass;
    assert!(fits(geometry), "{geometry:?} is another path's");
    let chunk = chunk(geometry);
    let mut w_panels = Scratch::zeros(if input_gradient { w.len() } else { 0 });
    if input_gradient {
        weights::by_patch(geometry, w, chunk, &mut w_panels);
    }
    let mut dw_panels = Scratch::zeros(w.len());
    let mut bias = vec![0.0; geometry.outputs];
    let mut dx = input_gradient.then(|| Vec::with_capacity(x.len()));
    let image = geometry.image();
    let (height, width) = geometry.padded();
    let padded = height * width * geometry.inputs;
    let out_image = grad.len() / geometry.n;
    let block = geometry.block();
    let mut x_block = Scratch::zeros(block * padded);
    let mut dx_block = Scratch::zeros(if input_gradient { block * padded } else { 0 });
    let mut lists = Lists::new(geometry, block);
    let gradients = codes.chunks(block * out_image).zip(grad.chunks(block * out_image));
    for (x, (codes, grad)) in x.chunks(block * image).zip(gradients) {
        lists.fill(codes, grad);
        add_live(codes, grad, &mut bias);
        for (x, to) in x.chunks_exact(image).zip(x_block.chunks_exact_mut(padded)) {
            pad(geometry, x, to);
        }
        let kernel = WeightGradient { geometry, chunk, lists: &lists, x: &x_block, dw: &mut dw_panels };
        arch.dispatch(OverChunk { chunk, kernel });
        if let Some(dx) = &mut dx {
            dx_block.fill(0.0);
            let kernel = InputGradient { geometry, chunk, lists: &lists, w: &w_panels, dx: &mut dx_block };
            arch.dispatch(OverChunk { chunk, kernel });
            let images = x.len() / image;
            dx_block.chunks_exact(padded).take(images).for_each(|from| crop(geometry, from, dx));
        }
    }
    Gradients { x: dx, w: weights::from_by_patch(geometry, &dw_panels, chunk), b: bias }
}

/// The bias's gradient of `[places, outputs]`.
fn add_live(codes: &[u32], grad: &[f32], bias: &mut [f32]) {
    for (codes, grad) in codes.chunks_exact(bias.len()).zip(grad.chunks_exact(bias.len())) {
        for ((sum, &code), &gradient) in bias.iter_mut().zip(codes).zip(grad) {
            *sum += if code == CLOSED { 0.0 } else { gradient };
        }
    }
}

struct WeightGradient<'a> {
    geometry: &'a Geometry,
    chunk: usize,
    lists: &'a Lists,
    x: &'a [f32],
    /// Weight gradient `[patch / chunk, outputs, chunk]`.
    dw: &'a mut [f32],
}

impl Kernel for WeightGradient<'_> {
    #[inline(always)]
    fn run<S: Simd, const R: usize>(self, simd: S) {
        let Self { geometry, chunk, lists, x, dw } = self;
        let registers = chunk / S::F32_LANES;
        let panels = S::as_mut_simd_f32s(dw).0.chunks_exact_mut(registers * geometry.outputs);
        for (start, panel) in (0..).map(|index| start_in_x(geometry, index * chunk)).zip(panels) {
            for (output, sums) in panel.chunks_exact_mut(registers).enumerate() {
                let live = lists.of_output(output);
                for (part, sums) in sums.as_chunks_mut::<R>().0.iter_mut().enumerate() {
                    add_patches(simd, sums, live, &x[start + part * R * S::F32_LANES..]);
                }
            }
        }
    }
}

/// `sums += Σ gradient · x[at..]`
#[inline(always)]
fn add_patches<S: Simd, const R: usize>(simd: S, sums: &mut [S::f32s; R], live: &[Live], x: &[f32]) {
    let mut registers = *sums;
    for &Live { at, gradient } in live {
        let gradient = simd.splat_f32s(gradient);
        let x = S::as_simd_f32s(&x[at as usize..][..R * S::F32_LANES]).0;
        for (sum, &x) in registers.iter_mut().zip(x) {
            *sum = simd.mul_add_f32s(gradient, x, *sum);
        }
    }
    *sums = registers;
}

struct InputGradient<'a> {
    geometry: &'a Geometry,
    chunk: usize,
    lists: &'a Lists,
    /// Weights `[patch / chunk, outputs, chunk]`.
    w: &'a [f32],
    dx: &'a mut [f32],
}

impl Kernel for InputGradient<'_> {
    #[inline(always)]
    fn run<S: Simd, const R: usize>(self, simd: S) {
        let Self { geometry, chunk, lists, w, dx } = self;
        for (index, panel) in w.chunks_exact(chunk * geometry.outputs).enumerate() {
            let start = start_in_x(geometry, index * chunk);
            for (at, live) in lists.positions() {
                let sums = S::as_mut_simd_f32s(&mut dx[start + at..][..chunk]).0;
                for (part, sums) in sums.as_chunks_mut::<R>().0.iter_mut().enumerate() {
                    add_weights(simd, sums, live, &panel[part * R * S::F32_LANES..], chunk);
                }
            }
        }
    }
}

/// `sums += Σ gradient · panel[output]`
#[inline(always)]
fn add_weights<S: Simd, const R: usize>(
    simd: S,
    sums: &mut [S::f32s; R],
    live: &[Live],
    panel: &[f32],
    chunk: usize,
) {
    let mut registers = *sums;
    for &Live { at, gradient } in live {
        let gradient = simd.splat_f32s(gradient);
        let w = S::as_simd_f32s(&panel[at as usize * chunk..][..R * S::F32_LANES]).0;
        for (sum, &w) in registers.iter_mut().zip(w) {
            *sum = simd.mul_add_f32s(gradient, w, *sum);
        }
    }
    *sums = registers;
}

/// Position in x of a place of the patch, relative to the patch's first value.
fn start_in_x(geometry: &Geometry, place: usize) -> usize {
    let run = geometry.kernel_w * geometry.inputs;
    place / run * geometry.padded().1 * geometry.inputs + place % run
}
