//! One array of a file: whether its type and shape are those of images or of labels, and its numbers.
//!
//! An array is read in two steps, its header and its numbers, so that headers can be compared before memory
//! is taken for any numbers.

use super::NpzError;
use super::header::{Failed, Header};
use super::zip::{Archive, Content};
use crate::dataset::parts::PART_BYTES_MAX;
use common::data::spec::{CLASSES_MAX, DataSpec};
use std::path::Path;

/// An array whose header was read, and its numbers not yet.
pub(super) struct Array<'a> {
    path: &'a Path,
    name: &'static str,
    header: Header,
    content: Content<'a>,
}

impl<'a> Array<'a> {
    /// Reads the header of the array of that name.
    pub(super) fn open(path: &'a Path, archive: &'a Archive, name: &'static str) -> Result<Self, NpzError> {
        let owned = || path.to_owned();
        let member = archive.member(&member_of(name)).ok_or_else(|| NpzError::Missing {
            path: owned(),
            missing: vec![name],
            there: archive.shown_names(),
        })?;
        let content = archive.content(member);
        let mut content = content.map_err(|source| NpzError::Zip { path: owned(), source })?;
        let header = Header::read(&mut content).map_err(|error| match error {
            Failed::Zip(source) => NpzError::Zip { path: owned(), source },
            Failed::Header(source) => NpzError::Header { path: owned(), array: name, source },
        })?;
        if header.is_fortran {
            return Err(NpzError::Fortran { path: owned(), array: name });
        }
        Ok(Self { path, name, header, content })
    }

    /// Type and shape.
    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// Form of the images in an array of bytes.
    pub(super) fn spec(&self) -> Result<DataSpec, NpzError> {
        let shape = &self.header.shape;
        // One byte has no order of bytes.
        if !matches!(self.header.descr.as_str(), "|u1" | "<u1" | ">u1" | "=u1") {
            let descr = self.header.descr.clone();
            return Err(NpzError::NotBytes { path: self.path.to_owned(), array: self.name, descr });
        }
        let (height, width, channels) = match shape[..] {
            [_, height, width] => (height, width, 1),
            [_, height, width, channels] => (height, width, channels),
            _ => {
                let wanted = "(n, height, width) or (n, height, width, channels)";
                return Err(self.shape(wanted, "x.reshape(-1, height, width) makes it"));
            }
        };
        let side = |length: u64| usize::try_from(length).unwrap_or(usize::MAX);
        DataSpec::new(side(height), side(width), side(channels), CLASSES_MAX).map_err(|source| {
            NpzError::Size { path: self.path.to_owned(), array: self.name, shape: shape.clone(), source }
        })
    }

    /// Number of labels in an array of labels.
    pub(super) fn labels(&self) -> Result<u64, NpzError> {
        match self.header.shape[..] {
            [count] | [count, 1] => Ok(count),
            _ => Err(self.shape("(n) or (n, 1)", "y.argmax(axis=1) makes labels of one-hot rows")),
        }
    }

    fn shape(&self, wanted: &'static str, hint: &'static str) -> NpzError {
        let shape = self.header.shape.clone();
        NpzError::Shape { path: self.path.to_owned(), array: self.name, shape, wanted, hint }
    }

    /// Bytes of a whole number, by NumPy's name of its type.
    pub(super) fn item_bytes(&self) -> Result<usize, NpzError> {
        match self.header.descr.as_str() {
            "|u1" | "<u1" | ">u1" | "=u1" | "|i1" | "<i1" | ">i1" | "=i1" => Ok(1),
            "<u2" | "<i2" => Ok(2),
            "<u4" | "<i4" => Ok(4),
            "<u8" | "<i8" => Ok(8),
            descr => {
                let descr = descr.to_owned();
                Err(NpzError::NotWhole { path: self.path.to_owned(), array: self.name, descr })
            }
        }
    }

    /// The bytes of all numbers, each of `item_bytes`.
    pub(super) fn read(self, item_bytes: usize) -> Result<Vec<u8>, NpzError> {
        let Self { path, name: array, header, content } = self;
        let path = || path.to_owned();
        let shape = header.shape;
        let bytes = shape.iter().try_fold(item_bytes as u64, |bytes, &length| bytes.checked_mul(length));
        let Some(bytes) = bytes.filter(|&bytes| bytes <= PART_BYTES_MAX) else {
            return Err(NpzError::TooLarge { path: path(), array, shape, bytes_max: PART_BYTES_MAX });
        };
        let expected = header.bytes + bytes;
        if content.bytes() != expected {
            return Err(NpzError::Length { path: path(), array, expected, got: content.bytes() });
        }
        content.rest().map_err(|source| NpzError::Zip { path: path(), source })
    }
}

/// The whole number in at most eight bytes, little-endian.
pub(super) fn whole(bytes: &[u8], is_signed: bool) -> i128 {
    let unsigned = bytes.iter().rev().fold(0i128, |value, &byte| value << 8 | i128::from(byte));
    let is_negative = is_signed && bytes.last().is_some_and(|&byte| byte >= 0x80);
    if is_negative { unsigned - (1 << (8 * bytes.len())) } else { unsigned }
}

/// Name of an array's member, as NumPy chooses it.
pub(super) fn member_of(array: &str) -> String {
    format!("{array}.npy")
}
