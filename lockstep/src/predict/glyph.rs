//! A digit's ink as MNIST has it: the longer side brought to 20 pixels, its centre of mass in the middle of
//! 28 x 28.
//!
//! The slant stays, and so do the greys of the strokes' edges. Strokes that would be thinner than MNIST's are
//! thickened first (`THIN`), because a model has not seen thin ones.

use super::components::Bounds;
use super::grey::Grey;
use super::ink::LOW;

/// Height and width of the field.
pub const SIDE: usize = 28;
/// Longer side of a digit in it.
const BOX: usize = 20;
/// Place of the centre of mass, counted in pixels from the centre of the first one: that of MNIST's images.
const CENTRE: usize = 14;
/// Strokes thinner than this are thickened to it, in tenths of a pixel of the field: few of MNIST's are.
const THIN: usize = 20;
/// Of the brightest tenth of a digit's pixels this is made the mean; more is cut.
const FULL: u32 = 255;

/// The field of a model's input.
pub type Field = [u8; SIDE * SIDE];

/// Ink of one digit, with nothing else, cut to its bounds.
#[derive(Clone, Debug)]
pub struct Cutout {
    /// Where it was in the picture.
    pub bounds: Bounds,
    /// Its ink.
    pub ink: Grey,
}

impl Cutout {
    /// The ink at the pixels that `belongs` (x, y) names, and the fringe of them; `None` if there is none.
    #[must_use]
    pub fn of(ink: &Grey, bounds: Bounds, belongs: impl Fn(usize, usize) -> bool) -> Option<Self> {
        let mut tight: Option<Bounds> = None;
        let mut own = vec![false; bounds.width() * bounds.height()];
        for y in bounds.top..bounds.bottom {
            for x in bounds.left..bounds.right {
                if ink.bytes[y * ink.width + x] >= LOW && belongs(x, y) {
                    own[(y - bounds.top) * bounds.width() + x - bounds.left] = true;
                    let pixel = Bounds { left: x, top: y, right: x + 1, bottom: y + 1 };
                    tight = Some(tight.map_or(pixel, |tight| tight.with(&pixel)));
                }
            }
        }
        let tight = tight?;
        let is_own = |x: usize, y: usize| {
            let inside = (bounds.left..bounds.right).contains(&x) && (bounds.top..bounds.bottom).contains(&y);
            inside && own[(y - bounds.top) * bounds.width() + x - bounds.left]
        };
        let mut bytes = Vec::with_capacity(tight.width() * tight.height());
        for y in tight.top..tight.bottom {
            for x in tight.left..tight.right {
                let value = ink.bytes[y * ink.width + x];
                let near = || {
                    (y.saturating_sub(1)..y + 2).any(|y| (x.saturating_sub(1)..x + 2).any(|x| is_own(x, y)))
                };
                bytes.push(if is_own(x, y) || (value < LOW && near()) { value } else { 0 });
            }
        }
        Some(Self { bounds: tight, ink: Grey { width: tight.width(), height: tight.height(), bytes } })
    }

    /// Mean width of the strokes, in tenths of a pixel of the field: pixels of a stroke of length l and width
    /// w are l w, and 2 l of them have paper beside them.
    #[must_use]
    pub fn stroke(&self) -> usize {
        let is_ink = |x: usize, y: usize, dx, dy| self.ink.at(x as isize + dx, y as isize + dy) >= LOW;
        let (mut area, mut edge) = (0, 0);
        for y in 0..self.ink.height {
            for x in 0..self.ink.width {
                if is_ink(x, y, 0, 0) {
                    area += 1;
                    let sides = [(-1, 0), (1, 0), (0, -1), (0, 1)];
                    edge += usize::from(sides.iter().any(|&(dx, dy)| !is_ink(x, y, dx, dy)));
                }
            }
        }
        2 * area * 10 * BOX / (edge * self.bounds.longer()).max(1)
    }

    /// The digit in the field.
    #[must_use]
    pub fn field(&self) -> Field {
        let missing = THIN.saturating_sub(self.stroke());
        let radius = (missing * self.bounds.longer()).div_ceil(2 * 10 * BOX);
        let ink = if missing > 0 && radius > 0 {
            padded(&self.ink, radius).thickened(radius)
        } else {
            self.ink.clone()
        };
        let longer = ink.width.max(ink.height);
        let side = |length: usize| ((2 * length * BOX + longer) / (2 * longer)).clamp(1, BOX);
        let mut digit = ink.resized(side(ink.width), side(ink.height));
        brighten(&mut digit.bytes);
        centred(&digit)
    }
}

