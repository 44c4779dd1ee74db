//! How much ink is at each pixel of a picture, whatever the paper: 0 for paper, 255 for a full stroke.
//!
//! 1. Where neighbours differ by more than drawing makes them, each pixel becomes the median of its
//!    neighbourhood (`NOISE_MAX`).
//! 2. Ink is what there is less of. In each part of the picture the pixels far from the median lie on the
//!    side of the ink (`is_light_on_dark`); a light-on-dark picture is inverted.
//! 3. Ink is what is darker than the paper ([`paper`]) by more than the paper's own roughness.
//! 4. The threshold of Otsu (1979) parts paper and ink. The mean of the ink is a full stroke; if it is too
//!    faint, nothing is written there (`FAINT`, `ROUGHNESSES`). The greys of a stroke's edge stay.

use super::grey::Grey;
use super::paper;

/// Standard deviation of noise from which the picture is smoothed, in grey levels.
const NOISE_MAX: i32 = 5;
/// Shortest side of a picture that is smoothed: smaller ones have strokes of few pixels.
const SMOOTHED_MIN: usize = 40;
/// Least difference of a full stroke from paper, in grey levels: pencil has more.
const FAINT: i32 = 24;
/// A full stroke is so many times further from paper than paper's roughness.
const ROUGHNESSES: i32 = 5;
/// Least ink of a pixel that belongs to a stroke; a stroke's fringe has less.
pub const LOW: u8 = 76;
/// Each stroke has at least a pixel with so much ink.
pub const HIGH: u8 = 140;

/// The ink of a picture; `None` if there is none.
#[must_use]
pub fn find(picture: &Grey) -> Option<Grey> {
    let is_noisy = picture.width.min(picture.height) >= SMOOTHED_MIN && noise(picture) >= NOISE_MAX;
    let mut picture = if is_noisy { picture.median() } else { picture.clone() };
    if is_light_on_dark(&picture) {
        picture.bytes.iter_mut().for_each(|byte| *byte = 255 - *byte);
    }
    let paper = paper::brightness(&picture);
    let darker: Vec<i16> =
        paper.iter().zip(&picture.bytes).map(|(&paper, &byte)| paper - i16::from(byte)).collect();
    let middle = i32::from(median(&darker));
    let off: Vec<i16> =
        darker.iter().map(|&value| (i32::from(value) - middle).unsigned_abs() as i16).collect();
    // Of a normal distribution the standard deviation is 1.4826 medians of the absolute differences.
    let roughness = i32::from(median(&off)) * 3 / 2;
    let level = |value: i16| (i32::from(value) - middle).clamp(0, 255);
    let mut counts = [0u64; 256];
    darker.iter().for_each(|&value| counts[level(value) as usize] += 1);
    let full = mean_above(&counts, otsu(&counts));
    if full < FAINT.max(ROUGHNESSES * roughness) {
        return None;
    }
    let floor = (2 * roughness).clamp(full / 16, full / 4);
    let ink = |&value: &i16| ((level(value) - floor) * 255 / (full - floor)).clamp(0, 255) as u8;
    Some(Grey { bytes: darker.iter().map(ink).collect(), ..picture })
}

/// Standard deviation of the noise: second differences along rows, whose median drawing does not move.
fn noise(picture: &Grey) -> i32 {
    let rows = picture.bytes.chunks_exact(picture.width);
    let seconds: Vec<i16> = rows
        .flat_map(|row| row.windows(3).map(|three| [three[0], three[1], three[2]].map(i16::from)))
        .map(|[left, middle, right]| (left - 2 * middle + right).abs())
        .collect();
    // The median of |N(0, 6 s²)| is 1.652 s.
    i32::from(median(&seconds)) * 100 / 165
}

