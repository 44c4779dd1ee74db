//! Data sets: the samples that a run trains and tests on, and where they come from.
//!
//! There are five sources: the embedded digits, MNIST's four files on disk, the same from a public mirror,
//! any folder of four files like them, and any folder of pictures. `find` says where in a folder such files
//! lie, `parts` reads them, `mnist` knows what MNIST's must contain, `download` fetches them, `pictures` reads
//! pictures. The formats are defined in [`common::data::idx`] and [`common::data::digits`]. All calls block,
//! for seconds during a download or while pictures are decoded, so they need a plain thread.

mod download;
mod find;
mod mnist;
mod parts;
mod pictures;

pub use download::{DownloadError, FetchError};
pub use find::Lacking;
pub use pictures::{Fit, ImageSize, PictureOptions, PicturesError, TestSplit};

use crate::observe::console::Console;
use common::data::digits::{self, Half};
use common::data::idx::IdxError;
use common::data::samples::Samples;
use common::data::spec::DataSpec;
use find::Name;
use host::files::FileError;
use indicatif::MultiProgress;
use mnist::Origin;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The samples that a run trains and tests on.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// `mnist`, `digits`, or the folder as it was given, with the options of its pictures; [`DatasetChoice`]
    /// parses it back to the same data.
    pub name: String,
    /// SHA-256 in hexadecimal digits. Of four files it is over their uncompressed content: training images
    /// and labels, test images and labels, which is what `zcat train-images* train-labels* t10k-images*
    /// t10k-labels* | sha256sum` prints. Of pictures it is over the samples that they became.
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
    /// MNIST; an error if it can't be had.
    Mnist,
    /// The digits that this program draws itself.
    Digits,
    /// A folder with four files of MNIST's names and format, in one of the layouts of `dataset/find.rs`; or
    /// one of pictures, in one of the layouts of `dataset/pictures/list.rs`.
    Folder(PathBuf),
    /// A folder of pictures, with options of how they are read.
    Pictures(PathBuf, PictureOptions),
}

impl DatasetChoice {
    /// A folder, with options if there are any.
    #[must_use]
    pub fn in_folder(folder: &Path, options: PictureOptions) -> Self {
        let folder = folder.to_owned();
        if options == PictureOptions::default() {
            Self::Folder(folder)
        } else {
            Self::Pictures(folder, options)
        }
    }

    /// The same data set, read with these options before those that it has.
    ///
    /// # Errors
    /// When there are options, and it is no folder. The text says which flag is meant.
    pub fn with(self, options: PictureOptions) -> Result<Self, String> {
        match (self, options.first_flag()) {
            (choice, None) => Ok(choice),
            (Self::Folder(folder), _) => Ok(Self::Pictures(folder, options)),
            (Self::Pictures(folder, own), _) => Ok(Self::Pictures(folder, options.or(own))),
            (choice @ (Self::Auto | Self::Mnist | Self::Digits), Some(flag)) => Err(format!(
                "{flag} is for a folder of pictures, and --dataset is {choice}; name the folder with --dataset, or \
                 leave the flag out"
            )),
        }
    }
}

impl FromStr for DatasetChoice {
    type Err = Infallible;

    /// Parses a name. Any other text is a folder, which options of pictures may follow after a question mark.
    /// A folder of such a name can be written as `./mnist`, one that ends like options as `FOLDER?grayscale?`.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "auto" => Self::Auto,
            "mnist" => Self::Mnist,
            "digits" => Self::Digits,
            _ => match text.rsplit_once('?').map(|(folder, options)| (folder, options.parse())) {
                Some((folder, Ok(options))) => Self::in_folder(Path::new(folder), options),
                _ => Self::Folder(text.into()),
            },
        })
    }
}

impl fmt::Display for DatasetChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Mnist => f.write_str("mnist"),
            Self::Digits => f.write_str("digits"),
            Self::Folder(folder) => {
                let text = folder.display().to_string();
                let ends_like_options =
                    matches!(text.rsplit_once('?'), Some((_, end)) if end.parse::<PictureOptions>().is_ok());
                write!(f, "{text}{}", if ends_like_options { "?" } else { "" })
            }
            Self::Pictures(folder, options) => write!(f, "{}?{options}", folder.display()),
        }
    }
}

