//! What the paper would be like without ink: its brightness at each pixel.
//!
//! The picture is cut into cells. Paper is brighter than ink (a light-on-dark picture comes inverted), so
//! the brightness that a tenth of a cell exceeds is paper even where strokes fill most of the cell. A cell
//! that is darker than its neighbours on both sides is filled up to them (a closing, for strokes wider than
//! a cell). Between the centres of cells the brightness is interpolated, and it goes on beyond the outer
//! centres, so that an even slope is met exactly.

use super::grey::Grey;

/// Cells along the shorter side of a picture.
const CELLS: usize = 5;
/// Shortest and longest side of a cell, in pixels: enough pixels for a tenth; shadows on a large page.
const CELL_MIN: usize = 8;
const CELL_MAX: usize = 256;
/// Interpolation counts in such parts of a cell.
const PARTS: isize = 256;

/// Brightness of cells, row by row.
struct Cells {
    across: usize,
    down: usize,
    values: Vec<u8>,
}

/// Brightness of the paper at each pixel.
#[must_use]
pub fn brightness(picture: &Grey) -> Vec<i16> {
    let side = (picture.width.min(picture.height) / CELLS).clamp(CELL_MIN, CELL_MAX);
    let cells = Cells::of(picture, side).closed();
    let mut paper = Vec::with_capacity(picture.bytes.len());
    for y in 0..picture.height {
        let (row, below, part_down) = place(y, picture.height, cells.down);
        for x in 0..picture.width {
            let (column, right, part) = place(x, picture.width, cells.across);
            let value = |row: usize, column: usize| isize::from(cells.values[row * cells.across + column]);
            let along = |row| value(row, column) * (PARTS - part) + value(row, right) * part;
            let sum = along(row) * (PARTS - part_down) + along(below) * part_down;
            paper.push((sum / (PARTS * PARTS)).clamp(0, 255) as i16);
        }
    }
    paper
}

/// The two cells between whose centres a pixel lies, or the two nearest, and the part of the way to the
/// second one; beyond the centres it is less than nothing or more than all.
fn place(at: usize, length: usize, cells: usize) -> (usize, usize, isize) {
    let way = ((2 * at + 1) * cells * PARTS as usize / 2 / length) as isize - PARTS / 2;
    let first = (way.max(0) / PARTS).min(cells as isize - 2).max(0);
    let second = (first + 1).min(cells as isize - 1);
    (first as usize, second as usize, way - first * PARTS)
}

impl Cells {
    fn of(picture: &Grey, side: usize) -> Self {
        let [across, down] = [picture.width, picture.height].map(|length| (length / side).max(1));
        let mut values = Vec::with_capacity(across * down);
        for row in 0..down {
            let rows = row * picture.height / down..(row + 1) * picture.height / down;
            for column in 0..across {
                let columns = column * picture.width / across..(column + 1) * picture.width / across;
                let mut counts = [0usize; 256];
                for y in rows.clone() {
                    let line = &picture.bytes[y * picture.width..][columns.clone()];
                    line.iter().for_each(|&byte| counts[usize::from(byte)] += 1);
                }
                values.push(exceeded_by_a_tenth(&counts));
            }
        }
        Self { across, down, values }
    }

    /// Each cell at least as bright as what lies on both sides of it.
    fn closed(self) -> Self {
        let brighter = self.near(Iterator::max);
        brighter.eroded(&self)
    }

    /// The darkest of the neighbours, of which those beyond the border are as in `open`.
    fn eroded(&self, open: &Self) -> Self {
        let mut darker = self.near(Iterator::min);
        let (right, bottom) = (self.across - 1, self.down - 1);
        for (at, value) in darker.values.iter_mut().enumerate() {
            let (x, y) = (at % self.across, at / self.across);
            if x == 0 || y == 0 || x == right || y == bottom {
                // Nothing lies beyond a border, so nothing is filled up there.
                *value = (*value).min(open.values[at]);
            }
        }
        darker
    }

    fn near(&self, choose: impl Fn(std::vec::IntoIter<u8>) -> Option<u8>) -> Self {
        let mut values = Vec::with_capacity(self.values.len());
        for y in 0..self.down {
            for x in 0..self.across {
                let rows = y.saturating_sub(1)..(y + 2).min(self.down);
                let columns = x.saturating_sub(1)..(x + 2).min(self.across);
                let near: Vec<u8> = rows
                    .flat_map(|row| self.values[row * self.across..][columns.clone()].iter().copied())
                    .collect();
                values.push(choose(near.into_iter()).unwrap_or(0));
            }
        }
        Self { values, ..*self }
    }
}

fn exceeded_by_a_tenth(counts: &[usize; 256]) -> u8 {
    let total: usize = counts.iter().sum();
    let mut above = 0;
    for value in (0..=255u8).rev() {
        above += counts[usize::from(value)];
        if above * 10 > total {
            return value;
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_slope_is_met_and_strokes_are_not_seen() {
        let (width, height) = (100, 80);
        let mut bytes: Vec<u8> = (0..width * height).map(|at| 100 + (at % width) as u8).collect();
        let slope = bytes.clone();
        for y in 20..60 {
            bytes[y * width + 40..y * width + 52].fill(20);
        }
        let paper = brightness(&Grey { width, height, bytes });
        for (at, (&paper, &real)) in paper.iter().zip(&slope).enumerate() {
            // A tenth of a cell of 16 exceeds its mean by 6.
            assert!((paper - i16::from(real) - 6).abs() <= 8, "{at}: {paper} for {real}");
        }
    }

    #[test]
    fn a_picture_of_one_pixel_or_one_row_has_paper() {
        assert_eq!(brightness(&Grey { width: 1, height: 1, bytes: vec![7] }), [7]);
        let row = Grey { width: 50, height: 1, bytes: vec![9; 50] };
        assert_eq!(brightness(&row), [9; 50]);
    }
}
