//! The IDX format of MNIST and its relatives: bytes to samples and back.
//!
//! A file has a magic number, the sizes of its dimensions, and its items; all numbers are big-endian u32
//! (<http://yann.lecun.com/exdb/mnist/>). These are read:
//!
//! | magic | sizes | items |
//! |---|---|---|
//! | 0x00000803 | count, rows, columns | a byte for each pixel |
//! | 0x00000804 | count, rows, columns, channels | a byte for each channel of a pixel |
//! | 0x00000801 | count | a byte for each label |
//! | 0x00000c02 | count, columns | i32 numbers, of which the first in a row is the label (QMNIST's) |
//!
//! Where labels need 16 bits they are encoded with magic 0x00000b01, as the format's general rule has it, so
//! that all samples have a digest. Such files are not read. The caller reads files and unpacks gzip.

use crate::data::samples::{Samples, SamplesError};
use crate::data::spec::{CHANNELS_MAX, CLASSES_MAX, CLASSES_MIN, DataSpec, SIDE_MAX, SpecError};

const IMAGES_MAGIC: u32 = 0x0803;
const CHANNELS_MAGIC: u32 = 0x0804;
const LABELS_MAGIC: u32 = 0x0801;
const ROWS_MAGIC: u32 = 0x0c02;
/// Labels of 16 bits.
const LONG_LABELS_MAGIC: u32 = 0x0b01;
/// Most classes of which each label is a byte.
const BYTE_CLASSES_MAX: usize = 256;
/// Bytes of the magic number, and of each size.
const WORD: usize = 4;
/// Most columns of a file of labels; QMNIST's have 8.
const COLUMNS_MAX: u32 = 64;

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
    /// A pixel has no channel, or more than is supported.
    #[error("pixels of {0} channels at offset 16; 1 to {CHANNELS_MAX} are supported")]
    Channels(u32),
    /// A row of labels is empty, or longer than is supported.
    #[error("rows of {0} numbers at offset 8; 1 to {COLUMNS_MAX} are supported")]
    Columns(u32),
    /// A label is no class.
    #[error("label {label} of item {index}; classes are numbered from 0 to {}", CLASSES_MAX - 1)]
    Label { index: usize, label: i64 },
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

/// Bytes of the magic number, which tells the length of the header.
pub const START_BYTES: usize = WORD;

/// Length in bytes of the header that begins with `start`.
///
/// # Errors
/// When `start` is the magic number of another kind of file.
pub fn header_bytes(kind: Kind, start: [u8; START_BYTES]) -> Result<usize, IdxError> {
    let got = u32::from_be_bytes(start);
    let sizes = match (kind, got) {
        (Kind::Labels, LABELS_MAGIC) => 1,
        (Kind::Labels, ROWS_MAGIC) => 2,
        (Kind::Images, IMAGES_MAGIC) => 3,
        (Kind::Images, CHANNELS_MAGIC) => 4,
        (Kind::Images, _) => return Err(IdxError::Magic { expected: IMAGES_MAGIC, got }),
        (Kind::Labels, _) => return Err(IdxError::Magic { expected: LABELS_MAGIC, got }),
    };
    Ok((1 + sizes) * WORD)
}

/// The sizes in a header, as far as there are any; missing ones are 1.
fn sizes(kind: Kind, file: &[u8]) -> Result<(usize, [u32; 4]), IdxError> {
    let start = file.first_chunk().ok_or(IdxError::Header { expected: START_BYTES, got: file.len() })?;
    let expected = header_bytes(kind, *start)?;
    let header = file.get(..expected).ok_or(IdxError::Header { expected, got: file.len() })?;
    let mut sizes = [1; 4];
    let (words, _) = header[WORD..].as_chunks::<WORD>();
    sizes.iter_mut().zip(words).for_each(|(size, word)| *size = u32::from_be_bytes(*word));
    Ok((expected, sizes))
}

/// The length in bytes that a file announces in its header, which must be complete.
///
/// # Errors
/// When the header is short, of another kind, or announces sizes that are not supported.
pub fn announced_bytes(kind: Kind, header: &[u8]) -> Result<u64, IdxError> {
    let (start, [count, rows, columns, channels]) = sizes(kind, header)?;
    let item = match kind {
        Kind::Labels if start == 2 * WORD => 1,
        Kind::Labels if (1..=COLUMNS_MAX).contains(&rows) => u64::from(rows) * size_of::<i32>() as u64,
        Kind::Labels => return Err(IdxError::Columns(rows)),
        Kind::Images => {
            let in_range = |side: u32| (1..=SIDE_MAX as u32).contains(&side);
            if !in_range(rows) || !in_range(columns) {
                return Err(IdxError::Size { rows, columns });
            }
            if !(1..=CHANNELS_MAX as u32).contains(&channels) {
                return Err(IdxError::Channels(channels));
            }
            u64::from(rows) * u64::from(columns) * u64::from(channels)
        }
    };
    Ok(start as u64 + u64::from(count) * item)
}

/// The labels in a file of them.
///
/// # Errors
/// When the file is malformed, or a label is no class.
pub fn labels(file: &[u8]) -> Result<Vec<u16>, IdxError> {
    let (start, [_, columns, ..]) = checked(Kind::Labels, file)?;
    let check = |(index, label): (usize, i64)| {
        let class = u16::try_from(label).ok().filter(|&class| usize::from(class) < CLASSES_MAX);
        class.ok_or(IdxError::Label { index, label })
    };
    let items = &file[start..];
    if start == 2 * WORD {
        return items.iter().map(|&label| i64::from(label)).enumerate().map(check).collect();
    }
    let first = |row: &[u8]| i64::from(i32::from_be_bytes([row[0], row[1], row[2], row[3]]));
    items.chunks_exact(columns as usize * WORD).map(first).enumerate().map(check).collect()
}

