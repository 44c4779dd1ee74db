//! The gradient of x, phase by phase.
//!
//! With stride s, a row u of the padded input meets kernel row k at row r of the map where u = s r + k. So
//! the rows with one remainder of u / s, a phase, meet every s-th kernel row alone: each phase is a product
//! of patches of the map's gradient with those weights, and a convolution's stride costs nothing. The same
//! holds for columns.
//!
//! Lanes are channels of x. As in `plain`, a pixel's gradient adds up place by place of the map, each a sum
//! over the outputs from 0.

use super::channels::{self, Sums};
use super::frame::Frame;
use super::product::{Place, Product, Run};
use super::{block_images, lanes};
use crate::engine::op::conv::Geometry;
use crate::engine::op::conv::registers::{OverPanel, WIDTH};
use crate::engine::op::scratch::Scratch;
use pulp::Arch;

/// One dimension's phase with at least a kernel row and a row of x.
#[derive(Clone, Copy, Debug)]
struct Phase {
    /// Remainder of the rows.
    first: usize,
    /// Number of kernel rows.
    taps: usize,
    /// The phase's rows of x: number `s · t + first` of the padded input for `t` from here on.
    start: usize,
    /// Number of those rows.
    count: usize,
}

/// One phase of both dimensions.
struct Block {
    rows: Phase,
    columns: Phase,
    weights: Scratch,
    taps: Vec<usize>,
    /// From the map's gradient to the gradient of x, of one block of images.
    places: Vec<Place>,
}

/// All phases.
pub(super) struct Phases {
    geometry: Geometry,
    blocks: Vec<Block>,
    /// Zeros that the map needs above and to its left.
    pub(super) before: (usize, usize),
    /// Rows and columns of the map with all zeros that it needs.
    pub(super) total: (usize, usize),
    /// Whether some pixels meet no place.
    has_gaps: bool,
}

impl Phases {
    pub(super) fn new(geometry: &Geometry, w: &[f32]) -> Self {
        let Geometry { height, width, kernel_h, kernel_w, stride, .. } = *geometry;
        let (rows, columns) = geometry.map();
        let (vertical, top, bottom) = phases(geometry, height, kernel_h, rows);
        let (horizontal, left, right) = phases(geometry, width, kernel_w, columns);
        let pairs = vertical.iter().flat_map(|&rows| horizontal.iter().map(move |&columns| (rows, columns)));
        let blocks = pairs.map(|(rows, columns)| Block {
            rows,
            columns,
            weights: block_weights(geometry, w, rows, columns),
            taps: Vec::new(),
            places: Vec::new(),
        });
        Self {
            geometry: *geometry,
            blocks: blocks.collect(),
            before: (top, left),
            total: (top + rows + bottom, left + columns + right),
            has_gaps: stride > kernel_h || stride > kernel_w,
        }
    }

    /// The same, for gradients of maps that lie in `frame`.
    pub(super) fn with_places(mut self, frame: &Frame) -> Self {
        let Geometry { height, width, inputs, stride, padding, .. } = self.geometry;
        for block in &mut self.blocks {
            let Block { rows, columns, .. } = *block;
            let taps = (0..rows.taps).flat_map(|row| (0..columns.taps).map(move |column| (row, column)));
            let at = |(row, column): (usize, usize)| (row * frame.total.1 + column) * frame.channels;
            block.taps = taps.map(at).collect();
            for image in 0..block_images(&self.geometry) {
                for (row, column) in
                    (0..rows.count).flat_map(|row| (0..columns.count).map(move |column| (row, column)))
                {
                    // The earliest place of the map that the pixel met.
                    let from_row = image * frame.total.0 + frame.before.0 + rows.start + row + 1 - rows.taps;
                    let from_column = frame.before.1 + columns.start + column + 1 - columns.taps;
                    let to_row = image * height + (rows.start + row) * stride + rows.first - padding;
                    let to_column = (columns.start + column) * stride + columns.first - padding;
                    block.places.push(Place {
                        from: (from_row * frame.total.1 + from_column) * frame.channels,
                        to: (to_row * width + to_column) * lanes(inputs),
                    });
                }
            }
        }
        self
    }

    /// Computes the gradient of some images, `dx` with all lanes, from that of their maps.
    pub(super) fn compute(&self, arch: Arch, gradient: &[f32], images: usize, dx: &mut [f32]) {
        if self.has_gaps {
            dx.fill(0.0);
        }
        let source = gradient;
        for Block { rows, columns, weights, taps, places } in &self.blocks {
            let places = &places[..images * rows.count * columns.count];
            let map = &mut *dx;
            if channels::fits(&self.geometry) {
                arch.dispatch(OverPanel(Sums::<false> { source, places, taps, weights, map }));
                continue;
            }
            let runs = taps.iter().map(|&at| Run { at, len: self.geometry.outputs, ends: true });
            let runs: Vec<Run> = runs.collect();
            arch.dispatch(OverPanel(Product { source, places, runs: &runs, weights, start: 0.0, map }));
        }
    }
}

/// The phases of a dimension of that size, and the zeros that the map of `places` needs before and after it.
fn phases(geometry: &Geometry, size: usize, kernel: usize, places: usize) -> (Vec<Phase>, usize, usize) {
    let Geometry { stride, padding, .. } = *geometry;
    let end = padding + size;
    let phase = |first: usize| {
        let taps = (kernel - first).div_ceil(stride);
        let start = padding.saturating_sub(first).div_ceil(stride);
        let count = end.saturating_sub(first).div_ceil(stride).saturating_sub(start);
        Phase { first, taps, start, count }
    };
    let phases: Vec<Phase> = (0..stride.min(kernel)).map(phase).filter(|phase| phase.count > 0).collect();
    let before = phases.iter().map(|phase| (phase.taps - 1).saturating_sub(phase.start)).max();
    let after = phases.iter().map(|phase| (phase.start + phase.count).saturating_sub(places)).max();
    (phases, before.unwrap_or(0), after.unwrap_or(0))
}

/// The weights that pixels of a phase met, by the place of the map that they met them at: panels
/// `[panels, taps · outputs, WIDTH]`, or `[taps, lanes]` if every channel is alone.
fn block_weights(geometry: &Geometry, w: &[f32], rows: Phase, columns: Phase) -> Scratch {
    let Geometry { inputs, outputs, kernel_h, kernel_w, stride, .. } = *geometry;
    let is_alone = channels::fits(geometry);
    let depth = rows.taps * columns.taps * if is_alone { 1 } else { outputs };
    let mut panels = Scratch::zeros(lanes(inputs) * depth);
    for (row, column) in (0..rows.taps).flat_map(|row| (0..columns.taps).map(move |column| (row, column))) {
        let ky = rows.first + stride * (rows.taps - 1 - row);
        let kx = columns.first + stride * (columns.taps - 1 - column);
        if is_alone {
            let at = (row * columns.taps + column) * lanes(inputs);
            for (channel, to) in panels[at..at + inputs].iter_mut().enumerate() {
                *to = w[(channel * kernel_h + ky) * kernel_w + kx];
            }
            continue;
        }
        for output in 0..outputs {
            let at = (row * columns.taps + column) * outputs + output;
            for input in 0..inputs {
                panels[(input / WIDTH * depth + at) * WIDTH + input % WIDTH] =
                    w[((output * inputs + input) * kernel_h + ky) * kernel_w + kx];
            }
        }
    }
    panels
}
