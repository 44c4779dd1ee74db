//! MNIST: the digests of its four files, their folder, and their download.
//!
//! An existing file is used and never changed; a missing one is downloaded. Each is verified by the SHA-256
//! of its uncompressed content, so a run on `mnist` is a run on MNIST.

use super::download::Mirrors;
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

/// Mirrors and digests of the four files. Tests have their own.
pub(super) struct Origin {
    pub(super) mirrors: Mirrors,
    /// SHA-256 in hexadecimal digits, in the order of [`parts::PARTS`].
    pub(super) sha256: [String; 4],
}

impl Origin {
    /// MNIST on the public mirrors; progress is shown among `bars`, if there are any.
    pub(super) fn public(bars: Option<MultiProgress>) -> Self {
        Self { mirrors: Mirrors::public(bars), sha256: SHA256.map(str::to_owned) }
    }
}

/// Loads MNIST from `folder` or the user's cache, after downloading missing files to it.
pub(super) fn load(folder: Option<&Path>, origin: Origin) -> Result<Dataset, DatasetError> {
    let folder = match folder {
        Some(folder) => folder.to_owned(),
        None => cache()?,
    };
    let Origin { mut mirrors, sha256 } = origin;
    let mut expected = sha256.iter();
    parts::assemble("mnist".into(), |part| {
        let expected = expected.next().expect("there are as many digests as files");
        if let Some(path) = parts::find(&folder, part)? {
            let content = read(&path, part, expected)?;
            return Ok((path, content));
        }
        let unavailable = |why| DatasetError::Unavailable { folder: folder.clone(), why };
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

fn cache() -> Result<PathBuf, DatasetError> {
    let user = etcetera::choose_base_strategy().map_err(|_| DatasetError::NoCache)?;
    Ok(user.cache_dir().join("lockstep").join("mnist"))
}
