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

    /// Unweighted means over the classes; `support` is the total number of samples.
    #[must_use]
    pub fn macro_average(&self) -> ClassQuality {
        let mut mean = ClassQuality::default();
        for quality in (0..self.classes).map(|class| self.class(class)) {
            mean.precision += quality.precision / self.classes as f64;
            mean.recall += quality.recall / self.classes as f64;
            mean.f1 += quality.f1 / self.classes as f64;
            mean.support += quality.support;
        }
        mean
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
        assert_eq!(Confusion::new(3).macro_average(), ClassQuality::default());
    }
}
