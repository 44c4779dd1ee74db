//! The one digit of a picture: which pieces of ink are it.
//!
//! The largest piece is the digit, and so are others that are not small beside it and lie near: the strokes
//! of a 5. What runs along the picture's border is its edge, or another thing, where anything else is there.

use super::components::{Bounds, Component, Components};
use super::glyph::Cutout;
use super::grey::Grey;
use super::ink::HIGH;

/// A piece of less than so many hundredths of the largest one's area is a speck.
const SPECK: usize = 4;
/// A piece belongs to the digit if it is nearer than so many hundredths of the digit's longer side.
const NEAR: usize = 30;
/// A piece that lies on so many hundredths of a border runs along it.
const ALONG: usize = 33;
/// Pieces of so many hundredths of the largest one's height, beside it, are digits of their own.
const BESIDE: usize = 60;

/// The digit, and what else there is.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Its ink.
    pub cutout: Cutout,
    /// Pieces of ink that it has.
    pub pieces: usize,
    /// Pieces that are no specks, and do not belong to it.
    pub others: usize,
    /// Whether another one of its height lies beside it.
    pub has_neighbour: bool,
}

/// Finds the digit; `None` if there is nothing but paper.
#[must_use]
pub fn find(ink: &Grey, components: &Components) -> Option<Subject> {
    let all = || (1u32..).zip(&components.all).filter(|(_, piece)| piece.peak >= HIGH);
    let inner: Vec<(u32, &Component)> =
        all().filter(|(_, piece)| !is_along(ink, components, piece)).collect();
    let largest = |pieces: &[(u32, &Component)]| pieces.iter().map(|(_, piece)| piece.area).max();
    // An edge is left out only where what remains is more than specks.
    let total = largest(&all().collect::<Vec<_>>())?;
    let candidates: Vec<(u32, &Component)> =
        if largest(&inner).is_some_and(|area| area * 100 >= total * SPECK) { inner } else { all().collect() };
    let (_, main) = candidates.iter().max_by_key(|(label, piece)| (piece.area, u32::MAX - label))?;
    let large: Vec<(u32, &Component)> =
        candidates.iter().filter(|(_, piece)| piece.area * 100 >= main.area * SPECK).copied().collect();
    let is_beside = |piece: &Component| {
        let apart = piece.bounds.right <= main.bounds.left || main.bounds.right <= piece.bounds.left;
        apart && piece.bounds.height() * 100 >= main.bounds.height() * BESIDE
    };
    let is_part = |piece: &Component| {
        !is_beside(piece) && piece.bounds.gap(&main.bounds) * 100 <= main.bounds.longer() * NEAR
    };
    let (parts, others): (Vec<_>, Vec<_>) = large.into_iter().partition(|(_, piece)| is_part(piece));
    let bounds = parts.iter().fold(main.bounds, |bounds: Bounds, (_, piece)| bounds.with(&piece.bounds));
    let labels: Vec<u32> = parts.iter().map(|(label, _)| *label).collect();
    let belongs = |x: usize, y: usize| labels.contains(&components.labels[y * ink.width + x]);
    Some(Subject {
        cutout: Cutout::of(ink, bounds, belongs)?,
        pieces: parts.len(),
        others: others.len(),
        has_neighbour: others.iter().any(|(_, piece)| is_beside(piece)),
    })
}

/// Whether a piece lies on much of a border.
fn is_along(ink: &Grey, components: &Components, piece: &Component) -> bool {
    let Bounds { left, top, right, bottom } = piece.bounds;
    let on_rows = (top == 0 || bottom == ink.height) && piece.bounds.width() * 100 >= ink.width * ALONG;
    let on_columns = (left == 0 || right == ink.width) && piece.bounds.height() * 100 >= ink.height * ALONG;
    (on_rows || on_columns) && components.all.len() > 1
}

#[cfg(test)]
mod tests {
    use super::super::components;
    use super::*;

    fn of(pieces: &[[usize; 4]]) -> Subject {
        let is_ink = |x: usize, y: usize| {
            let inside = |&[left, top, right, bottom]: &[usize; 4]| {
                (left..right).contains(&x) && (top..bottom).contains(&y)
            };
            pieces.iter().any(inside)
        };
        let bytes = (0..10_000).map(|at| if is_ink(at % 100, at / 100) { 255 } else { 0 }).collect();
        let ink = Grey { width: 100, height: 100, bytes };
        find(&ink, &components::find(&ink)).unwrap()
    }

    #[test]
    fn strokes_belong_together_and_specks_do_not() {
        let five = of(&[[40, 30, 50, 80], [52, 28, 70, 34], [5, 5, 7, 7], [0, 0, 100, 3]]);
        assert_eq!(five.cutout.bounds, Bounds { left: 40, top: 28, right: 70, bottom: 80 });
        assert_eq!((five.pieces, five.others, five.has_neighbour), (2, 0, false));
    }

    #[test]
    fn two_digits_are_no_digit() {
        let two = of(&[[20, 30, 30, 80], [40, 32, 52, 80]]);
        assert!(two.has_neighbour && two.pieces == 1 && two.others == 1);
    }

    #[test]
    fn a_digit_that_fills_the_picture_is_one() {
        assert_eq!(of(&[[0, 0, 100, 20], [50, 0, 70, 100]]).pieces, 1);
    }
}
