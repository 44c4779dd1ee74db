//! What stands before the numbers of an array in a file of NumPy's `.npy` format: type, order and shape.
//!
//! The header is a Python dictionary of a string, a truth value and a tuple of whole numbers
//! (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>). Nothing else is parsed: no
//! record types and no nesting, so no depth has to be bounded.

use super::zip::{Content, ZipError};
use host::printable;

/// First bytes of every such file.
const MAGIC: &[u8] = b"\x93NUMPY";
/// Most bytes of the dictionary: the limit that NumPy has itself (`max_header_size`).
const TEXT_BYTES_MAX: u64 = 10_000;
/// Most characters of the dictionary that an error shows.
const SHOWN_CHARS_MAX: usize = 120;

/// Why a header is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum HeaderError {
    /// It is no file of that format.
    #[error("it does not begin as a NumPy array does; write it with numpy.savez")]
    Magic,
    /// The format's version is not known.
    #[error("version {major} of NumPy's format is not known, only 1 to 3; write it with another NumPy")]
    Version { major: u8 },
    /// The dictionary is too long.
    #[error(
        "its header has {bytes} bytes, and {TEXT_BYTES_MAX} is the most that is read; get this file again"
    )]
    TooLong { bytes: u64 },
    /// The dictionary is not that of a plain array.
    #[error("its header is not that of an array of numbers: {text}")]
    Text {
        /// Its beginning, with control characters escaped.
        text: String,
    },
}

/// Why a header can't be read.
#[derive(Debug)]
pub(super) enum Failed {
    /// What was read is not a header.
    Header(HeaderError),
    /// It can't be read from the zip file.
    Zip(ZipError),
}

/// Type, order and shape of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// NumPy's name of the type, such as `|u1`.
    pub(super) descr: String,
    /// Whether numbers are stored with the first index changing fastest.
    pub(super) is_fortran: bool,
    pub(super) shape: Vec<u64>,
    /// Bytes before the first number.
    pub(super) bytes: u64,
}

impl Header {
    /// Reads the header from the beginning of a member.
    pub(super) fn read(content: &mut Content<'_>) -> Result<Self, Failed> {
        let start = content.take(8).map_err(Failed::Zip)?;
        let Some(&[major, _]) = start.strip_prefix(MAGIC) else {
            return Err(Failed::Header(HeaderError::Magic));
        };
        let length_bytes = match major {
            1 => 2,
            2 | 3 => 4,
            _ => return Err(Failed::Header(HeaderError::Version { major })),
        };
        let length = content.take(length_bytes).map_err(Failed::Zip)?;
        let bytes = length.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte));
        if bytes > TEXT_BYTES_MAX {
            return Err(Failed::Header(HeaderError::TooLong { bytes }));
        }
        let text = content.take(bytes).map_err(Failed::Zip)?;
        let header = Parser(&text).dictionary(8 + length_bytes + bytes);
        header.ok_or_else(|| {
            let text: String =
                String::from_utf8_lossy(&text).trim_end().chars().take(SHOWN_CHARS_MAX).collect();
            Failed::Header(HeaderError::Text { text: printable(&text).into_owned() })
        })
    }
}

/// The part of the dictionary that is still to be parsed.
struct Parser<'a>(&'a [u8]);

impl Parser<'_> {
    fn dictionary(mut self, bytes: u64) -> Option<Header> {
        let mut descr = None;
        let mut is_fortran = None;
        let mut shape = None;
        self.expect(b'{')?;
        while !self.eat(b'}') {
            let key = self.string()?;
            self.expect(b':')?;
            match key.as_str() {
                "descr" => descr = Some(self.string()?),
                "fortran_order" => is_fortran = Some(self.truth()?),
                "shape" => shape = Some(self.tuple()?),
                _ => return None,
            }
            if !self.eat(b',') {
                self.expect(b'}')?;
                break;
            }
        }
        let rest = self.0.trim_ascii();
        let is_whole = rest.is_empty();
        is_whole.then_some(Header { descr: descr?, is_fortran: is_fortran?, shape: shape?, bytes })
    }

    /// Whether that byte comes next, after any white space; then it is consumed.
    fn eat(&mut self, byte: u8) -> bool {
        self.0 = self.0.trim_ascii_start();
        let rest = self.0.strip_prefix(&[byte]);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.eat(byte).then_some(())
    }

    /// A string without escapes.
    fn string(&mut self) -> Option<String> {
        let quote = if self.eat(b'\'') { b'\'' } else { self.expect(b'"').map(|()| b'"')? };
        let end = self.0.iter().position(|&byte| byte == quote)?;
        let (text, rest) = self.0.split_at(end);
        self.0 = &rest[1..];
        let is_plain = text.iter().all(|&byte| (b' '..=b'~').contains(&byte) && byte != b'\\');
        is_plain.then(|| String::from_utf8_lossy(text).into_owned())
    }

    fn truth(&mut self) -> Option<bool> {
        self.0 = self.0.trim_ascii_start();
        let words: [(&[u8], bool); 2] = [(b"True", true), (b"False", false)];
        words.into_iter().find_map(|(word, value)| {
            self.0 = self.0.strip_prefix(word)?;
            Some(value)
        })
    }

    /// Whole numbers in parentheses.
    fn tuple(&mut self) -> Option<Vec<u64>> {
        let mut numbers = Vec::new();
        self.expect(b'(')?;
        while !self.eat(b')') {
            numbers.push(self.number()?);
            if !self.eat(b',') {
                self.expect(b')')?;
                break;
            }
        }
        Some(numbers)
    }

    fn number(&mut self) -> Option<u64> {
        self.0 = self.0.trim_ascii_start();
        let end = self.0.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(self.0.len());
        let (digits, rest) = self.0.split_at(end);
        // Python 2 wrote long numbers with an L.
        self.0 = rest.strip_prefix(b"L").unwrap_or(rest);
        std::str::from_utf8(digits).ok()?.parse().ok()
    }
}
