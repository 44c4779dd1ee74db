//! Data sets: the samples that a run trains and tests on, and where they come from.
//!
//! There are these sources: the embedded digits; data sets with a name, whose files are on disk or come from
//! a public mirror; any folder of four files like MNIST's, or of pictures; tables in CSV; and NumPy's arrays.
//! `choice` is the value of `--dataset`, `inspect` shows what was read, `sheet` draws it, and
//! `picture` draws one sample. `find` says
//! where in a folder the four files lie, `parts` reads them, `named` knows the names and what is odd about
//! each, `download` fetches. `pictures` reads pictures, `csv` tables and `npz` arrays; `join` makes a data
//! set of what the last two read. The formats are defined in [`common::data::idx`], [`common::data::cifar`],
//! [`common::data::digits`], `csv/rows.rs` and `npz.rs`. All calls block, for seconds during a download or
//! while pictures are decoded, so they need a plain thread.

mod choice;
mod cifar;
mod csv;
mod download;
mod error;
mod find;
mod inspect;
mod join;
mod named;
mod npz;
mod parts;
mod picture;
mod pictures;
mod sheet;

pub use choice::DatasetChoice;
pub(crate) use choice::all_names;
pub use csv::{CsvError, read_unlabelled};
pub use download::{DownloadError, FetchError};
pub use error::DatasetError;
pub use find::Lacking;
pub use named::{Emnist, Named, Of};
pub(crate) use npz::Archive;
pub use npz::{HeaderError, NpzError, ZipError};
pub use picture::{picture, png, png_data_url};
pub use pictures::{Decoding, Fit, ImageSize, PictureOptions, PicturesError, Pixels, TestSplit, fill};
pub use sheet::{Sheet, SheetError};

use crate::observe::console::Console;
use common::data::classes::ClassNames;
use common::data::digits::{self, Half};
use common::data::samples::Samples;
use common::train::config::DataIdentity;
use find::Name;
use indicatif::MultiProgress;
use named::Origin;
use std::num::NonZeroUsize;
use std::path::Path;

/// The samples that a run trains and tests on.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// `digits`, the name of a known data set, or the file or folder as it was given, with the options of its
    /// pictures; [`DatasetChoice`] parses it back to the same data.
    pub name: String,
    /// SHA-256 in hexadecimal digits over the uncompressed content of the four files: training images and
    /// labels, test images and labels. It is what `zcat train-images* train-labels* t10k-images* t10k-labels*
    /// | sha256sum` prints. Samples from other files have the digest that they would have as four IDX files.
    pub digest: String,
    /// Names of the classes: the data set's own, the folders of pictures, or otherwise the numbers.
    pub classes: ClassNames,
    /// Samples for training and validation.
    pub train: Samples,
    /// Samples for the final test.
    pub test: Samples,
    /// Notice for the operator before the run starts, such as why MNIST was not used.
    pub note: Option<String>,
}

impl Dataset {
    /// What a run records of the data that it is trained on.
    pub(crate) fn identity(&self) -> DataIdentity {
        DataIdentity {
            name: self.name.clone(),
            digest: self.digest.clone(),
            samples: self.train.len() as u32,
            spec: self.train.spec(),
            classes: self.classes.clone(),
        }
    }
}

/// Loads the chosen data set. One with a name is looked for in `data_dir`, or in `lockstep/NAME` of the
/// user's cache folder; where its digest is known it is downloaded to it if missing. The console shows the
/// progress of a download, and of decoding pictures.
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
    let bars = console.bars();
    load_from(choice, data_dir, Origin::public(named, bars.cloned()), bars)
}

/// Loads the chosen data set as [`load`] does, if its files are there: nothing is downloaded, and what a
/// named one holds is not held against its known digest.
///
/// # Errors
/// As for [`load`], and where a file is missing.
pub fn load_present(
    choice: &DatasetChoice,
    data_dir: Option<&Path>,
    console: &Console,
) -> Result<Dataset, DatasetError> {
    let named = if let DatasetChoice::Named(named) = choice { *named } else { Named::Mnist };
    load_from(choice, data_dir, Origin::on_disk(named), console.bars())
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
        DatasetChoice::Kaggle(path) => csv::load(path),
        DatasetChoice::Npz(path) => npz::load(path),
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

/// Loads four files, where a folder holds them, and otherwise pictures. Where it holds neither, the error is
/// the one of four files, unless options of pictures were given.
fn in_folder(
    folder: &Path,
    options: PictureOptions,
    bars: Option<&MultiProgress>,
) -> Result<Dataset, DatasetError> {
    if !folder.is_dir() {
        let path = folder.to_owned();
        return Err(match path.exists() {
            true if csv::is_table(&path) => DatasetError::IsTable(path),
            true => DatasetError::IsFile { flag: "--dataset", path },
            false => DatasetError::NoFolder(path),
        });
    }
    let files = find::files(folder, &parts::PARTS, Name::Any)?;
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

/// The embedded digits as a data set.
fn embedded(note: Option<String>) -> Dataset {
    let train = drawn(Half::Train, digits::TRAIN);
    let test = drawn(Half::Test, digits::TEST);
    let classes = ClassNames::numbers(digits::SPEC.classes());
    Dataset { name: "digits".into(), digest: parts::digest(&train, &test), classes, train, test, note }
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
