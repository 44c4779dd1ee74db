//! Data sets in NumPy's npz, as Keras's `mnist.npz`: four arrays in a zip file.
//!
//! 1. `x_train` and `x_test` are bytes of the shape (n, height, width) or (n, height, width, channels);
//!    `y_train` and `y_test` are whole numbers of the shape (n) or (n, 1). Other arrays are not looked at.
//! 2. Numbers are little-endian and in C order. What NumPy could convert in many ways is not converted here:
//!    the error says how to do it there.
//! 3. Memory is bounded: an array's header says its size, which is at most `PART_BYTES_MAX` and must be
//!    that of the zip file's directory.
//!
//! [`zip`] reads members, [`header`] what stands before an array, and [`array`](mod@array) its numbers.

mod array;
mod header;
mod zip;

use super::join::{Half, join};
use super::{Dataset, DatasetError};
use array::{Array, member_of, whole};
use common::data::samples::{Samples, SamplesError};
use common::data::spec::{CLASSES_MAX, SpecError};
pub use header::HeaderError;
use host::files::{FileError, Links, open_regular};
use std::path::{Path, PathBuf};
pub(crate) use zip::Archive;
pub use zip::ZipError;

/// Most bytes of a file: zip's offsets have 32 bits.
const FILE_BYTES_MAX: u64 = u32::MAX as u64;
/// The arrays of a data set: images and labels to train on, then those of the test.
const ARRAYS: [[&str; 2]; 2] = [["x_train", "y_train"], ["x_test", "y_test"]];

/// Why a file in npz can't be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum NpzError {
    /// A file can't be read.
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: FileError },
    /// The zip file is damaged, or of a kind that is not read.
    #[error("{}: {source}", path.display())]
    Zip { path: PathBuf, source: ZipError },
    /// The file lacks arrays.
    #[error(
        "{} lacks {}; it has {there}; write it with numpy.savez(FILE, x_train=..., y_train=..., x_test=..., y_test=...)",
        path.display(), missing.join(", ")
    )]
    Missing {
        path: PathBuf,
        missing: Vec<&'static str>,
        /// Names of its members, as far as they are shown.
        there: String,
    },
    /// What stands before an array's numbers is not understood.
    #[error("{}, {array}: {source}", path.display())]
    Header { path: PathBuf, array: &'static str, source: HeaderError },
    /// The images are not bytes.
    #[error(
        "{}, {array}: the pixels are {descr:?}, and bytes of 0 to 255 are wanted; convert them with (x * \
         255).round().astype('uint8') if they are 0 to 1, with x.round().astype('uint8') if they are 0 to 255",
        path.display()
    )]
    NotBytes { path: PathBuf, array: &'static str, descr: String },
    /// The labels are not whole numbers.
    #[error(
        "{}, {array}: the labels are {descr:?}, and little-endian whole numbers are wanted; convert them with \
         y.astype('<i8')",
        path.display()
    )]
    NotWhole { path: PathBuf, array: &'static str, descr: String },
    /// An array is stored column by column.
    #[error(
        "{}, {array}: the array is in Fortran order; convert it with numpy.ascontiguousarray(x)",
        path.display()
    )]
    Fortran { path: PathBuf, array: &'static str },
    /// An array has another number of dimensions.
    #[error("{}, {array}: the shape is {shape:?}, and {wanted} is wanted; {hint}", path.display())]
    Shape {
        path: PathBuf,
        array: &'static str,
        shape: Vec<u64>,
        wanted: &'static str,
        /// What NumPy can do about it.
        hint: &'static str,
    },
    /// The images are too large.
    #[error(
        "{}, {array}: {source}; the shape is {shape:?}, read as (n, height, width, channels): channels in front are \
         moved with x.transpose(0, 2, 3, 1)",
        path.display()
    )]
    Size { path: PathBuf, array: &'static str, shape: Vec<u64>, source: SpecError },
    /// An array holds more than the program accepts.
    #[error(
        "{}, {array}: the shape is {shape:?}, and {bytes_max} bytes are the most that is read; split the data",
        path.display()
    )]
    TooLarge { path: PathBuf, array: &'static str, shape: Vec<u64>, bytes_max: u64 },
    /// An array's size is another one in the zip file's directory.
    #[error(
        "{}, {array}: the shape says {expected} bytes in all, and the zip file's directory {got}; get this file again",
        path.display()
    )]
    Length { path: PathBuf, array: &'static str, expected: u64, got: u64 },
    /// There are more labels than images, or fewer.
    #[error("{}: {array} has {got} labels for {images} images; take both from the same data set", path.display())]
    Counts { path: PathBuf, array: &'static str, images: u64, got: u64 },
    /// A label is not a class.
    #[error(
        "{}: {array}[{index}] is {value}; labels are 0 to {}, counted from 0",
        path.display(), CLASSES_MAX - 1
    )]
    Label { path: PathBuf, array: &'static str, index: usize, value: i128 },
    /// Images and labels do not belong together.
    #[error("{}: {source}", path.display())]
    Samples { path: PathBuf, source: SamplesError },
}

/// Loads the data set in the file at `path`.
pub(super) fn load(path: &Path) -> Result<Dataset, DatasetError> {
    let file = open_regular(path, FILE_BYTES_MAX, Links::Followed);
    let file = file.map_err(|source| NpzError::Read { path: path.to_owned(), source })?;
    let archive = Archive::open(file).map_err(|source| NpzError::Zip { path: path.to_owned(), source })?;
    let is_missing = |array: &&str| archive.member(&member_of(array)).is_none();
    let missing: Vec<&str> = ARRAYS.into_iter().flatten().filter(is_missing).collect();
    if !missing.is_empty() {
        let there = archive.shown_names();
        return Err(NpzError::Missing { path: path.to_owned(), missing, there }.into());
    }
    let half = |[images, labels]: [&'static str; 2]| -> Result<Half, NpzError> {
        let samples = samples(path, &archive, images, labels)?;
        Ok((path.to_owned(), samples))
    };
    let [train, test] = ARRAYS;
    let train = half(train)?;
    join(path.display().to_string(), train, half(test)?, None)
}

fn samples(path: &Path, archive: &Archive, x: &'static str, y: &'static str) -> Result<Samples, NpzError> {
    let images = Array::open(path, archive, x)?;
    let spec = images.spec()?;
    let count = images.header().shape[0];
    let labels = Array::open(path, archive, y)?;
    let got = labels.labels()?;
    if got != count {
        return Err(NpzError::Counts { path: path.to_owned(), array: y, images: count, got });
    }
    let item_bytes = labels.item_bytes()?;
    let is_signed = labels.header().descr.contains('i');
    let bytes = labels.read(item_bytes)?;
    let labels = bytes.chunks_exact(item_bytes).enumerate().map(|(index, bytes)| {
        let value = whole(bytes, is_signed);
        let label = u16::try_from(value).ok().filter(|&label| usize::from(label) < CLASSES_MAX);
        label.ok_or_else(|| NpzError::Label { path: path.to_owned(), array: y, index, value })
    });
    let labels = labels.collect::<Result<Vec<u16>, _>>()?;
    let pixels = images.read(1)?;
    Samples::new(spec, pixels, labels).map_err(|source| NpzError::Samples { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
