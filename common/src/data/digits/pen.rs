//! Ink on 28x28 pixels: strokes with soft edges, then blur and noise.

use super::glyph::Point;
use super::{PIXELS, SIDE};
use crate::rng::Stream;

/// A grey image in the making; each value is ink in [0, 1].
pub(super) struct Canvas {
    ink: [f32; PIXELS],
}

impl Canvas {
    pub(super) fn new() -> Self {
        Self { ink: [0.0; PIXELS] }
    }

    /// Draws the polygon through `points` with a round pen, `thickness` pixels wide.
    pub(super) fn stroke(&mut self, points: &[Point], thickness: f32) {
        for pair in points.windows(2) {
            self.segment(pair[0], pair[1], thickness / 2.0);
        }
    }

    fn segment(&mut self, a: Point, b: Point, radius: f32) {
        let reach = radius + 0.5;
        let range = |from: f32, to: f32| {
            let low = (from.min(to) - reach).max(0.0) as usize;
            let high = (from.max(to) + reach + 1.0).clamp(0.0, SIDE as f32) as usize;
            low..high
        };
        let dx = b.x - a.x;
        let dy = b.y - a.y;
        let length_squared = dx * dx + dy * dy;
        for y in range(a.y, b.y) {
            for x in range(a.x, b.x) {
                let px = x as f32 + 0.5 - a.x;
                let py = y as f32 + 0.5 - a.y;
                let along = if length_squared > 0.0 {
                    ((px * dx + py * dy) / length_squared).clamp(0.0, 1.0)
                } else {
                    0.0
                };
                let ex = px - along * dx;
                let ey = py - along * dy;
                let ink = (reach - (ex * ex + ey * ey).sqrt()).clamp(0.0, 1.0);
                let pixel = &mut self.ink[y * SIDE + x];
                *pixel = pixel.max(ink);
            }
        }
    }

    /// Pixels from 0 to 255, after a random blur, a random strength of ink and random noise.
    pub(super) fn into_pixels(self, random: &mut Stream) -> [u8; PIXELS] {
        let blur = random.between(0.0, 0.16);
        let strength = random.between(0.65, 1.0) * 255.0;
        let noise = random.between(0.0, 45.0);
        let at = |y: usize, x: usize| self.ink[y.min(SIDE - 1) * SIDE + x.min(SIDE - 1)];
        std::array::from_fn(|i| {
            let y = i / SIDE;
            let x = i % SIDE;
            let around =
                at(y.saturating_sub(1), x) + at(y + 1, x) + at(y, x.saturating_sub(1)) + at(y, x + 1);
            let ink = (1.0 - 4.0 * blur) * at(y, x) + blur * around;
            (ink * strength + random.between(-noise, noise)).clamp(0.0, 255.0) as u8
        })
    }
}
