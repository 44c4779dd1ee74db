//! An evaluation as aligned plain text that fits 80 columns up to a million samples.
//!
//! With many classes it shows the worst ones, and the most frequent mistakes instead of a wide matrix. Names
//! of classes stand at the end of a line, where one of any length moves no column; long ones are cut. Where
//! the names are the numbers they are not repeated. It returns text and prints nothing; the caller decides
//! where it goes.

use common::data::classes::ClassNames;
use common::train::metrics::{ClassQuality, Confusion};
use host::printable;
use std::borrow::Cow;
use std::fmt::{self, Display, Write};

/// Default width of a terminal.
const COLUMNS: usize = 80;
/// Largest number of classes whose quality is shown: two screens.
const CLASSES_SHOWN: usize = 40;
/// Largest number of mistakes that are shown in place of a matrix.
const MISTAKES_SHOWN: usize = 20;
/// Characters of a name after the numbers of its class.
const NAME_SHOWN: usize = 34;
/// Characters of each of two names after a mistake.
const NAME_OF_TWO_SHOWN: usize = 27;
/// What a name that was cut ends in.
const CUT: &str = "...";

/// The table: overall numbers, quality per class and the confusion matrix. The last line ends in a newline.
///
/// `name` says what was evaluated, such as `test`; `mean_loss` is in nats.
#[must_use]
pub fn evaluation_table(name: &str, confusion: &Confusion, classes: &ClassNames, mean_loss: f64) -> String {
    let classes = (!classes.are_numbers()).then_some(classes);
    Table { name, confusion, classes, mean_loss }.to_string()
}

struct Table<'a> {
    name: &'a str,
    confusion: &'a Confusion,
    /// Names of the classes, where they are not the numbers.
    classes: Option<&'a ClassNames>,
    mean_loss: f64,
}

impl Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, confusion, classes, mean_loss } = self;
        let samples = confusion.samples();
        let correct = confusion.correct();
        let accuracy = 100.0 * confusion.accuracy();
        writeln!(f, "{name}: accuracy {accuracy:.2} % ({correct} of {samples}), mean loss {mean_loss:.4}\n")?;
        qualities(f, confusion, *classes)?;
        f.write_char('\n')?;
        matrix(f, confusion, *classes)
    }
}

/// A class's name in at most so many characters, with control characters escaped.
fn shown(names: &ClassNames, class: usize, characters: usize) -> Cow<'_, str> {
    let name = printable(names.get(class));
    if name.chars().nth(characters).is_none() {
        return name;
    }
    name.chars().take(characters - CUT.len()).chain(CUT.chars()).collect()
}

fn qualities(f: &mut fmt::Formatter<'_>, confusion: &Confusion, names: Option<&ClassNames>) -> fmt::Result {
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
    let heading = if names.is_some() { "  name" } else { "" };
    writeln!(f, "   class  precision  recall      f1  support{heading}")?;
    let mut line = |class: &dyn Display, quality: ClassQuality, name: &str| {
        let ClassQuality { precision, recall, f1, support } = quality;
        let gap = if name.is_empty() { "" } else { "  " };
        writeln!(f, "{class:>8}  {precision:9.4}  {recall:.4}  {f1:.4}  {support:7}{gap}{name}")
    };
    for (class, quality) in classes {
        let name = names.map_or(Cow::Borrowed(""), |names| shown(names, class, NAME_SHOWN));
        line(&class, quality, &name)?;
    }
    line(&"macro", confusion.macro_average(), "")?;
    line(&"weighted", confusion.weighted_average(), "")?;
    let (met, classes) = (confusion.classes_met(), confusion.classes());
    if met < classes {
        writeln!(f, "macro: over the {met} of {classes} classes that have samples or predictions")?;
    }
    Ok(())
}

fn matrix(f: &mut fmt::Formatter<'_>, confusion: &Confusion, names: Option<&ClassNames>) -> fmt::Result {
    let largest = confusion.sparse().map(|(_, count)| count).max().unwrap_or(0);
    let width = largest.to_string().len().max(4) + 1;
    if 5 + width * confusion.classes() > COLUMNS {
        return mistakes(f, confusion, names);
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
fn mistakes(f: &mut fmt::Formatter<'_>, confusion: &Confusion, names: Option<&ClassNames>) -> fmt::Result {
    let pair = |cell: u32| (cell as usize / confusion.classes(), cell as usize % confusion.classes());
    let mut mistakes: Vec<_> = confusion.sparse().map(|(cell, count)| (pair(cell), count)).collect();
    mistakes.retain(|((label, prediction), _)| label != prediction);
    mistakes.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    writeln!(f, "most frequent mistakes (true class, predicted class, times)")?;
    for ((label, prediction), count) in mistakes.into_iter().take(MISTAKES_SHOWN) {
        write!(f, "{label:5} {prediction:5} {count:7}")?;
        if let Some(names) = names {
            let [label, prediction] = [label, prediction].map(|class| shown(names, class, NAME_OF_TWO_SHOWN));
            write!(f, "  {label} -> {prediction}")?;
        }
        f.write_char('\n')?;
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
        assert_eq!(evaluation_table("validation", &confusion, &ClassNames::numbers(10), 0.123_46), EXPECTED);
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
            let long = "\u{1b}[2J\n\"".to_owned() + &"\u{e9}".repeat(10_000);
            for names in [ClassNames::numbers(classes), ClassNames::new(vec![long; classes])] {
                let table = evaluation_table("validation", &confusion, &names, 123.456);
                let widest = table.lines().map(|line| line.chars().count()).max().unwrap();
                assert!(widest <= COLUMNS, "{widest} columns:\n{table}");
                assert!(table.lines().count() < 70, "{table}");
                assert!(!table.contains('\u{1b}'), "{table}");
            }
        }
    }

    #[test]
    fn names_stand_beside_numbers() {
        let mut confusion = Confusion::new(60);
        confusion.count(0, 1, 3);
        let names = ClassNames::new((0..60).map(|class| format!("letter\n{class}")));
        let table = evaluation_table("test", &confusion, &names, 1.0);
        for line in [
            "   class  precision  recall      f1  support  name",
            "       0     0.0000  0.0000  0.0000        3  letter\\u000a0",
            "    0     1       3  letter\\u000a0 -> letter\\u000a1",
        ] {
            assert!(table.lines().any(|own| own == line), "{line}:\n{table}");
        }
    }

    #[test]
    fn where_every_class_counts_nothing_is_said_of_it() {
        let mut confusion = Confusion::new(2);
        // Class 1 has predictions only.
        [(0, 0), (0, 1)].into_iter().for_each(|(label, guess)| confusion.count(label, guess, 1));
        let table = evaluation_table("test", &confusion, &ClassNames::numbers(2), 1.0);
        assert!(!table.contains("macro:"), "{table}");
    }

    #[test]
    fn of_many_classes_the_worst_and_the_mistakes_are_shown() {
        let mut confusion = Confusion::new(400);
        (0..300).for_each(|class| confusion.count(class, class, 10));
        confusion.count(299, 7, 5);
        let table = evaluation_table("test", &confusion, &ClassNames::numbers(400), 1.0);
        assert!(!table.contains("\n     300  "), "a class that is not met is none of the worst: {table}");
        assert!(table.contains("\n  299   ") && table.contains("\n  299     7       5\n"), "{table}");
    }
}
