//! Pictures in another size, with the same bits on every machine.
//!
//! All of it is integer arithmetic, and a value is rounded once, at the end. Each axis is treated on its own:
//!
//! 1. Where it shrinks, a new pixel is the mean of the area that it covers; pixels at the border of that
//!    area count with the part that lies within.
//! 2. Where it grows, a new pixel lies between two old ones, and is weighted by its distance from their
//!    centres (bilinear). Beyond the outer centres the border's value goes on.
//! 3. Where it stays, nothing changes.
//!
//! [`Fit`] decides which part of the picture fills which part of the sample; both are whole pixels.

use super::options::{Fit, ImageSize};

/// A picture of `channels` bytes per pixel, `[height, width, channels]`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Pixels {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub bytes: Vec<u8>,
}

/// A part of an axis, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    start: usize,
    length: usize,
}

/// What one new pixel of an axis takes from the old ones: weights of consecutive pixels. Their sum is the
/// same for all new pixels.
struct Mix {
    first: usize,
    weights: Vec<u32>,
}

/// Fills `out`, `[size.height, size.width, channels]`, with the picture. Its sides are at most 2^15, so that
/// no sum overflows.
pub fn fill(picture: &Pixels, size: ImageSize, fit: Fit, out: &mut [u8]) {
    let channels = picture.channels;
    let [from_rows, from_columns, to_rows, to_columns] = spans(picture, size, fit);
    out.fill(0);
    let (rows, rows_total) = mixes(from_rows, to_rows.length);
    let (columns, columns_total) = mixes(from_columns, to_columns.length);
    let narrowed = narrow(picture, from_rows, &columns);
    let row_values = to_columns.length * channels;
    let total = rows_total * columns_total;
    for (row, Mix { first, weights }) in rows.iter().enumerate() {
        let start = ((to_rows.start + row) * size.width + to_columns.start) * channels;
        for (at, value) in out[start..start + row_values].iter_mut().enumerate() {
            let old = (*first - from_rows.start..).zip(weights);
            let sum: u64 = old
                .map(|(old, &weight)| u64::from(weight) * u64::from(narrowed[old * row_values + at]))
                .sum();
            // A mean of bytes is a byte.
            *value = ((sum + total / 2) / total) as u8;
        }
    }
}

/// Rows and columns of the picture that are used, and rows and columns of the sample that they fill.
fn spans(picture: &Pixels, size: ImageSize, fit: Fit) -> [Span; 4] {
    let whole = |length| Span { start: 0, length };
    let mut from = [whole(picture.height), whole(picture.width)];
    let mut to = [whole(size.height), whole(size.width)];
    // Products of two sides; the picture is wider than the sample if the first is larger.
    let across = picture.width * size.height;
    let down = picture.height * size.width;
    match fit {
        Fit::Stretch => {}
        Fit::Crop if across > down => from[1] = middle(picture.width, down, size.height),
        Fit::Crop => from[0] = middle(picture.height, across, size.width),
        Fit::Pad if across > down => to[0] = middle(size.height, down, picture.width),
        Fit::Pad => to[1] = middle(size.width, across, picture.height),
    }
    [from[0], from[1], to[0], to[1]]
}

/// The middle `numerator / denominator` pixels of an axis of `whole` pixels, rounded, and at least one.
fn middle(whole: usize, numerator: usize, denominator: usize) -> Span {
    let length = ((2 * numerator + denominator) / (2 * denominator)).clamp(1, whole);
    Span { start: (whole - length) / 2, length }
}

/// How `count` new pixels are made of the old ones in `from`, and the sum of the weights of each.
fn mixes(from: Span, count: usize) -> (Vec<Mix>, u64) {
    let length = from.length;
    if length >= count {
        // In units of 1 / count of an old pixel: a new pixel covers `length` of them.
        let mix = |new: usize| {
            let start = new * length;
            let end = start + length;
            let first = start / count;
            let last = (end - 1) / count;
            let within = |old: usize| (end.min((old + 1) * count) - start.max(old * count)) as u32;
            Mix { first: from.start + first, weights: (first..=last).map(within).collect() }
        };
        return ((0..count).map(mix).collect(), length as u64);
    }
    // In units of 1 / (2 * count) of an old pixel, counted from the centre of the first one.
    let unit = 2 * count;
    let mix = |new: usize| {
        let place = ((2 * new + 1) * length).saturating_sub(count).min((length - 1) * unit);
        let first = place / unit;
        let beyond = (place % unit) as u32;
        let weights = if beyond == 0 { vec![unit as u32] } else { vec![unit as u32 - beyond, beyond] };
        Mix { first: from.start + first, weights }
    };
    ((0..count).map(mix).collect(), unit as u64)
}

