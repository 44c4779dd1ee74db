//! An evaluation as aligned plain text that fits 80 columns up to a million samples.
//!
//! It returns text and prints nothing; where it goes is the caller's choice.

use common::data::samples::CLASSES;
use common::train::metrics::{ClassQuality, Confusion};
use std::fmt::{self, Display, Write};

/// Overall numbers, quality per class and the confusion matrix; the last line ends in a newline.
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
        let (samples, correct) = (confusion.samples(), confusion.correct());
        let accuracy = 100.0 * confusion.accuracy();
        writeln!(f, "{name}: accuracy {accuracy:.2} % ({correct} of {samples}), mean loss {mean_loss:.4}\n")?;
        qualities(f, confusion)?;
        f.write_char('\n')?;
        matrix(f, confusion)
    }
}

fn qualities(f: &mut fmt::Formatter<'_>, confusion: &Confusion) -> fmt::Result {
    writeln!(f, "class  precision  recall      f1  support")?;
    let mut line = |name: &dyn Display, quality: ClassQuality| {
        let ClassQuality { precision, recall, f1, support } = quality;
        writeln!(f, "{name:>5}  {precision:9.4}  {recall:.4}  {f1:.4}  {support:7}")
    };
    for class in 0..CLASSES {
        line(&class, confusion.class(class))?;
    }
    line(&"macro", confusion.macro_average())
}

fn matrix(f: &mut fmt::Formatter<'_>, confusion: &Confusion) -> fmt::Result {
    let largest = confusion.counts.as_flattened().iter().max().copied().unwrap_or(0);
    let width = largest.to_string().len().max(4) + 1;
    writeln!(f, "confusion (row: true class, column: predicted class, dot: none)")?;
    write!(f, "{:5}", "")?;
    for class in 0..CLASSES {
        write!(f, "{class:width$}")?;
    }
    for (class, row) in confusion.counts.iter().enumerate() {
        write!(f, "\n{class:5}")?;
        for count in row {
            // Dots leave the eye to the mistakes.
            if *count == 0 { write!(f, "{:>width$}", ".")? } else { write!(f, "{count:width$}")? }
        }
    }
    f.write_char('\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_aligned_and_complete() {
        let mut confusion = Confusion::default();
        for (class, row) in confusion.counts.iter_mut().enumerate() {
            row[class] = 90 + class as u64;
        }
        confusion.counts[4][9] = 7;
        confusion.counts[9][4] = 12;
        confusion.counts[0] = [0; 10];
        assert_eq!(evaluation_table("validation", &confusion, 0.123_46), EXPECTED);
    }

    // Class 4: precision 94/106, recall 94/101, F1 188/207. Class 9: 99/106, 99/111, 198/217.
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
macro     0.8821  0.8823  0.8821      874

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
        let mut confusion = Confusion::default();
        confusion.counts[3][3] = 999_999;
        confusion.counts[3][4] = 1;
        let table = evaluation_table("validation", &confusion, 123.456);
        let widest = table.lines().map(str::len).max().unwrap();
        assert!(widest <= 80, "{widest} columns:\n{table}");
    }
}
