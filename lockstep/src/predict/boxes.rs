//! A copy of a picture, in which what was read stands in boxes.

use super::Seen;
use super::components::Bounds;
use super::report;
use common::data::classes::ClassNames;
use image::{Rgb, RgbImage};

/// Boxes of digits, and of what is none.
const DIGIT: Rgb<u8> = Rgb([0, 160, 60]);
const OTHER: Rgb<u8> = Rgb([220, 40, 40]);
/// Lines are one of so many parts of the picture's longer side thick.
const THIN: u32 = 500;
/// A box is so many times as high as a pixel of its character.
const PIXELS: usize = 28;
/// Width and height of characters.
const WIDTH: u32 = 5;
const HEIGHT: u32 = 7;

/// The characters 0 to 9 and the question mark: rows from top to bottom, the left pixel in the highest of 5
/// bits.
const FONT: [[u8; HEIGHT as usize]; 11] = [
    [0b01110, 0b10001, 0b10011, 0b10101, 0b11001, 0b10001, 0b01110],
    [0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110],
    [0b01110, 0b10001, 0b00001, 0b00010, 0b00100, 0b01000, 0b11111],
    [0b11111, 0b00010, 0b00100, 0b00010, 0b00001, 0b10001, 0b01110],
    [0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010],
    [0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110],
    [0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110],
    [0b11111, 0b00001, 0b00010, 0b00100, 0b01000, 0b01000, 0b01000],
    [0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110],
    [0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100],
    [0b01110, 0b10001, 0b00001, 0b00010, 0b00100, 0b00000, 0b00100],
];

/// Draws a box around each thing, with its digit above, or below at the upper border.
pub fn draw(picture: &mut RgbImage, seen: &[Seen], classes: &ClassNames) {
    let thick = (picture.width().max(picture.height()) / THIN).max(1);
    for seen in seen {
        let Some(bounds) = seen.bounds else { continue };
        let text = report::character(seen, classes);
        let color = if seen.doubt.is_none() { DIGIT } else { OTHER };
        let size = (bounds.height() / PIXELS).max(1) as u32;
        let [left, top, right, bottom] = around(&bounds, thick);
        // Two bars across, two down.
        fill(picture, [left, top, right, top + thick], color);
        fill(picture, [left, bottom.saturating_sub(thick), right, bottom], color);
        fill(picture, [left, top, left + thick, bottom], color);
        fill(picture, [right.saturating_sub(thick), top, right, bottom], color);
        let above = top.checked_sub((HEIGHT + 1) * size);
        write(picture, text, [left, above.unwrap_or(bottom + size)], size, color);
    }
}

/// The rectangle that has the box within its lines.
fn around(bounds: &Bounds, thick: u32) -> [u32; 4] {
    let Bounds { left, top, right, bottom } = *bounds;
    let [left, top, right, bottom] = [left, top, right, bottom].map(|place| place as u32);
    [left.saturating_sub(2 * thick), top.saturating_sub(2 * thick), right + 2 * thick, bottom + 2 * thick]
}

/// Colours what lies in the picture of a rectangle: left, top, right, bottom.
fn fill(picture: &mut RgbImage, [left, top, right, bottom]: [u32; 4], color: Rgb<u8>) {
    for y in top..bottom.min(picture.height()) {
        for x in left..right.min(picture.width()) {
            picture.put_pixel(x, y, color);
        }
    }
}

/// Writes the characters that the font has.
fn write(picture: &mut RgbImage, text: &str, [left, top]: [u32; 2], size: u32, color: Rgb<u8>) {
    for (at, character) in (0..).zip(text.chars()) {
        let place = character.to_digit(10).unwrap_or(FONT.len() as u32 - 1);
        let left = left + at * (WIDTH + 1) * size;
        for (y, row) in (0..).zip(FONT[place as usize]) {
            for x in (0..WIDTH).filter(|x| row >> (WIDTH - 1 - x) & 1 == 1) {
                let [left, top] = [left + x * size, top + y * size];
                fill(picture, [left, top, left + size, top + size], color);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::novelty::Doubt;
    use super::super::reader::Verdict;
    use super::*;

    fn seen(class: usize, doubt: Option<Doubt>, bounds: [usize; 4]) -> Seen {
        let mut probabilities = vec![0.0; 10];
        probabilities[class] = 1.0;
        let [left, top, right, bottom] = bounds;
        let verdict = Some(Verdict { probabilities, agreeing: [5, 5] });
        Seen { verdict, doubt, bounds: Some(Bounds { left, top, right, bottom }), input: Vec::new() }
    }

    #[test]
    fn boxes_and_digits_are_drawn_and_nothing_beyond_the_picture() {
        let mut picture = RgbImage::from_pixel(60, 60, Rgb([255; 3]));
        let all = [seen(7, None, [20, 20, 30, 40]), seen(0, Some(Doubt::Unsure), [50, 0, 60, 60])];
        draw(&mut picture, &all, &ClassNames::numbers(10));
        assert_eq!([picture[(18, 18)], picture[(31, 41)], picture[(24, 30)]], [DIGIT, DIGIT, Rgb([255; 3])]);
        // The bar of a 7, and its right side.
        let bar: Vec<bool> = (17..25).map(|x| picture[(x, 10)] == DIGIT).collect();
        assert_eq!(bar, [false, true, true, true, true, true, false, false]);
        assert_eq!([picture[(22, 11)], picture[(18, 11)]], [DIGIT, Rgb([255; 3])]);
        assert_eq!(picture[(48, 30)], OTHER);
    }
}
