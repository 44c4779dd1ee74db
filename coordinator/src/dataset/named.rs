//! Data sets that have a name: their folder, their download, and what is put right about them.
//!
//! 1. A folder that the user has named is used or refused; the folder in the user's cache is only the
//!    default.
//! 2. An existing file is used and never changed. A missing one is downloaded where its digest is known
//!    (`catalog`), and verified by it, so a run on `mnist` is a run on MNIST.
//! 3. Files of MNIST's names are told apart by digest: one of another known data set is refused by name.
//! 4. EMNIST's images lie on their side, and its letters are numbered from 1. Both are put right, and said.

mod catalog;

pub use catalog::{Emnist, Named};

pub(super) use catalog::ALL;

use super::download::Mirrors;
use super::find::{self, Lacking, Name};
use super::parts::{self, Part};
use super::{Dataset, DatasetError};
use common::data::samples::Samples;
use common::data::spec::DataSpec;
use common::train::config::hex;
use etcetera::BaseStrategy;
use indicatif::MultiProgress;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Where a data set comes from, and how it is known. Tests have their own.
pub(super) struct Origin {
    pub(super) mirrors: Mirrors,
    /// SHA-256 in hexadecimal digits, in the order of its files; `None` where it is not known.
    pub(super) sha256: Option<[String; 4]>,
    /// Folder that is used where none is named, if the user has one.
    pub(super) cache: Option<PathBuf>,
}

impl Origin {
    /// A data set on its public mirrors; progress is shown among `bars`, if there are any.
    pub(super) fn public(named: Named, bars: Option<MultiProgress>) -> Self {
        let cache = etcetera::choose_base_strategy().ok();
        let cache = cache.map(|user| user.cache_dir().join("lockstep").join(named.name()));
        let sha256 = named.sha256().map(|all| all.map(str::to_owned));
        Self { mirrors: Mirrors::public(named.mirrors(), bars), sha256, cache }
    }

    /// A data set whose files are on disk or nowhere.
    pub(super) fn on_disk(named: Named) -> Self {
        Self { mirrors: Mirrors::public(&[], None), sha256: None, ..Self::public(named, None) }
    }
}

/// Loads a data set from the folder that the user has named, or from the user's cache, after downloading
/// missing files to it where that is possible.
pub(super) fn load(named: Named, folder: Option<&Path>, origin: Origin) -> Result<Dataset, DatasetError> {
    let Origin { mut mirrors, sha256, cache } = origin;
    let user = folder;
    let folder = match user {
        Some(path) if path.exists() && !path.is_dir() => {
            return Err(DatasetError::IsFile { flag: "--data-dir (or MNIST_DIR)", path: path.to_owned() });
        }
        Some(path) => path.to_owned(),
        None => cache.ok_or(DatasetError::NoCache(named))?,
    };
    let files = named.parts();
    let name = Name::Only { own: named.name(), torchvision: named.torchvision() };
    let lacking = || Box::new(Lacking::of(&folder, &files, name));
    let unavailable = |why| match user {
        Some(_) => DatasetError::NotInNamed { named, lacking: lacking(), why },
        None => DatasetError::Unavailable { named, folder: folder.clone(), why },
    };
    let mut paths = find::files(&folder, &files, name)?.into_iter();
    let mut digests = sha256.into_iter().flatten();
    let data = parts::assemble(named.name().into(), &files, |part| {
        let expected = digests.next();
        let read = |file: &Path| read(file, part, named, expected.as_deref());
        let path = match paths.next().flatten() {
            // Another process may have downloaded it meanwhile.
            None => find::part(&folder, part)?,
            found => found,
        };
        match path {
            Some(path) => read(&path).map(|content| (path.clone(), content)),
            None if expected.is_none() => Err(DatasetError::NotThere { named, lacking: lacking() }),
            None => mirrors.fetch(&folder, part, read).map_err(unavailable),
        }
    })?;
    put_right(named, data)
}

/// Reads a file, and verifies that it is the data set's as far as that is known.
fn read(path: &Path, part: Part, named: Named, expected: Option<&str>) -> Result<Vec<u8>, DatasetError> {
    let content = parts::read(path, part.kind)?;
    let got = hex(&Sha256::digest(&content));
    let of = catalog::with_file(&got).filter(|&of| of != named);
    match expected {
        Some(expected) if got != expected => {
            let expected = expected.to_owned();
            Err(DatasetError::Foreign { named, path: path.to_owned(), expected, got, of: Of(of) })
        }
        None if let Some(of) = of => Err(DatasetError::MixedUp { named, path: path.to_owned(), of }),
        _ => Ok(content),
    }
}

/// The data set that a file belongs to, if that is known. Shown as a clause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Of(Option<Named>);

impl std::fmt::Display for Of {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(named) => write!(f, ", which is {named}'s"),
            None => Ok(()),
        }
    }
}

/// Gives images and labels the form that all data sets have here.
fn put_right(named: Named, data: Dataset) -> Result<Dataset, DatasetError> {
    let Dataset { name, digest, train, test, .. } = data;
    let train = of_all_classes(named, train)?;
    let test = of_all_classes(named, test)?;
    let mut notes = Vec::new();
    if named.is_transposed() {
        notes.push("its images lie on their side in the files and were put upright");
    }
    if named.first_label() > 0 {
        notes.push("its labels count from 1 in the files and count from 0 here");
    }
    let note = (!notes.is_empty()).then(|| format!("{named}: {}", notes.join("; ")));
    Ok(Dataset { name, digest, classes: named.class_names(), train, test, note })
}

fn of_all_classes(named: Named, samples: Samples) -> Result<Samples, DatasetError> {
    let spec = samples.spec();
    let first = named.first_label();
    let classes = named.classes();
    let (mut pixels, mut labels) = samples.into_parts();
    let is_class = |&label: &u16| (first..first + classes as u16).contains(&label);
    if let Some(index) = labels.iter().position(|label| !is_class(label)) {
        let label = labels[index];
        return Err(DatasetError::NoClass { named, index, label, first, last: first + classes as u16 - 1 });
    }
    labels.iter_mut().for_each(|label| *label -= first);
    let mut sizes = [spec.height(), spec.width()];
    if named.is_transposed() {
        pixels.chunks_exact_mut(spec.image_bytes()).for_each(|image| transpose(image, spec));
        sizes.reverse();
    }
    let spec = DataSpec::new(sizes[0], sizes[1], spec.channels(), classes);
    let samples = spec.map(|spec| Samples::new(spec, pixels, labels));
    // The sizes were an image's before, and each label is one of the classes.
    Ok(samples.expect("sizes in range").expect("labels in range"))
}

/// Exchanges rows and columns of an image.
fn transpose(image: &mut [u8], spec: DataSpec) {
    let (height, width, channels) = (spec.height(), spec.width(), spec.channels());
    let before = image.to_vec();
    for (at, pixel) in image.chunks_exact_mut(channels).enumerate() {
        let (row, column) = (at / height, at % height);
        let from = (column * width + row) * channels;
        pixel.copy_from_slice(&before[from..from + channels]);
    }
}

#[cfg(test)]
mod tests;
