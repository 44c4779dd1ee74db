//! One group of channels or every channel alone, any stride and padding: kernels that read whole registers of
//! channels from images inside zeros, block by block of images.
//!
//! | step | file |
//! |---|---|
//! | images inside zeros | `frame` |
//! | forward: sums of patches times weights | `product`; `winograd` for 3x3; `channels` for channels alone |
//! | forward: pooling, bias, ReLU | `finish` |
//! | backward: gradient of the map, before pooling and ReLU | `map_gradient` |
//! | gradient of the weights | `outer`; `winograd` for 3x3; `channels` for channels alone |
//! | gradient of x | `phases`; `winograd` for 3x3; `scatter` for few channels |
//!
//! Lanes are channels, rounded up to [`WIDTH`]; the last lanes may be idle. But for `winograd`, all bits are
//! `plain`'s: the sums run in the order of its matrix products.

mod backward;
mod channels;
mod finish;
mod frame;
mod map_gradient;
mod outer;
mod phases;
mod product;
mod scatter;
mod winograd;

pub(super) use backward::backward;

use super::registers::{OverPanel, WIDTH};
use super::{Forward, Geometry, Output, weights};
use crate::engine::op::matmul::CHUNK_MAX;
use crate::engine::op::scratch::Scratch;
use finish::{Finish, FinishInPlace};
use frame::Frame;
use product::{Place, Product, Run};
use pulp::Arch;
use winograd::{Target, Winograd};

/// Whether this path computes such a convolution. `plain` cuts the sums over more outputs.
pub(super) fn fits(geometry: &Geometry) -> bool {
    channels::fits(geometry) || geometry.groups == 1 && geometry.outputs <= CHUNK_MAX
}

/// Whether the sums of the forward pass are Winograd's, in an order of their own.
#[cfg(test)]
pub(super) fn is_winograd(geometry: &Geometry) -> bool {
    winograd::fits_forward(geometry)
}

/// The forward pass of this path; see [`super::forward`].
pub(super) fn forward(arch: Arch, pass: Forward<'_>) -> Output {
    let Forward { geometry, x, w, b } = pass;
    assert!(fits(geometry), "{geometry:?} is another path's");
    let lanes = lanes(geometry.outputs);
    let sums = Sums::new(arch, geometry, w);
    let block = block_images(geometry);
    let mut framed = sums.frame.zeros(block);
    let values = sums.size.0 * sums.size.1 * lanes;
    let mut map = Scratch::zeros(block * values);
    let mut bias = Scratch::zeros(lanes);
    bias[..b.len()].copy_from_slice(b);
    let bias = &*bias;
    let mut output = Output::empty(geometry);
    for x in x.chunks(block * geometry.image()) {
        let images = x.len() / geometry.image();
        let source = framed_or_bare(&sums.frame, x, geometry.inputs, &mut framed);
        let len = images * values;
        let Output { y, codes } = &mut output;
        if let (Means::Winograd(weights), true) = (&sums.means, geometry.pool && geometry.relu) {
            let target = Target::Pooled { bias, y: grown(y, len / 4), codes: grown(codes, len / 4) };
            sums.winograd(arch, weights, source, images, target);
        } else if geometry.pool || lanes != geometry.outputs {
            sums.compute(arch, source, images, &mut map[..len]);
            arch.dispatch(Finish { geometry, bias, map: &map[..len], output: &mut output });
        } else {
            let y = grown(y, len);
            sums.compute(arch, source, images, y);
            let codes = grown(codes, if geometry.has_codes() { len } else { 0 });
            arch.dispatch(FinishInPlace { relu: geometry.relu, bias, y, codes });
        }
    }
    output
}

/// From images to the sums of their maps.
struct Sums {
    frame: Frame,
    /// Rows and columns of a map.
    size: (usize, usize),
    /// The patches of a block of images.
    places: Vec<Place>,
    means: Means,
}

/// How sums are computed, with the weights as it reads them.
enum Means {
    Winograd(Scratch),
    Product(Scratch, Vec<Run>),
    Channels(Scratch, Vec<usize>),
}

impl Sums {
    fn new(arch: Arch, geometry: &Geometry, w: &[f32]) -> Self {
        let size = geometry.counted();
        let is_winograd = winograd::fits_forward(geometry);
        let frame = input_frame(geometry, if is_winograd { winograd::reach(size) } else { (0, 0) });
        let means = if is_winograd {
            Means::Winograd(winograd::transformed(arch, geometry, w))
        } else if channels::fits(geometry) {
            Means::Channels(channels::weights(geometry, w), frame.taps(geometry))
        } else {
            let mut panels = Scratch::zeros(lanes(geometry.outputs) * geometry.patch());
            weights::by_output(geometry, w, WIDTH, &mut panels);
            Means::Product(panels, runs(geometry, &frame))
        };
        Self { frame, size, places: places(geometry, &frame, block_images(geometry)), means }
    }

