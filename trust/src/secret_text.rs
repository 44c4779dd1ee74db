//! How secrets are written down: a prefix that says what it is, and base32 (RFC 4648, lower case, no padding)
//! of the bytes and of the first two bytes of their SHA-256, so that a typing error is noticed.
//!
//! What is read and written is erased from memory when it is dropped.

use data_encoding::{BASE32_NOPAD, DecodePartial};
use ring::digest::{SHA256, digest};
use std::fmt;
use zeroize::Zeroizing;

/// Bytes of the checksum.
const CHECKSUM: usize = 2;
/// Characters that [`shown`] shows.
const SHOWN: usize = 6;
/// Bytes that may be written behind a text without moving it: a line feed, and a line of its own.
const ROOM_BEHIND: usize = 32;

/// Why a text is none of a kind. Never shows the text, which may be a secret with a typing error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextError {
    /// It begins with something else.
    Prefix,
    /// It has so many characters after the prefix.
    Length(usize),
    /// The character of that number, from 1, is none of base32.
    Character(usize),
    /// A character is another one than it was.
    Checksum,
}

/// Characters after the prefix for so many bytes.
pub(crate) const fn chars(bytes: usize) -> usize {
    ((bytes + CHECKSUM) * 8).div_ceil(5)
}

/// The bytes as they are written down.
pub(crate) fn write(prefix: &str, bytes: &[u8]) -> Zeroizing<String> {
    let mut whole = Zeroizing::new(Vec::with_capacity(bytes.len() + CHECKSUM));
    whole.extend_from_slice(bytes);
    whole.extend_from_slice(&checksum(bytes));
    // Large enough from the beginning: a string that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(prefix.len() + chars(bytes.len()) + ROOM_BEHIND));
    text.push_str(prefix);
    BASE32_NOPAD.encode_append(&whole, &mut text);
    text.make_ascii_lowercase();
    text
}

/// The bytes that were written down as that text. Space around it is ignored, and so is the case of its
/// letters.
///
/// # Errors
/// When it is no text of that prefix and so many bytes.
pub(crate) fn read<const BYTES: usize>(
    prefix: &str,
    text: &str,
) -> Result<Zeroizing<[u8; BYTES]>, TextError> {
    let text = text.trim();
    let is_prefixed = text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    let encoded = text.get(prefix.len()..).filter(|_| is_prefixed).ok_or(TextError::Prefix)?;
    let length = encoded.chars().count();
    if length != chars(BYTES) {
        return Err(TextError::Length(length));
    }
    let is_known = |c: char| c.is_ascii_alphabetic() || ('2'..='7').contains(&c);
    if let Some(at) = encoded.chars().position(|c| !is_known(c)) {
        return Err(TextError::Character(prefix.len() + at + 1));
    }
    let upper = Zeroizing::new(encoded.to_ascii_uppercase());
    let mut whole = Zeroizing::new(vec![0; BYTES + CHECKSUM]);
    let decoded = BASE32_NOPAD.decode_mut(upper.as_bytes(), &mut whole[..]);
    // The last character has bits that mean nothing and must be 0: each secret has one spelling.
    decoded.map_err(|DecodePartial { .. }| TextError::Checksum)?;
    let (bytes, sum) = whole.split_at(BYTES);
    if sum != checksum(bytes) {
        return Err(TextError::Checksum);
    }
    let mut read = Zeroizing::new([0; BYTES]);
    read.copy_from_slice(bytes);
    Ok(read)
}

/// The text in `Debug`: the name of its kind, and the first six characters.
pub(crate) fn shown(kind: &str, text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{kind}({}…)", text.get(..SHOWN).unwrap_or_default())
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let digest = digest(&SHA256, bytes);
    [digest.as_ref()[0], digest.as_ref()[1]]
}
