//! Data sets in four files like MNIST's, each plain or in gzip: reading, checking, joining.
//!
//! Memory is bounded: a file is read up to what its header announces and one byte more, and a header may
//! announce [`PART_BYTES_MAX`] at most. The samples use the buffer that was read, without a copy.

use super::find::{Lacking, Name, Paths};
use super::{Dataset, DatasetError};
use common::data::classes::ClassNames;
use common::data::idx::{self, Kind};
use common::data::samples::Samples;
use common::train::config::hex;
use flate2::bufread::MultiGzDecoder;
use host::files::{FileError, Links, open_regular};
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
    /// The first of its names ([`find`](super::find)).
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

/// MNIST's four files, in the order of a data set's digest.
pub(super) const PARTS: [Part; 4] = [
    Part { name: "train-images-idx3-ubyte", kind: Kind::Images },
    Part { name: "train-labels-idx1-ubyte", kind: Kind::Labels },
    Part { name: "t10k-images-idx3-ubyte", kind: Kind::Images },
    Part { name: "t10k-labels-idx1-ubyte", kind: Kind::Labels },
];

/// An open file, uncompressed while it is read.
pub(super) struct Opened {
    pub(super) reader: Box<dyn Read>,
    /// Size of the file itself.
    bytes: u64,
    gzip: bool,
}

/// A file's path and its uncompressed content.
pub(super) type Content = (PathBuf, Vec<u8>);

/// Loads the data set of these files, as far as they were found in the folder, and names it after the folder.
pub(super) fn load(folder: &Path, files: Paths) -> Result<Dataset, DatasetError> {
    let mut paths = files.into_iter();
    assemble(folder.display().to_string(), &PARTS, |part| {
        let path = paths.next().flatten();
        let path =
            path.ok_or_else(|| DatasetError::Missing(Lacking::of(folder, &PARTS, Name::Any).into()))?;
        let content = read(&path, part.kind)?;
        Ok((path, content))
    })
}

/// Opens a regular file of at most `bytes_max` bytes. Its first bytes tell whether it is compressed. Its name
/// does not, because some servers uncompress what they send.
pub(super) fn open(path: &Path, bytes_max: u64) -> Result<Opened, FileError> {
    let file = open_regular(path, bytes_max, Links::Followed)?;
    let bytes = file.metadata()?.len();
    let mut file = BufReader::with_capacity(BUFFER_BYTES, file);
    let gzip = file.fill_buf()?.starts_with(&GZIP_MAGIC);
    let reader: Box<dyn Read> = if gzip { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    Ok(Opened { reader, bytes, gzip })
}

/// Whether compressed data are damaged, by the kind of error that a decoder returns.
pub(super) fn is_damage(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::InvalidInput | ErrorKind::InvalidData | ErrorKind::UnexpectedEof)
}

/// Reads on until `content` has `until` bytes, or the file ends.
fn fill(
    path: &Path,
    reader: &mut dyn Read,
    content: &mut Vec<u8>,
    until: u64,
) -> Result<usize, DatasetError> {
    let more = until - content.len() as u64;
    let result = reader.take(more).read_to_end(content);
    result.map_err(|source| match source.kind() {
        kind if is_damage(kind) => {
            DatasetError::Gzip { path: path.to_owned(), offset: content.len(), source }
        }
        _ => DatasetError::Read { path: path.to_owned(), source: source.into() },
    })
}

/// The uncompressed content of a file without a header, of at most `most` bytes.
pub(super) fn read_bounded(path: &Path, most: u64) -> Result<Vec<u8>, DatasetError> {
    let opened = open(path, most);
    let mut opened = opened.map_err(|source| DatasetError::Read { path: path.to_owned(), source })?;
    let mut content = Vec::new();
    fill(path, &mut *opened.reader, &mut content, most + 1)?;
    if content.len() as u64 > most {
        return Err(DatasetError::TooLong { path: path.to_owned(), most });
    }
    Ok(content)
}

/// The uncompressed content of a file, as long as its header says.
pub(super) fn read(path: &Path, kind: Kind) -> Result<Vec<u8>, DatasetError> {
    let opened = open(path, PART_BYTES_MAX);
    let failed = |source: io::Error| DatasetError::Read { path: path.to_owned(), source: source.into() };
    let Opened { mut reader, bytes: file_bytes, gzip } =
        opened.map_err(|source| DatasetError::Read { path: path.to_owned(), source })?;
    let mut content = Vec::new();
    let mut fill = |content: &mut Vec<u8>, until: u64| fill(path, &mut *reader, content, until);
    let path = || path.to_owned();
    let malformed = |source| DatasetError::Header { path: path(), source };
    fill(&mut content, idx::START_BYTES as u64)?;
    if let Some(start) = content.first_chunk() {
        let header_bytes = idx::header_bytes(kind, *start).map_err(malformed)?;
        fill(&mut content, header_bytes as u64)?;
    }
    let expected = idx::announced_bytes(kind, &content).map_err(malformed)?;
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

/// Joins the four contents that `get` returns for `parts`, in that order, checked against each other.
pub(super) fn assemble(
    name: String,
    parts: &[Part; 4],
    mut get: impl FnMut(Part) -> Result<Content, DatasetError>,
) -> Result<Dataset, DatasetError> {
    let mut hash = Sha256::new();
    let mut hashed = |part| -> Result<Content, DatasetError> {
        let content = get(part)?;
        hash.update(&content.1);
        Ok(content)
    };
    let [train_images, train_labels, test_images, test_labels] = *parts;
    let train = (hashed(train_images)?, labels_of(hashed(train_labels)?)?);
    let test = (hashed(test_images)?, labels_of(hashed(test_labels)?)?);
    let classes = idx::classes(&train.1.1).max(idx::classes(&test.1.1));
    let path = test.0.0.clone();
    let train = pair(train.0, train.1, classes)?;
    let test = pair(test.0, test.1, classes)?;
    let of_train = train.spec();
    let of_test = test.spec();
    if of_train != of_test {
        return Err(DatasetError::Forms { path, train: of_train, test: of_test });
    }
    let classes = ClassNames::numbers(of_train.classes());
    Ok(Dataset { name, digest: hex(&hash.finalize()), classes, train, test, note: None })
}

fn labels_of((path, content): Content) -> Result<(PathBuf, Vec<u16>), DatasetError> {
    match idx::labels(&content) {
        Ok(labels) => Ok((path, labels)),
        Err(source) => Err(DatasetError::Header { path, source }),
    }
}

fn pair(
    (images, pixels): Content,
    (labels, of_images): (PathBuf, Vec<u16>),
    classes: usize,
) -> Result<Samples, DatasetError> {
    let samples = idx::parse(pixels, of_images, classes).map_err(|source| DatasetError::Pair {
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
        hash.update(idx::images_header(samples));
        hash.update(samples.pixels());
        hash.update(idx::encode_labels(samples));
    }
    hex(&hash.finalize())
}
