//! An evaluation as aligned plain text that fits 80 columns up to a million samples.
//!
//! With many classes it shows the worst ones, and the most frequent mistakes instead of a wide matrix. It
//! returns text and prints nothing; the caller decides where it goes.

use common::train::metrics::{ClassQuality, Confusion};
use std::fmt::{self, Display, Write};

/// Default width of a terminal.
const COLUMNS: usize = 80;
/// Largest number of classes whose quality is shown: two screens.
const CLASSES_SHOWN: usize = 40;
/// Largest number of mistakes that are shown in place of a matrix.
const MISTAKES_SHOWN: usize = 20;

/// The table: overall numbers, quality per class and the confusion matrix. The last line ends in a newline.
///
/// `name` says what was evaluated, such as `test`; `mean_loss` is in nats.
#[must_use]
pub fn evaluation_table(name: &str, confusion: &Confusion, mean_loss: f64) -> String {
    Table { name, confusion, mean_loss }.to_string()
}

struct Table<'a> {
    name: &'a str,
    confusion: &'a Confusion,
    mean_loss: f64,
}

impl Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, confusion, mean_loss } = self;
        let samples = confusion.samples();
        let correct = confusion.correct();
        let accuracy = 100.0 * confusion.accuracy();
        writeln!(f, "{name}: accuracy {accuracy:.2} % ({correct} of {samples}), mean loss {mean_loss:.4}\n")?;
        qualities(f, confusion)?;
        f.write_char('\n')?;
        matrix(f, confusion)
    }
}

fn qualities(f: &mut fmt::Formatter<'_>, confusion: &Confusion) -> fmt::Result {
    let mut classes: Vec<(usize, ClassQuality)> =
        (0..confusion.classes()).map(|class| (class, confusion.class(class))).collect();
    if classes.len() > CLASSES_SHOWN {
        // Of one that the evaluation has not met there is nothing to say.
        classes.retain(|&(class, _)| confusion.is_met(class));
    }
    if classes.len() > CLASSES_SHOWN {
        // Equal ones stay in the order of their numbers.
        classes.sort_by(|(_, a), (_, b)| a.f1.total_cmp(&b.f1));
        classes.truncate(CLASSES_SHOWN);
        writeln!(f, "the {CLASSES_SHOWN} classes of {} with the lowest f1", confusion.classes())?;
    }
    writeln!(f, "   class  precision  recall      f1  support")?;
    let mut line = |name: &dyn Display, quality: ClassQuality| {
        let ClassQuality { precision, recall, f1, support } = quality;
        writeln!(f, "{name:>8}  {precision:9.4}  {recall:.4}  {f1:.4}  {support:7}")
    };
    for (class, quality) in classes {
        line(&class, quality)?;
    }
    line(&"macro", confusion.macro_average())?;
    line(&"weighted", confusion.weighted_average())?;
    let (met, classes) = (confusion.classes_met(), confusion.classes());
    if met < classes {
        writeln!(f, "macro: over the {met} of {classes} classes that have samples or predictions")?;
    }
    Ok(())
}

fn matrix(f: &mut fmt::Formatter<'_>, confusion: &Confusion) -> fmt::Result {
    let largest = confusion.sparse().map(|(_, count)| count).max().unwrap_or(0);
    let width = largest.to_string().len().max(4) + 1;
    if 5 + width * confusion.classes() > COLUMNS {
        return mistakes(f, confusion);
    }
    writeln!(f, "confusion (row: true class, column: predicted class, dot: none)")?;
    write!(f, "{:5}", "")?;
    for class in 0..confusion.classes() {
        write!(f, "{class:width$}")?;
    }
    for class in 0..confusion.classes() {
        write!(f, "\n{class:5}")?;
        for count in confusion.row(class) {
            // Dots draw the eye to the mistakes.
            if *count == 0 { write!(f, "{:>width$}", ".")? } else { write!(f, "{count:width$}")? }
        }
    }
    f.write_char('\n')
}

