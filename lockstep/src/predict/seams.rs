//! Where a line of digits may be cut: paths from top to bottom through as little ink as possible.
//!
//! Slanted digits overlap, and some touch, so a cut is no straight line: from row to row it moves by a column
//! at most; it crosses the middle row in the column that it is for, and stays near it. A cut between digits
//! crosses nothing, one between digits that touch a stroke.

use super::grey::Grey;
use super::ink::LOW;
use std::ops::RangeInclusive;

/// A cut lies within so many hundredths of the line's height of its column.
const REACH: usize = 40;
/// Columns are apart by so many hundredths of the line's height.
const APART: usize = 8;
/// A step aside costs as much as so much ink.
const ASIDE: u32 = 6;
/// More than any cut costs: 2^14 rows of full ink are less.
const CLOSED: u32 = 1 << 24;
/// A cut crosses at most so much ink, in full pixels for each hundred of the line's height: about two
/// strokes.
const CROSSED_MAX: usize = 34;

/// A cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seam {
    /// First column behind it, in each row.
    pub columns: Vec<usize>,
    /// Ink that it crosses, in full pixels.
    pub crossed: usize,
}

/// Cuts from left to right, each behind the one before it in every row; the first is the left border and the
/// last the right one. `height` is that of the line's digits.
#[must_use]
pub fn all(ink: &Grey, height: usize) -> Vec<Seam> {
    let border = |column| Seam { columns: vec![column; ink.height], crossed: 0 };
    let reach = (height * REACH / 100).max(1);
    let step = (height * APART / 100).max(1);
    let mut seams = vec![border(0)];
    for column in (step..ink.width).step_by(step) {
        let (left, right) = (column.saturating_sub(reach), (column + reach).min(ink.width - 1));
        let seam = best(ink, left..=right, column, step / 2);
        if seam.crossed * 100 > CROSSED_MAX * height {
            continue;
        }
        add(ink, &mut seams, seam);
    }
    add(ink, &mut seams, border(ink.width));
    seams
}

/// Adds a cut behind the last one, if ink lies between them; otherwise the one that crosses less stays.
fn add(ink: &Grey, seams: &mut Vec<Seam>, mut seam: Seam) {
    if let Some(last) = seams.last() {
        seam.columns.iter_mut().zip(&last.columns).for_each(|(own, &other)| *own = (*own).max(other));
        let between = last.columns.iter().zip(&seam.columns).enumerate();
        let mut between = between.flat_map(|(row, (&from, &to))| &ink.bytes[row * ink.width..][from..to]);
        if !between.any(|&ink| ink >= LOW) {
            if seam.crossed < last.crossed {
                seams.pop();
            } else {
                return;
            }
        }
    }
    seams.push(seam);
}

/// The path through least ink within these columns, of those that cross the middle row near one of them.
fn best(ink: &Grey, within: RangeInclusive<usize>, column: usize, near: usize) -> Seam {
    let (left, right) = (*within.start(), *within.end());
    let width = right - left + 1;
    let mut costs = vec![0u32; width];
    let mut from: Vec<i8> = Vec::with_capacity(width * ink.height);
    for row in 0..ink.height {
        let line = &ink.bytes[row * ink.width + left..=row * ink.width + right];
        let mut next = Vec::with_capacity(width);
        for x in 0..width {
            let mut cheapest = (costs[x], 0);
            if x > 0 && costs[x - 1] + ASIDE < cheapest.0 {
                cheapest = (costs[x - 1] + ASIDE, -1);
            }
            if x + 1 < width && costs[x + 1] + ASIDE < cheapest.0 {
                cheapest = (costs[x + 1] + ASIDE, 1);
            }
            let is_closed = row == ink.height / 2 && (left + x).abs_diff(column) > near;
            let closed = if is_closed { CLOSED } else { 0 };
            next.push(cheapest.0 + u32::from(line[x]) + closed);
            from.push(cheapest.1);
        }
        costs = next;
    }
    // Of equals the one nearest to the middle, so that a gap is cut where the column is.
    let far = |x: usize| (left + x).abs_diff(column);
    let mut x = (0..width).min_by_key(|&x| (costs[x], far(x))).unwrap_or(0);
    let mut columns = vec![0; ink.height];
    let mut crossed = 0;
    for row in (0..ink.height).rev() {
        columns[row] = left + x;
        crossed += usize::from(ink.bytes[row * ink.width + left + x]);
        x = x.saturating_add_signed(from[row * width + x].into());
    }
    Seam { columns, crossed: crossed / 255 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_goes_between_slanted_strokes_and_through_a_bridge() {
        let is_ink = |x: usize, y: usize| {
            let slanted = x + y / 2;
            (40..48).contains(&slanted) || (60..68).contains(&slanted) || (y == 20 && (20..60).contains(&x))
        };
        let bytes = (0..4000).map(|at| if is_ink(at % 80, at / 80) { 255 } else { 0 }).collect();
        let ink = Grey { width: 80, height: 50, bytes };
        let seams = all(&ink, 50);
        assert!(seams.windows(2).all(|two| two[0].columns.iter().zip(&two[1].columns).all(|(a, b)| a <= b)));
        let between = seams.iter().find(|seam| seam.columns[20] > 40 && seam.columns[20] < 50).unwrap();
        assert_eq!(between.crossed, 1);
        let line = Grey { width: 1, height: 1, bytes: vec![255] };
        assert_eq!(all(&line, 1).len(), 2);
    }
}
