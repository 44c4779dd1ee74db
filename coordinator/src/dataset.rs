//! Data sets: the samples that a run trains and tests on, and where they come from.
//!
//! There are these sources: the embedded digits; data sets with a name, whose four files are on disk or come
//! from a public mirror; and any folder of four files like them. `find` says where in a folder such files lie,
//! `parts` reads them, `named` knows the names and what is odd about each, `download` fetches. The formats are defined in
//! [`common::data::idx`] and [`common::data::digits`]. All calls block, for seconds during a download, so
//! they need a plain thread.

mod cifar;
mod download;
mod find;
mod named;
mod parts;

pub use download::{DownloadError, FetchError};
pub use find::Lacking;
pub use named::{Emnist, Named, Of};

use crate::observe::console::Console;
use common::data::cifar::CifarError;
use common::data::digits::{self, Half};
use common::data::idx::IdxError;
use common::data::samples::Samples;
use common::data::spec::DataSpec;
use host::files::FileError;
use named::Origin;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The samples that a run trains and tests on.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// `digits`, the name of a known data set, or the folder as it was given; [`DatasetChoice`] parses it back to the same data.
    pub name: String,
    /// SHA-256 in hexadecimal digits over the uncompressed content of the four files: training images and
    /// labels, test images and labels. It is what `zcat train-images* train-labels* t10k-images* t10k-labels*
    /// | sha256sum` prints.
    pub digest: String,
    /// Samples for training and validation.
    pub train: Samples,
    /// Samples for the final test.
    pub test: Samples,
    /// Notice for the operator before the run starts, such as why MNIST was not used.
    pub note: Option<String>,
}

/// The value of `--dataset`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatasetChoice {
    /// MNIST where it is found or can be downloaded. Otherwise the embedded digits, with a note; but an error
    /// if the user has named a folder for MNIST.
    Auto,
    /// A data set with a name; an error if it can't be had.
    Named(Named),
    /// CIFAR-10's binary files; an error if they are not there.
    Cifar10,
    /// The digits that this program draws itself.
    Digits,
    /// A folder with four files of MNIST's names and format, in one of the layouts of `dataset/find.rs`.
    Folder(PathBuf),
}

impl FromStr for DatasetChoice {
    type Err = Infallible;

    /// Parses a name. Any other text is a folder; a folder of such a name can be written as `./mnist`.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "auto" => Self::Auto,
            "digits" => Self::Digits,
            cifar::NAME => Self::Cifar10,
            other => Named::of(other).map_or_else(|| Self::Folder(other.into()), Self::Named),
        })
    }
}

impl fmt::Display for DatasetChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Named(named) => named.fmt(f),
            Self::Digits => f.write_str("digits"),
            Self::Cifar10 => f.write_str(cifar::NAME),
            Self::Folder(folder) => folder.display().fmt(f),
        }
    }
}

