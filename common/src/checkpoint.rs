//! What a checkpoint holds and how it becomes bytes: three files, the manifest last. No disk here.
//!
//! Nothing in it depends on time, host or cluster, so two runs that are at the same step have the same bytes. A run that
//! is held to one arithmetic records which: what all its workers have in common is no matter of the cluster. The
//! manifest records size and SHA-256 of the other two files, and of itself: where it is right, everything is.

mod tensors;

pub use tensors::{TensorsError, bytes_max as tensors_bytes_max};

use crate::ids::{Epoch, Step};
use crate::model::params::Layout;
use crate::selftest::NumericsDigest;
use crate::train::config::{Fields, fingerprint, hex};
use crate::train::metrics::Totals;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// The parameters, named and shaped as in PyTorch's `state_dict`.
pub const MODEL_FILE: &str = "model.safetensors";
/// The optimizer's slots: `<slot>.<parameter>`, each shaped like its parameter.
pub const OPTIMIZER_FILE: &str = "optimizer.safetensors";
/// The commit point.
pub const MANIFEST_FILE: &str = "manifest.json";
/// Changes when older programs could not read a checkpoint any more, or this one not those of older programs.
pub const FORMAT_VERSION: u32 = 3;
/// Longest manifest that is read.
pub const MANIFEST_BYTES_MAX: u64 = 1 << 20;

/// Where a run stands, and what it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Steps done: the number of the next one.
    pub step: Step,
    /// The epoch of the next step.
    pub epoch: Epoch,
    /// Steps of that epoch that are done.
    pub step_in_epoch: u64,
    /// What the training samples of those steps add up to.
    pub train: Totals,
    /// What the validation samples add up to under these parameters, where they were evaluated.
    pub validation: Option<Totals>,
    /// The best validation so far.
    pub best: Option<Best>,
}

/// The best validation of a run: most correct answers, the earliest of equals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Best {
    /// Steps that made those parameters.
    pub step: Step,
    /// Right answers.
    pub correct: u64,
    /// Of so many.
    pub samples: u64,
}

/// A file's identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Its size.
    pub bytes: u64,
    /// Its digest, in hex.
    pub sha256: String,
}

/// `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT_VERSION`] of the program that wrote it.
    pub format_version: u32,
    /// Where the run stood.
    pub position: Position,
    /// Digest of `config`.
    pub fingerprint: String,
    /// Everything that the numbers depend on.
    pub config: Fields,
    /// The arithmetic that all steps so far were computed with, where the run is held to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numerics: Option<NumericsDigest>,
    /// The other files.
    pub files: BTreeMap<String, FileRecord>,
    /// Digest of this file with this field empty.
    sha256: String,
}

/// All that a run needs to go on.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Where it stands.
    pub position: Position,
    /// What it is.
    pub config: Fields,
    /// The arithmetic that all steps so far were computed with, where the run is held to one.
    pub numerics: Option<NumericsDigest>,
    /// Flat, in layout order.
    pub params: Vec<f32>,
    /// The optimizer's slots in their order, each like `params`.
    pub slots: Vec<(String, Vec<f32>)>,
}

/// A checkpoint's files whose sizes and digests are right, and whose numbers are finite.
#[derive(Clone, Debug)]
pub struct Verified {
    /// What they are.
    pub manifest: Manifest,
    model: Vec<u8>,
    optimizer: Vec<u8>,
}

/// Why bytes are no checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The manifest is not JSON of the right form.
    #[error("{MANIFEST_FILE} can't be read: {0}")]
    Manifest(#[from] serde_json::Error),
    /// Another version wrote it.
    #[error(
        "{MANIFEST_FILE} has format version {got}, this program reads version {FORMAT_VERSION}: go on with the program that wrote it, or start anew with --resume never"
    )]
    Version {
        /// The version found.
        got: u32,
    },
    /// The manifest is not as it was written.
    #[error("{MANIFEST_FILE} is damaged: it does not have the SHA-256 {recorded} that it records")]
    Damaged {
        /// As recorded.
        recorded: String,
    },
    /// The manifest does not name a file.
    #[error("{MANIFEST_FILE} records no {0}")]
    Unrecorded(&'static str),
    /// A file's length is not the recorded one.
    #[error("{file} has {got} bytes, {MANIFEST_FILE} records {recorded}")]
    Size {
        /// Which.
        file: &'static str,
        /// As found.
        got: u64,
        /// As recorded.
        recorded: u64,
    },
    /// A file's content is not the recorded one.
    #[error("{file} has the SHA-256 {got}, {MANIFEST_FILE} records {recorded}")]
    Digest {
        /// Which.
        file: &'static str,
        /// As computed.
        got: String,
        /// As recorded.
        recorded: String,
    },
    /// The tensors are not this model's.
    #[error("{file}: {source}")]
    Tensors {
        /// Which file.
        file: &'static str,
        /// What is wrong.
        source: TensorsError,
    },
}

