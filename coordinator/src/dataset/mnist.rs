//! MNIST: the digests of its four files, their folder, and their download.
//!
//! A folder that the user has named is used or refused; the folder in the user's cache is only the default.
//! An existing file is used and never changed; a missing one is downloaded. Each is verified by the SHA-256
//! of its uncompressed content, so a run on `mnist` is a run on MNIST.

use super::download::Mirrors;
use super::find::{self, Lacking, Name};
use super::parts::{self, Part};
use super::{Dataset, DatasetError};
use common::train::config::hex;
use etcetera::BaseStrategy;
use indicatif::MultiProgress;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// SHA-256 of the uncompressed content of the four files, in the order of [`parts::PARTS`].
const SHA256: [&str; 4] = [
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
];

/// Folder of the files in torchvision's layout is `MNIST/raw`.
const NAME: Name = Name::Only("MNIST");

/// Where MNIST comes from, and how it is known. Tests have their own.
pub(super) struct Origin {
    pub(super) mirrors: Mirrors,
    /// SHA-256 in hexadecimal digits, in the order of [`parts::PARTS`].
    pub(super) sha256: [String; 4],
    /// Folder that is used where none is named, if the user has one.
    pub(super) cache: Option<PathBuf>,
}

impl Origin {
    /// MNIST on the public mirrors; progress is shown among `bars`, if there are any.
    pub(super) fn public(bars: Option<MultiProgress>) -> Self {
        let cache = etcetera::choose_base_strategy().ok();
        let cache = cache.map(|user| user.cache_dir().join("lockstep").join("mnist"));
        Self { mirrors: Mirrors::public(bars), sha256: SHA256.map(str::to_owned), cache }
    }
}

/// Loads MNIST from the folder that the user has named, or from the user's cache, after downloading missing
/// files to it.
pub(super) fn load(named: Option<&Path>, origin: Origin) -> Result<Dataset, DatasetError> {
    let Origin { mut mirrors, sha256, cache } = origin;
    let folder = match named {
        Some(path) if path.exists() && !path.is_dir() => {
            return Err(DatasetError::IsFile { flag: "--data-dir (or MNIST_DIR)", path: path.to_owned() });
        }
        Some(path) => path.to_owned(),
        None => cache.ok_or(DatasetError::NoCache)?,
    };
    let unavailable = |why| match named {
        Some(_) => DatasetError::NotInNamed { lacking: Lacking::of(&folder, NAME).into(), why },
        None => DatasetError::Unavailable { folder: folder.clone(), why },
    };
    let mut expected = find::files(&folder, NAME)?.into_iter().zip(&sha256);
    parts::assemble("mnist".into(), |part| {
        let (path, expected) = expected.next().expect("there are as many digests as files");
        let path = match path {
            // Another process may have downloaded it meanwhile.
            None => find::part(&folder, part)?,
            found => found,
        };
        if let Some(path) = path {
            let content = read(&path, part, expected)?;
            return Ok((path, content));
        }
        mirrors.fetch(&folder, part, |file| read(file, part, expected)).map_err(unavailable)
    })
}

/// Reads a file and verifies that it is the expected part of MNIST.
fn read(path: &Path, part: Part, expected: &str) -> Result<Vec<u8>, DatasetError> {
    let content = parts::read(path, part.kind)?;
    let got = hex(&Sha256::digest(&content));
    if got == expected {
        return Ok(content);
    }
    Err(DatasetError::NotMnist { path: path.to_owned(), expected: expected.to_owned(), got })
}
