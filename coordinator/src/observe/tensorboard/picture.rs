//! A confusion matrix as a picture: a row for each true class, a column for each predicted one. The darker a
//! cell, the larger its share of the row. Where there are few classes, a cell shows that share in percent and
//! the rows and columns are numbered.

use super::proto::Image;
use common::train::metrics::Confusion;
use image::{ImageFormat, Rgb, RgbImage};
use std::io::Cursor;

/// Most classes whose cells have numbers.
const NUMBERED_MAX: usize = 16;
/// Side of a cell with a number, in pixels.
const CELL: u32 = 30;
/// Room for the numbers of rows and columns.
const MARGIN: u32 = 22;
/// Side that pictures without numbers have at least, where a cell is larger than a pixel.
const SIDE: u32 = 512;
/// Most classes of a picture.
const CLASSES_MAX: usize = 1024;
/// Pixels of a picture for each of a digit.
const SCALE: u32 = 2;

const PAPER: Rgb<u8> = Rgb([255, 255, 255]);
const INK: Rgb<u8> = Rgb([40, 40, 40]);
/// Colour of a whole row.
const FULL: [u8; 3] = [8, 48, 107];

/// Digits of three by five pixels: a number for each line, whose bits are the pixels, the left one highest.
const DIGITS: [[u8; 5]; 10] = [
    [7, 5, 5, 5, 7],
    [2, 6, 2, 2, 7],
    [7, 1, 7, 4, 7],
    [7, 1, 7, 1, 7],
    [5, 5, 7, 1, 1],
    [7, 4, 7, 1, 7],
    [7, 4, 7, 5, 7],
    [7, 1, 1, 2, 2],
    [7, 5, 7, 5, 7],
    [7, 5, 7, 1, 7],
];

/// The picture as PNG; `None` for no classes or too many.
pub(super) fn of_confusion(confusion: &Confusion) -> Option<Image> {
    let classes = confusion.classes();
    if classes == 0 || classes > CLASSES_MAX {
        return None;
    }
    let has_numbers = classes <= NUMBERED_MAX;
    let cell = if has_numbers { CELL } else { (SIDE / classes as u32).max(1) };
    let margin = if has_numbers { MARGIN } else { 0 };
    let side = margin + cell * classes as u32;
    let mut canvas = RgbImage::from_pixel(side, side, PAPER);
    for label in 0..classes {
        let row = confusion.row(label);
        let samples: u64 = row.iter().sum();
        for (guess, &count) in row.iter().enumerate() {
            let share = if samples == 0 { 0.0 } else { count as f64 / samples as f64 };
            let corner = [guess, label].map(|at| margin + cell * at as u32);
            fill(&mut canvas, corner, cell, shade(share));
            if has_numbers && count > 0 {
                let colour = if share > 0.5 { PAPER } else { INK };
                number(&mut canvas, corner.map(|at| at + cell / 2), (100.0 * share).round() as u32, colour);
            }
        }
        if has_numbers {
            let middle = margin + cell * label as u32 + cell / 2;
            number(&mut canvas, [margin / 2, middle], label as u32, INK);
            number(&mut canvas, [middle, margin / 2], label as u32, INK);
        }
    }
    let mut png = Cursor::new(Vec::new());
    canvas.write_to(&mut png, ImageFormat::Png).ok()?;
    let [height, width] = [side as i32; 2];
    Some(Image { height, width, colorspace: 3, encoded_image_string: png.into_inner() })
}

/// Between paper and the full colour.
fn shade(share: f64) -> Rgb<u8> {
    let mix = |channel: usize| {
        let [from, to] = [PAPER.0[channel], FULL[channel]].map(f64::from);
        (from + share * (to - from)).round() as u8
    };
    Rgb([mix(0), mix(1), mix(2)])
}

fn fill(canvas: &mut RgbImage, [left, top]: [u32; 2], side: u32, colour: Rgb<u8>) {
    (top..top + side).for_each(|y| (left..left + side).for_each(|x| canvas.put_pixel(x, y, colour)));
}

/// Writes a number of at most three digits around a point.
fn number(canvas: &mut RgbImage, [x, y]: [u32; 2], number: u32, colour: Rgb<u8>) {
    let digits: Vec<u32> = number.to_string().bytes().map(|digit| u32::from(digit - b'0')).collect();
    let width = (4 * digits.len() as u32 - 1) * SCALE;
    let [left, top] = [x - width / 2, y - 5 * SCALE / 2];
    for (at, &digit) in (0..).zip(&digits) {
        for (line, &bits) in (0..).zip(&DIGITS[digit as usize]) {
            for column in (0..3).filter(|column| bits >> (2 - column) & 1 == 1) {
                let corner = [left + (4 * at + column) * SCALE, top + line * SCALE];
                fill(canvas, corner, SCALE, colour);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixels(image: &Image) -> RgbImage {
        image::load_from_memory_with_format(&image.encoded_image_string, ImageFormat::Png)
            .unwrap()
            .into_rgb8()
    }

    #[test]
    fn a_row_is_normalised_and_an_empty_one_is_paper() {
        let mut confusion = Confusion::new(3);
        [(0, 0), (0, 0), (0, 1), (1, 2)].iter().for_each(|&(label, guess)| confusion.count(label, guess, 5));
        let image = of_confusion(&confusion).unwrap();
        let pixels = pixels(&image);
        assert_eq!((pixels.width() as i32, pixels.height() as i32), (image.width, image.height));
        let corner = |label: u32, guess: u32| *pixels.get_pixel(MARGIN + CELL * guess, MARGIN + CELL * label);
        assert_eq!(corner(0, 0), shade(2.0 / 3.0));
        assert_eq!(corner(0, 1), shade(1.0 / 3.0));
        assert_eq!(corner(1, 2), Rgb(FULL));
        for guess in 0..3 {
            assert_eq!(corner(2, guess), PAPER, "no sample is of class 2");
        }
    }

    #[test]
    fn pictures_of_any_number_of_classes_are_small() {
        for classes in [1, 2, 16, 17, 256, CLASSES_MAX] {
            let mut confusion = Confusion::new(classes);
            (0..classes as u16).for_each(|class| confusion.count(class, class, 1000));
            let image = of_confusion(&confusion).unwrap();
            assert!(image.width <= 1024 && image.encoded_image_string.len() < 100_000, "{classes}");
            let pixels = pixels(&image);
            assert_eq!(*pixels.get_pixel(pixels.width() - 1, pixels.height() - 1), Rgb(FULL));
        }
        assert_eq!(of_confusion(&Confusion::new(0)), None);
        assert_eq!(of_confusion(&Confusion::new(CLASSES_MAX + 1)), None);
    }
}
