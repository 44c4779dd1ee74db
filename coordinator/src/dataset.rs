//! Which samples a run trains and tests on, and where they come from.
//!
//! Four sources: the embedded digits, MNIST's four files where they lie or from a public mirror, and any folder of four
//! files like them. `parts` reads such files, `mnist` knows what MNIST's must contain, `download` fetches them.
//! What the bytes mean is `common`'s ([`common::data::idx`], [`common::data::digits`]); how samples become leaves is not decided
//! here. All calls block, for seconds where a download is due: the caller gives them a plain thread.

mod download;
mod mnist;
mod parts;

pub use download::{DownloadError, FetchError};

use crate::observe::console::Console;
use common::data::digits::{self, Half};
use common::data::idx::IdxError;
use common::data::samples::Samples;
use common::data::spec::DataSpec;
use host::files::FileError;
use mnist::Origin;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// What a run trains and tests on.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// `mnist`, `digits`, or the folder as it was given: what [`DatasetChoice`] parses back to the same data.
    pub name: String,
    /// SHA-256 in hex over the content of the four files, uncompressed and one after the other: images and labels to
    /// train on, images and labels to test on. What `zcat train-images* train-labels* t10k-images* t10k-labels* |
    /// sha256sum` prints.
    pub digest: String,
    /// To train and validate on.
    pub train: Samples,
    /// To test on.
    pub test: Samples,
    /// What a person must be told before the run starts, such as why the data is not the one hoped for.
    pub note: Option<String>,
}

/// The value of `--dataset`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatasetChoice {
    /// MNIST where it is found or can be downloaded, else the embedded digits, with a note.
    Auto,
    /// MNIST or nothing.
    Mnist,
    /// The embedded digits.
    Digits,
    /// A folder with four files of MNIST's names and format.
    Folder(PathBuf),
}

impl FromStr for DatasetChoice {
    type Err = Infallible;

    /// Everything that is none of the three names is a folder; one of those names can be reached as `./mnist`.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "auto" => Self::Auto,
            "mnist" => Self::Mnist,
            "digits" => Self::Digits,
            folder => Self::Folder(folder.into()),
        })
    }
}

impl fmt::Display for DatasetChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Mnist => f.write_str("mnist"),
            Self::Digits => f.write_str("digits"),
            Self::Folder(folder) => folder.display().fmt(f),
        }
    }
}

/// Why there is no data to train on.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// The value of `--dataset` is neither a name nor a folder.
    #[error("--dataset {} is none of auto, mnist and digits, and no folder either; check its spelling", .0.display())]
    NoFolder(PathBuf),
    /// One of the four files is not in the folder.
    #[error("{} has neither {name} nor {name}.gz; put one of them there", folder.display())]
    Missing {
        /// Where it was looked for.
        folder: PathBuf,
        /// Its name when not compressed.
        name: &'static str,
    },
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: FileError,
    },
    /// The file is compressed and damaged.
    #[error(
        "{}: the gzip data is damaged after {offset} uncompressed bytes ({source}); get this file again",
        path.display()
    )]
    Gzip {
        /// The file.
        path: PathBuf,
        /// Bytes that were still right.
        offset: usize,
        /// What the decoder says.
        source: io::Error,
    },
    /// The header is not one of this kind of file.
    #[error("{}: {source}; get this file again, or check which file it is", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: IdxError,
    },
    /// The header announces more than the program is ready to hold.
    #[error(
        "{}: the header at offset 4 announces {announced} bytes in all, and {} is the most that is read; \
         check the file, or split the data",
        path.display(), parts::PART_BYTES_MAX
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Bytes with the header.
        announced: u64,
    },
    /// The file ends early.
    #[error(
        "{}: the header announces {expected} bytes in all, but the content ends after {got}; get this file again",
        path.display()
    )]
    CutOff {
        /// The file.
        path: PathBuf,
        /// Bytes with the header.
        expected: u64,
        /// Bytes there are.
        got: u64,
    },
    /// The file does not end where it should.
    #[error(
        "{}: the header announces {expected} bytes in all, but the content goes on after them; get this file again",
        path.display()
    )]
    Longer {
        /// The file.
        path: PathBuf,
        /// Bytes with the header.
        expected: u64,
    },
    /// Each file is fine, but they do not belong together.
    #[error(
        "{} and {} do not belong together: {source}; take both from the same data set",
        images.display(), labels.display()
    )]
    Pair {
        /// The file of pixels.
        images: PathBuf,
        /// The file of labels.
        labels: PathBuf,
        /// How they differ.
        source: IdxError,
    },
    /// Images to test on that no network for the images to train on can take.
    #[error("{} has images of {test}, but those to train on are of {train}; take both from the same data set", path.display())]
    Forms {
        /// The file of test images.
        path: PathBuf,
        /// Form of the training samples.
        train: DataSpec,
        /// Form of the test samples.
        test: DataSpec,
    },
    /// There is nothing to train on, or nothing to test on.
    #[error("{} holds no image; a data set needs at least one to train and one to test on", .0.display())]
    Empty(PathBuf),
    /// The file is well-formed, but not MNIST's.
    #[error(
        "{} is not MNIST's: its uncompressed content has the SHA-256 {got} instead of {expected}; delete it to have \
         it downloaded, or name its folder as --dataset to train on what it holds",
        path.display()
    )]
    NotMnist {
        /// The file.
        path: PathBuf,
        /// SHA-256 in hex of the right content.
        expected: String,
        /// SHA-256 in hex of what is there.
        got: String,
    },
    /// MNIST is neither here nor to be had.
    #[error(
        "MNIST is not in {} and could not be downloaded ({why}); to train on it, put its four files there or name \
         their folder with --data-dir; --dataset digits needs no file",
        folder.display()
    )]
    Unavailable {
        /// Where it was looked for.
        folder: PathBuf,
        /// What was tried.
        why: DownloadError,
    },
    /// Nobody said where MNIST is, and the user has no cache folder to look in.
    #[error(
        "MNIST was not looked for: there is no home folder to keep it in; to train on it, name a folder with \
         --data-dir; --dataset digits needs no file"
    )]
    NoCache,
}

/// The data set of that choice. MNIST is looked for in `data_dir` and downloaded to it; without one, in
/// `lockstep/mnist` of the user's cache folder. A download is shown on the console.
///
/// # Errors
/// When a file is there but is not what it should be, whatever the choice: nothing is trained on other data than a
/// person has put there. When MNIST is asked for and can't be had, which takes at most 5 seconds without a network.
pub fn load(
    choice: &DatasetChoice,
    data_dir: Option<&Path>,
    console: &Console,
) -> Result<Dataset, DatasetError> {
    load_from(choice, data_dir, Origin::public(console.bars().cloned()))
}

fn load_from(
    choice: &DatasetChoice,
    data_dir: Option<&Path>,
    origin: Origin,
) -> Result<Dataset, DatasetError> {
    use DatasetError::{NoCache, Unavailable};
    match choice {
        DatasetChoice::Digits => Ok(embedded(None)),
        DatasetChoice::Folder(folder) => parts::load(folder),
        DatasetChoice::Mnist => mnist::load(data_dir, origin),
        DatasetChoice::Auto => match mnist::load(data_dir, origin) {
            Err(error @ (Unavailable { .. } | NoCache)) => {
                Ok(embedded(Some(format!("training on the embedded digits: {error}"))))
            }
            other => other,
        },
    }
}

/// The embedded digits.
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
