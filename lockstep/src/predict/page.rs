//! The rows of digits of a page, from top to bottom.
//!
//! 1. The height of digits is the median of the pieces' heights, each weighted by its height, so that neither
//!    specks nor a frame decide.
//! 2. From left to right each piece of about that height joins the row whose last pieces lie at its own
//!    height, or begins a row: so a row may slope. What is much higher is no digit.
//! 3. Smaller pieces join the row of the piece that is nearest to them, if one is near.

use super::components::{self, Bounds, Component, Components};
use super::glyph::Cutout;
use super::grey::Grey;
use super::ink::HIGH;
use super::novelty::SIDE_MIN;

/// In hundredths of the digits' height: a piece of less begins no row, one of more is no digit.
const SMALL: usize = 45;
const LARGE: usize = 250;
/// A piece is in a row if the middles of both are apart by at most so many hundredths of the digits' height.
const OFF: usize = 60;
/// A small piece belongs to another that is so near, in hundredths of the digits' height.
const NEAR: usize = 50;
/// Most pieces of ink that are looked at: a page of small digits has some thousands.
const PIECES_MAX: usize = 20_000;

/// Pieces that lie beside each other.
struct Row {
    /// Twice the row of pixels in their middle, followed from left to right.
    middle: usize,
    /// Sum of the pieces' middles, and their number.
    sum: usize,
    count: usize,
    /// Their labels.
    labels: Vec<usize>,
}

/// The ink of each row, from top to bottom; `None` where there are more pieces than a page of digits has.
#[must_use]
pub fn rows(ink: &Grey) -> Option<Vec<Cutout>> {
    let components = components::find(ink);
    let Some(height) = height(&components) else { return Some(Vec::new()) };
    let of_height = |from: usize, to: usize| {
        let kept = components.all.iter().enumerate().filter(move |(_, piece)| {
            piece.peak >= HIGH && (from..to).contains(&(piece.bounds.height() * 100 / height))
        });
        kept.collect::<Vec<_>>()
    };
    let (mut tall, small) = (of_height(SMALL, LARGE), of_height(0, SMALL));
    if tall.len() + small.len() > PIECES_MAX {
        return None;
    }
    tall.sort_by_key(|(_, piece)| piece.bounds.left);
    let mut rows: Vec<Row> = Vec::new();
    for &(at, piece) in &tall {
        let middle = middle(&piece.bounds);
        let near = rows.iter_mut().min_by_key(|row| row.middle.abs_diff(middle));
        match near.filter(|row| row.middle.abs_diff(middle) * 100 <= 2 * OFF * height) {
            Some(row) => row.add(at, middle),
            None => rows.push(Row { middle, sum: middle, count: 1, labels: vec![at] }),
        }
    }
    rows.sort_by_key(|row| row.sum / row.count);
    Some(cutouts(ink, &components, &rows, &small, height))
}

/// Height of the page's digits.
fn height(components: &Components) -> Option<usize> {
    let heights = components.all.iter().filter(|piece| piece.peak >= HIGH).map(|piece| piece.bounds.height());
    let mut heights: Vec<usize> = heights.filter(|&height| height >= SIDE_MIN).collect();
    heights.sort_unstable();
    let total: usize = heights.iter().sum();
    let mut below = 0;
    heights.into_iter().find(|&height| {
        below += height;
        2 * below >= total
    })
}

/// Twice the row of pixels in the middle.
fn middle(bounds: &Bounds) -> usize {
    bounds.top + bounds.bottom
}

fn cutouts(
    ink: &Grey,
    components: &Components,
    rows: &[Row],
    small: &[(usize, &Component)],
    height: usize,
) -> Vec<Cutout> {
    // The row of each piece, counted from 1.
    let mut row_of = vec![0u32; components.all.len()];
    for (number, row) in (1..).zip(rows) {
        row.labels.iter().for_each(|&at| row_of[at] = number);
    }
    let tall: Vec<usize> = (0..row_of.len()).filter(|&at| row_of[at] > 0).collect();
    for &(at, piece) in small {
        let gap = |other: usize| components.all[other].bounds.gap(&piece.bounds);
        let nearest = tall.iter().copied().min_by_key(|&other| gap(other));
        if let Some(other) = nearest.filter(|&other| gap(other) * 100 <= NEAR * height) {
            row_of[at] = row_of[other];
        }
    }
    let mut bounds: Vec<Option<Bounds>> = vec![None; rows.len() + 1];
    for (piece, &row) in components.all.iter().zip(&row_of) {
        let bounds = &mut bounds[row as usize];
        *bounds = Some(bounds.map_or(piece.bounds, |bounds| bounds.with(&piece.bounds)));
    }
    let cutout = |(number, bounds): (u32, Option<Bounds>)| {
        let belongs = |x: usize, y: usize| {
            let label = components.labels[y * ink.width + x] as usize;
            label > 0 && row_of[label - 1] == number
        };
        Cutout::of(ink, bounds?, belongs)
    };
    (1..).zip(bounds.into_iter().skip(1)).filter_map(cutout).collect()
}

impl Row {
    fn add(&mut self, at: usize, middle: usize) {
        self.middle = (3 * self.middle + middle) / 4;
        self.sum += middle;
        self.count += 1;
        self.labels.push(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ink in these rectangles: left, top, right, bottom.
    fn drawn(width: usize, height: usize, pieces: &[[usize; 4]]) -> Grey {
        let is_ink = |x: usize, y: usize| {
            let inside = |&[left, top, right, bottom]: &[usize; 4]| {
                (left..right).contains(&x) && (top..bottom).contains(&y)
            };
            pieces.iter().any(inside)
        };
        let pixel = |at: usize| if is_ink(at % width, at / width) { 220 } else { 0 };
        Grey { width, height, bytes: (0..width * height).map(pixel).collect() }
    }

    #[test]
    fn sloping_rows_are_parted_and_small_pieces_join_the_nearest() {
        let mut pieces = Vec::new();
        // Over the page a row falls by more than its own height.
        for (row, digit) in (0..3).flat_map(|row| (0..12).map(move |digit| (row, digit))) {
            let (left, top) = (20 + 40 * digit, 20 + 50 * row + 4 * digit);
            pieces.push([left, top, left + 12, top + 30]);
        }
        // A speck near the last digit of the second row, one near none, and a frame's side.
        pieces.extend([[474, 112, 478, 116], [100, 230, 104, 234], [495, 0, 499, 240]]);
        let rows = rows(&drawn(500, 240, &pieces)).unwrap();
        let bounds: Vec<Bounds> = rows.iter().map(|row| row.bounds).collect();
        assert_eq!(bounds.iter().map(|bounds| bounds.top).collect::<Vec<_>>(), [20, 70, 120]);
        assert_eq!(bounds.iter().map(|bounds| bounds.right).collect::<Vec<_>>(), [472, 478, 472]);
        assert_eq!(components::find(&rows[0].ink).all.len(), 12);
    }

    #[test]
    fn a_page_without_ink_has_no_rows_and_one_of_specks_is_refused() {
        assert!(rows(&drawn(50, 50, &[])).unwrap().is_empty());
        let (width, height) = (900, 900);
        let is_speck = |at: usize| (at % width).is_multiple_of(4) && (at / width).is_multiple_of(8);
        let mut specks = drawn(width, height, &[[2, 0, 3, 20]]);
        specks.bytes.iter_mut().enumerate().for_each(|(at, byte)| *byte |= 220 * u8::from(is_speck(at)));
        assert!(rows(&specks).is_none());
    }
}
