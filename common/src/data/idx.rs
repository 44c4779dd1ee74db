//! The IDX format of MNIST: bytes to samples and back.
//!
//! Images: magic 0x00000803, count, rows, columns, then one byte per pixel. Labels: magic 0x00000801, count,
//! then one byte per label. All numbers are big-endian u32 (<http://yann.lecun.com/exdb/mnist/>). The caller
//! reads files and unpacks gzip.
//!
//! Samples that do not fit are encoded as the format's general rule has it, so that each has a digest: the
//! magic number's last byte is the number of dimensions, four where a pixel has channels, and the one before it
//! the type, 0x0b for 16 bits where labels need them. Such files are not parsed.

use crate::data::samples::{Samples, SamplesError};
use crate::data::spec::{DataSpec, SIDE_MAX, SpecError};

const IMAGES_MAGIC: u32 = 0x0803;
const LABELS_MAGIC: u32 = 0x0801;
/// Images of several channels: four dimensions.
const CHANNELS_MAGIC: u32 = 0x0804;
/// Labels of 16 bits.
const LONG_LABELS_MAGIC: u32 = 0x0b01;
/// Most classes of which each label is a byte.
const BYTE_CLASSES_MAX: usize = 256;
/// Bytes before the first pixel.
const IMAGES_HEADER: usize = 16;
/// Bytes before the first label.
const LABELS_HEADER: usize = 8;

/// Kind of a data set's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file of pixels.
    Images,
    /// A file of labels.
    Labels,
}

/// Why bytes are not an IDX file of images or of labels.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum IdxError {
    /// The file is shorter than its header.
    #[error("the header has {expected} bytes, the file only {got}: it is cut off")]
    Header { expected: usize, got: usize },
    /// The magic number is that of another kind of file.
    #[error(
        "the file starts with {got:#010x} instead of {expected:#010x}: it is not an IDX file of this kind"
    )]
    Magic { expected: u32, got: u32 },
    /// The images have no pixels, or more than is supported.
    #[error("images of {rows} x {columns} pixels at offset 8; 1 x 1 to {SIDE_MAX} x {SIDE_MAX} is supported")]
    Size { rows: u32, columns: u32 },
    /// The file is longer or shorter than its header says.
    #[error("the header announces {count} items, {expected} bytes in all, but the file has {got}")]
    Length { count: u32, expected: u64, got: u64 },
    /// The labels do not fit the data set.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// Images and labels do not belong together, or a label is not a class.
    #[error(transparent)]
    Samples(#[from] SamplesError),
}

/// The length in bytes that a file announces in its header, which must be complete.
///
/// # Errors
/// When the header is short, of another kind, or announces another image size.
pub fn announced_bytes(kind: Kind, header: &[u8]) -> Result<u64, IdxError> {
    let (expected, magic) = match kind {
        Kind::Images => (IMAGES_HEADER, IMAGES_MAGIC),
        Kind::Labels => (LABELS_HEADER, LABELS_MAGIC),
    };
    let header = header.get(..expected).ok_or(IdxError::Header { expected, got: header.len() })?;
    let (words, _) = header.as_chunks::<4>();
    let word = |i: usize| u32::from_be_bytes(words[i]);
    if word(0) != magic {
        return Err(IdxError::Magic { expected: magic, got: word(0) });
    }
    let item = match kind {
        Kind::Labels => 1,
        Kind::Images => {
            let rows = word(2);
            let columns = word(3);
            let in_range = |side: u32| (1..=SIDE_MAX as u32).contains(&side);
            if !in_range(rows) || !in_range(columns) {
                return Err(IdxError::Size { rows, columns });
            }
            u64::from(rows) * u64::from(columns)
        }
    };
    Ok(expected as u64 + u64::from(word(1)) * item)
}

/// Length of the header of this kind of file, in bytes.
#[must_use]
pub fn header_bytes(kind: Kind) -> usize {
    match kind {
        Kind::Images => IMAGES_HEADER,
        Kind::Labels => LABELS_HEADER,
    }
}

/// Samples of one channel in `classes` classes, from the contents of both files. They reuse the files'
/// memory.
///
/// # Errors
/// When a file is malformed, or the two do not belong together.
pub fn parse(images: Vec<u8>, labels: Vec<u8>, classes: usize) -> Result<Samples, IdxError> {
    let (header, pixels) = body(Kind::Images, images)?;
    let (_, labels) = body(Kind::Labels, labels)?;
    let side = |at: usize| usize::from(header[at + 2]) << 8 | usize::from(header[at + 3]);
    let spec = DataSpec::new(side(8), side(12), 1, classes)?;
    Ok(Samples::new(spec, pixels, labels.into_iter().map(u16::from).collect())?)
}

