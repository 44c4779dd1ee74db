//! Two models on the same samples: whether one is better, or the difference is chance.
//!
//! McNemar's test (1947) looks at the samples on which one is right and the other wrong. If neither model is
//! better, each such sample is as likely to be on one side as on the other. The exact form is used, a
//! two-sided binomial test, which is right for few samples too.

use super::Judged;
use serde::Serialize;

/// A model compared with another one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Comparison {
    pub both_right: u64,
    pub only_this_right: u64,
    pub only_other_right: u64,
    pub both_wrong: u64,
    /// Samples to which they give different answers.
    pub different_answers: u64,
    /// Probability of a difference of this size or more between models that are equally good.
    pub p_value: f64,
}

impl Comparison {
    /// Compares the answers of two models to the same samples.
    #[must_use]
    pub fn of(this: &[Judged], other: &[Judged]) -> Self {
        let mut counts = [[0; 2]; 2];
        let mut different_answers = 0;
        for (this, other) in this.iter().zip(other) {
            counts[usize::from(this.is_right())][usize::from(other.is_right())] += 1;
            different_answers += u64::from(this.answer.class != other.answer.class);
        }
        let [[both_wrong, only_other_right], [only_this_right, both_right]] = counts;
        let p_value = p_value(only_this_right, only_other_right);
        Self { both_right, only_this_right, only_other_right, both_wrong, different_answers, p_value }
    }
}

/// Two-sided p-value of the binomial test with the share 1/2.
fn p_value(one: u64, other: u64) -> f64 {
    let n = (one + other) as f64;
    let log_factorial = |k: f64| libm::lgamma(k + 1.0);
    let log_probability = |k: u64| {
        let k = k as f64;
        log_factorial(n) - log_factorial(k) - log_factorial(n - k) - n * std::f64::consts::LN_2
    };
    let tail: f64 = (0..=one.min(other)).map(|k| libm::exp(log_probability(k))).sum();
    (2.0 * tail).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::super::testing::judged;
    use super::*;

    #[test]
    fn the_p_value_is_that_of_the_binomial_test() {
        // scipy.stats.binomtest(k, n, 0.5).pvalue: sums of binomial coefficients over 2^n.
        assert!((p_value(1, 9) - 2.0 * 11.0 / 1024.0).abs() < 1e-12);
        assert!((p_value(3, 0) - 0.25).abs() < 1e-12);
        assert_eq!(p_value(5, 5), 1.0);
        assert_eq!(p_value(0, 0), 1.0);
        let large = p_value(40_000, 41_000);
        assert!((large - 0.000_447).abs() < 2e-5, "near the normal approximation: {large}");
    }

    #[test]
    fn samples_are_counted_by_who_was_right() {
        let [right, wrong] = [judged(0.9, true), judged(0.9, false)];
        let comparison = Comparison::of(&[right, right, wrong, wrong], &[right, wrong, right, wrong]);
        let Comparison { both_right, only_this_right, only_other_right, both_wrong, .. } = comparison;
        assert_eq!([both_right, only_this_right, only_other_right, both_wrong], [1; 4]);
        assert_eq!(comparison.different_answers, 2);
    }
}