/// Whether ink is lighter than paper: whether the pixels far from the median of their part of the picture
/// are the lighter ones, weighted by the square of the distance.
fn is_light_on_dark(picture: &Grey) -> bool {
    /// Parts along the shorter side: ink fills less than half of each.
    const PARTS: usize = 2;
    let side = (picture.width.min(picture.height) / PARTS).max(32);
    let [across, down] = [picture.width, picture.height].map(|length| length.div_ceil(side));
    let mut sum = 0i64;
    for part in 0..across * down {
        let (column, row) = (part % across, part / across);
        let columns = column * picture.width / across..(column + 1) * picture.width / across;
        let mut counts = [0i64; 256];
        for y in row * picture.height / down..(row + 1) * picture.height / down {
            let line = &picture.bytes[y * picture.width..][columns.clone()];
            line.iter().for_each(|&byte| counts[usize::from(byte)] += 1);
        }
        let total: i64 = counts.iter().sum();
        let mut below = 0;
        let middle = counts.iter().position(|&count| {
            below += count;
            2 * below >= total
        });
        let middle = middle.unwrap_or(0) as i64;
        let weighted = (0..).zip(counts).map(|(value, count)| {
            let far: i64 = value - middle;
            count * far * far.abs()
        });
        sum += weighted.sum::<i64>();
    }
    sum > 0
}

/// The median of values between -255 and 1,023; 0 of none.
fn median(values: &[i16]) -> i16 {
    let mut counts = [0usize; 1280];
    values.iter().for_each(|&value| counts[(value + 256).clamp(0, 1279) as usize] += 1);
    let mut below = 0;
    let middle = counts.iter().position(|&count| {
        below += count;
        2 * below >= values.len()
    });
    if values.is_empty() { 0 } else { middle.map_or(0, |at| at as i16 - 256) }
}

/// The value up to which everything is of the lower class, by Otsu's criterion: the largest variance between
/// both.
fn otsu(counts: &[u64; 256]) -> usize {
    let total: u64 = counts.iter().sum();
    let all: u64 = (0..).zip(counts).map(|(value, count)| value * count).sum();
    let (mut below, mut of_below) = (0u64, 0u64);
    let (mut best, mut largest) = (0, -1.0);
    for (value, &count) in counts.iter().enumerate() {
        below += count;
        of_below += value as u64 * count;
        let above = total - below;
        if below == 0 || above == 0 {
            continue;
        }
        let means = [of_below as f64 / below as f64, (all - of_below) as f64 / above as f64];
        let between = below as f64 * above as f64 * (means[1] - means[0]) * (means[1] - means[0]);
        if between > largest {
            (best, largest) = (value, between);
        }
    }
    best
}

/// The mean of the values above this one; 0 if there is none.
fn mean_above(counts: &[u64; 256], value: usize) -> i32 {
    let above = || (value + 1..256).zip(&counts[value + 1..]);
    let count: u64 = above().map(|(_, &count)| count).sum();
    let sum: u64 = above().map(|(value, &count)| value as u64 * count).sum();
    (sum / count.max(1)) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A vertical stroke 6 pixels wide on paper that gets darker to the right.
    fn stroke(paper: impl Fn(usize) -> u8, ink: u8) -> Grey {
        let pixel = |at: usize| {
            let (x, y) = (at % 60, at / 60);
            if (27..33).contains(&x) && (10..50).contains(&y) { ink } else { paper(x) }
        };
        Grey { width: 60, height: 60, bytes: (0..3600).map(pixel).collect() }
    }

    fn assert_is_stroke(ink: Option<Grey>) {
        let ink = ink.expect("a stroke");
        for (at, &value) in ink.bytes.iter().enumerate() {
            let (x, y) = (at % 60, at / 60);
            let is_ink = (27..33).contains(&x) && (10..50).contains(&y);
            assert!(if is_ink { value >= HIGH } else { value < LOW }, "{x}, {y}: {value}");
        }
    }

    #[test]
    fn ink_is_found_on_light_dark_and_shaded_paper() {
        assert_is_stroke(find(&stroke(|_| 240, 30)));
        assert_is_stroke(find(&stroke(|_| 30, 200)));
        assert_is_stroke(find(&stroke(|x| 230 - 2 * x as u8, 40)));
        assert_is_stroke(find(&stroke(|x| 20 + x as u8, 230)));
        assert_is_stroke(find(&stroke(|_| 200, 150)));
    }

    #[test]
    fn paper_without_ink_has_none() {
        assert_eq!(find(&stroke(|_| 255, 255)), None);
        let slope = Grey { width: 60, height: 60, bytes: (0..3600).map(|at| (at % 60 * 3) as u8).collect() };
        assert_eq!(find(&slope), None);
        for value in [0, 128, 255] {
            assert_eq!(find(&Grey { width: 1, height: 1, bytes: vec![value] }), None);
        }
    }
}
