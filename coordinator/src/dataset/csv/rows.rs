//! The rows of a CSV file as samples: a label, then the pixels of a square grey image, row by row.
//!
//! 1. The first row is a header if its first field is no whole number. Then that field must be `label`; the
//!    names of the other columns mean nothing.
//! 2. Labels are whole numbers from 0, pixels whole numbers of 0 to 255. A field may have spaces or double
//!    quotes around it. A quote does not hide a comma or the end of a line.
//! 3. Every row has as many columns as the first. Empty lines mean nothing.
//! 4. A file in gzip is known by its first bytes, not by its name.
//! 5. A table without labels, Kaggle's `test.csv`, is read by [`read_unlabelled`]: the first column is a
//!    pixel, and the header's first name is another one than `label`.
//!
//! Memory is bounded: a line by [`LINE_BYTES_MAX`], checked while it is read, the text by [`TEXT_BYTES_MAX`],
//! and the pixels by [`PART_BYTES_MAX`].

use super::CsvError;
use crate::dataset::parts::{self, PART_BYTES_MAX};
use ::csv::{ByteRecord, ErrorKind, Reader, ReaderBuilder};
use common::data::samples::Samples;
use common::data::spec::{CLASSES_MAX, DataSpec, SIDE_MAX};
use host::printable;
use std::io::{self, Read};
use std::path::Path;

/// Most bytes of a line: 65,536 pixels, and a quoted name of column for each.
pub(super) const LINE_BYTES_MAX: usize = 1 << 20;
/// Most bytes of a file, uncompressed: most pixels need four, as `255,`.
const TEXT_BYTES_MAX: u64 = 4 * PART_BYTES_MAX;
/// Size of the read buffer: few system calls for a file of megabytes.
const BUFFER_BYTES: usize = 64 << 10;
/// Most characters of a field that an error shows.
const SHOWN_CHARS_MAX: usize = 40;
/// Name of the first column, in any case.
const LABEL: &str = "label";

/// All samples of a file, in [`CLASSES_MAX`] classes. There may be none.
pub(super) fn read(path: &Path) -> Result<Samples, CsvError> {
    read_table(path, true)
}

/// All images of a table without labels, as samples of class 0. There may be none.
///
/// # Errors
/// When the file can't be read, or is no such table.
pub fn read_unlabelled(path: &Path) -> Result<Samples, CsvError> {
    read_table(path, false)
}

fn read_table(path: &Path, has_labels: bool) -> Result<Samples, CsvError> {
    let opened = parts::open(path, TEXT_BYTES_MAX)
        .map_err(|source| CsvError::Read { path: path.to_owned(), source })?;
    let bounded = Bounded { reader: opened.reader, line_bytes: 0, text_bytes: 0 };
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        // A quote that is never closed would make the rest of the file one field.
        .quoting(false)
        .buffer_capacity(BUFFER_BYTES)
        .from_reader(bounded);
    let mut table = Table { path, has_labels, side: 0, pixels: Vec::new(), labels: Vec::new() };
    let mut record = ByteRecord::new();
    while next(path, &mut reader, &mut record)? {
        let line = record.position().map_or(0, ::csv::Position::line);
        table.add(line, &record)?;
    }
    Ok(table.samples())
}

/// Reads a row; `false` at the end of the file.
fn next(path: &Path, reader: &mut Reader<Bounded>, record: &mut ByteRecord) -> Result<bool, CsvError> {
    let failed = match reader.read_byte_record(record) {
        Ok(is_row) => return Ok(is_row),
        Err(error) => error,
    };
    let path = path.to_owned();
    let line = reader.position().line();
    let ErrorKind::Io(source) = failed.into_kind() else {
        // Rows of bytes with any number of fields have no other errors.
        return Err(CsvError::Read { path, source: io::Error::from(io::ErrorKind::InvalidData).into() });
    };
    let limit = source.get_ref().and_then(|inner| inner.downcast_ref::<Limit>()).copied();
    Err(match (limit, source.kind()) {
        (Some(Limit::Line), _) => CsvError::LineTooLong { path, line, bytes_max: LINE_BYTES_MAX },
        (Some(Limit::Text), _) => CsvError::TooLarge { path, line, what: "text", bytes_max: TEXT_BYTES_MAX },
        (None, kind) if parts::is_damage(kind) => CsvError::Gzip { path, line, source },
        (None, _) => CsvError::Read { path, source: source.into() },
    })
}

/// Rows so far.
struct Table<'a> {
    path: &'a Path,
    /// Whether a label is before the pixels.
    has_labels: bool,
    /// Height and width of the images; 0 before the first row.
    side: usize,
    pixels: Vec<u8>,
    labels: Vec<u16>,
}

