//! The gradient of the map, before pooling and ReLU.

use super::frame::Frame;
use super::product::Place;
use crate::engine::op::conv::{CLOSED, Geometry};

/// Fills frames with gradients.
pub(super) struct MapGradient<'a> {
    pub(super) geometry: &'a Geometry,
    pub(super) frame: Frame,
}

impl MapGradient<'_> {
    /// Every place of an image: from the input inside `frame`, to the map.
    pub(super) fn places(&self, frame: &Frame) -> Vec<Place> {
        let stride = self.geometry.stride;
        let (rows, columns) = self.frame.content;
        let all = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        let place = |(row, column): (usize, usize)| Place {
            from: (row * frame.total.1 + column) * stride * frame.channels,
            to: self.frame.at(0, row, column),
        };
        all.map(place).collect()
    }

    /// The maps' gradients for these codes (none if every value is open) and gradients of some images, in
    /// `maps` or as they came. Adds to the bias's gradient.
    pub(super) fn fill<'a>(
        &self,
        codes: &[u32],
        grad: &'a [f32],
        maps: &'a mut [f32],
        bias: &mut [f32],
    ) -> &'a [f32] {
        let outputs = self.geometry.outputs;
        if codes.is_empty() {
            for grad in grad.chunks_exact(outputs) {
                bias.iter_mut().zip(grad).for_each(|(sum, grad)| *sum += grad);
            }
            if self.frame.is_bare(outputs) {
                return grad;
            }
            self.frame.fill(grad, outputs, maps);
            return maps;
        }
        let (rows, columns) = self.geometry.out();
        let pool = self.geometry.pool;
        if pool {
            maps.fill(0.0);
        }
        let Frame { total: (_, width), channels, .. } = self.frame;
        let offsets = [0, channels, width * channels, (width + 1) * channels];
        let mut open = vec![0.0; outputs];
        let outputs = grad.chunks_exact(outputs).zip(codes.chunks_exact(outputs)).enumerate();
        for (index, (grad, codes)) in outputs {
            let (image, row, column) = (index / columns / rows, index / columns % rows, index % columns);
            for (((sum, open), &grad), &code) in bias.iter_mut().zip(&mut open).zip(grad).zip(codes) {
                *open = if code == CLOSED { 0.0 } else { grad };
                *sum += *open;
            }
            if pool {
                let window = &mut maps[self.frame.at(image, 2 * row, 2 * column)..];
                for (channel, (&open, &code)) in open.iter().zip(codes).enumerate() {
                    // A closed value writes its zero to the first place.
                    window[offsets[(code % CLOSED) as usize] + channel] = open;
                }
            } else {
                maps[self.frame.at(image, row, column)..][..open.len()].copy_from_slice(&open);
            }
        }
        maps
    }
}
