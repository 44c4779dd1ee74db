//! The backward pass: the gradients of the bias, the weights and x, block by block of images.

use super::channels;
use super::frame::Frame;
use super::map_gradient::MapGradient;
use super::outer::Outer;
use super::phases::Phases;
use super::product::Place;
use super::scatter::{self, Scatter};
use super::winograd::{self, Target, WeightGradient, Winograd};
use super::{block_images, fits, framed_or_bare, input_frame, lanes, map_frame};
use crate::engine::op::conv::registers::{OverPanel, WIDTH};
use crate::engine::op::conv::{Backward, Geometry, Gradients, weights};
use crate::engine::op::scratch::Scratch;
use pulp::Arch;

/// The backward pass of this path; see [`super::super::backward`].
pub(in crate::engine::op::conv) fn backward(arch: Arch, pass: Backward<'_>) -> Gradients {
    let Backward { geometry, x, w, codes, grad, input_gradient } = pass;
    assert!(fits(geometry), "{geometry:?} is another path's");
    let block = block_images(geometry);
    let is_winograd = winograd::fits_backward(geometry);
    let frame = input_frame(geometry, if is_winograd { winograd::reach(geometry.map()) } else { (0, 0) });
    let means = input_gradient.then(|| Means::new(arch, geometry, w));
    let mut map = MapGradient { geometry, frame: map_frame(geometry) };
    if let Some((_, frame)) = &means {
        map.frame = *frame;
    } else if is_winograd {
        // Windows may reach over its ends.
        let (rows, columns) = map.frame.content;
        map.frame.total = (rows.next_multiple_of(2), columns.next_multiple_of(2));
    }
    let layout = Layout {
        geometry,
        frame,
        map: map.frame,
        places: map.places(&frame),
        taps: frame.taps(geometry),
        rows: frame.rows(geometry),
    };
    let mut framed = frame.zeros(block);
    let mut gradient = map.frame.zeros(block);
    let mut scratch = match &means {
        Some((Means::Phases(_), _)) => {
            Scratch::zeros(block * geometry.height * geometry.width * lanes(geometry.inputs))
        }
        Some((Means::Scatter(_), _)) => frame.zeros(1),
        _ => Scratch::zeros(0),
    };
    let mut dw = Weights::new(geometry);
    let mut bias = vec![0.0; geometry.outputs];
    let mut dx = vec![0.0; if input_gradient { x.len() } else { 0 }];
    let values = block * geometry.image();
    let out_values = block * (grad.len() / geometry.n);
    let mut codes = codes.chunks(out_values);
    for (index, (x, grad)) in x.chunks(values).zip(grad.chunks(out_values)).enumerate() {
        let images = x.len() / geometry.image();
        let gradient = map.fill(codes.next().unwrap_or(&[]), grad, &mut gradient, &mut bias);
        let source = layout.source(x, &mut framed);
        layout.add_weights(arch, source, gradient, images, &mut dw);
        if let Some((means, _)) = &means {
            let dx = &mut dx[index * values..][..x.len()];
            layout.input_gradient(arch, means, gradient, dx, &mut scratch);
        }
    }
    Gradients { x: input_gradient.then_some(dx), w: dw.finish(arch, geometry), b: bias }
}

/// The weights' gradient so far.
enum Weights {
    Winograd(WeightGradient),
    /// In panels, or `[kernel values, lanes]` if every channel is alone.
    Sums(Scratch),
}

impl Weights {
    fn new(geometry: &Geometry) -> Self {
        if winograd::fits_backward(geometry) {
            return Self::Winograd(WeightGradient::new(geometry.inputs, geometry.outputs));
        }
        Self::Sums(Scratch::zeros(lanes(geometry.outputs) * geometry.patch()))
    }

    fn finish(self, arch: Arch, geometry: &Geometry) -> Vec<f32> {
        let width = if channels::fits(geometry) { lanes(geometry.outputs) } else { WIDTH };
        match self {
            Self::Winograd(sums) => weights::from_by_output(geometry, &sums.finish(arch), width),
            Self::Sums(panels) => weights::from_by_output(geometry, &panels, width),
        }
    }
}

/// How the gradient of x is computed, with the weights as it reads them.
enum Means {
    Winograd(Scratch),
    Phases(Phases),
    Scatter(Scratch),
}