/// Why a data set can't be loaded.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum DatasetError {
    /// The value of `--dataset` is neither a name nor a folder.
    #[error("--dataset {} is no folder, and none of auto, digits, {}; check its spelling", .0.display(), all_names())]
    NoFolder(PathBuf),
    /// A folder is wanted, and something else was named.
    #[error(
        "{flag} {} is no folder; name the one that holds {} and the other three files, which may be {}; --dataset \
         digits needs no file",
        path.display(), parts::PARTS[0].name, folder_of(path).display()
    )]
    IsFile {
        /// The flag that named it.
        flag: &'static str,
        path: PathBuf,
    },
    /// A folder does not hold all four files.
    #[error("{0}; put the missing ones there, or name the folder that holds all four")]
    Missing(Box<Lacking>),
    /// Two folders within the named one hold four files each.
    #[error("{} and {} both hold a data set; name the one that is meant", first.display(), second.display())]
    Ambiguous { first: PathBuf, second: PathBuf },
    /// A folder can't be searched.
    #[error(
        "cannot look for the data set's files at {} ({source}); let this user read the folder, or name another one; \
         --dataset digits needs no file",
        path.display()
    )]
    Unsearchable { path: PathBuf, source: io::Error },
    /// A file can't be read.
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: FileError },
    /// A compressed file is damaged.
    #[error(
        "{}: the gzip data is damaged after {offset} uncompressed bytes ({source}); get this file again",
        path.display()
    )]
    Gzip {
        path: PathBuf,
        /// Uncompressed bytes before the damage.
        offset: usize,
        source: io::Error,
    },
    /// A file's header is of another kind.
    #[error("{}: {source}; get this file again, or check which file it is", path.display())]
    Header { path: PathBuf, source: IdxError },
    /// A header announces more than the program accepts.
    #[error(
        "{}: the header at offset 4 announces {announced} bytes in all, and {} is the most that is read; \
         check the file, or split the data",
        path.display(), parts::PART_BYTES_MAX
    )]
    TooLarge {
        path: PathBuf,
        /// Announced bytes, including the header.
        announced: u64,
    },
    /// A file ends too early.
    #[error(
        "{}: the header announces {expected} bytes in all, but the content ends after {got}; get this file again",
        path.display()
    )]
    CutOff {
        path: PathBuf,
        /// Announced bytes, including the header.
        expected: u64,
        got: u64,
    },
    /// A file goes on after its announced end.
    #[error(
        "{}: the header announces {expected} bytes in all, but the content goes on after them; get this file again",
        path.display()
    )]
    Longer {
        path: PathBuf,
        /// Announced bytes, including the header.
        expected: u64,
    },
    /// A file without a header is longer than any of its kind.
    #[error("{} has more than {most} bytes, uncompressed: it is no file of this kind; check which it is", path.display())]
    TooLong { path: PathBuf, most: u64 },
    /// Two files are valid, but do not belong together.
    #[error(
        "{} and {} do not belong together: {source}; take both from the same data set",
        images.display(), labels.display()
    )]
    Pair { images: PathBuf, labels: PathBuf, source: IdxError },
    /// Test images of another form than the training images.
    #[error("{} has images of {test}, but those to train on are of {train}; take both from the same data set", path.display())]
    Forms { path: PathBuf, train: DataSpec, test: DataSpec },
    /// A file holds no image.
    #[error("{} holds no image; a data set needs at least one to train and one to test on", .0.display())]
    Empty(PathBuf),
    /// A file is well-formed, but not the data set's.
    #[error(
        "{} is not {named}'s: its uncompressed content has the SHA-256 {got}{of} instead of {expected}; delete it to \
         have it downloaded, or name its folder as --dataset to train on what it holds",
        path.display()
    )]
    Foreign {
        named: Named,
        /// The data set that it belongs to, if that is known.
        of: Of,
        path: PathBuf,
        /// SHA-256 of the right content, in hexadecimal digits.
        expected: String,
        /// SHA-256 of the file's content, in hexadecimal digits.
        got: String,
    },
    /// A file is that of another known data set.
    #[error("{} is {of}'s, and {named} is wanted; take {named}'s own files, or train on --dataset {of}", path.display())]
    MixedUp { named: Named, path: PathBuf, of: Named },
    /// CIFAR-10's files are not there.
    #[error(
        "CIFAR-10 is not in {}: data_batch_1.bin to data_batch_5.bin and test_batch.bin are wanted there, or in \
         cifar-10-batches-bin of it; get its binary version and name the folder with --data-dir",
        folder.as_deref().map_or("the user's cache folder".into(), Path::to_string_lossy)
    )]
    NoCifar { folder: Option<PathBuf> },
    /// A file of CIFAR-10 is malformed.
    #[error("{}: {source}; get this file again, in the binary version", path.display())]
    Cifar { path: PathBuf, source: CifarError },
    /// A label is none of the data set's.
    #[error(
        "label {label} of sample {index} is none of {named}'s, which are {first} to {last}; take its own files"
    )]
    NoClass { named: Named, index: usize, label: u16, first: u16, last: u16 },
    /// A data set that is not downloaded is not there.
    #[error(
        "{named}: {lacking}; it is not downloaded, because its digest is not known here: put its four files there or \
         name their folder with --data-dir; --dataset digits needs no file"
    )]
    NotThere { named: Named, lacking: Box<Lacking> },
    /// The folder that was named for a data set does not hold it, and it is not available for download.
    #[error(
        "{named}: {lacking}; it could not be downloaded ({why}); put its four files there or name their folder with \
         --data-dir; --dataset digits needs no file"
    )]
    NotInNamed { named: Named, lacking: Box<Lacking>, why: DownloadError },
    /// A data set is neither in the user's cache nor available for download.
    #[error(
        "{named} is not in {} and could not be downloaded ({why}); to train on it, put its four files there or name \
         their folder with --data-dir; --dataset digits needs no file",
        folder.display()
    )]
    Unavailable { named: Named, folder: PathBuf, why: DownloadError },
    /// No folder for a data set was given, and the user has no cache folder.
    #[error(
        "{0} was not looked for: there is no home folder to keep it in; to train on it, name a folder with \
         --data-dir; --dataset digits needs no file"
    )]
    NoCache(Named),
}

