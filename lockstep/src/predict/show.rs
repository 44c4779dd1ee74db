//! What a model saw, as characters: two rows of pixels in each line of text.

use std::fmt::Write as _;

/// Two pixels above each other: none, the upper, the lower, both.
const HALVES: [char; 4] = [' ', '▀', '▄', '█'];
/// Pixels from this value on are ink.
const INK: u8 = 96;

/// An image of `width` columns with one channel, as text; its lines have a frame on both sides.
#[must_use]
pub fn drawn(pixels: &[u8], width: usize) -> String {
    let mut text = String::new();
    let rows: Vec<&[u8]> = pixels.chunks_exact(width).collect();
    for pair in rows.chunks(2) {
        let is_ink = |row: usize, x: usize| pair.get(row).is_some_and(|row| row[x] >= INK);
        let halves = (0..width).map(|x| HALVES[usize::from(is_ink(0, x)) + 2 * usize::from(is_ink(1, x))]);
        // Writing to a string can't fail.
        let _ = writeln!(text, "|{}|", halves.collect::<String>());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_rows_are_a_line() {
        assert_eq!(drawn(&[255, 0, 0, 255, 0, 255, 0, 255, 0], 3), "|█ ▄|\n| ▀ |\n");
        assert_eq!(drawn(&[255, 255, 0, 255], 2), "|▀█|\n");
    }
}
