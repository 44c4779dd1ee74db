//! Detection of gradients that are out of line: so much larger than others that a machine's fault is likelier
//! than the data.
//!
//! One huge number freezes training: Adam's mean square takes thousands of steps to forget it, or never does.
//! The measure must cost nothing, so it is the largest magnitude, which the decoder sees anyway.
//!
//! 1. A gradient's *peak* is the largest magnitude of its values, divided by its samples: pieces have unequal
//!    sizes.
//! 2. A gradient is out of line if its peak is above [`PEAK_FINE`] and above [`TIMES_FINE`] times the median
//!    of the last [`HISTORY`] accepted peaks. Both conditions are needed: late in a training most gradients
//!    are near 0, but a hard sample's is not.
//! 3. At the beginning the median of no peaks counts as 0, so [`PEAK_FINE`] alone decides.
//!
//! Measured over 12 runs of 11,000 to 76,000 steps and one that was stopped after 33,000: CNN, MLP and
//! linear; SGD with momentum, Adam, AdamW; constant, cosine and step; with and without warm-up, clipping and
//! bf16; MNIST and the digits; a leaf of one sample in each step. The largest peak of any leaf was 37, and 2
//! to 20 were usual. The ratio to the median has no bound: it reached 1.4e7 where a network has nearly
//! memorised its data. So it is no measure by itself, and [`PEAK_FINE`] prevents false alarms.
//!
//! Out of line does not mean wrong: `protocol::coordinator::opinions` decides what follows. A wrong number
//! that is not large is not detected, such as one with a flipped bit in its sign, its fraction or the lower
//! part of its exponent. A flip of the exponent's highest bit is always detected in a number below 2.

/// Accepted gradients over which the median is taken: some steps of a run with several workers, and few
/// enough to sort for each answer.
pub const HISTORY: usize = 64;
/// Peak up to which no gradient is out of line: 27 times the largest that was measured.
pub const PEAK_FINE: f32 = 1e3;
/// Multiple of the median up to which no gradient is out of line. Where a training diverges, all gradients
/// grow together within tens of steps, and not each of them is to be doubted.
pub const TIMES_FINE: f32 = 1e3;

/// The peak of a gradient: its largest magnitude, divided by its samples.
#[must_use]
pub fn peak(largest: f32, samples: u64) -> f32 {
    largest / samples.max(1) as f32
}

/// The peaks of the gradients that were accepted last.
#[derive(Clone, Debug, Default)]
pub struct Peaks {
    last: Vec<f32>,
    /// Index of the oldest peak, once there are [`HISTORY`].
    oldest: usize,
}

impl Peaks {
    /// Adds an accepted gradient's peak to the history.
    pub fn accept(&mut self, peak: f32) {
        if self.last.len() < HISTORY {
            self.last.push(peak);
        } else {
            self.last[self.oldest] = peak;
            self.oldest = (self.oldest + 1) % HISTORY;
        }
    }

    /// The median of the last peaks, 0 if there are none.
    #[must_use]
    pub fn median(&self) -> f32 {
        let mut sorted = self.last.clone();
        let middle = sorted.len() / 2;
        let Some(_) = sorted.get(middle) else { return 0.0 };
        *sorted.select_nth_unstable_by(middle, f32::total_cmp).1
    }

    /// Whether a finite gradient of this peak is out of line.
    #[must_use]
    pub fn is_out_of_line(&self, peak: f32) -> bool {
        // Most peaks are small, and need no median.
        peak > PEAK_FINE && peak > TIMES_FINE * self.median()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(peaks: &[f32]) -> Peaks {
        let mut history = Peaks::default();
        peaks.iter().for_each(|&peak| history.accept(peak));
        history
    }

    #[test]
    fn the_median_is_of_the_last_ones_in_any_order() {
        assert_eq!(after(&[]).median(), 0.0);
        assert_eq!(after(&[3.0, 1.0, 2.0]).median(), 2.0);
        let rising: Vec<f32> = (0..1000).map(|peak| peak as f32).collect();
        assert_eq!(after(&rising).median(), 1000.0 - HISTORY as f32 / 2.0);
    }

    #[test]
    fn a_peak_is_out_of_line_by_both_measures_only() {
        for (usual, fine, out) in [
            (&[][..], PEAK_FINE, PEAK_FINE * 1.01),
            (&[0.0, 0.0, 0.0], PEAK_FINE, PEAK_FINE * 1.01),
            (&[1e-9], PEAK_FINE, 1e30),
            (&[7.0, 9.0, 8.0], 8.0 * TIMES_FINE, 8.1 * TIMES_FINE),
        ] {
            let peaks = after(usual);
            assert!(!peaks.is_out_of_line(fine) && peaks.is_out_of_line(out), "{usual:?}");
        }
    }

    #[test]
    fn a_flipped_top_bit_of_the_exponent_is_seen_in_any_gradient() {
        let peaks = after(&[0.5; HISTORY]);
        for value in [1e-30_f32, 1e-9, 1e-3, 0.5, 1.0, 1.99] {
            let flipped = f32::from_bits(value.to_bits() ^ 1 << 30);
            let is_seen = !flipped.is_finite() || peaks.is_out_of_line(peak(flipped, 64));
            // Below 2^-118 or so the flipped number is no larger than a gradient may be.
            assert_eq!(is_seen, value > 1e-33, "{value}");
        }
    }
}