/// Why a data set can't be loaded.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum DatasetError {
    /// The value of `--dataset` is neither a name nor a folder.
    #[error("--dataset {} is none of auto, mnist and digits, and no folder either; check its spelling", .0.display())]
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
    #[error(
        "{0}; put the missing ones there, or name the folder that holds all four, or one with pictures in a sub-folder \
         for each class"
    )]
    Missing(Box<Lacking>),
    /// A folder of pictures can't be read.
    #[error(transparent)]
    Pictures(PicturesError),
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
    /// A file is well-formed, but not MNIST's.
    #[error(
        "{} is not MNIST's: its uncompressed content has the SHA-256 {got} instead of {expected}; delete it to have \
         it downloaded, or name its folder as --dataset to train on what it holds",
        path.display()
    )]
    NotMnist {
        path: PathBuf,
        /// SHA-256 of the right content, in hexadecimal digits.
        expected: String,
        /// SHA-256 of the file's content, in hexadecimal digits.
        got: String,
    },
    /// The folder that was named for MNIST does not hold it, and it is not available for download.
    #[error(
        "MNIST: {lacking}; it could not be downloaded ({why}); put its four files there or name their folder with \
         --data-dir; --dataset digits needs no file"
    )]
    NotInNamed { lacking: Box<Lacking>, why: DownloadError },
    /// MNIST is neither in the user's cache nor available for download.
    #[error(
        "MNIST is not in {} and could not be downloaded ({why}); to train on it, put its four files there or name \
         their folder with --data-dir; --dataset digits needs no file",
        folder.display()
    )]
    Unavailable { folder: PathBuf, why: DownloadError },
    /// No folder for MNIST was given, and the user has no cache folder.
    #[error(
        "MNIST was not looked for: there is no home folder to keep it in; to train on it, name a folder with \
         --data-dir; --dataset digits needs no file"
    )]
    NoCache,
}

/// Loads the chosen data set. MNIST is looked for in `data_dir`, or in `lockstep/mnist` of the user's cache
/// folder, and downloaded to it if missing. The console shows the progress of a download, and of decoding
/// pictures.
///
/// # Errors
/// When a file exists but is not what it should be, whatever the choice: no other data is used in its place.
/// When MNIST is asked for, by its name or by `data_dir`, and can't be had; without a network this takes at
/// most 5 seconds.
pub fn load(
    choice: &DatasetChoice,
    data_dir: Option<&Path>,
    console: &Console,
) -> Result<Dataset, DatasetError> {
    load_from(choice, data_dir, Origin::public(console.bars().cloned()), console.bars())
}

fn load_from(
    choice: &DatasetChoice,
    data_dir: Option<&Path>,
    origin: Origin,
    bars: Option<&MultiProgress>,
) -> Result<Dataset, DatasetError> {
    use DatasetError::{NoCache, Unavailable, Unsearchable};
    match choice {
        DatasetChoice::Digits => Ok(embedded(None)),
        DatasetChoice::Folder(folder) => in_folder(folder, PictureOptions::default(), bars),
        DatasetChoice::Pictures(folder, options) => in_folder(folder, *options, bars),
        DatasetChoice::Mnist => mnist::load(data_dir, origin),
        DatasetChoice::Auto => match mnist::load(data_dir, origin) {
            // Who has named a folder means MNIST.
            Err(error @ (Unavailable { .. } | Unsearchable { .. } | NoCache)) if data_dir.is_none() => {
                Ok(embedded(Some(format!("training on the embedded digits: {error}"))))
            }
            other => other,
        },
    }
}

/// Loads four files, where a folder holds them, and otherwise pictures. Where it holds neither, the error is
/// the one of four files, unless options of pictures were given.
fn in_folder(
    folder: &Path,
    options: PictureOptions,
    bars: Option<&MultiProgress>,
) -> Result<Dataset, DatasetError> {
    if !folder.is_dir() {
        let path = folder.to_owned();
        return Err(if path.exists() {
            DatasetError::IsFile { flag: "--dataset", path }
        } else {
            DatasetError::NoFolder(path)
        });
    }
    let files = find::files(folder, Name::Any)?;
    let flag = options.first_flag();
    match (find::is_complete(&files), flag) {
        (true, Some(flag)) => {
            Err(DatasetError::Pictures(PicturesError::FourFiles { flag, folder: folder.to_owned() }))
        }
        (false, None) if !pictures::looks_like_pictures(folder) => parts::load(folder, files),
        (true, None) => parts::load(folder, files),
        (false, _) => pictures::load(folder, options, bars).map_err(DatasetError::Pictures),
    }
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