/// Writes the most frequent mistakes, for matrices that are too wide.
fn mistakes(f: &mut fmt::Formatter<'_>, confusion: &Confusion) -> fmt::Result {
    let pair = |cell: u32| (cell as usize / confusion.classes(), cell as usize % confusion.classes());
    let mut mistakes: Vec<_> = confusion.sparse().map(|(cell, count)| (pair(cell), count)).collect();
    mistakes.retain(|((label, prediction), _)| label != prediction);
    mistakes.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    writeln!(f, "most frequent mistakes (true class, predicted class, times)")?;
    for ((label, prediction), count) in mistakes.into_iter().take(MISTAKES_SHOWN) {
        writeln!(f, "{label:5} {prediction:5} {count:7}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_aligned_and_complete() {
        let mut confusion = Confusion::new(10);
        (1..10).for_each(|class| confusion.count(class, class, 90 + u64::from(class)));
        confusion.count(4, 9, 7);
        confusion.count(9, 4, 12);
        assert_eq!(evaluation_table("validation", &confusion, 0.123_46), EXPECTED);
    }

    // Class 4: precision 94/106, recall 94/101, F1 188/207. Class 9: 99/106, 99/111, 198/217. The averages
    // are those that scikit-learn 1.9.1 prints for these counts:
    //   from sklearn.metrics import precision_recall_fscore_support as quality
    //   pairs = [(c, c) for c in range(1, 10) for _ in range(90 + c)] + [(4, 9)] * 7 + [(9, 4)] * 12
    //   for average in "macro", "weighted":
    //       print(quality(*zip(*pairs), average=average, zero_division=0))
    const EXPECTED: &str = "\
validation: accuracy 97.83 % (855 of 874), mean loss 0.1235

   class  precision  recall      f1  support
       0     0.0000  0.0000  0.0000        0
       1     1.0000  1.0000  1.0000       91
       2     1.0000  1.0000  1.0000       92
       3     1.0000  1.0000  1.0000       93
       4     0.8868  0.9307  0.9082      101
       5     1.0000  1.0000  1.0000       95
       6     1.0000  1.0000  1.0000       96
       7     1.0000  1.0000  1.0000       97
       8     1.0000  1.0000  1.0000       98
       9     0.9340  0.8919  0.9124      111
   macro     0.9801  0.9803  0.9801      874
weighted     0.9785  0.9783  0.9783      874
macro: over the 9 of 10 classes that have samples or predictions

confusion (row: true class, column: predicted class, dot: none)
         0    1    2    3    4    5    6    7    8    9
    0    .    .    .    .    .    .    .    .    .    .
    1    .   91    .    .    .    .    .    .    .    .
    2    .    .   92    .    .    .    .    .    .    .
    3    .    .    .   93    .    .    .    .    .    .
    4    .    .    .    .   94    .    .    .    .    7
    5    .    .    .    .    .   95    .    .    .    .
    6    .    .    .    .    .    .   96    .    .    .
    7    .    .    .    .    .    .    .   97    .    .
    8    .    .    .    .    .    .    .    .   98    .
    9    .    .    .    .   12    .    .    .    .   99
";

    #[test]
    fn up_to_a_million_samples_no_line_is_wider_than_a_terminal() {
        for classes in [2, 10, 11, 40, 1000] {
            let mut confusion = Confusion::new(classes);
            confusion.count(1, 1, 999_999);
            confusion.count(1, 0, 1);
            let table = evaluation_table("validation", &confusion, 123.456);
            let widest = table.lines().map(str::len).max().unwrap();
            assert!(widest <= COLUMNS, "{widest} columns:\n{table}");
            assert!(table.lines().count() < 70, "{table}");
        }
    }

    #[test]
    fn where_every_class_counts_nothing_is_said_of_it() {
        let mut confusion = Confusion::new(2);
        // Class 1 has predictions only.
        [(0, 0), (0, 1)].into_iter().for_each(|(label, guess)| confusion.count(label, guess, 1));
        let table = evaluation_table("test", &confusion, 1.0);
        assert!(!table.contains("macro:"), "{table}");
    }

    #[test]
    fn of_many_classes_the_worst_and_the_mistakes_are_shown() {
        let mut confusion = Confusion::new(400);
        (0..300).for_each(|class| confusion.count(class, class, 10));
        confusion.count(299, 7, 5);
        let table = evaluation_table("test", &confusion, 1.0);
        assert!(!table.contains("\n     300  "), "a class that is not met is none of the worst: {table}");
        assert!(table.contains("\n  299   ") && table.contains("\n  299     7       5\n"), "{table}");
    }
}
