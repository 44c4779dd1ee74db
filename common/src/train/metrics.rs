//! Quality of a model, from integer counts: accuracy, precision, recall, F1.
//!
//! Counts and loss sums are added along the reduction tree like gradients, so they too are the same whoever
//! counted.

use serde::{Deserialize, Serialize};

/// Sums over some samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Number of samples counted.
    pub samples: u64,
    /// Number of samples that the model classified correctly.
    pub correct: u64,
    /// Sum of the samples' cross-entropy losses, in nats.
    pub loss_sum: f64,
}

impl Totals {
    /// Adds `other` to the right of this.
    pub fn add(&mut self, other: &Self) {
        self.samples += other.samples;
        self.correct += other.correct;
        self.loss_sum += other.loss_sum;
    }

    /// Share of correct predictions; 0 if there are no samples.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        ratio(self.correct, self.samples)
    }

    /// Mean loss in nats; 0 if there are no samples.
    #[must_use]
    pub fn loss(&self) -> f64 {
        if self.samples == 0 { 0.0 } else { self.loss_sum / self.samples as f64 }
    }
}

/// Counts of (true class, predicted class). In JSON, a row for each true class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Vec<Vec<u64>>", try_from = "Vec<Vec<u64>>")]
pub struct Confusion {
    classes: usize,
    /// `[classes, classes]`, row by row.
    counts: Vec<u64>,
}

/// Reason why numbers are not a confusion matrix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum ConfusionError {
    /// The rows differ in length, or their length is not the number of rows.
    #[error("a confusion matrix has as many columns as rows, here {rows} rows and a row of {columns}")]
    Square {
        rows: usize,
        /// Length of the first row that does not fit.
        columns: usize,
    },
    /// A cell is outside the matrix, out of order, or has the count 0.
    #[error("cell {cell} with count {count} is not one of a sparse confusion matrix of {classes} classes")]
    Cell {
        /// Index of the cell, row by row from 0.
        cell: u32,
        count: u64,
        classes: usize,
    },
}

/// Quality for one class; a value is 0 where it is undefined, as with scikit-learn's `zero_division=0`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClassQuality {
    /// Share of the samples predicted as this class that belong to it.
    pub precision: f64,
    /// Share of the samples of this class that are predicted as such.
    pub recall: f64,
    /// Harmonic mean of precision and recall.
    pub f1: f64,
    /// Number of samples of this class.
    pub support: u64,
}

impl Confusion {
    /// A matrix of `classes` classes with all counts 0.
    #[must_use]
    pub fn new(classes: usize) -> Self {
        Self { classes, counts: vec![0; classes * classes] }
    }

    /// The matrix of these predictions, each with its sample's label: `(label, prediction)`.
    ///
    /// # Panics
    /// When either is not a class.
    #[must_use]
    pub fn of(classes: usize, predictions: impl IntoIterator<Item = (u16, u16)>) -> Self {
        let mut confusion = Self::new(classes);
        predictions.into_iter().for_each(|(label, prediction)| confusion.count(label, prediction, 1));
        confusion
    }

    /// Number of classes that are counted.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Number of samples of class `label` that were predicted as `prediction`.
    ///
    /// # Panics
    /// When either is not a class.
    #[must_use]
    pub fn get(&self, label: usize, prediction: usize) -> u64 {
        self.row(label)[prediction]
    }

    /// Counts of the predictions for samples of class `label`, `[classes]`.
    ///
    /// # Panics
    /// When `label` is not a class.
    #[must_use]
    pub fn row(&self, label: usize) -> &[u64] {
        &self.counts[label * self.classes..(label + 1) * self.classes]
    }

    /// Adds `times` samples to a cell.
    ///
    /// # Panics
    /// When either is not a class.
    pub fn count(&mut self, label: u16, prediction: u16, times: u64) {
        let label = usize::from(label);
        let prediction = usize::from(prediction);
        assert!(label < self.classes && prediction < self.classes, "classes are 0..{}", self.classes);
        self.counts[label * self.classes + prediction] += times;
    }

    /// Adds the counts of `other`.
    ///
    /// # Panics
    /// When `other` has another number of classes.
    pub fn add(&mut self, other: &Self) {
        assert_eq!(self.classes, other.classes, "matrices of one data set");
        self.counts.iter_mut().zip(&other.counts).for_each(|(a, b)| *a += b);
    }

    /// Cells with a count above 0, row by row, as (cell, count). The cell's index is `label * classes +
    /// prediction`.
    pub fn sparse(&self) -> impl Iterator<Item = (u32, u64)> {
        (0..).zip(&self.counts).filter(|(_, count)| **count > 0).map(|(cell, count)| (cell, *count))
    }

