//! What a data set is, for a person who looks before training: lines of text, and a sheet of samples.

use super::Dataset;
use super::sheet::{Sheet, SheetError};
use common::data::samples::Samples;
use host::printable;
use std::fmt::Write as _;
use std::path::Path;

/// Samples of a class on the sheet.
const COLUMNS: usize = 10;
/// Most classes on the sheet: those of letters, and some more.
const ROWS_MAX: usize = 40;

impl Dataset {
    /// Its form, its classes, and how many samples each has.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut text = String::new();
        // Writing to a string can't fail.
        let mut line = |name: &str, value: &dyn std::fmt::Display| _ = writeln!(text, "{name:<19} {value}");
        line("data set", &self.name);
        line("digest", &self.digest);
        line("form", &self.train.spec());
        line("training samples", &self.train.len());
        line("test samples", &self.test.len());
        self.note.iter().for_each(|note| line("note", note));
        let [train, test] = [&self.train, &self.test].map(counts);
        let are_named = !self.classes.are_numbers();
        let _ = writeln!(text, "\n   class  training     test{}", if are_named { "  name" } else { "" });
        for (class, (train, test)) in train.into_iter().zip(test).enumerate() {
            let _ = write!(text, "{class:8}  {train:8}  {test:7}");
            if are_named {
                let _ = write!(text, "  {}", printable(self.classes.get(class)));
            }
            text.push('\n');
        }
        text
    }

    /// Writes a sheet of training samples as PNG: a row for each class, up to 40, with its first ones.
    ///
    /// # Errors
    /// When there is a file of another kind, or it can't be written.
    pub fn write_sheet(&self, path: &Path) -> Result<(), SheetError> {
        sheet(&self.train).write(path)
    }
}

/// Number of samples of each class.
fn counts(samples: &Samples) -> Vec<usize> {
    let mut counts = vec![0; samples.spec().classes()];
    samples.labels().iter().for_each(|&label| counts[usize::from(label)] += 1);
    counts
}

fn sheet(samples: &Samples) -> Sheet {
    let rows = samples.spec().classes().min(ROWS_MAX);
    let mut sheet = Sheet::new(samples.spec(), rows, COLUMNS);
    let mut shown = vec![0; rows];
    for (index, &label) in samples.labels().iter().enumerate() {
        let Some(column) = shown.get_mut(usize::from(label)).filter(|column| **column < COLUMNS) else {
            continue;
        };
        sheet.put(label.into(), *column, samples.image(index));
        *column += 1;
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::sheet::BETWEEN;
    use common::data::classes::ClassNames;
    use common::data::spec::DataSpec;
    use image::Rgb;
    use std::fs;

    fn colours() -> Dataset {
        let spec = DataSpec::new(2, 3, 3, 4).unwrap();
        let pixels = [9, 50, 200].iter().flat_map(|&first| [first, 1, 2].repeat(6)).collect();
        let train = Samples::new(spec, pixels, vec![3, 0, 3]).unwrap();
        let test = train.gather(&[1]);
        let note = Some("drawn for a test".to_owned());
        let classes = ClassNames::new(["red", "\u{1b}[31m", "a\nb", "\u{fc}"]);
        Dataset { name: "colours".into(), digest: "12ab".into(), classes, train, test, note }
    }

    #[test]
    fn the_description_counts_each_class() {
        let text = colours().describe();
        for line in ["form                2x3x3, 4 classes", "note                drawn for a test"] {
            assert!(text.lines().any(|own| own == line), "{line}: {text}");
        }
        let classes: Vec<&str> = text.lines().skip_while(|line| !line.contains("class ")).collect();
        let expected = [
            "   class  training     test  name",
            "       0         1        1  red",
            "       1         0        0  \\u001b[31m",
            "       2         0        0  a\\u000ab",
            "       3         2        0  \u{fc}",
        ];
        assert_eq!(classes, expected);
        let numbers = Dataset { classes: ClassNames::numbers(4), ..colours() }.describe();
        assert!(numbers.ends_with("       3         2        0\n"), "{numbers}");
    }

    #[test]
    fn each_class_has_a_row_on_the_sheet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sheet.png");
        // The second time it is written over.
        for _ in 0..2 {
            colours().write_sheet(&path).unwrap();
            let sheet = image::open(&path).unwrap().into_rgb8();
            assert_eq!(sheet.dimensions(), (10 * 5 + 2, 4 * 4 + 2));
            let at = |column: u32, row: u32| *sheet.get_pixel(2 + 5 * column + 2, 2 + 4 * row + 1);
            assert_eq!([at(0, 0), at(0, 3), at(1, 3)], [50, 9, 200].map(|first| Rgb([first, 1, 2])));
            assert_eq!([at(1, 0), at(0, 1)], [BETWEEN; 2]);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn what_is_no_png_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes");
        fs::write(&path, "words").unwrap();
        let error = colours().write_sheet(&path).unwrap_err().to_string();
        assert!(error.contains("no PNG") && fs::read(&path).unwrap() == b"words", "{error}");
        assert!(matches!(colours().write_sheet(folder.path()), Err(SheetError::Other(_))));
        let nowhere = folder.path().join("none/sheet.png");
        assert!(matches!(colours().write_sheet(&nowhere), Err(SheetError::Write { .. })));
    }
}
