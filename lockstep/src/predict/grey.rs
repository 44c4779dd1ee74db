//! A picture in grey, and what is done with it before anything is looked for in it.

use coordinator::dataset::{Fit, ImageSize, Pixels, fill};

/// Most pixels that are looked at; larger pictures are made smaller. A page in 2,000 x 2,000 has digits of 40
/// pixels in 50 rows.
const PIXELS_MAX: usize = 1 << 22;

/// Bytes of a picture with one channel, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Grey {
    pub width: usize,
    pub height: usize,
    pub bytes: Vec<u8>,
}

impl Grey {
    /// A picture of one channel, smaller if it has more pixels than are looked at.
    #[must_use]
    pub fn of(pixels: &Pixels) -> Self {
        let (mut width, mut height) = (pixels.width, pixels.height);
        while width * height > PIXELS_MAX {
            // By a ninth at a time, so that the picture is made no smaller than it must be.
            (width, height) = ((width * 8 / 9).max(1), (height * 8 / 9).max(1));
        }
        let whole = Self { width: pixels.width, height: pixels.height, bytes: Vec::new() };
        whole.with(pixels, width, height)
    }

    /// The picture in another size.
    #[must_use]
    pub fn resized(&self, width: usize, height: usize) -> Self {
        let Self { bytes, .. } = self;
        let pixels = Pixels { height: self.height, width: self.width, channels: 1, bytes: bytes.clone() };
        self.with(&pixels, width, height)
    }

    fn with(&self, pixels: &Pixels, width: usize, height: usize) -> Self {
        let mut bytes = vec![0; width * height];
        fill(pixels, ImageSize { height, width }, Fit::Stretch, &mut bytes);
        Self { width, height, bytes }
    }

    /// Columns as rows.
    #[must_use]
    pub fn transposed(&self) -> Self {
        let Self { width, height, bytes } = self;
        let columns = (0..*width).flat_map(|x| (0..*height).map(move |y| bytes[y * width + x]));
        Self { width: *height, height: *width, bytes: columns.collect() }
    }

    /// The value at a place; 0 beyond the border.
    #[must_use]
    pub fn at(&self, x: isize, y: isize) -> u8 {
        let inside = |at: isize, length: usize| usize::try_from(at).ok().filter(|&at| at < length);
        match (inside(x, self.width), inside(y, self.height)) {
            (Some(x), Some(y)) => self.bytes[y * self.width + x],
            _ => 0,
        }
    }

    /// Each pixel replaced by the median of it and its eight neighbours; beyond the border lies what is on
    /// it.
    #[must_use]
    pub fn median(&self) -> Self {
        let mut bytes = Vec::with_capacity(self.bytes.len());
        let (right, bottom) = (self.width.saturating_sub(1), self.height.saturating_sub(1));
        for y in 0..self.height {
            let rows = [y.saturating_sub(1), y, (y + 1).min(bottom)];
            for x in 0..self.width {
                let columns = [x.saturating_sub(1), x, (x + 1).min(right)];
                let mut near = [0; 9];
                for (three, row) in near.chunks_exact_mut(3).zip(rows) {
                    let row = &self.bytes[row * self.width..][..self.width];
                    three.copy_from_slice(&columns.map(|column| row[column]));
                }
                near.sort_unstable();
                bytes.push(near[4]);
            }
        }
        Self { bytes, ..*self }
    }

    /// Each pixel replaced by the largest value within `radius` rows and columns.
    #[must_use]
    pub fn thickened(&self, radius: usize) -> Self {
        self.widened(radius).transposed().widened(radius).transposed()
    }

    fn widened(&self, radius: usize) -> Self {
        let mut bytes = Vec::with_capacity(self.bytes.len());
        for row in self.bytes.chunks_exact(self.width.max(1)) {
            for x in 0..self.width {
                let near = &row[x.saturating_sub(radius)..(x + radius + 1).min(self.width)];
                bytes.push(near.iter().copied().max().unwrap_or(0));
            }
        }
        Self { bytes, ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_of_any_shape_has_a_bounded_number_of_pixels() {
        for (width, height) in [(1, 1), (16_384, 1), (1, 16_384), (3000, 2000), (16_384, 6000)] {
            let pixels = Pixels { height, width, channels: 1, bytes: vec![9; width * height] };
            let grey = Grey::of(&pixels);
            assert!(grey.width * grey.height <= PIXELS_MAX && grey.bytes.iter().all(|&byte| byte == 9));
            assert!(grey.width.min(grey.height) >= 1);
        }
    }

    #[test]
    fn a_median_drops_a_speck_and_thickening_widens_it() {
        let mut bytes = vec![0; 25];
        bytes[12] = 200;
        let speck = Grey { width: 5, height: 5, bytes };
        assert_eq!(speck.median().bytes, [0; 25]);
        let rule =
            Grey { width: 5, height: 5, bytes: (0..25).map(|at| 200 * u8::from(at / 5 == 2)).collect() };
        assert_eq!(rule.median().bytes, [0; 25]);
        let thick = speck.thickened(1);
        assert_eq!(thick.bytes.iter().filter(|&&byte| byte == 200).count(), 9);
        assert_eq!((thick.at(1, 1), thick.at(0, 1), thick.at(-1, 9)), (200, 0, 0));
    }
}