    /// Checks cells that may come from anywhere: the inverse of [`sparse`](Self::sparse).
    ///
    /// # Errors
    /// When a cell is outside the matrix, out of order, or has the count 0.
    pub fn from_sparse(
        classes: usize,
        cells: impl Iterator<Item = (u32, u64)>,
    ) -> Result<Self, ConfusionError> {
        let mut confusion = Self::new(classes);
        let mut next = 0;
        for (cell, count) in cells {
            match confusion.counts.get_mut(cell as usize) {
                Some(place) if cell >= next && count > 0 => *place = count,
                _ => return Err(ConfusionError::Cell { cell, count, classes }),
            }
            next = cell + 1;
        }
        Ok(confusion)
    }

    /// Number of samples counted.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Number of samples on the diagonal.
    #[must_use]
    pub fn correct(&self) -> u64 {
        (0..self.classes).map(|class| self.get(class, class)).sum()
    }

    /// Share of correct predictions.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        ratio(self.correct(), self.samples())
    }

    /// Precision, recall and F1 of one class.
    ///
    /// # Panics
    /// When `class` is not a class.
    #[must_use]
    pub fn class(&self, class: usize) -> ClassQuality {
        let hit = self.get(class, class);
        let support = self.row(class).iter().sum();
        let predicted = (0..self.classes).map(|label| self.get(label, class)).sum();
        ClassQuality {
            precision: ratio(hit, predicted),
            recall: ratio(hit, support),
            f1: ratio(2 * hit, support + predicted),
            support,
        }
    }

    /// Number of classes that are met: those that have samples or predictions. It lies in `0..=classes`.
    #[must_use]
    pub fn classes_met(&self) -> usize {
        (0..self.classes).filter(|&class| self.is_met(class)).count()
    }

    /// Unweighted means of precision, recall and F1; `support` is the total number of samples. All 0 if
    /// nothing is counted.
    ///
    /// The means are over the classes that have samples or predictions. A class that has neither says nothing
    /// about the model, so it does not count as a 0. These are the classes of scikit-learn's
    /// `average='macro'` (all labels in `y_true` or `y_pred`) and of torchmetrics' (`tp + fp + fn > 0`).
    #[must_use]
    pub fn macro_average(&self) -> ClassQuality {
        self.average(self.classes_met() as u64, |_| 1)
    }

    /// Means of precision, recall and F1, each class weighted by its number of samples, as scikit-learn's
    /// `average='weighted'`; `support` is the total number of samples. All 0 if nothing is counted.
    ///
    /// A class without samples has no weight, even if there are predictions of it. The recall is the
    /// accuracy, but for its rounding.
    #[must_use]
    pub fn weighted_average(&self) -> ClassQuality {
        self.average(self.samples(), |support| support)
    }

    /// Means over the classes that are met, with a weight for each that follows from its support. `total` is
    /// the sum of the weights.
    fn average(&self, total: u64, weight: impl Fn(u64) -> u64) -> ClassQuality {
        let total = total.max(1) as f64;
        let mut sum = ClassQuality::default();
        for quality in (0..self.classes).filter(|&class| self.is_met(class)).map(|class| self.class(class)) {
            let weight = weight(quality.support) as f64;
            sum.precision += weight * quality.precision;
            sum.recall += weight * quality.recall;
            sum.f1 += weight * quality.f1;
            sum.support += quality.support;
        }
        ClassQuality {
            precision: sum.precision / total,
            recall: sum.recall / total,
            f1: sum.f1 / total,
            support: sum.support,
        }
    }

    /// Whether the class has samples or predictions.
    ///
    /// # Panics
    /// When `class` is not a class.
    #[must_use]
    pub fn is_met(&self, class: usize) -> bool {
        (0..self.classes).any(|other| self.get(class, other) + self.get(other, class) > 0)
    }
}

impl From<Confusion> for Vec<Vec<u64>> {
    fn from(confusion: Confusion) -> Self {
        (0..confusion.classes).map(|label| confusion.row(label).to_vec()).collect()
    }
}

impl TryFrom<Vec<Vec<u64>>> for Confusion {
    type Error = ConfusionError;

