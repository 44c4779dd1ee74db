//! The embedded data set `digits`: 28x28 images of handwritten-looking digits, drawn from a seed.
//!
//! It needs no file and no network, so every test and every first try can train. Each image is a function of
//! its split and index alone and is made of sums, products, quotients and square roots only, which IEEE 754
//! rounds the same way everywhere: the data set has one SHA-256 on every platform.
//!
//! A digit is a few strokes (`glyph`) whose points are moved, slanted, scaled, turned and shifted at random,
//! drawn with a random pen, then covered with noise and a stray mark. Hard enough that a linear model stays
//! below 95 %.

mod glyph;
mod pen;

use crate::data::spec::DataSpec;
use crate::rng::Stream;
use glyph::{Point, Stroke};
use pen::Canvas;

/// Form of the samples.
pub const SPEC: DataSpec = match DataSpec::new(SIDE, SIDE, 1, CLASSES) {
    Ok(spec) => spec,
    Err(_) => panic!("sizes in range"),
};
/// Height and width of an image, in pixels.
const SIDE: usize = 28;
/// Pixels of an image.
pub const PIXELS: usize = SPEC.image_bytes();
/// The digits 0 to 9.
const CLASSES: usize = 10;

/// Images to train on.
pub const TRAIN: u32 = 60_000;
/// Images to test on.
pub const TEST: u32 = 10_000;

/// There is one data set `digits`, whatever the run's seed.
const SEED: u64 = 28;

/// The training half or the test half of the data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// The images `0..TRAIN`, to train on.
    Train,
    /// The images `0..TEST`, to test on.
    Test,
}

/// Image `[28, 28]` of that half, and its label, at position `index`.
#[must_use]
pub fn draw(half: Half, index: u32) -> ([u8; PIXELS], u8) {
    let half = match half {
        Half::Train => 0,
        Half::Test => 1,
    };
    let mut random = Stream::new(SEED, "digits", &[half, index.into()]);
    let label = random.below(CLASSES as u32) as u8;
    let placement = Placement::draw(&mut random);
    let mut canvas = Canvas::new();
    let thickness = random.between(1.1, 2.7);
    for stroke in glyph::strokes(label, &mut random) {
        canvas.stroke(&place(stroke, &placement, &mut random), thickness);
    }
    if random.below(4) == 0 {
        stray_mark(&mut canvas, &mut random);
    }
    (canvas.into_pixels(&mut random), label)
}

/// Random distortion and position of one whole digit.
struct Placement {
    width: f32,
    height: f32,
    slant: f32,
    /// Cosine and sine of the angle by which the digit is rotated.
    turn: (f32, f32),
    centre: Point,
    jitter: f32,
}

impl Placement {
    fn draw(random: &mut Stream) -> Self {
        // With the tangent of half the angle, cosine and sine need no math library.
        let t = random.between(-0.2, 0.2);
        Self {
            width: random.between(8.5, 18.0),
            height: random.between(12.0, 21.0),
            slant: random.between(-0.45, 0.5),
            turn: ((1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t)),
            centre: Point { x: random.between(11.0, 16.5), y: random.between(11.5, 16.0) },
            jitter: random.between(0.02, 0.085),
        }
    }
}

/// Maps a stroke from the unit square to pixels, point by point.
fn place(stroke: Stroke, placement: &Placement, random: &mut Stream) -> Vec<Point> {
    let Placement { width, height, slant, turn: (cosine, sine), centre, jitter } = *placement;
    let points = stroke.into_iter().map(|point| {
        let x = point.x - 0.5 + random.between(-jitter, jitter);
        let y = point.y - 0.5 + random.between(-jitter, jitter);
        let sheared = x - slant * y;
        let x = sheared * width;
        let y = y * height;
        Point { x: centre.x + cosine * x - sine * y, y: centre.y + sine * x + cosine * y }
    });
    glyph::smooth(points.collect())
}

/// A short line that belongs to no digit.
fn stray_mark(canvas: &mut Canvas, random: &mut Stream) {
    let start = Point { x: random.between(1.0, 27.0), y: random.between(1.0, 27.0) };
    let end = Point { x: start.x + random.between(-5.0, 5.0), y: start.y + random.between(-5.0, 5.0) };
    canvas.stroke(&[start, end], random.between(0.8, 1.6));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::config::hex;
    use sha2::{Digest, Sha256};

    #[test]
    fn the_data_set_is_the_same_on_every_platform() {
        let mut hash = Sha256::new();
        for index in 0..500 {
            let (pixels, label) = draw(Half::Train, index);
            hash.update(pixels);
            hash.update([label]);
        }
        assert_eq!(hex(&hash.finalize()), GOLDEN, "printed by this test; a change makes it another data set");
    }

    const GOLDEN: &str = "9e5dbf4660e7e8670065b4516f612a2326547e4d540849c7e497da72693f9166";

    #[test]
    fn halves_and_indices_give_different_images_of_every_class() {
        assert_ne!(draw(Half::Train, 0), draw(Half::Test, 0));
        let mut counts = [0; CLASSES];
        for index in 0..2000 {
            let (pixels, label) = draw(Half::Test, index);
            counts[usize::from(label)] += 1;
            let ink = pixels.iter().filter(|&&p| p > 100).count();
            assert!((5..400).contains(&ink), "image {index} of a {label} has {ink} dark pixels");
        }
        assert!(counts.iter().all(|&n| (150..250).contains(&n)), "{counts:?}");
    }
}
