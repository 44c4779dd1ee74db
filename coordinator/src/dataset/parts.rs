//! Data sets in four files like MNIST's, each plain or in gzip: reading, checking, joining.
//!
//! Memory is bounded: a file is read up to what its header announces and one byte more, and a header may
//! announce [`PART_BYTES_MAX`] at most. The samples use the buffer that was read, without a copy.

use super::find::{Lacking, Name, Paths};
use super::{Dataset, DatasetError};
use common::data::idx::{self, Kind};
use common::data::samples::Samples;
use common::data::spec::CLASSES_MIN;
use common::train::config::hex;
use flate2::bufread::MultiGzDecoder;
use host::files::{Links, open_regular};
use sha2::{Digest, Sha256};
use std::cmp::Ordering;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Most bytes of one file, uncompressed: 20 times MNIST's largest.
pub(super) const PART_BYTES_MAX: u64 = 1 << 30;

/// First bytes of every gzip file (RFC 1952, section 2.3.1); an IDX file starts with two zeros.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Size of the read buffer: few system calls for a file of megabytes.
const BUFFER_BYTES: usize = 64 << 10;

/// Most bytes that DEFLATE makes of one: 258 of two bits (RFC 1951, section 3.2.5), so 1,032 of eight.
const DEFLATE_RATIO_MAX: u64 = 1032;

/// One of the four files of a data set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// The first of its names ([`find`]).
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

/// The four files, in the order of the data set's digest.
pub(super) const PARTS: [Part; 4] = [
    Part { name: "train-images-idx3-ubyte", kind: Kind::Images },
    Part { name: "train-labels-idx1-ubyte", kind: Kind::Labels },
    Part { name: "t10k-images-idx3-ubyte", kind: Kind::Images },
    Part { name: "t10k-labels-idx1-ubyte", kind: Kind::Labels },
];

/// A file's path and its uncompressed content.
pub(super) type Content = (PathBuf, Vec<u8>);

/// Loads the data set of these files, as far as they were found in the folder, and names it after the folder.
pub(super) fn load(folder: &Path, files: Paths) -> Result<Dataset, DatasetError> {
    let mut paths = files.into_iter();
    assemble(folder.display().to_string(), |part| {
        let path = paths.next().flatten();
        let path = path.ok_or_else(|| DatasetError::Missing(Lacking::of(folder, Name::Any).into()))?;
        let content = read(&path, part.kind)?;
        Ok((path, content))
    })
}

/// The uncompressed content of a file, as long as its header says. Its first bytes tell whether it is
/// compressed. Its name does not, because some servers uncompress what they send.
pub(super) fn read(path: &Path, kind: Kind) -> Result<Vec<u8>, DatasetError> {
    let file = open_regular(path, PART_BYTES_MAX, Links::Followed);
    let path = || path.to_owned();
    let failed = |source: io::Error| DatasetError::Read { path: path(), source: source.into() };
    let file = file.map_err(|source| DatasetError::Read { path: path(), source })?;
    let file_bytes = file.metadata().map_err(failed)?.len();
    let mut file = BufReader::with_capacity(BUFFER_BYTES, file);
    let gzip = file.fill_buf().map_err(failed)?.starts_with(&GZIP_MAGIC);
    let mut reader: Box<dyn Read> = if gzip { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut content = Vec::new();
    let mut fill = |content: &mut Vec<u8>, until: u64| {
        let more = until - content.len() as u64;
        let result = reader.by_ref().take(more).read_to_end(content);
        result.map_err(|source| match source.kind() {
            ErrorKind::InvalidInput | ErrorKind::InvalidData | ErrorKind::UnexpectedEof => {
                DatasetError::Gzip { path: path(), offset: content.len(), source }
            }
            _ => failed(source),
        })
    };
    fill(&mut content, idx::header_bytes(kind) as u64)?;
    let expected = idx::announced_bytes(kind, &content)
        .map_err(|source| DatasetError::Header { path: path(), source })?;
    if expected > PART_BYTES_MAX {
        return Err(DatasetError::TooLarge { path: path(), announced: expected });
    }
    // The whole buffer at once: a growing one holds its content twice while it moves.
    let missing = content_bytes_max(expected, file_bytes, gzip).saturating_sub(content.len() as u64) as usize;
    content.try_reserve_exact(missing).map_err(|_| failed(ErrorKind::OutOfMemory.into()))?;
    // One byte more shows that the file goes on. If there is none, gzip's own checksum was compared.
    fill(&mut content, expected + 1)?;
    let got = content.len() as u64;
    match got.cmp(&expected) {
        Ordering::Less => Err(DatasetError::CutOff { path: path(), expected, got }),
        Ordering::Equal => Ok(content),
        Ordering::Greater => Err(DatasetError::Longer { path: path(), expected }),
    }
}

/// Memory for a file's content, in bytes: what its header announces, but no more than a file of that size can
/// hold; and one byte more, which is filled only if the file goes on.
pub(super) fn content_bytes_max(announced: u64, file_bytes: u64, gzip: bool) -> u64 {
    let held = if gzip { file_bytes.saturating_mul(DEFLATE_RATIO_MAX) } else { file_bytes };
    held.min(announced) + 1
}

/// Joins the four contents that `get` returns, checked against each other. `get` is called in the order of
/// [`PARTS`].
pub(super) fn assemble(
    name: String,
    mut get: impl FnMut(Part) -> Result<Content, DatasetError>,
) -> Result<Dataset, DatasetError> {
    let mut hash = Sha256::new();
    let mut hashed = |part| {
        let content = get(part)?;
        hash.update(&content.1);
        Ok(content)
    };
    let [train_images, train_labels, test_images, test_labels] = PARTS;
    let train = (hashed(train_images)?, hashed(train_labels)?);
    let test = (hashed(test_images)?, hashed(test_labels)?);
    let classes = classes(&train.1.1).max(classes(&test.1.1));
    let path = test.0.0.clone();
    let train = pair(train.0, train.1, classes)?;
    let test = pair(test.0, test.1, classes)?;
    let of_train = train.spec();
    let of_test = test.spec();
    if of_train != of_test {
        return Err(DatasetError::Forms { path, train: of_train, test: of_test });
    }
    Ok(Dataset { name, digest: hex(&hash.finalize()), train, test, note: None })
}

/// Number of classes in the labels of a file, counted from 0.
fn classes(labels: &[u8]) -> usize {
    let labels = labels.get(idx::header_bytes(Kind::Labels)..).unwrap_or_default();
    labels.iter().max().map_or(0, |&label| usize::from(label) + 1).max(CLASSES_MIN)
}

fn pair(
    (images, pixels): Content,
    (labels, bytes): Content,
    classes: usize,
) -> Result<Samples, DatasetError> {
    let samples = idx::parse(pixels, bytes, classes).map_err(|source| DatasetError::Pair {
        images: images.clone(),
        labels,
        source,
    })?;
    if samples.is_empty() { Err(DatasetError::Empty(images)) } else { Ok(samples) }
}

/// The digest that a data set would have as four files.
pub(super) fn digest(train: &Samples, test: &Samples) -> String {
    let mut hash = Sha256::new();
    for samples in [train, test] {
        let (images, labels) = idx::encode(samples);
        hash.update(images);
        hash.update(labels);
    }
    hex(&hash.finalize())
}
