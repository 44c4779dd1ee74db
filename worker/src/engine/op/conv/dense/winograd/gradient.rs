//! The weights' gradient of a 3x3 kernel by the same algorithm, transposed: `Gᵀ [Σ over windows of (Bᵀ d B) ∘
//! (A y Aᵀ)] G` for the 4x4 input `d` under a window and the 2x2 gradient `y` of its values. The element-wise
//! products are 16 sums of outer products, one for each place of the 4x4.
//!
//! Windows are taken in groups: one sum of outer products a group is added to the total.

use super::{KERNEL, PLACES, SIDE, transform_input};
use crate::engine::op::conv::dense::frame::Frame;
use crate::engine::op::conv::dense::outer::Outer;
use crate::engine::op::conv::dense::product::Place;
use crate::engine::op::conv::registers::{OverPanel, PanelKernel, WIDTH};
use crate::engine::op::scratch::Scratch;
use pulp::{Arch, Simd};

/// Windows of a group.
const GROUP: usize = 32;

/// The sums of outer products, and memory for one group.
pub(in crate::engine::op::conv::dense) struct WeightGradient {
    inputs: usize,
    outputs: usize,
    /// `[PLACES, panels, inputs, WIDTH]`
    sums: Scratch,
    /// Transformed inputs `[PLACES, GROUP, inputs]`.
    x: Scratch,
    /// Transformed gradients `[PLACES, GROUP, outputs]`.
    y: Scratch,
    /// A group's windows, from `x` to `y`.
    places: Vec<Place>,
}

impl WeightGradient {
    pub(in crate::engine::op::conv::dense) fn new(inputs: usize, outputs: usize) -> Self {
        Self {
            inputs,
            outputs,
            sums: Scratch::zeros(PLACES * inputs * outputs),
            x: Scratch::zeros(PLACES * GROUP * inputs),
            y: Scratch::zeros(PLACES * GROUP * outputs),
            places: (0..GROUP).map(|window| Place { from: window * inputs, to: window * outputs }).collect(),
        }
    }

    /// Adds some images: their inputs lie as `frames[0]` says, their maps' gradients as `frames[1]` does.
    pub(in crate::engine::op::conv::dense) fn add(
        &mut self,
        arch: Arch,
        frames: [&Frame; 2],
        source: &[f32],
        gradient: &[f32],
        images: usize,
    ) {
        arch.dispatch(OverPanel(Add { to: self, frames, source, gradient, images }));
    }

    /// The gradient `[panels, patch, WIDTH]`.
    pub(in crate::engine::op::conv::dense) fn finish(self, arch: Arch) -> Scratch {
        let mut dw = Scratch::zeros(KERNEL * KERNEL * self.inputs * self.outputs);
        arch.dispatch(OverPanel(Finish { of: &self, dw: &mut dw }));
        dw
    }
}

struct Add<'a> {
    to: &'a mut WeightGradient,
    frames: [&'a Frame; 2],
    source: &'a [f32],
    gradient: &'a [f32],
    images: usize,
}

impl PanelKernel for Add<'_> {
    #[inline(always)]
    fn run<S: Simd, const R: usize, const T: usize>(self, simd: S) {
        let Self { to, frames: [frame, map], source, gradient, images } = self;
        let WeightGradient { inputs, outputs, sums, x, y, places } = to;
        let (rows, columns) = map.content;
        let mut windows = (0..images).flat_map(|image| {
            let windows = (0..rows).step_by(2).map(move |row| (image, row));
            windows.flat_map(|(image, row)| (0..columns).step_by(2).map(move |column| (image, row, column)))
        });
        loop {
            let mut count = 0;
            for (index, (image, row, column)) in windows.by_ref().take(GROUP).enumerate() {
                let corner = ((image * frame.total.0 + row) * frame.total.1 + column) * frame.channels;
                transform_input(simd, frame, &source[corner..], [GROUP, index], x);
                transform_gradient(simd, map, &gradient[map.at(image, row, column)..], index, y);
                count = index + 1;
            }
            if count == 0 {
                return;
            }
            let all = sums.chunks_exact_mut(*inputs * *outputs);
            let x = x.chunks_exact(GROUP * *inputs);
            for ((sums, source), gradient) in all.zip(x).zip(y.chunks_exact(GROUP * *outputs)) {
                let places = &places[..count];
                let outer = Outer { source, gradient, places, rows: &[0], run: *inputs, dw: sums };
                outer.run::<S, R, T>(simd);
            }
        }
    }
}

/// `A y Aᵀ` of the gradients that start at `y`, as window `index` of every place of
/// `[PLACES, GROUP, outputs]`.
#[inline(always)]
fn transform_gradient<S: Simd>(simd: S, map: &Frame, y: &[f32], index: usize, places: &mut [f32]) {
    let Frame { total: (_, width), channels: outputs, .. } = *map;
    let outputs = outputs / S::F32_LANES;
    let y = S::as_simd_f32s(y).0;
    let places = S::as_mut_simd_f32s(places).0;
    for at in 0..outputs {
        let load = |row: usize, column: usize| y[(row * width + column) * outputs + at];
        let left = spread(simd, [load(0, 0), load(1, 0)]);
        let right = spread(simd, [load(0, 1), load(1, 1)]);
        for (row, (&left, &right)) in left.iter().zip(&right).enumerate() {
            let values = spread(simd, [left, right]);
            for (column, &value) in values.iter().enumerate() {
                places[((row * SIDE + column) * GROUP + index) * outputs + at] = value;
            }
        }
    }
}

/// `A`, applied to two values.
#[inline(always)]
fn spread<S: Simd>(simd: S, [a, b]: [S::f32s; 2]) -> [S::f32s; SIDE] {
    [a, simd.add_f32s(a, b), simd.sub_f32s(a, b), simd.neg_f32s(b)]
}

struct Finish<'a> {
    of: &'a WeightGradient,
    dw: &'a mut [f32],
}

impl PanelKernel for Finish<'_> {
    #[inline(always)]
    fn run<S: Simd, const R: usize, const T: usize>(self, simd: S) {
        let Self { of: WeightGradient { inputs, outputs, sums, .. }, dw } = self;
        let panel_len = inputs * R;
        let sums = S::as_simd_f32s(sums).0;
        let panels = S::as_mut_simd_f32s(dw).0.chunks_exact_mut(KERNEL * KERNEL * panel_len);
        for (panel, dw) in panels.enumerate() {
            for at in 0..panel_len {
                let place = |row: usize, column: usize| {
                    sums[((row * SIDE + column) * (outputs / WIDTH) + panel) * panel_len + at]
                };
                let mut halfway = [[simd.splat_f32s(0.0); SIDE]; KERNEL];
                for column in 0..SIDE {
                    let values = [place(0, column), place(1, column), place(2, column), place(3, column)];
                    for (to, value) in halfway.iter_mut().zip(narrow(simd, values)) {
                        to[column] = value;
                    }
                }
                for (row, &values) in halfway.iter().enumerate() {
                    for (column, &value) in narrow(simd, values).iter().enumerate() {
                        dw[(row * KERNEL + column) * panel_len + at] = value;
                    }
                }
            }
        }
    }
}

/// `Gᵀ`, applied to four values.
#[inline(always)]
fn narrow<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; SIDE]) -> [S::f32s; KERNEL] {
    let half = simd.splat_f32s(0.5);
    let outer = simd.mul_f32s(half, simd.add_f32s(b, c));
    [simd.add_f32s(a, outer), simd.mul_f32s(half, simd.sub_f32s(b, c)), simd.add_f32s(outer, d)]
}