/// Sums of the columns for each of these rows, `[rows, new columns, channels]`. A weight is at most 2^15 and
/// their sum too, so a sum of bytes fits.
fn narrow(picture: &Pixels, rows: Span, columns: &[Mix]) -> Vec<u32> {
    let Pixels { width, channels, .. } = *picture;
    let mut sums = Vec::with_capacity(rows.length * columns.len() * channels);
    for row in rows.start..rows.start + rows.length {
        let old = &picture.bytes[row * width * channels..(row + 1) * width * channels];
        for Mix { first, weights } in columns {
            for channel in 0..channels {
                let pixels = old[first * channels..].iter().skip(channel).step_by(channels);
                sums.push(pixels.zip(weights).map(|(&byte, &weight)| u32::from(byte) * weight).sum());
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn grey(height: usize, width: usize, bytes: &[u8]) -> Pixels {
        Pixels { height, width, channels: 1, bytes: bytes.to_vec() }
    }

    fn filled(picture: &Pixels, height: usize, width: usize, fit: Fit) -> Vec<u8> {
        let mut out = vec![7; height * width * picture.channels];
        fill(picture, ImageSize { height, width }, fit, &mut out);
        out
    }

    #[test]
    fn a_shrunk_pixel_is_the_mean_of_its_area() {
        let picture = grey(2, 4, &[0, 10, 20, 30, 100, 110, 120, 130]);
        assert_eq!(filled(&picture, 1, 2, Fit::Stretch), [55, 75]);
        // Half of the middle pixel belongs to either side: (2 * 0 + 90) / 3 and (90 + 2 * 30) / 3.
        assert_eq!(filled(&grey(1, 3, &[0, 90, 30]), 1, 2, Fit::Stretch), [30, 50]);
        // Rounded half up, once.
        assert_eq!(filled(&grey(1, 2, &[0, 1]), 1, 1, Fit::Stretch), [1]);
    }

    #[test]
    fn a_grown_pixel_lies_between_the_centres_of_its_neighbours() {
        // What PyTorch's interpolate(mode="bilinear", align_corners=False) has: 0, 25, 75, 100.
        assert_eq!(filled(&grey(1, 2, &[0, 100]), 1, 4, Fit::Stretch), [0, 25, 75, 100]);
        assert_eq!(filled(&grey(2, 1, &[0, 100]), 4, 1, Fit::Stretch), [0, 25, 75, 100]);
        assert_eq!(filled(&grey(1, 1, &[9]), 2, 3, Fit::Stretch), [9; 6]);
    }

    #[test]
    fn crop_takes_the_middle_and_pad_leaves_black_around_it() {
        let wide = grey(2, 4, &[1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(filled(&wide, 2, 2, Fit::Crop), [2, 3, 6, 7]);
        assert_eq!(filled(&wide, 4, 4, Fit::Pad), [0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0]);
        let high = grey(4, 2, &[1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(filled(&high, 2, 2, Fit::Crop), [3, 4, 5, 6]);
        assert_eq!(filled(&high, 4, 4, Fit::Pad), [0, 1, 2, 0, 0, 3, 4, 0, 0, 5, 6, 0, 0, 7, 8, 0]);
    }

    #[test]
    fn channels_stay_apart() {
        let picture = Pixels { height: 1, width: 2, channels: 3, bytes: vec![0, 10, 20, 100, 110, 120] };
        assert_eq!(filled(&picture, 1, 1, Fit::Stretch), [50, 60, 70]);
    }

    #[test]
    fn the_longest_sides_do_not_overflow() {
        let picture = grey(1, 1 << 14, &[255; 1 << 14]);
        assert_eq!(filled(&picture, 256, 255, Fit::Stretch), [255; 256 * 255]);
        assert_eq!(filled(&picture, 1, 1, Fit::Crop), [255]);
        assert_eq!(filled(&picture, 2, 2, Fit::Pad), [255, 255, 0, 0]);
    }

    proptest! {
        #[test]
        fn every_fit_of_any_sizes_keeps_one_grey_and_the_same_size(
            from in [1usize..40, 1usize..40], to in [1usize..40, 1usize..40], value: u8, seed: u8
        ) {
            let [height, width] = from;
            let even = grey(height, width, &vec![value; height * width]);
            for fit in [Fit::Crop, Fit::Stretch] {
                prop_assert!(filled(&even, to[0], to[1], fit).iter().all(|&byte| byte == value));
            }
            prop_assert!(filled(&even, to[0], to[1], Fit::Pad).iter().all(|&byte| byte == value || byte == 0));
            let bytes: Vec<u8> = (0..height * width).map(|i| (i as u8).wrapping_mul(seed)).collect();
            for fit in [Fit::Crop, Fit::Stretch, Fit::Pad] {
                prop_assert_eq!(&filled(&grey(height, width, &bytes), height, width, fit), &bytes);
            }
        }

        #[test]
        fn rows_and_columns_are_treated_alike(from in [1usize..20, 1usize..20], to in [1usize..20, 1usize..20]) {
            let turned = |bytes: &[u8], height: usize, width: usize| -> Vec<u8> {
                (0..width).flat_map(|x| (0..height).map(move |y| (x, y))).map(|(x, y)| bytes[y * width + x]).collect()
            };
            let [height, width] = from;
            let bytes: Vec<u8> = (0..height * width).map(|i| (i * i * 31) as u8).collect();
            let straight = filled(&grey(height, width, &bytes), to[0], to[1], Fit::Stretch);
            let other = grey(width, height, &turned(&bytes, height, width));
            prop_assert_eq!(turned(&straight, to[0], to[1]), filled(&other, to[1], to[0], Fit::Stretch));
        }
    }
}
