//! Elastic distortion (Simard et al. 2003): each pixel is displaced, and neighbours nearly alike.
//!
//! The paper smooths random displacements by a Gaussian. Here they are a cubic B-spline over a coarse grid of
//! random coefficients. A cubic B-spline of spacing h is close to a Gaussian of deviation h / √3, and takes a
//! few operations a pixel whatever the smoothness.

use super::Geometry;
use crate::rng::Stream;

/// Standard deviation of a B-spline in the plane whose coefficients have deviation 1: the square of the
/// integral of a cubic B-spline's square gives its variance, (151 / 315)².
const DEVIATION: f32 = 151.0 / 315.0;
const SQRT_3: f32 = 1.732_050_8;

/// Smooth random fields over a picture.
#[derive(Clone, Debug)]
pub(super) struct Elastic {
    /// Largest magnitude of a coefficient.
    most: f32,
    columns: Spline,
    rows: Spline,
    /// For each row of the grid, the field along x.
    along_x: [Vec<f32>; 2],
    coefficients: Vec<f32>,
}

/// The cubic B-spline's weights along one side.
#[derive(Clone, Debug)]
struct Spline {
    /// First coefficient and four weights of each pixel.
    places: Vec<(usize, [f32; 4])>,
    coefficients: usize,
}

impl Spline {
    fn new(pixels: usize, spacing: f32) -> Self {
        let place = |at: usize| {
            let place = at as f32 / spacing;
            let first = place as usize;
            (first, weights(place - first as f32))
        };
        let places: Vec<_> = (0..pixels).map(place).collect();
        let coefficients = places.last().map_or(0, |(first, _)| first + 4);
        Self { places, coefficients }
    }
}

/// Weights of four neighbouring coefficients, `t` in [0, 1) between the second and the third.
fn weights(t: f32) -> [f32; 4] {
    let s = 1.0 - t;
    let near = |a: f32| (4.0 - 6.0 * a * a + 3.0 * a * a * a) / 6.0;
    [s * s * s / 6.0, near(t), near(s), t * t * t / 6.0]
}

impl Elastic {
    /// Fields for pictures of that size; `None` if nothing is displaced.
    pub(super) fn new(geometry: &Geometry, height: usize, width: usize) -> Option<Self> {
        let Geometry { elastic, smoothness, .. } = *geometry;
        if elastic == 0.0 {
            return None;
        }
        let [rows, columns] = [height, width].map(|pixels| Spline::new(pixels, smoothness * SQRT_3));
        Some(Self {
            // A uniform number from -a to a has the deviation a / √3.
            most: elastic * SQRT_3 / DEVIATION,
            along_x: [(); 2].map(|()| vec![0.0; rows.coefficients * width]),
            coefficients: vec![0.0; columns.coefficients],
            columns,
            rows,
        })
    }

    /// Draws new fields.
    #[inline(always)]
    pub(super) fn draw(&mut self, stream: &mut Stream) {
        let width = self.columns.places.len();
        for field in &mut self.along_x {
            for row in field.chunks_exact_mut(width) {
                let most = self.most;
                self.coefficients.iter_mut().for_each(|value| *value = stream.between(-most, most));
                for (value, (first, weights)) in row.iter_mut().zip(&self.columns.places) {
                    let own = &self.coefficients[*first..*first + 4];
                    *value =
                        own[0] * weights[0] + own[1] * weights[1] + own[2] * weights[2] + own[3] * weights[3];
                }
            }
        }
    }

    /// Adds the displacements of row `y` to the coordinates of its pixels, in x and in y.
    #[inline(always)]
    pub(super) fn add(&self, y: usize, coordinates: [&mut [f32]; 2]) {
        let width = self.columns.places.len();
        let (first, weights) = self.rows.places[y];
        for (field, coordinates) in self.along_x.iter().zip(coordinates) {
            let rows = &field[first * width..(first + 4) * width];
            let (top, bottom) = rows.split_at(2 * width);
            let (top, bottom) = (top.split_at(width), bottom.split_at(width));
            let top = top.0.iter().zip(top.1);
            let bottom = bottom.0.iter().zip(bottom.1);
            for (value, ((a, b), (c, d))) in coordinates.iter_mut().zip(top.zip(bottom)) {
                *value += a * weights[0] + b * weights[1] + c * weights[2] + d * weights[3];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Displacements along x of a whole picture.
    fn field(elastic: &mut Elastic, stream: &mut Stream, side: usize) -> Vec<f32> {
        elastic.draw(stream);
        let rows = (0..side).flat_map(|y| {
            let mut coordinates = [vec![0.0; side], vec![0.0; side]];
            elastic.add(y, coordinates.each_mut().map(Vec::as_mut_slice));
            let [x, _] = coordinates;
            x
        });
        rows.collect()
    }

    #[test]
    fn displacements_have_the_deviation_and_the_smoothness_that_are_asked_for() {
        const SIDE: usize = 64;
        for (elastic, smoothness) in [(1.5f32, 3.0f32), (0.5, 6.0)] {
            let geometry = Geometry { elastic, smoothness, ..Geometry::default() };
            let mut own = Elastic::new(&geometry, SIDE, SIDE).unwrap();
            let mut stream = Stream::new(1, "t", &[]);
            let [mut square, mut product] = [0.0f64; 2];
            let apart = (smoothness * 2.0) as usize;
            let mut count = 0.0;
            for _ in 0..200 {
                let values = field(&mut own, &mut stream, SIDE);
                for row in values.chunks_exact(SIDE) {
                    for pair in row.windows(apart + 1) {
                        square += f64::from(pair[0] * pair[0]);
                        product += f64::from(pair[0] * pair[apart]);
                        count += 1.0;
                    }
                }
            }
            let deviation = (square / count).sqrt();
            assert!((deviation / f64::from(elastic) - 1.0).abs() < 0.1, "deviation {deviation} of {elastic}");
            // White noise smoothed by a Gaussian of deviation s is correlated by exp(-d² / 4 s²) at distance
            // d.
            let correlation = product / square;
            let expected = libm::exp(-libm::pow(apart as f64 / f64::from(smoothness), 2.0) / 4.0);
            assert!((correlation - expected).abs() < 0.08, "correlation {correlation}, expected {expected}");
        }
    }

    #[test]
    fn weights_are_shares_of_one() {
        for t in [0.0, 0.3, 0.99] {
            let weights = weights(t);
            assert!(weights.iter().all(|&weight| weight >= 0.0), "{weights:?}");
            assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{weights:?}");
        }
    }
}