/// The ink with paper around it.
fn padded(ink: &Grey, margin: usize) -> Grey {
    let (width, height) = (ink.width + 2 * margin, ink.height + 2 * margin);
    let mut bytes = vec![0; width * height];
    for (y, row) in ink.bytes.chunks_exact(ink.width).enumerate() {
        let start = (y + margin) * width + margin;
        bytes[start..start + ink.width].copy_from_slice(row);
    }
    Grey { width, height, bytes }
}

/// Makes the brightest pixels full, as in MNIST.
fn brighten(bytes: &mut [u8]) {
    let mut inked: Vec<u8> = bytes.iter().copied().filter(|&byte| byte > 0).collect();
    inked.sort_unstable_by(|a, b| b.cmp(a));
    let brightest = &inked[..inked.len().div_ceil(10)];
    let sum: u32 = brightest.iter().map(|&byte| u32::from(byte)).sum();
    let mean = sum / (brightest.len() as u32).max(1);
    if mean > 0 {
        bytes.iter_mut().for_each(|byte| *byte = (u32::from(*byte) * FULL / mean).min(255) as u8);
    }
}

/// The digit, 20 x 20 at most, with its centre of mass in the middle of the field.
fn centred(digit: &Grey) -> Field {
    let (mut mass, mut across, mut down) = (0, 0, 0);
    for (at, &byte) in digit.bytes.iter().enumerate() {
        let byte = usize::from(byte);
        mass += byte;
        across += byte * (at % digit.width);
        down += byte * (at / digit.width);
    }
    let start = |sum: usize, length: usize| {
        let mean = (2 * sum + mass) / (2 * mass).max(1);
        CENTRE.saturating_sub(mean).min(SIDE - length)
    };
    let (left, top) = (start(across, digit.width), start(down, digit.height));
    let mut field = [0; SIDE * SIDE];
    for (y, row) in digit.bytes.chunks_exact(digit.width).enumerate() {
        let start = (top + y) * SIDE + left;
        field[start..start + digit.width].copy_from_slice(row);
    }
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(ink: &Grey) -> Cutout {
        let bounds = Bounds { left: 0, top: 0, right: ink.width, bottom: ink.height };
        Cutout::of(ink, bounds, |_, _| true).unwrap()
    }

    fn bar(width: usize, height: usize) -> Grey {
        let (wide, high) = (width + 6, height + 10);
        let is_ink = |x: usize, y: usize| (2..2 + width).contains(&x) && (7..7 + height).contains(&y);
        let pixel = |at: usize| if is_ink(at % wide, at / wide) { 200 } else { 0 };
        Grey { width: wide, height: high, bytes: (0..wide * high).map(pixel).collect() }
    }

    #[test]
    fn a_digits_longer_side_is_20_pixels_and_its_mass_in_the_middle() {
        let cutout = whole(&bar(20, 100));
        assert_eq!(cutout.bounds, Bounds { left: 2, top: 7, right: 22, bottom: 107 });
        let field = cutout.field();
        for (at, &value) in field.iter().enumerate() {
            let (x, y) = (at % SIDE, at / SIDE);
            let is_ink = (12..16).contains(&x) && (4..24).contains(&y);
            assert_eq!(value, if is_ink { 255 } else { 0 }, "{x}, {y}");
        }
    }

    #[test]
    fn thin_strokes_are_thickened() {
        let field = whole(&bar(2, 200)).field();
        let widths: Vec<usize> =
            field.chunks(SIDE).map(|row| row.iter().filter(|&&value| value > 127).count()).collect();
        assert!(widths[8..20].iter().all(|&width| width == 2), "{widths:?}");
    }

    #[test]
    fn what_does_not_belong_is_left_out_and_a_digit_of_one_pixel_is_a_field() {
        let ink = bar(20, 100);
        let bounds = Bounds { left: 0, top: 0, right: ink.width, bottom: ink.height };
        let left = Cutout::of(&ink, bounds, |x, _| x < 12).unwrap();
        assert_eq!(left.bounds, Bounds { left: 2, top: 7, right: 12, bottom: 107 });
        assert!(Cutout::of(&ink, bounds, |x, _| x > 23).is_none());
        let dot = Grey { width: 1, height: 1, bytes: vec![255] };
        assert!(whole(&dot).field().contains(&255));
        let line = Grey { width: 3000, height: 1, bytes: vec![255; 3000] };
        assert!(whole(&line).field().contains(&255));
    }
}