/// Number of classes that labels need, at least [`CLASSES_MIN`].
#[must_use]
pub fn classes(labels: &[u16]) -> usize {
    labels.iter().max().map_or(0, |&label| usize::from(label) + 1).max(CLASSES_MIN)
}

/// Samples in `classes` classes, from the content of a file of images and their labels. They reuse the
/// memory.
///
/// # Errors
/// When the file is malformed, or the two do not belong together.
pub fn parse(mut images: Vec<u8>, labels: Vec<u16>, classes: usize) -> Result<Samples, IdxError> {
    let (start, [_, rows, columns, channels]) = checked(Kind::Images, &images)?;
    let spec = DataSpec::new(rows as usize, columns as usize, channels as usize, classes)?;
    images.drain(..start);
    Ok(Samples::new(spec, images, labels)?)
}

/// As [`sizes`], of a file that is as long as it announces.
fn checked(kind: Kind, file: &[u8]) -> Result<(usize, [u32; 4]), IdxError> {
    let expected = announced_bytes(kind, file)?;
    let (start, sizes) = sizes(kind, file)?;
    if file.len() as u64 != expected {
        return Err(IdxError::Length { count: sizes[0], expected, got: file.len() as u64 });
    }
    Ok((start, sizes))
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

    fn both(images: Vec<u8>, of_labels: &[u8]) -> Result<Samples, IdxError> {
        parse(images, labels(of_labels)?, 8)
    }

    #[test]
    fn colours_have_a_dimension_of_their_own() {
        let spec = DataSpec::new(2, 3, 3, 4).unwrap();
        let samples = Samples::new(spec, (0..36).collect(), vec![3, 0]).unwrap();
        let (images, of_labels) = encode(&samples);
        assert_eq!(announced_bytes(Kind::Images, &images), Ok(20 + 36));
        assert_eq!(parse(images.clone(), labels(&of_labels).unwrap(), 4), Ok(samples));
        let with = |channels: u8| [&images[..19], &[channels], &images[20..]].concat();
        assert_eq!(parse(with(5), vec![0, 0], 4), Err(IdxError::Channels(5)));
        assert!(matches!(parse(with(2), vec![0, 0], 4), Err(IdxError::Length { .. })));
    }

    #[test]
    fn the_first_number_of_a_row_is_its_label() {
        let file = |rows: &[[i32; 3]]| {
            let sizes = [ROWS_MAGIC, rows.len() as u32, 3].map(u32::to_be_bytes).concat();
            let numbers: Vec<u8> = rows.iter().flatten().flat_map(|number| number.to_be_bytes()).collect();
            [sizes, numbers].concat()
        };
        assert_eq!(labels(&file(&[[7, 1, -1], [999, 0, 0]])), Ok(vec![7, 999]));
        for bad in [-1, 1000] {
            let error = IdxError::Label { index: 1, label: bad.into() };
            assert_eq!(labels(&file(&[[0; 3], [bad, 0, 0]])), Err(error));
        }
        let mut empty = file(&[]);
        empty[11] = 0;
        assert_eq!(labels(&empty), Err(IdxError::Columns(0)));
        assert!(matches!(labels(&file(&[[0; 3]])[..20]), Err(IdxError::Length { .. })));
        assert_eq!((classes(&[4, 2]), classes(&[])), (5, 2));
    }

    #[test]
    fn what_was_encoded_is_parsed() {
        let (images, labels) = files();
        let samples = both(images, &labels).unwrap();
        assert_eq!(samples.spec(), SPEC);
        assert_eq!((samples.labels(), samples.image(1)[0]), (&[7, 3][..], BYTES as u8));
    }

    #[test]
    fn every_kind_of_damage_has_its_error() {
        let (images, labels) = files();
        let damage = |change: fn(&mut Vec<u8>)| {
            let mut images = images.clone();
            change(&mut images);
            both(images, &labels).unwrap_err()
        };
        assert_eq!(damage(|f| f.truncate(9)), IdxError::Header { expected: 16, got: 9 });
        assert!(matches!(damage(|f| f[3] = 1), IdxError::Magic { got: 0x801, .. }));
        assert_eq!(damage(|f| f[11] = 0), IdxError::Size { rows: 0, columns: 30 });
        assert_eq!(damage(|f| f[14] = 1), IdxError::Size { rows: 5, columns: 286 });
        assert!(matches!(damage(|f| f.push(0)), IdxError::Length { count: 2, .. }));
        assert!(matches!(damage(|f| f.truncate(100)), IdxError::Length { got: 100, .. }));
        assert!(matches!(damage(|f| f[4] = 255), IdxError::Length { .. }));
        let one = encode(&Samples::new(SPEC, vec![0; BYTES], vec![1]).unwrap());
        assert!(matches!(both(one.0, &labels).unwrap_err(), IdxError::Samples(SamplesError::Length { .. })));
        let mut bad = labels.clone();
        bad[9] = 8;
        let error = IdxError::Samples(SamplesError::Label { index: 1, label: 8, classes: 8 });
        assert_eq!(both(images, &bad).unwrap_err(), error);
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
            let _ = both(images, &labels);
        }

        #[test]
        fn any_altered_header_is_parsed_or_refused(at in 0usize..16, value: u8) {
            let (mut images, labels) = files();
            images[at] = value;
            let _ = both(images, &labels);
        }
    }
}