    /// Computes the maps `[images, rows, columns, lanes]`.
    fn compute(&self, arch: Arch, source: &[f32], images: usize, map: &mut [f32]) {
        let places = &self.places[..images * self.size.0 * self.size.1];
        match &self.means {
            Means::Winograd(weights) => self.winograd(arch, weights, source, images, Target::Map(map)),
            Means::Product(weights, runs) => {
                arch.dispatch(OverPanel(Product { source, places, runs, weights, start: -0.0, map }));
            }
            Means::Channels(weights, taps) => {
                arch.dispatch(OverPanel(channels::Sums::<true> { source, places, taps, weights, map }));
            }
        }
    }

    fn winograd(&self, arch: Arch, weights: &[f32], source: &[f32], images: usize, target: Target<'_>) {
        let Self { frame, size, .. } = *self;
        arch.dispatch(OverPanel(Winograd { frame, source, weights, size, images, target }));
    }
}

/// Appends `len` values to fill.
fn grown<T: Clone + Default>(values: &mut Vec<T>, len: usize) -> &mut [T] {
    let start = values.len();
    values.resize(start + len, T::default());
    &mut values[start..]
}

/// Number of images whose inputs fit the L2 cache together with all else: enough to fill tiles of places.
fn block_images(geometry: &Geometry) -> usize {
    const VALUES: usize = 32_768;
    (VALUES / geometry.image()).clamp(1, 16)
}

/// Channels rounded up to whole panels.
fn lanes(channels: usize) -> usize {
    channels.next_multiple_of(WIDTH)
}

/// Where x lies inside its padding, and at least `reach` rows and columns.
fn input_frame(geometry: &Geometry, reach: (usize, usize)) -> Frame {
    let Geometry { height, width, padding, inputs, .. } = *geometry;
    let padded = geometry.padded();
    let total = (padded.0.max(reach.0), padded.1.max(reach.1));
    let channels = if channels::fits(geometry) { lanes(inputs) } else { inputs };
    Frame { content: (height, width), before: (padding, padding), total, channels }
}

/// Where a map lies without zeros around.
fn map_frame(geometry: &Geometry) -> Frame {
    let content = geometry.map();
    Frame { content, before: (0, 0), total: content, channels: lanes(geometry.outputs) }
}

/// `images` as they are, if they lie as `frame` says, or else copied into it.
fn framed_or_bare<'a>(frame: &Frame, images: &'a [f32], channels: usize, framed: &'a mut [f32]) -> &'a [f32] {
    if frame.is_bare(channels) {
        return images;
    }
    frame.fill(images, channels, framed);
    framed
}

/// The patches of some images, and where their sums go.
fn places(geometry: &Geometry, frame: &Frame, images: usize) -> Vec<Place> {
    let (rows, columns) = geometry.counted();
    let stride = geometry.stride;
    let place = |index: usize| {
        let (image, row, column) = (index / columns / rows, index / columns % rows, index % columns);
        let pixel = (image * frame.total.0 + row * stride) * frame.total.1 + column * stride;
        Place { from: pixel * frame.channels, to: index * lanes(geometry.outputs) }
    };
    (0..images * rows * columns).map(place).collect()
}

/// The rows of a patch. Sums are cut as [`matmul`](crate::engine::op::matmul) cuts them, but for those that
/// were always one: a ReLU behind a kernel that slides.
fn runs(geometry: &Geometry, frame: &Frame) -> Vec<Run> {
    let patch = geometry.patch();
    let is_whole = geometry.relu && geometry.slides() && geometry.outputs.is_multiple_of(WIDTH);
    let cut = if is_whole { patch } else { patch.div_ceil(patch.div_ceil(CHUNK_MAX)) };
    let run = geometry.kernel_w * geometry.inputs;
    let mut runs = Vec::new();
    let mut done = 0;
    while done < patch {
        let len = (run - done % run).min(cut - done % cut);
        let at = done / run * frame.total.1 * geometry.inputs + done % run;
        done += len;
        runs.push(Run { at, len, ends: done.is_multiple_of(cut) || done == patch });
    }
    runs
}