/// Loads the chosen data set. One with a name is looked for in `data_dir`, or in `lockstep/NAME` of the user's
/// cache folder; where its digest is known it is downloaded to it if missing. The console shows the progress.
///
/// # Errors
/// When a file exists but is not what it should be, whatever the choice: no other data is used in its place.
/// When a data set is asked for, by its name or by `data_dir`, and can't be had; without a network this takes
/// at most 5 seconds.
pub fn load(
    choice: &DatasetChoice,
    data_dir: Option<&Path>,
    console: &Console,
) -> Result<Dataset, DatasetError> {
    let named = if let DatasetChoice::Named(named) = choice { *named } else { Named::Mnist };
    load_from(choice, data_dir, Origin::public(named, console.bars().cloned()))
}

fn load_from(
    choice: &DatasetChoice,
    data_dir: Option<&Path>,
    origin: Origin,
) -> Result<Dataset, DatasetError> {
    use DatasetError::{NoCache, Unavailable, Unsearchable};
    match choice {
        DatasetChoice::Digits => Ok(embedded(None)),
        DatasetChoice::Folder(folder) => parts::load(folder),
        DatasetChoice::Cifar10 => cifar::load(data_dir),
        DatasetChoice::Named(named) => named::load(*named, data_dir, origin),
        DatasetChoice::Auto => match named::load(Named::Mnist, data_dir, origin) {
            // Who has named a folder means MNIST.
            Err(error @ (Unavailable { .. } | Unsearchable { .. } | NoCache(_))) if data_dir.is_none() => {
                Ok(embedded(Some(format!("training on the embedded digits: {error}"))))
            }
            other => other,
        },
    }
}

/// The names of all data sets that have one.
pub(crate) fn all_names() -> String {
    format!("{}, {}", named::ALL.map(Named::name).join(", "), cifar::NAME)
}

/// The folder that holds a file.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// The embedded digits as a data set.
fn embedded(note: Option<String>) -> Dataset {
    let train = drawn(Half::Train, digits::TRAIN);
    let test = drawn(Half::Test, digits::TEST);
    Dataset { name: "digits".into(), digest: parts::digest(&train, &test), train, test, note }
}

/// The first `count` digits of that half, drawn on all cores.
fn drawn(half: Half, count: u32) -> Samples {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let share = (count as usize).div_ceil(cores).max(1);
    let mut pixels = vec![0; count as usize * digits::PIXELS];
    let mut labels = vec![0; count as usize];
    std::thread::scope(|scope| {
        let shares = pixels.chunks_mut(share * digits::PIXELS).zip(labels.chunks_mut(share));
        for (first, (pixels, labels)) in (0..).step_by(share).zip(shares) {
            scope.spawn(move || {
                let places = pixels.chunks_exact_mut(digits::PIXELS).zip(labels).zip(first..);
                for ((image, label), index) in places {
                    let (drawn, class) = digits::draw(half, index);
                    image.copy_from_slice(&drawn);
                    *label = class.into();
                }
            });
        }
    });
    Samples::new(digits::SPEC, pixels, labels).expect("as many images as labels, each label a class")
}

#[cfg(test)]
mod tests;
