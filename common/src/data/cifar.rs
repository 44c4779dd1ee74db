//! The binary format of CIFAR-10: bytes to pixels and labels.
//!
//! A file is a row of records: a byte for the label, then 32x32 bytes of red, as many of green, as many of
//! blue, each row by row (<https://www.cs.toronto.edu/~kriz/cifar.html>). The caller reads files and unpacks
//! gzip.

use crate::data::spec::DataSpec;

/// Form of the samples.
pub const SPEC: DataSpec = match DataSpec::new(32, 32, 3, 10) {
    Ok(spec) => spec,
    Err(_) => panic!("sizes in range"),
};
/// Bytes of a record.
pub const RECORD_BYTES: usize = 1 + SPEC.image_bytes();
/// Pixels of an image.
const PIXELS: usize = SPEC.height() * SPEC.width();

/// Why bytes are not a file of CIFAR-10.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum CifarError {
    /// The last record is cut off, or the file is of another kind.
    #[error("{0} bytes are no whole number of records of {RECORD_BYTES} bytes")]
    Length(usize),
    /// A label is no class.
    #[error("label {label} of record {index}, at offset {at}; the classes are 0 to 9")]
    Label { index: usize, label: u8, at: usize },
}

/// Appends the images of a file to `pixels`, `[n, 32, 32, 3]`, and their labels to `labels`.
///
/// # Errors
/// When the file is malformed. What was appended has no meaning then.
pub fn read(file: &[u8], pixels: &mut Vec<u8>, labels: &mut Vec<u16>) -> Result<(), CifarError> {
    let (records, rest) = file.as_chunks::<RECORD_BYTES>();
    if !rest.is_empty() {
        return Err(CifarError::Length(file.len()));
    }
    pixels.reserve(records.len() * SPEC.image_bytes());
    for (index, record) in records.iter().enumerate() {
        let [label, planes @ ..] = record;
        if usize::from(*label) >= SPEC.classes() {
            return Err(CifarError::Label { index, label: *label, at: index * RECORD_BYTES });
        }
        labels.push(u16::from(*label));
        pixels.extend((0..PIXELS).flat_map(|at| [0, 1, 2].map(|colour| planes[colour * PIXELS + at])));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(label: u8) -> Vec<u8> {
        let plane = |colour: u8| (0..PIXELS).map(move |at| (at as u8).wrapping_mul(3) ^ colour);
        std::iter::once(label).chain([1, 2, 4].into_iter().flat_map(plane)).collect()
    }

    #[test]
    fn planes_become_pixels() {
        let file = [record(9), record(0)].concat();
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        read(&file, &mut pixels, &mut labels).unwrap();
        assert_eq!((labels, pixels.len()), (vec![9, 0], 2 * SPEC.image_bytes()));
        for at in [0, 1, 31, 32, PIXELS - 1] {
            let grey = (at as u8).wrapping_mul(3);
            assert_eq!(pixels[3 * at..3 * at + 3], [grey ^ 1, grey ^ 2, grey ^ 4], "pixel {at}");
        }
    }

    #[test]
    fn a_cut_file_and_a_label_beyond_the_classes_are_refused() {
        let of = |file: &[u8]| read(file, &mut Vec::new(), &mut Vec::new());
        assert_eq!(of(&record(1)[..RECORD_BYTES - 1]), Err(CifarError::Length(RECORD_BYTES - 1)));
        let error = CifarError::Label { index: 1, label: 10, at: RECORD_BYTES };
        assert_eq!(of(&[record(1), record(10)].concat()), Err(error));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(file in proptest::collection::vec(any::<u8>(), 0..2 * RECORD_BYTES)) {
            let _ = read(&file, &mut Vec::new(), &mut Vec::new());
        }
    }
}
