//! What a data set is, for a person who looks before training: lines of text, and a sheet of samples.

use super::Dataset;
use crate::folder;
use common::data::samples::Samples;
use host::printable;
use image::{Rgb, RgbImage};
use std::fmt::Write as _;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Samples of a class on the sheet.
const COLUMNS: usize = 10;
/// Most classes on the sheet: those of letters, and some more.
const ROWS_MAX: usize = 40;
/// Pixels between two samples.
const GAP: usize = 2;
/// Colour between samples: unlike paper and ink.
const BETWEEN: Rgb<u8> = Rgb([64, 96, 160]);
/// First bytes of every PNG file (RFC 2083, section 3.1).
const PNG_MAGIC: [u8; 8] = *b"\x89PNG\r\n\x1a\n";

/// Why a sheet can't be written.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum SheetError {
    /// There is a file of another kind.
    #[error("{} is there and is no PNG file; move it away, or name another file", .0.display())]
    Other(PathBuf),
    /// The file system refuses.
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

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
        let failed = |source| SheetError::Write { path: path.to_owned(), source };
        if !is_png_or_new(path).map_err(failed)? {
            return Err(SheetError::Other(path.to_owned()));
        }
        let place = match path.parent() {
            Some(place) if place != Path::new("") => place,
            _ => Path::new("."),
        };
        let new = tempfile::Builder::new().suffix(".png").tempfile_in(place).map_err(failed)?;
        let sheet = sheet(&self.train);
        let written = sheet.write_to(&mut io::BufWriter::new(new.as_file()), image::ImageFormat::Png);
        written.map_err(|error| failed(io::Error::other(error)))?;
        folder::put(new, path).map(|_| ()).map_err(failed)
    }
}

/// Number of samples of each class.
fn counts(samples: &Samples) -> Vec<usize> {
    let mut counts = vec![0; samples.spec().classes()];
    samples.labels().iter().for_each(|&label| counts[usize::from(label)] += 1);
    counts
}

fn is_png_or_new(path: &Path) -> io::Result<bool> {
    let mut file = match host::files::open_regular(path, u64::MAX, host::files::Links::Followed) {
        Ok(file) => file,
        Err(host::files::FileError::System(error)) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(true);
        }
        Err(host::files::FileError::System(error)) => return Err(error),
        Err(_) => return Ok(false),
    };
    let mut start = [0; PNG_MAGIC.len()];
    Ok(file.read_exact(&mut start).is_ok() && start == PNG_MAGIC)
}

fn sheet(samples: &Samples) -> RgbImage {
    let spec = samples.spec();
    let rows = spec.classes().min(ROWS_MAX);
    let [width, height] = [spec.width() + GAP, spec.height() + GAP];
    let size = [COLUMNS * width + GAP, rows * height + GAP].map(|side| side as u32);
    let mut sheet = RgbImage::from_pixel(size[0], size[1], BETWEEN);
    let mut shown = vec![0; rows];
    for (index, &label) in samples.labels().iter().enumerate() {
        let Some(column) = shown.get_mut(usize::from(label)).filter(|column| **column < COLUMNS) else {
            continue;
        };
        let corner = [GAP + *column * width, GAP + usize::from(label) * height];
        *column += 1;
        for (at, pixel) in samples.image(index).chunks_exact(spec.channels()).enumerate() {
            let [x, y] =
                [corner[0] + at % spec.width(), corner[1] + at / spec.width()].map(|side| side as u32);
            sheet.put_pixel(x, y, colour(pixel));
        }
    }
    sheet
}

/// The colour of a pixel of 1 to 4 channels; transparency is not shown.
fn colour(pixel: &[u8]) -> Rgb<u8> {
    match *pixel {
        [red, green, blue, ..] => Rgb([red, green, blue]),
        [grey, ..] => Rgb([grey; 3]),
        [] => BETWEEN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::data::classes::ClassNames;
    use common::data::spec::DataSpec;
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
