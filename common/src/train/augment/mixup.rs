//! Mixup (Zhang et al. 2018): a sample becomes a weighted mean of itself and another one, and so does its
//! target.
//!
//! ```text
//! pixels = (1 - share) · own + share · other's        share ~ Beta(α, α)
//! ```
//!
//! The other one is the next of the leaf; the last one's is the first. A leaf's samples are in random order,
//! so that is a random partner.

use crate::rng::Stream;

/// What is mixed into a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mixed {
    /// Label of the other sample.
    pub label: u16,
    /// Share of the other sample, 0 to 1.
    pub share: f32,
}

/// Mixes the images of a leaf, each of `bytes` bytes, in place.
pub(super) fn mix(
    alpha: f32,
    pixels: &mut [u8],
    bytes: usize,
    labels: &[u16],
    stream: &mut Stream,
) -> Vec<Mixed> {
    let others = pixels[bytes.min(pixels.len())..].iter().chain(&pixels[..bytes.min(pixels.len())]);
    let others: Vec<u8> = others.copied().collect();
    let images = pixels.chunks_exact_mut(bytes).zip(others.chunks_exact(bytes));
    let labels = labels.iter().skip(1).chain(labels.first());
    let mix = |((own, other), &label): ((&mut [u8], &[u8]), &u16)| {
        let share = beta(alpha, stream);
        for (own, &other) in own.iter_mut().zip(other) {
            let value = (1.0 - share) * f32::from(*own) + share * f32::from(other);
            *own = (value + 0.5) as u8;
        }
        Mixed { label, share }
    };
    images.zip(labels).map(mix).collect()
}

/// A number that is distributed like Beta(α, α), by Jöhnk's method: for α up to 2, at least one try in six
/// succeeds.
fn beta(alpha: f32, stream: &mut Stream) -> f32 {
    let power = 1.0 / f64::from(alpha);
    loop {
        let [x, y] = [(); 2].map(|()| libm::pow(f64::from(stream.unit()), power));
        let sum = x + y;
        if sum > 0.0 && sum <= 1.0 {
            return (x / sum) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sample_takes_a_share_of_the_next() {
        let mut pixels = vec![0, 0, 100, 100, 200, 200];
        let mixed = mix(1.0, &mut pixels, 2, &[7, 8, 9], &mut Stream::new(1, "t", &[]));
        let labels: Vec<u16> = mixed.iter().map(|mixed| mixed.label).collect();
        assert_eq!(labels, [8, 9, 7]);
        let before = [0.0, 100.0, 200.0];
        for (at, Mixed { share, .. }) in mixed.into_iter().enumerate() {
            let expected = (1.0 - share) * before[at] + share * before[(at + 1) % 3];
            assert!((f32::from(pixels[2 * at]) - expected).abs() <= 0.5, "{at}");
            assert_eq!(pixels[2 * at], pixels[2 * at + 1]);
        }
        assert!(mix(1.0, &mut [], 2, &[], &mut Stream::new(1, "t", &[])).is_empty());
    }

    #[test]
    fn shares_have_the_mean_and_variance_of_their_distribution() {
        for alpha in [0.1f32, 0.4, 1.0, 2.0] {
            let mut stream = Stream::new(3, "beta", &[]);
            let shares: Vec<f64> = (0..20_000).map(|_| beta(alpha, &mut stream).into()).collect();
            let mean = shares.iter().sum::<f64>() / 20_000.0;
            let variance = shares.iter().map(|share| libm::pow(share - mean, 2.0)).sum::<f64>() / 20_000.0;
            // Beta(α, α) has the variance 1 / (4 (2α + 1)).
            let expected = 1.0 / (4.0 * (2.0 * f64::from(alpha) + 1.0));
            assert!((mean - 0.5).abs() < 0.015, "alpha {alpha}: mean {mean}");
            assert!((variance / expected - 1.0).abs() < 0.05, "alpha {alpha}: variance {variance}");
        }
    }
}
