//! Data sets of pictures, in a folder with a sub-folder for each class.
//!
//! [`list`] says which files are pictures of which class, [`split`] draws the test where the folder has none,
//! [`decode`] turns a file into pixels and [`resize`] brings them to one size. This file decides what is
//! chosen for all pictures together:
//!
//! 1. The size is the one that is asked for, or that of all pictures if they have the same.
//! 2. Samples have one channel if all pictures are grey by their format, or if that is asked for; otherwise
//!    three.
//! 3. The samples are a function of the pictures' names, their content and the options: not of the number of
//!    cores, the CPU, or the order in which a file system lists names. The digest is over the samples, so
//!    whatever changes one makes another run.
//! 4. Nothing is left out in silence. A file that is no picture, or a damaged one, is an error.
//! 5. Each part has [`PART_BYTES_MAX`] bytes of samples at most. All headers are read before the first
//!    picture is decoded, so that most errors come early.

mod crew;
mod decode;
mod error;
mod jpeg;
mod list;
mod natural;
mod options;
mod resize;
mod split;

pub use decode::Decoding;
pub use error::PicturesError;
pub(super) use list::looks_like_pictures;
pub use options::{Fit, ImageSize, PictureOptions, TestSplit};
pub use resize::{Pixels, fill};

use super::parts::{self, PART_BYTES_MAX};
use super::{Dataset, DatasetChoice};
use common::data::classes::ClassNames;
use common::data::samples::Samples;
use common::data::spec::{DataSpec, SIDE_MAX};
use decode::Form;
use indicatif::MultiProgress;
use list::{Listing, Picture};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::path::Path;

/// Most names of classes, or of folders, in a note; a longer list is cut.
const NAMES_SHOWN: usize = 12;

/// Loads the pictures of a folder. A bar among `bars` shows the progress, if it takes longer than a moment.
///
/// # Errors
/// When the folder is in none of the layouts, a file is no whole picture, or the pictures don't go together.
pub(super) fn load(
    folder: &Path,
    options: PictureOptions,
    bars: Option<&MultiProgress>,
) -> Result<Dataset, PicturesError> {
    let Listing { classes, train, test, left_out } = list::list(folder)?;
    // Too few or too many classes, before anything is read.
    spec(folder, ImageSize { height: 1, width: 1 }, 1, classes.len())?;
    let is_drawn = test.is_none();
    let (train, test) = match test {
        Some((test, _)) if options.test_split.is_some() => return Err(PicturesError::SplitTwice(test)),
        Some((_, test)) => (train, test),
        None => split::split(train, classes.len(), options.test_split.unwrap_or(options::TEST_SPLIT))?,
    };
    let decoding = Decoding::default();
    let all: Vec<&Picture> = train.iter().chain(&test).collect();
    let forms = crew::each("headers", all.clone(), bars, |picture| decoding.form(&picture.path))?;
    let size = match options.size {
        Some(size) => size,
        None => common_size(&all, &forms)?,
    };
    let is_grey = options.grayscale || forms.iter().all(|form| form.is_grey);
    let spec = spec(folder, size, if is_grey { 1 } else { 3 }, classes.len())?;
    let fit = options.fit.unwrap_or_default();
    let read = |part: &'static str, pictures: &[Picture]| {
        let bytes = (pictures.len() * spec.image_bytes()) as u64;
        if bytes > PART_BYTES_MAX { Err(PicturesError::TooManyBytes { part, bytes }) } else { Ok(()) }?;
        samples(spec, pictures, &decoding, fit, bars)
    };
    let train = read("training", &train)?;
    let test = read("test", &test)?;
    let note = note(&classes, &train, &test, is_drawn, &left_out);
    let choice = DatasetChoice::in_folder(folder, options);
    Ok(Dataset {
        name: choice.to_string(),
        digest: parts::digest(&train, &test),
        classes: ClassNames::new(classes),
        train,
        test,
        note: Some(note),
    })
}

fn spec(folder: &Path, size: ImageSize, channels: usize, classes: usize) -> Result<DataSpec, PicturesError> {
    let spec = DataSpec::new(size.height, size.width, channels, classes);
    spec.map_err(|source| PicturesError::Spec { folder: folder.to_owned(), source })
}

/// The size that all pictures have.
fn common_size(pictures: &[&Picture], forms: &[Form]) -> Result<ImageSize, PicturesError> {
    let mut sizes = pictures.iter().zip(forms.iter().map(|form| form.size));
    let Some((first, first_size)) = sizes.next() else {
        // There are classes, and none is empty.
        return Ok(ImageSize { height: 1, width: 1 });
    };
    if let Some((other, other_size)) = sizes.find(|(_, size)| *size != first_size) {
        let first = first.path.clone();
        return Err(PicturesError::Sizes { first, first_size, other: other.path.clone(), other_size });
    }
    let [height, width] = first_size;
    if height.max(width) > SIDE_MAX {
        return Err(PicturesError::LargeSamples { height, width });
    }
    Ok(ImageSize { height, width })
}

/// Decodes pictures to samples of this form, on all cores.
fn samples(
    spec: DataSpec,
    pictures: &[Picture],
    decoding: &Decoding,
    fit: Fit,
    bars: Option<&MultiProgress>,
) -> Result<Samples, PicturesError> {
    let size = ImageSize { height: spec.height(), width: spec.width() };
    let mut bytes = vec![0; pictures.len() * spec.image_bytes()];
    let jobs = pictures.iter().zip(bytes.chunks_exact_mut(spec.image_bytes())).collect();
    crew::each("pictures", jobs, bars, |(picture, sample): (&Picture, &mut [u8])| {
        decoding.pixels(&picture.path, spec.channels(), |pixels| resize::fill(pixels, size, fit, sample))
    })?;
    let labels = pictures.iter().map(|picture| picture.class).collect();
    Ok(Samples::new(spec, bytes, labels).expect("as many images as labels, each label a class"))
}

/// What a person should know of the data before the run starts.
fn note(classes: &[String], train: &Samples, test: &Samples, is_drawn: bool, left_out: &[String]) -> String {
    let spec = train.spec();
    let mut note = format!(
        "{} pictures to train on and {} for the test{}, {spec} ({})",
        train.len(),
        test.len(),
        if is_drawn { " (drawn from the others)" } else { "" },
        names(classes)
    );
    let digest = |samples: &Samples, index| <[u8; 32]>::from(Sha256::digest(samples.image(index)));
    let known: HashSet<[u8; 32]> = (0..train.len()).map(|index| digest(train, index)).collect();
    let twice = (0..test.len()).filter(|&index| known.contains(&digest(test, index))).count();
    if twice > 0 {
        note +=
            &format!("; {twice} of the test pictures are training pictures too: the test flatters the model");
    }
    if !left_out.is_empty() {
        note += &format!(
            "; left out: {} (--val-split holds training pictures out for validation)",
            names(left_out)
        );
    }
    note
}

fn names(names: &[String]) -> String {
    let more = if names.len() > NAMES_SHOWN { ", ..." } else { "" };
    format!("{}{more}", names[..names.len().min(NAMES_SHOWN)].join(", "))
}

#[cfg(test)]
mod tests;
