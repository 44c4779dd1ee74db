//! The IDX format of MNIST: bytes to samples and back.
//!
//! Images: magic 0x00000803, count, rows, columns, then a byte a pixel. Labels: magic 0x00000801, count, then a byte a
//! label. All numbers are big-endian u32 (<http://yann.lecun.com/exdb/mnist/>). Files and gzip are the caller's.

use crate::data::samples::{PIXELS, SIDE, Samples, SamplesError};

const IMAGES_MAGIC: u32 = 0x0803;
const LABELS_MAGIC: u32 = 0x0801;
/// Bytes before the first pixel.
const IMAGES_HEADER: usize = 16;
/// Bytes before the first label.
const LABELS_HEADER: usize = 8;

/// Which of a data set's two kinds of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Pixels.
    Images,
    /// Labels.
    Labels,
}

/// Why bytes are not an IDX file of 28x28 images or of labels.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdxError {
    /// Shorter than a header.
    #[error("the header has {expected} bytes, the file only {got}: it is cut off")]
    Header {
        /// Bytes of a header.
        expected: usize,
        /// Bytes of the file.
        got: usize,
    },
    /// Another kind of file.
    #[error(
        "the file starts with {got:#010x} instead of {expected:#010x}: it is not an IDX file of this kind"
    )]
    Magic {
        /// The magic number of this kind.
        expected: u32,
        /// The first four bytes.
        got: u32,
    },
    /// Images of another size.
    #[error("images of {rows} x {columns} pixels at offset 8; only {SIDE} x {SIDE} is supported")]
    Size {
        /// Rows announced.
        rows: u32,
        /// Columns announced.
        columns: u32,
    },
    /// The file is longer or shorter than its header says.
    #[error("the header announces {count} items, {expected} bytes in all, but the file has {got}")]
    Length {
        /// Items announced.
        count: u32,
        /// Bytes that they need, with the header.
        expected: u64,
        /// Bytes there are.
        got: u64,
    },
    /// Images and labels that do not belong together, or a label that is no class.
    #[error(transparent)]
    Samples(#[from] SamplesError),
}

/// The length in bytes that a file announces in its header, which must be complete.
///
/// # Errors
/// When the header is short, of another kind, or of another image size.
pub fn announced_bytes(kind: Kind, header: &[u8]) -> Result<u64, IdxError> {
    let (expected, magic, item) = match kind {
        Kind::Images => (IMAGES_HEADER, IMAGES_MAGIC, PIXELS),
        Kind::Labels => (LABELS_HEADER, LABELS_MAGIC, 1),
    };
    let header = header.get(..expected).ok_or(IdxError::Header { expected, got: header.len() })?;
    let (words, _) = header.as_chunks::<4>();
    let word = |i: usize| u32::from_be_bytes(words[i]);
    if word(0) != magic {
        return Err(IdxError::Magic { expected: magic, got: word(0) });
    }
    if kind == Kind::Images && (word(2), word(3)) != (SIDE as u32, SIDE as u32) {
        return Err(IdxError::Size { rows: word(2), columns: word(3) });
    }
    Ok(expected as u64 + u64::from(word(1)) * item as u64)
}

/// Bytes of a header of this kind.
#[must_use]
pub fn header_bytes(kind: Kind) -> usize {
    match kind {
        Kind::Images => IMAGES_HEADER,
        Kind::Labels => LABELS_HEADER,
    }
}

/// Both files' contents as samples, in the memory that they are in.
///
/// # Errors
/// When either is not what it should be, or they do not belong together.
pub fn parse(images: Vec<u8>, labels: Vec<u8>) -> Result<Samples, IdxError> {
    let body = |kind, mut bytes: Vec<u8>| {
        let expected = announced_bytes(kind, &bytes)?;
        let header = header_bytes(kind);
        if bytes.len() as u64 != expected {
            let count = u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
            return Err(IdxError::Length { count, expected, got: bytes.len() as u64 });
        }
        bytes.drain(..header);
        Ok(bytes)
    };
    Ok(Samples::new(body(Kind::Images, images)?, body(Kind::Labels, labels)?)?)
}

/// The two files' contents for some samples.
#[must_use]
pub fn encode(samples: &Samples) -> (Vec<u8>, Vec<u8>) {
    let count = samples.len() as u32;
    let words = |words: &[u32]| words.iter().flat_map(|w| w.to_be_bytes()).collect::<Vec<u8>>();
    let mut images = words(&[IMAGES_MAGIC, count, SIDE as u32, SIDE as u32]);
    images.extend_from_slice(samples.pixels());
    let mut labels = words(&[LABELS_MAGIC, count]);
    labels.extend_from_slice(samples.labels());
    (images, labels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn files() -> (Vec<u8>, Vec<u8>) {
        encode(&Samples::new((0..2 * PIXELS).map(|i| i as u8).collect(), vec![7, 3]).unwrap())
    }

    #[test]
    fn what_was_encoded_is_parsed() {
        let (images, labels) = files();
        let samples = parse(images, labels).unwrap();
        assert_eq!((samples.labels(), samples.image(1)[0]), (&[7u8, 3][..], PIXELS as u8));
    }

    #[test]
    fn every_kind_of_damage_has_its_error() {
        let (images, labels) = files();
        let damage = |change: fn(&mut Vec<u8>)| {
            let mut images = images.clone();
            change(&mut images);
            parse(images, labels.clone()).unwrap_err()
        };
        assert_eq!(damage(|f| f.truncate(9)), IdxError::Header { expected: 16, got: 9 });
        assert!(matches!(damage(|f| f[3] = 1), IdxError::Magic { got: 0x801, .. }));
        assert_eq!(damage(|f| f[11] = 27), IdxError::Size { rows: 27, columns: 28 });
        assert!(matches!(damage(|f| f.push(0)), IdxError::Length { count: 2, .. }));
        assert!(matches!(damage(|f| f.truncate(100)), IdxError::Length { got: 100, .. }));
        assert!(matches!(damage(|f| f[4] = 255), IdxError::Length { .. }));
        let one = encode(&Samples::new(vec![0; PIXELS], vec![1]).unwrap());
        assert!(matches!(
            parse(one.0, labels.clone()).unwrap_err(),
            IdxError::Samples(SamplesError::Length { .. })
        ));
        let mut bad = labels.clone();
        bad[9] = 10;
        let error = IdxError::Samples(SamplesError::Label { index: 1, label: 10 });
        assert_eq!(parse(images, bad).unwrap_err(), error);
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(images in proptest::collection::vec(any::<u8>(), 0..64), labels in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(images, labels);
        }

        #[test]
        fn any_altered_header_is_parsed_or_refused(at in 0usize..16, value: u8) {
            let (mut images, labels) = files();
            images[at] = value;
            let _ = parse(images, labels);
        }
    }
}
