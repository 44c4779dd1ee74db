//! Why a folder of pictures is no data set.

use super::decode::{FILE_BYTES_MAX, PICTURE_SIDE_MAX, PIXELS_MAX};
use super::list::PICTURES_MAX;
use crate::dataset::parts::PART_BYTES_MAX;
use common::data::spec::{SIDE_MAX, SpecError};
use host::files::FileError;
use std::io;
use std::path::PathBuf;

/// Why a folder of pictures can't be loaded.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum PicturesError {
    /// A flag of pictures was given for a folder that holds four IDX files.
    #[error(
        "{flag} is for a folder of pictures, and {} holds four IDX files, which are taken as they are; leave the flag \
         out",
        folder.display()
    )]
    FourFiles { flag: &'static str, folder: PathBuf },
    /// A folder can't be listed.
    #[error("cannot list {} ({source}); let this user read it", path.display())]
    List { path: PathBuf, source: io::Error },
    /// There is no class.
    #[error(
        "{} has no sub-folder; a folder of pictures has one for each class, there or in train and test",
        .0.display()
    )]
    NoClass(PathBuf),
    /// The test pictures are not in classes.
    #[error(
        "{} has no sub-folder for each class, so the classes of its pictures are not known; sort them into such \
         folders, or move it away: then --test-split decides how many of the other pictures are the test",
        .0.display()
    )]
    TestWithoutClasses(PathBuf),
    /// A name is there in two spellings.
    #[error("{} and {} have the same meaning; leave one of them there", first.display(), second.display())]
    TwoParts { first: PathBuf, second: PathBuf },
    /// A class of the one part is missing in the other.
    #[error(
        "{} lacks the class {class}, which {} has; both need the same sub-folders",
        folder.display(), other.display()
    )]
    ClassMissing { folder: PathBuf, class: String, other: PathBuf },
    /// A class has no picture.
    #[error("{} holds no picture; put some there, or remove the folder", .0.display())]
    EmptyClass(PathBuf),
    /// A file beside the classes.
    #[error(
        "{} lies beside the folders of the classes, so it has no class; move it into one of them, or away",
        .0.display()
    )]
    BesideClasses(PathBuf),
    /// A folder within a class.
    #[error(
        "{} is a folder within a class, and pictures lie in the class itself; move them up, or the folder away",
        .0.display()
    )]
    WithinClass(PathBuf),
    /// More files than are read.
    #[error("{} holds more than {PICTURES_MAX} files, the most that are read; split the data", .0.display())]
    TooMany(PathBuf),
    /// A file can't be read.
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: FileError },
    /// A file of another kind.
    #[error("{} is no picture in PNG, JPEG, WebP or BMP; convert it, or move it away", .0.display())]
    NotPicture(PathBuf),
    /// A picture that its decoder refuses.
    #[error("{} is damaged ({problem}); get this file again, or move it away", path.display())]
    Broken { path: PathBuf, problem: String },
    /// A picture with more pixels than are decoded.
    #[error(
        "{} has {width} x {height} pixels; at most {PICTURE_SIDE_MAX} on a side and {PIXELS_MAX} in all are decoded, \
         from a file of at most {FILE_BYTES_MAX} bytes; make it smaller, or move it away",
        path.display()
    )]
    TooLarge { path: PathBuf, width: u32, height: u32 },
    /// Pictures of several sizes, and no size is asked for.
    #[error(
        "{} has {} x {} pixels (height x width) and {} has {} x {}; samples have one size: choose it with --image-size, \
         such as --image-size 32x32",
        first.display(), first_size[0], first_size[1], other.display(), other_size[0], other_size[1]
    )]
    Sizes { first: PathBuf, first_size: [usize; 2], other: PathBuf, other_size: [usize; 2] },
    /// Pictures that are larger than samples can be.
    #[error(
        "all pictures have {height} x {width} pixels (height x width), and samples have at most {SIDE_MAX} on a side; \
         choose a size with --image-size, such as --image-size 32x32"
    )]
    LargeSamples { height: usize, width: usize },
    /// The classes are too few or too many.
    #[error("{}: {source}; each sub-folder is a class", folder.display())]
    Spec { folder: PathBuf, source: SpecError },
    /// More samples than are held in memory.
    #[error(
        "the {part} pictures have {bytes} bytes in all, and {PART_BYTES_MAX} is the most that is held; choose a smaller \
         --image-size, or split the data"
    )]
    TooManyBytes { part: &'static str, bytes: u64 },
    /// A split is asked for where the folder has a test of its own.
    #[error("--test-split is for a folder without test pictures, and {} holds some; leave the flag out", .0.display())]
    SplitTwice(PathBuf),
    /// The test would leave too few pictures.
    #[error(
        "--test-split {split} of {pictures} pictures leaves less than one of each of the {classes} classes to train \
         on; name at most {most}"
    )]
    Split { split: String, pictures: usize, classes: usize, most: usize },
}
