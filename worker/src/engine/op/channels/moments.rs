//! Mean and variance of each channel, in one pass over the memory.
//!
//! A place of the stripe takes a block's mean m in f32, and then, while the block is in the cache, the sums
//! of the differences d from it and of their squares. These make up for the rounding of m: the mean is m + Σd
//! / n and the squared differences from it are Σd² - (Σd)² / n. Two sets of n and m values with means a and b
//! are joined in f64 (Chan et al.
//! 1983, "Algorithms for Computing the Sample Variance", eq. 2.1):
//!
//! ```text
//! mean = a + (b - a) · m / (n + m)
//! squares = squares of a + squares of b + (b - a)² · n · m / (n + m)
//! ```
//!
//! No large number is squared, so values that are far from 0 and close to each other keep their variance.

use super::{AddStripes, BLOCK, stripe};
use pulp::{Arch, Simd, WithSimd};

/// Mean and squared differences from it, of some values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Moments {
    /// Number of values.
    count: f64,
    /// Mean of the values.
    pub(crate) mean: f64,
    /// Sum of the squared differences from the mean.
    squares: f64,
}

impl Moments {
    /// Mean of the squared differences from the mean.
    pub(crate) fn variance(&self) -> f64 {
        self.squares / self.count
    }

    /// Takes the other values in.
    pub(crate) fn join(&mut self, other: Self) {
        let count = self.count + other.count;
        let distance = other.mean - self.mean;
        self.mean += distance * other.count / count;
        self.squares += other.squares + distance * distance * self.count * other.count / count;
        self.count = count;
    }
}

/// The moments of each channel of `x`, `[rows, channels]`, which has at least one row.
pub(crate) fn moments(x: &[f32], channels: usize) -> Vec<Moments> {
    let places = stripe(channels);
    let mut total = vec![Moments::default(); places];
    let [mut mean, mut differences, mut squares] = [(); 3].map(|()| vec![0.0; places]);
    let (whole, rest) = x.split_at(x.len() / places * places);
    // The last stripe may have fewer places.
    for block in whole.chunks(BLOCK * places).chain((!rest.is_empty()).then_some(rest)) {
        let stripes = block.len().div_ceil(places) as f32;
        [&mut mean, &mut differences, &mut squares].into_iter().for_each(|sums| sums.fill(0.0));
        let [mean, differences, squares] = [&mut mean, &mut differences, &mut squares];
        Arch::new().dispatch(Measure { block, stripes, mean, differences, squares });
        let measured = mean.iter().zip(&*differences).zip(&*squares);
        for (total, ((mean, differences), squares)) in total.iter_mut().zip(measured).take(block.len()) {
            let [count, mean, differences, squares] = [stripes, *mean, *differences, *squares].map(f64::from);
            let correction = differences / count;
            let squares = squares - differences * correction;
            total.join(Moments { count, mean: mean + correction, squares });
        }
    }
    let mut of_channels = total[..channels].to_vec();
    for row in total[channels..].chunks_exact(channels) {
        for (channel, place) in of_channels.iter_mut().zip(row).filter(|(_, place)| place.count > 0.0) {
            channel.join(*place);
        }
    }
    of_channels
}

/// The mean of each place over a block's stripes, and the sums of the differences from it and of their
/// squares. All begin at 0.
struct Measure<'a> {
    block: &'a [f32],
    stripes: f32,
    mean: &'a mut [f32],
    differences: &'a mut [f32],
    squares: &'a mut [f32],
}

impl WithSimd for Measure<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { block, stripes, mean, differences, squares } = self;
        AddStripes { x: block, sums: mean }.with_simd(simd);
        mean.iter_mut().for_each(|sum| *sum /= stripes);
        for x in block.chunks(mean.len()) {
            let sums = differences.iter_mut().zip(&mut *squares);
            for (((sum, squares), x), mean) in sums.zip(x).zip(&*mean) {
                let difference = x - mean;
                *sum += difference;
                *squares = difference.mul_add(difference, *squares);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::op::testing::noise;

    #[test]
    fn moments_are_those_of_plain_loops_near_and_far_from_0() {
        for (rows, channels) in [(1, 1), (7, 3), (5000, 16), (130, 64), (3, 200), (9000, 1), (65, 5)] {
            for far in [0.0, 300.0] {
                let x: Vec<f32> = noise(1, rows * channels).iter().map(|value| value + far).collect();
                for (channel, got) in moments(&x, channels).iter().enumerate() {
                    let values: Vec<f64> = x[channel..].iter().step_by(channels).map(|&x| x.into()).collect();
                    let mean = values.iter().sum::<f64>() / rows as f64;
                    let squares = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>();
                    let close = |got: f64, want: f64, scale: f64| (got - want).abs() < 2e-6 * scale;
                    assert_eq!(got.count, rows as f64);
                    assert!(
                        close(got.mean, mean, 1.0 + f64::from(far)),
                        "{rows}x{channels}: {got:?}, {mean}"
                    );
                    let variance = squares / rows as f64;
                    assert!(close(got.variance(), variance, 1.0), "{rows}x{channels}: {got:?}, {variance}");
                }
            }
        }
    }
}
