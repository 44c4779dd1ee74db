//! Data sets in CSV: Kaggle's digit recogniser, and pairs like `mnist_train.csv` and `mnist_test.csv`.
//!
//! 1. `kaggle:` names a file or a folder; [`files`] says which tables that is.
//! 2. A table that is alone is split: a tenth of each class is the test ([`split`]). Kaggle's `test.csv` has
//!    no labels, so nothing can be tested on it, and it is not read.
//! 3. Of a pair, the one is trained on and the other is the test.
//! 4. Samples have the order of the file.
//!
//! [`rows`] defines the format.
//!
//! What is wanted of `test.csv` is an answer for each row: [`read_unlabelled`] reads it for
//! `lockstep submit`.

mod files;
mod rows;
mod split;

use super::join::join;
use super::{Dataset, DatasetChoice, DatasetError};
use common::data::spec::{CLASSES_MAX, SIDE_MAX};
use files::Tables;
use host::files::FileError;
pub use rows::read_unlabelled;
use std::io;
use std::path::{Path, PathBuf};

/// Why a table can't be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum CsvError {
    /// The name stands for nothing.
    #[error("there is no {}; check its spelling: --dataset kaggle:PATH names a CSV file, or a folder with one", .0.display())]
    Missing(PathBuf),
    /// The folder holds no table of a known name.
    #[error(
        "{} holds neither train.csv nor two files like mnist_train.csv and mnist_test.csv (looked for with .gz too); \
         put train.csv there, or name the file: --dataset kaggle:FILE.csv",
        .0.display()
    )]
    NoTable(PathBuf),
    /// The folder holds two pairs of tables.
    #[error("{} and {} both have a test beside them; name the one that is meant", first.display(), second.display())]
    Ambiguous { first: PathBuf, second: PathBuf },
    /// A file can't be read.
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: FileError },
    /// A compressed file is damaged.
    #[error("{}, line {line}: the gzip data is damaged there ({source}); get this file again", path.display())]
    Gzip { path: PathBuf, line: u64, source: io::Error },
    /// The first column is another one than that of the labels.
    #[error(
        "{}: the first column is {name:?} and not \"label\"; write the label first and then the pixels, without an index",
        path.display()
    )]
    FirstColumn { path: PathBuf, name: String },
    /// The number of pixels is no square, or too large.
    #[error(
        "{}, line {line}: {pixels} columns follow the label, and that is no square image of 1x1 to {SIDE_MAX}x{SIDE_MAX}; \
         write the label and then all pixels, row by row",
        path.display()
    )]
    NotSquare { path: PathBuf, line: u64, pixels: usize },
    /// The number of columns of a table without labels is no square, or too large.
    #[error(
        "{}, line {line}: {columns} columns are no square image of 1x1 to {SIDE_MAX}x{SIDE_MAX}; \
         write all pixels, row by row, and nothing else, as Kaggle's test.csv has them",
        path.display()
    )]
    NoImage { path: PathBuf, line: u64, columns: usize },
    /// The table has labels.
    #[error("{}: the first column is \"label\"; name the table without labels, test.csv", .0.display())]
    Labelled(PathBuf),
    /// A row has more or fewer columns than the first one.
    #[error("{}, line {line}: {got} columns, and {expected} in the first row; mend or remove the row", path.display())]
    Columns { path: PathBuf, line: u64, expected: usize, got: usize },
    /// A label is not a class.
    #[error(
        "{}, line {line}, column 1: the label is {value:?}; a whole number of 0 to {} is wanted, counted from 0",
        path.display(), CLASSES_MAX - 1
    )]
    Label { path: PathBuf, line: u64, value: String },
    /// A pixel is not a byte.
    #[error(
        "{}, line {line}, column {column}: the pixel is {value:?}; a whole number of 0 to 255 is wanted",
        path.display()
    )]
    Pixel {
        path: PathBuf,
        line: u64,
        /// Column, counted from 1; a label has the first.
        column: usize,
        value: String,
    },
    /// A line is longer than any row can be.
    #[error(
        "{}, line {line}: it has more than {bytes_max} bytes, which no row of an image has; check which file it is",
        path.display()
    )]
    LineTooLong { path: PathBuf, line: u64, bytes_max: usize },
    /// The file holds more than the program accepts.
    #[error("{}, line {line}: {bytes_max} bytes of {what} are the most that is read; split the data", path.display())]
    TooLarge {
        path: PathBuf,
        line: u64,
        /// `text` or `pixels`.
        what: &'static str,
        bytes_max: u64,
    },
    /// A table is too short for a tenth of it to be the test.
    #[error(
        "{}: of {rows} rows no tenth can be held out as the test, because no class has {} of them; take more, or name \
         the test FILE_test.csv beside FILE_train.csv",
        path.display(), split::ROWS_MIN
    )]
    TooFew { path: PathBuf, rows: usize },
}

/// Loads the data set at `path`, a table or a folder with one or two.
pub(super) fn load(path: &Path) -> Result<Dataset, DatasetError> {
    let name = DatasetChoice::Kaggle(path.to_owned()).to_string();
    match files::find(path)? {
        Tables::Pair { train, test } => {
            let of_train = rows::read(&train)?;
            let of_test = rows::read(&test)?;
            join(name, (train, of_train), (test, of_test), None)
        }
        Tables::Alone(table) => {
            let all = rows::read(&table)?;
            if all.is_empty() {
                return Err(DatasetError::Empty(table));
            }
            let (train, test) = split::split(&all);
            if test.is_empty() {
                return Err(CsvError::TooFew { path: table, rows: all.len() }.into());
            }
            let note = format!(
                "{} of the {} images in {} are the test: a tenth of each class, the same in every run",
                test.len(),
                all.len(),
                table.display()
            );
            drop(all);
            join(name, (table.clone(), train), (table, test), Some(note))
        }
    }
}

/// Whether a path is that of a CSV file, by its name.
pub(super) fn is_table(path: &Path) -> bool {
    let name = path.to_string_lossy().to_lowercase();
    name.strip_suffix(".gz").unwrap_or(&name).ends_with(".csv")
}

#[cfg(test)]
mod tests;
