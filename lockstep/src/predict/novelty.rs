//! Whether what a model was shown is a digit at all.
//!
//! A model has no class for other things and answers with a digit to anything. So some things are told by
//! their shape before, and the rest by the model's own doubt: the mean probability over a few
//! [views](super::views) of a digit is high. It must be higher where the shape has another number of holes
//! than that digit is written with. The limits were set on drawn MNIST training digits and on letters; each
//! has its figures beside it.

use super::glyph::Cutout;
use super::grey::Grey;
use super::ink::HIGH;
use super::reader::Verdict;
use super::subject::Subject;
use serde::Serialize;
use std::fmt;

/// Most pieces of ink of a digit: strokes that do not meet.
const PIECES_MAX: usize = 4;
/// Most other things around it: paper has specks and edges, and a photograph has many.
const OTHERS_MAX: usize = 6;
/// A digit is at most so many tenths as wide as high: MNIST has a 5 of 16, not yet turned.
const WIDE: usize = 22;
/// Mean width of strokes in tenths of a pixel of the model's input, from which they are a blot.
const BLOT: usize = 90;
/// Least side of a digit, in pixels: below, strokes can't be told apart.
pub const SIDE_MIN: usize = 8;
/// Longer side to which a shape is brought to count its holes, and the least pixels of one there.
const HOLES_SIDE: usize = 60;
const HOLE_MIN: usize = 8;
/// Least mean probability of a digit with a number of holes that it is written with, and with another.
const SURE: f64 = 0.55;
const SURE_OTHER_HOLES: f64 = 0.8;
/// Least mean probability of a digit in a row of digits.
const SURE_NEIGHBOUR: f64 = 0.3;
/// Least mean probability of a 4 that stands on two legs: letters do (A, H, K, M, N, X), which a model takes
/// for a 4 more often than for any other digit.
const SURE_TWO_LEGS: f64 = 0.97;
/// The row in which legs are counted, in hundredths of the height.
const LEGS_AT: usize = 86;
/// Holes that each digit is written with.
const HOLES: [&[usize]; 10] = [&[1], &[0], &[0, 1], &[0], &[0, 1], &[0], &[1], &[0], &[2], &[1]];

/// Why something is no digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Doubt {
    /// There is no ink.
    Empty,
    /// There are several digits or other things of that size.
    Several,
    /// Too many pieces.
    Pieces,
    /// Too small.
    Small,
    /// Too wide.
    Wide,
    /// No strokes.
    Blot,
    /// The model does not know.
    Unsure,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "there is no ink",
            Self::Several => "there are several things side by side; --line reads them",
            Self::Pieces => "it is in many pieces",
            Self::Small => "it is too small",
            Self::Wide => "it is wider than any digit",
            Self::Blot => "it has no strokes",
            Self::Unsure => "the model can't tell which",
        })
    }
}

/// What speaks against the only digit of a picture.
#[must_use]
pub fn of_subject(subject: &Subject, verdict: &Verdict) -> Option<Doubt> {
    if subject.has_neighbour {
        return Some(Doubt::Several);
    }
    if subject.pieces > PIECES_MAX || subject.others > OTHERS_MAX {
        return Some(Doubt::Pieces);
    }
    of_cutout(&subject.cutout, verdict)
}

/// What speaks against a piece of ink as a digit.
#[must_use]
pub fn of_cutout(cutout: &Cutout, verdict: &Verdict) -> Option<Doubt> {
    let [class, _] = verdict.best_two();
    let sure = if class == 4 && legs(&cutout.ink) > 1 {
        SURE_TWO_LEGS
    } else if is_written_so(cutout, verdict) {
        SURE
    } else {
        SURE_OTHER_HOLES
    };
    of_shape(cutout).or_else(|| (verdict.probabilities[class] < sure).then_some(Doubt::Unsure))
}

/// What speaks against it in a row of digits: its neighbours are evidence that it is one.
#[must_use]
pub fn of_neighbour(cutout: &Cutout, verdict: &Verdict) -> Option<Doubt> {
    let [class, _] = verdict.best_two();
    of_shape(cutout).or_else(|| (verdict.probabilities[class] < SURE_NEIGHBOUR).then_some(Doubt::Unsure))
}

/// Whether a piece of ink has a number of holes that its digit is written with.
#[must_use]
pub fn is_written_so(cutout: &Cutout, verdict: &Verdict) -> bool {
    let holes = holes(&cutout.ink);
    HOLES.get(verdict.best_two()[0]).is_none_or(|known| known.contains(&holes))
}

