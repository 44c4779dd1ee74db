//! How good a model is, from integer counts: accuracy, precision, recall, F1.
//!
//! Counts and loss sums add up the reduction tree like gradients do, so they too are the same whoever counted.

use crate::data::samples::CLASSES;
use serde::{Deserialize, Serialize};

/// What some samples add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Samples counted.
    pub samples: u64,
    /// Of them, how many the model classified right.
    pub correct: u64,
    /// Sum of their cross-entropy losses, in nats.
    pub loss_sum: f64,
}

impl Totals {
    /// Adds `other` to the right of this.
    pub fn add(&mut self, other: &Self) {
        self.samples += other.samples;
        self.correct += other.correct;
        self.loss_sum += other.loss_sum;
    }

    /// Right answers as a share of all, 0 when there are none.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        ratio(self.correct, self.samples)
    }

    /// Mean loss in nats, 0 when there are no samples.
    #[must_use]
    pub fn loss(&self) -> f64 {
        if self.samples == 0 { 0.0 } else { self.loss_sum / self.samples as f64 }
    }
}

/// Counts of (true class, predicted class).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Confusion {
    /// Row: true class. Column: predicted class.
    pub counts: [[u64; CLASSES]; CLASSES],
}

/// One class's quality; each 0 where it is undefined, as scikit-learn's `zero_division=0`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClassQuality {
    /// Of the samples predicted as this class, the share that is.
    pub precision: f64,
    /// Of the samples of this class, the share predicted so.
    pub recall: f64,
    /// Harmonic mean of both.
    pub f1: f64,
    /// Samples of this class.
    pub support: u64,
}

impl Confusion {
    /// Counts one sample.
    ///
    /// # Panics
    /// When either is not a class.
    pub fn count(&mut self, label: u8, prediction: u8) {
        self.counts[usize::from(label)][usize::from(prediction)] += 1;
    }

    /// Adds `other`'s counts.
    pub fn add(&mut self, other: &Self) {
        for (row, other) in self.counts.iter_mut().zip(&other.counts) {
            row.iter_mut().zip(other).for_each(|(a, b)| *a += b);
        }
    }

    /// Row by row, 100 numbers.
    #[must_use]
    pub fn flat(&self) -> Vec<u64> {
        self.counts.as_flattened().to_vec()
    }

    /// The inverse of [`flat`](Self::flat); `None` when there are not 100 numbers.
    #[must_use]
    pub fn from_flat(flat: &[u64]) -> Option<Self> {
        let (rows, []) = flat.as_chunks::<CLASSES>() else { return None };
        Some(Self { counts: rows.try_into().ok()? })
    }

    /// Samples counted.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.counts.as_flattened().iter().sum()
    }

    /// Samples on the diagonal.
    #[must_use]
    pub fn correct(&self) -> u64 {
        (0..CLASSES).map(|c| self.counts[c][c]).sum()
    }

    /// Right answers as a share of all.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        ratio(self.correct(), self.samples())
    }

    /// One class's precision, recall and F1.
    ///
    /// # Panics
    /// When `class` is not below [`CLASSES`].
    #[must_use]
    pub fn class(&self, class: usize) -> ClassQuality {
        let hit = self.counts[class][class];
        let support = self.counts[class].iter().sum();
        let predicted = self.counts.iter().map(|row| row[class]).sum();
        let (precision, recall) = (ratio(hit, predicted), ratio(hit, support));
        ClassQuality { precision, recall, f1: ratio(2 * hit, support + predicted), support }
    }

    /// Unweighted means over the classes; `support` is the number of all samples.
    #[must_use]
    pub fn macro_average(&self) -> ClassQuality {
        let mut mean = ClassQuality::default();
        for quality in (0..CLASSES).map(|c| self.class(c)) {
            mean.precision += quality.precision / CLASSES as f64;
            mean.recall += quality.recall / CLASSES as f64;
            mean.f1 += quality.f1 / CLASSES as f64;
            mean.support += quality.support;
        }
        mean
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qualities_follow_their_definitions() {
        let mut confusion = Confusion::default();
        for (label, prediction, times) in [(0, 0, 6), (0, 1, 2), (1, 0, 1), (1, 1, 3), (2, 0, 4)] {
            (0..times).for_each(|_| confusion.count(label, prediction));
        }
        let zero = confusion.class(0);
        assert_eq!((zero.precision, zero.recall, zero.support), (6.0 / 11.0, 6.0 / 8.0, 8));
        let f1 = 2.0 * zero.precision * zero.recall / (zero.precision + zero.recall);
        assert!((zero.f1 - f1).abs() < 1e-15);
        assert_eq!(confusion.class(2), ClassQuality { support: 4, ..ClassQuality::default() });
        assert_eq!(confusion.class(9), ClassQuality::default());
        assert_eq!(confusion.accuracy(), 9.0 / 16.0);
        assert_eq!(confusion.macro_average().support, 16);
    }

    #[test]
    fn the_flat_form_has_a_hundred_numbers() {
        let mut confusion = Confusion::default();
        confusion.count(3, 7);
        let flat = confusion.flat();
        assert_eq!((flat.len(), flat[37]), (100, 1));
        assert_eq!(Confusion::from_flat(&flat), Some(confusion));
        assert_eq!(Confusion::from_flat(&flat[..90]), None);
        assert_eq!(Confusion::from_flat(&flat[..99]), None);
    }

    #[test]
    fn nothing_counted_is_zero_and_not_nan() {
        assert_eq!((Totals::default().accuracy(), Totals::default().loss()), (0.0, 0.0));
        assert_eq!(Confusion::default().macro_average(), ClassQuality::default());
    }
}
