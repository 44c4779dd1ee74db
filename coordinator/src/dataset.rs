//! Data sets: the samples that a run trains and tests on, and where they come from.
//!
//! There are these sources: the embedded digits; data sets with a name, whose files are on disk or come from a
//! public mirror; any folder of four files like MNIST's; tables in CSV; and NumPy's arrays. `find` says where in a
//! folder the four files lie, `parts` reads them, `named` knows the names and what is odd about each, `download`
//! fetches. `choice` is the value of `--dataset`. `csv` reads tables and `npz` arrays; `join` makes a data set of what they read. The formats are defined
//! in [`common::data::idx`], [`common::data::digits`], `csv/rows.rs` and `npz.rs`. All calls block, for seconds
//! during a download, so they need a plain thread.

mod choice;
mod cifar;
mod csv;
mod download;
mod error;
mod find;
mod join;
mod named;
mod npz;
mod parts;

pub use choice::DatasetChoice;
pub(crate) use choice::all_names;
pub use csv::CsvError;
pub use download::{DownloadError, FetchError};
pub use error::DatasetError;
pub use find::Lacking;
pub use named::{Emnist, Named, Of};
pub use npz::{HeaderError, NpzError, ZipError};

use crate::observe::console::Console;
use common::data::digits::{self, Half};
use common::data::samples::Samples;
use named::Origin;
use std::num::NonZeroUsize;
use std::path::Path;

/// The samples that a run trains and tests on.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// `digits`, the name of a known data set, or the file or folder as it was given; [`DatasetChoice`] parses it
    /// back to the same data.
    pub name: String,
    /// SHA-256 in hexadecimal digits over the uncompressed content of the four files: training images and
    /// labels, test images and labels. It is what `zcat train-images* train-labels* t10k-images* t10k-labels*
    /// | sha256sum` prints. Samples from other files have the digest that they would have as four IDX files.
    pub digest: String,
    /// Samples for training and validation.
    pub train: Samples,
    /// Samples for the final test.
    pub test: Samples,
    /// Notice for the operator before the run starts, such as why MNIST was not used.
    pub note: Option<String>,
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
