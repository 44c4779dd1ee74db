//! Calibration: whether answers that a model gives with a probability of 90 % are right in 90 of 100 cases.
//!
//! The expected calibration error (Guo et al. 2017, "On Calibration of Modern Neural Networks", eq. 3): the
//! answers are sorted into 15 bins of equal width by their probability, and the distance between mean
//! probability and accuracy of each bin is averaged, weighted by its answers.

use super::Judged;
use serde::Serialize;

/// Number of bins, that of the paper.
const BINS: usize = 15;

/// How far probabilities are from accuracies.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Calibration {
    /// Expected calibration error, 0 (best) to 1.
    pub error: f64,
    /// Mean probability of the answers.
    pub mean_probability: f64,
    /// The bins that have answers, by rising probability.
    pub bins: Vec<Bin>,
}

/// Answers of similar probability.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Bin {
    pub answers: u64,
    pub mean_probability: f64,
    pub accuracy: f64,
}

impl Calibration {
    /// The calibration of these answers; all 0 where there are none.
    #[must_use]
    pub fn of(judged: &[Judged]) -> Self {
        let mut sums = [(0u64, 0u64, 0.0); BINS];
        for of in judged {
            // A probability of 1 belongs to the last bin.
            let bin = ((of.answer.probability * BINS as f64) as usize).min(BINS - 1);
            let (answers, right, probability) = &mut sums[bin];
            *answers += 1;
            *right += u64::from(of.is_right());
            *probability += of.answer.probability;
        }
        let bin = |(answers, right, probability): (u64, u64, f64)| Bin {
            answers,
            mean_probability: probability / answers as f64,
            accuracy: right as f64 / answers as f64,
        };
        let bins: Vec<Bin> = sums.into_iter().filter(|(answers, ..)| *answers > 0).map(bin).collect();
        let mean = |value: fn(&Bin) -> f64| {
            bins.iter().map(|bin| bin.answers as f64 / judged.len() as f64 * value(bin)).sum()
        };
        Self {
            error: mean(|bin| (bin.accuracy - bin.mean_probability).abs()),
            mean_probability: mean(|bin| bin.mean_probability),
            bins,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::judged;
    use super::*;

    #[test]
    fn the_error_is_the_weighted_distance_of_the_bins() {
        // Two answers at 0.95, one of them right; two at 0.55, both right.
        let answers = [judged(0.95, true), judged(0.95, false), judged(0.55, true), judged(0.55, true)];
        let calibration = Calibration::of(&answers);
        assert_eq!(calibration.bins.len(), 2);
        assert!((calibration.error - (0.5 * 0.45 + 0.5 * 0.45)).abs() < 1e-12, "{calibration:?}");
        assert!((calibration.mean_probability - 0.75).abs() < 1e-12);
    }

    #[test]
    fn certain_answers_that_are_right_have_no_error() {
        assert_eq!(Calibration::of(&[judged(1.0, true); 3]).error, 0.0);
        assert_eq!(Calibration::of(&[]), Calibration::default());
    }
}