    fn try_from(rows: Vec<Vec<u64>>) -> Result<Self, ConfusionError> {
        let classes = rows.len();
        match rows.iter().find(|row| row.len() != classes) {
            Some(row) => Err(ConfusionError::Square { rows: classes, columns: row.len() }),
            None => Ok(Self { classes, counts: rows.concat() }),
        }
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
        let mut confusion = Confusion::new(4);
        for (label, prediction, times) in [(0, 0, 6), (0, 1, 2), (1, 0, 1), (1, 1, 3), (2, 0, 4)] {
            confusion.count(label, prediction, times);
        }
        let zero = confusion.class(0);
        assert_eq!((zero.precision, zero.recall, zero.support), (6.0 / 11.0, 6.0 / 8.0, 8));
        let f1 = 2.0 * zero.precision * zero.recall / (zero.precision + zero.recall);
        assert!((zero.f1 - f1).abs() < 1e-15);
        assert_eq!(confusion.class(2), ClassQuality { support: 4, ..ClassQuality::default() });
        assert_eq!(confusion.class(3), ClassQuality::default());
        assert_eq!(confusion.accuracy(), 9.0 / 16.0);
        assert_eq!(confusion.macro_average().support, 16);
    }

    #[track_caller]
    fn assert_average(got: ClassQuality, precision: f64, recall: f64, f1: f64, support: u64) {
        let pairs = [(got.precision, precision), (got.recall, recall), (got.f1, f1)];
        assert!(pairs.iter().all(|(got, expected)| (got - expected).abs() < 1e-15), "{got:?}");
        assert_eq!(got.support, support);
    }

    #[test]
    fn averages_are_those_of_scikit_learn() {
        // Class 2 is never predicted, class 3 is not met at all, class 4 is predicted and has no samples.
        // Printed by scikit-learn 1.9.1:
        //   from sklearn.metrics import precision_recall_fscore_support as quality
        //   true = [0] * 8 + [1] * 6 + [2] * 4
        //   guess = [0] * 6 + [1] * 2 + [0] + [1] * 3 + [4] * 2 + [0] * 4
        //   for average in "macro", "weighted":
        //       print(quality(true, guess, average=average, zero_division=0))
        let mut confusion = Confusion::new(5);
        for (label, prediction, times) in [(0, 0, 6), (0, 1, 2), (1, 0, 1), (1, 1, 3), (1, 4, 2), (2, 0, 4)] {
            confusion.count(label, prediction, times);
        }
        assert_eq!(confusion.classes_met(), 4);
        let (precision, recall, f1) = (0.2863636363636364, 0.3125, 0.2942583732057416);
        assert_average(confusion.macro_average(), precision, recall, f1, 18);
        let (precision, recall, f1) = (0.4424242424242424, 0.5, 0.46251993620414666);
        assert_average(confusion.weighted_average(), precision, recall, f1, 18);
    }

    #[test]
    fn a_class_that_nothing_is_known_of_changes_no_average() {
        let averages = |classes| {
            let mut confusion = Confusion::new(classes);
            for (label, prediction, times) in [(0, 0, 5), (0, 1, 2), (1, 1, 3)] {
                confusion.count(label, prediction, times);
            }
            (confusion.macro_average(), confusion.weighted_average())
        };
        assert_eq!(averages(2), averages(200));
        assert!((averages(2).1.recall - 0.8).abs() < 1e-15);
    }

    #[test]
    fn the_sparse_form_has_what_was_counted_and_is_checked() {
        let mut confusion = Confusion::new(5);
        confusion.count(3, 2, 4);
        confusion.count(0, 1, 1);
        let cells: Vec<_> = confusion.sparse().collect();
        assert_eq!(cells, [(1, 1), (17, 4)]);
        assert_eq!(Confusion::from_sparse(5, cells.into_iter()), Ok(confusion));
        for bad in [vec![(25, 1)], vec![(3, 0)], vec![(3, 1), (3, 1)], vec![(4, 1), (3, 1)]] {
            assert!(Confusion::from_sparse(5, bad.clone().into_iter()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn json_has_a_row_for_each_class_and_is_checked() {
        let mut confusion = Confusion::new(2);
        confusion.count(1, 0, 7);
        let json = serde_json::to_string(&confusion).unwrap();
        assert_eq!(json, "[[0,0],[7,0]]");
        assert_eq!(serde_json::from_str::<Confusion>(&json).unwrap(), confusion);
        assert!(serde_json::from_str::<Confusion>("[[0,0],[7]]").is_err());
    }

    #[test]
    fn nothing_counted_is_zero_and_not_nan() {
        assert_eq!((Totals::default().accuracy(), Totals::default().loss()), (0.0, 0.0));
        let nothing = Confusion::new(3);
        assert_eq!(nothing.macro_average(), ClassQuality::default());
        assert_eq!(nothing.weighted_average(), ClassQuality::default());
        assert_eq!(nothing.classes_met(), 0);
    }
}