/// Splits a whole file into its header and its body.
fn body(kind: Kind, mut bytes: Vec<u8>) -> Result<(Vec<u8>, Vec<u8>), IdxError> {
    let expected = announced_bytes(kind, &bytes)?;
    if bytes.len() as u64 != expected {
        let count = u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        return Err(IdxError::Length { count, expected, got: bytes.len() as u64 });
    }
    let header = bytes.drain(..header_bytes(kind)).collect();
    Ok((header, bytes))
}

/// Contents of the two files for these samples.
#[must_use]
pub fn encode(samples: &Samples) -> (Vec<u8>, Vec<u8>) {
    let mut images = images_header(samples);
    images.extend_from_slice(samples.pixels());
    (images, encode_labels(samples))
}

/// What stands before the pixels in the file of these samples' images.
#[must_use]
pub fn images_header(samples: &Samples) -> Vec<u8> {
    let spec = samples.spec();
    let count = samples.len() as u32;
    let [height, width, channels] = [spec.height(), spec.width(), spec.channels()].map(|size| size as u32);
    if channels == 1 {
        words(&[IMAGES_MAGIC, count, height, width])
    } else {
        words(&[CHANNELS_MAGIC, count, height, width, channels])
    }
}

/// Content of the file of these samples' labels.
#[must_use]
pub fn encode_labels(samples: &Samples) -> Vec<u8> {
    let are_bytes = samples.spec().classes() <= BYTE_CLASSES_MAX;
    let magic = if are_bytes { LABELS_MAGIC } else { LONG_LABELS_MAGIC };
    let mut file = words(&[magic, samples.len() as u32]);
    for label in samples.labels() {
        let [high, low] = label.to_be_bytes();
        // A label is below the number of classes: of a byte's, the high half is 0.
        file.extend((!are_bytes).then_some(high));
        file.push(low);
    }
    file
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SPEC: DataSpec = match DataSpec::new(5, 30, 1, 8) {
        Ok(spec) => spec,
        Err(_) => panic!("sizes in range"),
    };
    const BYTES: usize = SPEC.image_bytes();

    fn files() -> (Vec<u8>, Vec<u8>) {
        encode(&Samples::new(SPEC, (0..2 * BYTES).map(|i| i as u8).collect(), vec![7, 3]).unwrap())
    }

    #[test]
    fn what_was_encoded_is_parsed() {
        let (images, labels) = files();
        let samples = parse(images, labels, 8).unwrap();
        assert_eq!(samples.spec(), SPEC);
        assert_eq!((samples.labels(), samples.image(1)[0]), (&[7, 3][..], BYTES as u8));
    }

    #[test]
    fn every_kind_of_damage_has_its_error() {
        let (images, labels) = files();
        let damage = |change: fn(&mut Vec<u8>)| {
            let mut images = images.clone();
            change(&mut images);
            parse(images, labels.clone(), 8).unwrap_err()
        };
        assert_eq!(damage(|f| f.truncate(9)), IdxError::Header { expected: 16, got: 9 });
        assert!(matches!(damage(|f| f[3] = 1), IdxError::Magic { got: 0x801, .. }));
        assert_eq!(damage(|f| f[11] = 0), IdxError::Size { rows: 0, columns: 30 });
        assert_eq!(damage(|f| f[14] = 1), IdxError::Size { rows: 5, columns: 286 });
        assert!(matches!(damage(|f| f.push(0)), IdxError::Length { count: 2, .. }));
        assert!(matches!(damage(|f| f.truncate(100)), IdxError::Length { got: 100, .. }));
        assert!(matches!(damage(|f| f[4] = 255), IdxError::Length { .. }));
        let one = encode(&Samples::new(SPEC, vec![0; BYTES], vec![1]).unwrap());
        assert!(matches!(
            parse(one.0, labels.clone(), 8).unwrap_err(),
            IdxError::Samples(SamplesError::Length { .. })
        ));
        let mut bad = labels.clone();
        bad[9] = 8;
        let error = IdxError::Samples(SamplesError::Label { index: 1, label: 8, classes: 8 });
        assert_eq!(parse(images, bad, 8).unwrap_err(), error);
    }

    #[test]
    fn channels_and_many_classes_are_encoded_by_the_general_rule() {
        let spec = DataSpec::new(1, 2, 3, 300).unwrap();
        let (images, labels) = encode(&Samples::new(spec, vec![9; 6], vec![258]).unwrap());
        let header = [0, 0, 8, 4, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        assert_eq!(images, [&header[..], &[9; 6]].concat());
        assert_eq!(labels, [0, 0, 11, 1, 0, 0, 0, 1, 1, 2]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(images in proptest::collection::vec(any::<u8>(), 0..64), labels in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(images, labels, 8);
        }

        #[test]
        fn any_altered_header_is_parsed_or_refused(at in 0usize..16, value: u8) {
            let (mut images, labels) = files();
            images[at] = value;
            let _ = parse(images, labels, 8);
        }
    }
}