/// What speaks against it whatever the model says.
#[must_use]
pub fn of_shape(cutout: &Cutout) -> Option<Doubt> {
    let (width, height) = (cutout.bounds.width(), cutout.bounds.height());
    if height.max(width) < SIDE_MIN {
        Some(Doubt::Small)
    } else if width * 10 > height * WIDE {
        Some(Doubt::Wide)
    } else if cutout.stroke() > BLOT {
        Some(Doubt::Blot)
    } else {
        None
    }
}

/// Number of strokes in a row near the bottom.
fn legs(ink: &Grey) -> usize {
    let start = ink.height * LEGS_AT / 100 * ink.width;
    let row = &ink.bytes[start..start + ink.width];
    let is_begin = |x: usize| row[x] >= HIGH && (x == 0 || row[x - 1] < HIGH);
    (0..ink.width).filter(|&x| is_begin(x)).count()
}

/// Number of places of paper that ink encloses.
#[must_use]
pub fn holes(ink: &Grey) -> usize {
    let longer = ink.width.max(ink.height).max(1);
    let side = |length: usize| (length * HOLES_SIDE / longer).max(1);
    let small = ink.resized(side(ink.width), side(ink.height));
    let mut is_open: Vec<bool> = small.bytes.iter().map(|&byte| byte < HIGH).collect();
    let mut holes = 0;
    for start in 0..is_open.len() {
        let mut place = vec![start];
        let (mut area, mut is_outside) = (0, false);
        while let Some(at) = place.pop() {
            if !std::mem::take(&mut is_open[at]) {
                continue;
            }
            area += 1;
            let (x, y) = (at % small.width, at / small.width);
            is_outside |= x == 0 || y == 0 || x + 1 == small.width || y + 1 == small.height;
            // Ink that touches at a corner encloses.
            place.extend((x > 0).then(|| at - 1));
            place.extend((x + 1 < small.width).then_some(at + 1));
            place.extend((y > 0).then(|| at - small.width));
            place.extend((y + 1 < small.height).then_some(at + small.width));
        }
        holes += usize::from(area >= HOLE_MIN && !is_outside);
    }
    holes
}

#[cfg(test)]
mod tests {
    use super::super::components::Bounds;
    use super::*;

    fn drawn(width: usize, height: usize, is_ink: impl Fn(usize, usize) -> bool) -> Cutout {
        let pixel = |at: usize| if is_ink(at % width, at / width) { 255 } else { 0 };
        let ink = Grey { width, height, bytes: (0..width * height).map(pixel).collect() };
        Cutout { bounds: Bounds { left: 0, top: 0, right: width, bottom: height }, ink }
    }

    fn verdict(class: usize, probability: f64) -> Verdict {
        let mut probabilities = vec![(1.0 - probability) / 9.0; 10];
        probabilities[class] = probability;
        Verdict { probabilities, agreeing: [5, 5] }
    }

    fn is_ring(x: usize, y: usize) -> bool {
        !((6..34).contains(&x) && (6..54).contains(&y))
    }

    #[test]
    fn holes_are_counted() {
        assert_eq!(holes(&drawn(40, 60, is_ring).ink), 1);
        assert_eq!(holes(&drawn(40, 60, |x, y| is_ring(x, y) || (28..33).contains(&y)).ink), 2);
        assert_eq!(holes(&drawn(40, 60, |x, y| is_ring(x, y) && x < 34).ink), 0);
        assert_eq!(holes(&drawn(1, 1, |_, _| true).ink), 0);
    }

    #[test]
    fn blots_dashes_dots_and_doubts_are_no_digits() {
        let of = |cutout: &Cutout, class, probability| of_cutout(cutout, &verdict(class, probability));
        let zero = drawn(40, 60, is_ring);
        assert_eq!(of(&zero, 0, 0.95), None);
        assert_eq!(of(&zero, 0, 0.5), Some(Doubt::Unsure));
        assert_eq!(of(&zero, 3, 0.75), Some(Doubt::Unsure));
        let stool = drawn(40, 60, |x, y| !(6..34).contains(&x) || (30..36).contains(&y));
        assert_eq!(of(&stool, 4, 0.9), Some(Doubt::Unsure));
        assert_eq!(of_neighbour(&stool, &verdict(4, 0.5)), None);
        assert_eq!(of_neighbour(&stool, &verdict(4, 0.25)), Some(Doubt::Unsure));
        assert_eq!(of(&drawn(40, 40, |_, _| true), 0, 1.0), Some(Doubt::Blot));
        assert_eq!(of(&drawn(40, 8, |_, _| true), 0, 1.0), Some(Doubt::Wide));
        assert_eq!(of(&drawn(4, 7, |_, _| true), 1, 1.0), Some(Doubt::Small));
    }
}
