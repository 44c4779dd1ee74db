//! Everything that can be wrong with a data set, and what to do about it.

use super::choice::{KAGGLE, all_names};
use super::csv::CsvError;
use super::download::DownloadError;
use super::find::Lacking;
use super::named::{Named, Of};
use super::npz::NpzError;
use super::parts;
use super::pictures::PicturesError;
use common::data::cifar::CifarError;
use common::data::idx::IdxError;
use common::data::spec::DataSpec;
use host::files::FileError;
use std::io;
use std::path::{Path, PathBuf};

/// Why a data set can't be loaded.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum DatasetError {
    /// The value of `--dataset` is neither a name nor a folder.
    #[error(
        "--dataset {} is no folder, and none of auto, digits, {}, kaggle:PATH and FILE.npz; check its spelling",
        .0.display(), all_names()
    )]
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
    /// A folder is wanted, and a table was named.
    #[error("--dataset {path} is no folder; a CSV file is read with --dataset {KAGGLE}{path}", path = .0.display())]
    IsTable(PathBuf),
    /// A table in CSV can't be used.
    #[error(transparent)]
    Csv(#[from] CsvError),
    /// A file of NumPy arrays can't be used.
    #[error(transparent)]
    Npz(#[from] NpzError),
    /// A folder of pictures can't be read.
    #[error(transparent)]
    Pictures(PicturesError),
    /// A folder does not hold all four files.
    #[error(
        "{0}; put the missing ones there, or name the folder that holds all four, or one with pictures in a sub-folder \
         for each class"
    )]
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

/// The folder that holds a file.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}