impl Means {
    /// These means, and where the gradient of the map must lie for them.
    fn new(arch: Arch, geometry: &Geometry, w: &[f32]) -> (Self, Frame) {
        let frame = map_frame(geometry);
        if scatter::fits(geometry) {
            return (Self::Scatter(scatter::weights(geometry, w)), frame);
        }
        if winograd::fits_backward(geometry) {
            let before = winograd::before(geometry);
            let total = winograd::reach((geometry.height, geometry.width));
            let frame = Frame { before: (before, before), total, ..frame };
            return (Self::Winograd(winograd::transformed_backward(arch, geometry, w)), frame);
        }
        let phases = Phases::new(geometry, w);
        let frame = Frame { before: phases.before, total: phases.total, ..frame };
        (Self::Phases(phases.with_places(&frame)), frame)
    }
}

/// Where all lies.
struct Layout<'a> {
    geometry: &'a Geometry,
    /// The input.
    frame: Frame,
    /// The gradient of the map.
    map: Frame,
    /// Every place of an image: from the input, to the map.
    places: Vec<Place>,
    /// The kernel's values and rows in the input, from a place's start on.
    taps: Vec<usize>,
    rows: Vec<usize>,
}

impl Layout<'_> {
    /// Values of a kernel row.
    fn run(&self) -> usize {
        self.geometry.kernel_w * self.geometry.inputs
    }

    /// `x` as the kernels of the weights read it.
    fn source<'a>(&self, x: &'a [f32], framed: &'a mut [f32]) -> &'a [f32] {
        // They read four values of a patch at once.
        if channels::fits(self.geometry) || self.run().is_multiple_of(4) {
            return framed_or_bare(&self.frame, x, self.geometry.inputs, framed);
        }
        self.frame.fill(x, self.geometry.inputs, framed);
        framed
    }

    /// Adds the weights' gradient of some images.
    fn add_weights(&self, arch: Arch, source: &[f32], gradient: &[f32], images: usize, dw: &mut Weights) {
        let Self { frame, map, places, taps, rows, .. } = self;
        let dw = match dw {
            Weights::Winograd(dw) => return dw.add(arch, [frame, map], source, gradient, images),
            Weights::Sums(dw) => dw,
        };
        for image in 0..images {
            let source = &source[image * frame.len()..];
            let gradient = &gradient[image * map.len()..];
            if channels::fits(self.geometry) {
                arch.dispatch(channels::WeightGradient { source, gradient, places, taps, dw });
            } else {
                arch.dispatch(OverPanel(Outer { source, gradient, places, rows, run: self.run(), dw }));
            }
        }
    }

    /// Computes the gradient of some images, `dx`, from that of their maps.
    fn input_gradient(
        &self,
        arch: Arch,
        means: &Means,
        gradient: &[f32],
        dx: &mut [f32],
        scratch: &mut [f32],
    ) {
        let Self { geometry, places, rows, .. } = self;
        let images = dx.len() / geometry.image();
        match means {
            Means::Winograd(weights) => {
                let size = (geometry.height, geometry.width);
                let target = Target::Map(dx);
                let product = Winograd { frame: self.map, source: gradient, weights, size, images, target };
                arch.dispatch(OverPanel(product));
            }
            Means::Phases(phases) if lanes(geometry.inputs) == geometry.inputs => {
                phases.compute(arch, gradient, images, dx);
            }
            Means::Phases(phases) => {
                phases.compute(arch, gradient, images, scratch);
                let pixels = scratch.chunks_exact(lanes(geometry.inputs));
                let pixels = dx.chunks_exact_mut(geometry.inputs).zip(pixels);
                pixels.for_each(|(to, from)| to.copy_from_slice(&from[..to.len()]));
            }
            Means::Scatter(weights) => {
                let all = gradient.chunks_exact(self.map.len()).zip(dx.chunks_exact_mut(geometry.image()));
                for (gradient, image) in all {
                    scratch.fill(0.0);
                    let dx = &mut *scratch;
                    arch.dispatch(Scatter { geometry, gradient, places, rows, weights, dx });
                    self.frame.take(scratch, geometry.inputs, image);
                }
            }
        }
    }
}