impl Table<'_> {
    /// Adds a row, or checks the header.
    fn add(&mut self, line: u64, record: &ByteRecord) -> Result<(), CsvError> {
        let path = || self.path.to_owned();
        let before = usize::from(self.has_labels);
        let pixels = record.len().saturating_sub(before);
        let first = record.get(0).unwrap_or_default();
        let is_first = self.side == 0;
        let is_label = bare(first).eq_ignore_ascii_case(LABEL.as_bytes());
        if is_first && self.has_labels && whole(first).is_none() && !is_label {
            return Err(CsvError::FirstColumn { path: path(), name: shown(first) });
        }
        if is_first && !self.has_labels && is_label {
            return Err(CsvError::Labelled(path()));
        }
        if is_first {
            let side = pixels.isqrt();
            if side * side != pixels || !(1..=SIDE_MAX).contains(&side) {
                let path = path();
                return Err(match self.has_labels {
                    true => CsvError::NotSquare { path, line, pixels },
                    false => CsvError::NoImage { path, line, columns: pixels },
                });
            }
            self.side = side;
            if whole(first).is_none() {
                return Ok(());
            }
        }
        let expected = self.side * self.side;
        if pixels != expected {
            let expected = expected + before;
            return Err(CsvError::Columns { path: path(), line, expected, got: record.len() });
        }
        if (self.pixels.len() + pixels) as u64 > PART_BYTES_MAX {
            return Err(CsvError::TooLarge { path: path(), line, what: "pixels", bytes_max: PART_BYTES_MAX });
        }
        let label = if self.has_labels { whole(first) } else { Some(0) };
        let label = label.filter(|&label| usize::from(label) < CLASSES_MAX);
        let label = label.ok_or_else(|| CsvError::Label { path: path(), line, value: shown(first) })?;
        for (column, field) in (1..).zip(record).skip(before) {
            let pixel = whole(field).and_then(|value| u8::try_from(value).ok());
            let pixel =
                pixel.ok_or_else(|| CsvError::Pixel { path: path(), line, column, value: shown(field) })?;
            self.pixels.push(pixel);
        }
        self.labels.push(label);
        Ok(())
    }

    fn samples(self) -> Samples {
        // Without a row there is no image, of any size.
        let side = self.side.max(1);
        let spec = DataSpec::new(side, side, 1, CLASSES_MAX);
        let samples = spec.ok().and_then(|spec| Samples::new(spec, self.pixels, self.labels).ok());
        samples.expect("each row was checked: as many pixels as an image has, and a label that is a class")
    }
}

/// The field without spaces and quotes around it.
fn bare(field: &[u8]) -> &[u8] {
    let field = field.trim_ascii();
    let unquoted = field.strip_prefix(b"\"").and_then(|field| field.strip_suffix(b"\""));
    unquoted.map_or(field, <[u8]>::trim_ascii)
}

/// The whole number in a field; a number too large for its type is the largest one.
fn whole(field: &[u8]) -> Option<u16> {
    let digits = bare(field);
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u16, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| u16::from(digit - b'0'))?;
        Some(value.saturating_mul(10).saturating_add(digit))
    })
}

/// The beginning of a field, as it is shown in an error.
fn shown(field: &[u8]) -> String {
    // A character has at most four bytes.
    let field = &field[..field.len().min(4 * SHOWN_CHARS_MAX)];
    let text = String::from_utf8_lossy(field);
    let start: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    printable(&start).into_owned()
}

/// What a [`Bounded`] reader has no more of.
#[derive(Clone, Copy, Debug, thiserror::Error)]
enum Limit {
    #[error("the line is too long")]
    Line,
    #[error("the text is too long")]
    Text,
}

/// A reader that ends with an error within a line that is too long, or when it has read too much.
struct Bounded {
    reader: Box<dyn Read>,
    /// Bytes since the last end of a line.
    line_bytes: usize,
    text_bytes: u64,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.text_bytes += count as u64;
        if self.text_bytes > TEXT_BYTES_MAX {
            return Err(io::Error::other(Limit::Text));
        }
        let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
        let read = &buffer[..count];
        // A buffer is shorter than the longest line: only its first line can be too long.
        let first = read.iter().position(is_end).unwrap_or(count);
        if self.line_bytes + first > LINE_BYTES_MAX {
            return Err(io::Error::other(Limit::Line));
        }
        match read.iter().rposition(is_end) {
            Some(last) => self.line_bytes = count - 1 - last,
            None => self.line_bytes += count,
        }
        Ok(count)
    }
}