impl Checkpoint {
    /// The files by name, in the order in which they are to be written.
    ///
    /// # Panics
    /// When a slice is not as long as the layout: our own values always are.
    #[must_use]
    pub fn encode(&self, layout: &Layout) -> [(&'static str, Vec<u8>); 3] {
        let model = tensors::encode(layout, &[("", &self.params)]);
        let slots: Vec<_> =
            self.slots.iter().map(|(name, values)| (name.as_str(), values.as_slice())).collect();
        let optimizer = tensors::encode(layout, &slots);
        let record = |bytes: &[u8]| FileRecord { bytes: bytes.len() as u64, sha256: digest(bytes) };
        let files = [(MODEL_FILE, record(&model)), (OPTIMIZER_FILE, record(&optimizer))];
        let manifest = Manifest {
            format_version: FORMAT_VERSION,
            position: self.position.clone(),
            fingerprint: fingerprint(&self.config),
            config: self.config.clone(),
            numerics: self.numerics,
            files: files.map(|(name, record)| (name.to_owned(), record)).into(),
            sha256: String::new(),
        };
        [(MODEL_FILE, model), (OPTIMIZER_FILE, optimizer), (MANIFEST_FILE, manifest.seal().text())]
    }
}

impl Manifest {
    /// Reads `manifest.json`.
    ///
    /// # Errors
    /// When it is not one, or one of another version, or its parts contradict each other.
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        /// All that every version has.
        #[derive(Deserialize)]
        struct Version {
            format_version: u32,
        }
        let Version { format_version: got } = serde_json::from_slice(bytes)?;
        if got != FORMAT_VERSION {
            return Err(CheckpointError::Version { got });
        }
        let manifest: Self = serde_json::from_slice(bytes)?;
        let recorded = manifest.sha256.clone();
        let manifest = manifest.seal();
        if manifest.text() == bytes { Ok(manifest) } else { Err(CheckpointError::Damaged { recorded }) }
    }

    /// This manifest with its own digest.
    fn seal(mut self) -> Self {
        self.sha256.clear();
        self.sha256 = digest(&self.text());
        self
    }

    fn text(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).expect("a manifest holds nothing that JSON can't");
        text.push(b'\n');
        text
    }

    /// Checks both files against this manifest, and that a run can go on with their numbers.
    ///
    /// # Errors
    /// When a size or a digest differs, or a tensor is not finite.
    pub fn verify(self, model: Vec<u8>, optimizer: Vec<u8>) -> Result<Verified, CheckpointError> {
        for (file, bytes) in [(MODEL_FILE, &model), (OPTIMIZER_FILE, &optimizer)] {
            let FileRecord { bytes: recorded, sha256 } =
                self.files.get(file).ok_or(CheckpointError::Unrecorded(file))?;
            if bytes.len() as u64 != *recorded {
                let got = bytes.len() as u64;
                return Err(CheckpointError::Size { file, got, recorded: *recorded });
            }
            let got = digest(bytes);
            if got != *sha256 {
                return Err(CheckpointError::Digest { file, got, recorded: sha256.clone() });
            }
            tensors::check_finite(bytes).map_err(|source| CheckpointError::Tensors { file, source })?;
        }
        Ok(Verified { manifest: self, model, optimizer })
    }
}

impl Verified {
    /// The values, for a model of this layout and an optimizer with these slots.
    ///
    /// # Errors
    /// When the tensors are others: the configuration was not compared before.
    pub fn decode(self, layout: &Layout, slots: &[&str]) -> Result<Checkpoint, CheckpointError> {
        let within = |file| move |source| CheckpointError::Tensors { file, source };
        let mut model = tensors::decode(&self.model, layout, &[""]).map_err(within(MODEL_FILE))?;
        let values = tensors::decode(&self.optimizer, layout, slots).map_err(within(OPTIMIZER_FILE))?;
        let slots = slots.iter().map(|&name| name.to_owned()).zip(values).collect();
        let Manifest { position, config, numerics, .. } = self.manifest;
        Ok(Checkpoint { position, config, numerics, params: model.remove(0), slots })
    }
}

/// SHA-256 in hex.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests;
