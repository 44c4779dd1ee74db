//! Random erasing (Zhong et al. 2020): a rectangle of a picture becomes 0.

use crate::data::spec::DataSpec;
use crate::rng::Stream;

/// Share of the picture that the smallest rectangle has (the paper's).
const AREA_MIN: f32 = 0.02;
/// Largest ratio of a rectangle's sides (the paper's).
const RATIO_MAX: f64 = 3.3;
/// Rectangles that are drawn until one fits (as in torchvision's `RandomErasing`).
const TRIES: u32 = 10;

/// How often a rectangle is erased, and how large it may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Erase {
    /// Probability for a picture.
    pub(super) probability: f32,
    /// Largest share of the picture.
    pub(super) area: f32,
}

impl Erase {
    /// Erases a rectangle of an image, or none.
    pub(super) fn apply(self, image: &mut [u8], spec: DataSpec, stream: &mut Stream) {
        if stream.unit() >= self.probability {
            return;
        }
        let [height, width] = [spec.height(), spec.width()];
        for _ in 0..TRIES {
            let area = stream.between(AREA_MIN.min(self.area), self.area) * (height * width) as f32;
            let limit = libm::log(RATIO_MAX) as f32;
            let ratio = libm::exp(f64::from(stream.between(-limit, limit))) as f32;
            let [rows, columns] = [area * ratio, area / ratio].map(|square| (square.sqrt() + 0.5) as usize);
            if rows == 0 || columns == 0 || rows > height || columns > width {
                continue;
            }
            let [top, left] =
                [height - rows, width - columns].map(|last| stream.below(last as u32 + 1) as usize);
            let channels = spec.channels();
            for row in image.chunks_exact_mut(width * channels).skip(top).take(rows) {
                row[left * channels..(left + columns) * channels].fill(0);
            }
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rectangle_is_erased_as_often_and_as_large_as_is_said() {
        let spec = DataSpec::new(20, 30, 2, 2).unwrap();
        let erase = Erase { probability: 0.4, area: 0.25 };
        let mut stream = Stream::new(1, "t", &[]);
        let mut erased = 0;
        for _ in 0..2000 {
            let mut image = vec![9; spec.image_bytes()];
            erase.apply(&mut image, spec, &mut stream);
            let is_dark = |row: usize, column: usize| image[(row * 30 + column) * 2..][..2] == [0, 0];
            let dark: Vec<(usize, usize)> =
                (0..600).map(|at| (at / 30, at % 30)).filter(|&(row, column)| is_dark(row, column)).collect();
            let Some(&(top, left)) = dark.first() else { continue };
            let &(bottom, right) = dark.last().unwrap();
            let [rows, columns] = [bottom - top + 1, right - left + 1];
            assert_eq!(dark.len(), rows * columns, "a rectangle");
            assert_eq!(image.iter().filter(|&&value| value == 0).count(), 2 * dark.len(), "all channels");
            assert!((10..=165).contains(&dark.len()), "{}", dark.len());
            erased += 1;
        }
        assert!((700..900).contains(&erased), "{erased} of 2,000");
    }
}
