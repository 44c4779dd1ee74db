//! What a checkpoint holds and how it becomes bytes: files of tensors, and the manifest last. No disk here.
//!
//! Nothing in it depends on time, host or cluster, so two runs at the same step have the same bytes. A run
//! that is held to one arithmetic records its digest, which all its workers have in common. The manifest
//! records the size and SHA-256 of the other files, and its own SHA-256. If it is intact and matches, the
//! whole checkpoint is. Numbers that are not finite are refused: a run can't go on from them.

mod model_file;
mod tensors;

pub use model_file::{MODEL_FILE_BYTES_MAX, Model, ModelFileError, Origin};
pub use tensors::{TensorsError, bytes_max as tensors_bytes_max, labels_bytes_max};

use crate::ids::{Epoch, Step};
use crate::model::params::Layout;
use crate::selftest::NumericsDigest;
use crate::train::config::{Fields, fingerprint, hex};
use crate::train::metrics::Totals;
use crate::train::schedule::PlateauState;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// The parameters, named and shaped as in PyTorch's `state_dict`.
pub const MODEL_FILE: &str = "model.safetensors";
/// The averaged parameters, where a run has some.
pub const AVERAGED_FILE: &str = "model-averaged.safetensors";
/// The parameters of the best validation, where a run keeps them and they are not [`MODEL_FILE`]'s.
pub const BEST_FILE: &str = "model-best.safetensors";
/// The present epoch's pseudo-labels, where a run has some: a tensor of U16, `labels`.
pub const LABELS_FILE: &str = "pseudo-labels.safetensors";
/// The optimizer's slots: `<slot>.<parameter>`, each shaped like its parameter.
pub const OPTIMIZER_FILE: &str = "optimizer.safetensors";
/// The manifest, which is written last and commits the checkpoint.
pub const MANIFEST_FILE: &str = "manifest.json";
/// Format version, raised when older programs cannot read new checkpoints, or this one older checkpoints.
pub const FORMAT_VERSION: u32 = 4;
/// Longest manifest that is read.
pub const MANIFEST_BYTES_MAX: u64 = 1 << 20;

/// Position of a run: its completed steps, and their results so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Completed steps, which is the number of the next one.
    pub step: Step,
    /// The epoch of the next step.
    pub epoch: Epoch,
    /// Completed steps of that epoch.
    pub step_in_epoch: u64,
    /// Loss and counts over the training samples of those steps.
    pub train: Totals,
    /// Loss and counts over the validation samples with these parameters, if they were evaluated.
    pub validation: Option<Totals>,
    /// The same with the averaged parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub averaged_validation: Option<Totals>,
    /// The best validation so far.
    pub best: Option<Best>,
    /// What the schedule keeps of earlier validations, if it is a plateau.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plateau: Option<PlateauState>,
}

/// The best validation of a run: most correct answers, the earliest of equals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Best {
    /// Completed steps when these parameters were evaluated.
    pub step: Step,
    /// Validation samples that were classified correctly.
    pub correct: u64,
    /// Validation samples in all.
    pub samples: u64,
}

/// Size and digest of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Size of the file in bytes.
    pub bytes: u64,
    /// SHA-256 in hexadecimal digits.
    pub sha256: String,
}

/// Content of a checkpoint's `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT_VERSION`] of the program that wrote it.
    pub format_version: u32,
    /// The run's position when the checkpoint was made.
    pub position: Position,
    /// Digest of all entries of `config`.
    pub fingerprint: String,
    /// Every setting that the numbers depend on.
    pub config: Fields,
    /// Self-test digest of all steps so far, where the run is held to one arithmetic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numerics: Option<NumericsDigest>,
    /// The other files of the checkpoint, by name.
    pub files: BTreeMap<String, FileRecord>,
    /// Digest of this file with this field empty.
    sha256: String,
}

/// Further versions of the parameters, as flat vectors in layout order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Versioned {
    /// Content of [`AVERAGED_FILE`].
    pub averaged: Option<Vec<f32>>,
    /// Content of [`BEST_FILE`].
    pub best: Option<Vec<f32>>,
}

/// Everything that a run needs to resume.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Where the run goes on: its step, epoch and validation.
    pub position: Position,
    /// Every setting that the numbers depend on.
    pub config: Fields,
    /// Self-test digest of all steps so far, where the run is held to one arithmetic.
    pub numerics: Option<NumericsDigest>,
    /// Parameters as a flat vector, in layout order.
    pub params: Vec<f32>,
    /// Further versions of the parameters.
    pub more: Versioned,
    /// Labels of the unlabelled samples in the present epoch, if it has begun with some. They come from
    /// weights that are gone.
    pub labels: Option<Vec<u16>>,
    /// The optimizer's slots in their order: name, and a vector like `params`.
    pub slots: Vec<(String, Vec<f32>)>,
}

/// A checkpoint as bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoded {
    /// The manifest, which records the other files.
    pub manifest: Manifest,
    /// The files by name, in the order in which they are to be written.
    pub files: Vec<(&'static str, Vec<u8>)>,
}

/// A checkpoint's files whose sizes and digests are right, and whose numbers are finite.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The manifest that records the other files.
    pub manifest: Manifest,
    model: Vec<u8>,
    optimizer: Vec<u8>,
    /// Files that only some runs have.
    more: Vec<(&'static str, Vec<u8>)>,
}

/// Why bytes are no checkpoint.
#[allow(missing_docs, reason = "field names say all")]
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The manifest is not JSON of the right form.
    #[error("{MANIFEST_FILE} can't be read: {0}")]
    Manifest(#[from] serde_json::Error),
    /// A program of another format version wrote the checkpoint.
    #[error(
        "{MANIFEST_FILE} has format version {got}, this program reads version {FORMAT_VERSION}: go on with the program that wrote it, or start anew with --resume never"
    )]
    Version { got: u32 },
    /// The manifest is not as it was written.
    #[error("{MANIFEST_FILE} is damaged: it does not have the SHA-256 {recorded} that it records")]
    Damaged { recorded: String },
    /// The manifest does not name a file.
    #[error("{MANIFEST_FILE} records no {0}")]
    Unrecorded(&'static str),
    /// A file's length is not the recorded one.
    #[error("{file} has {got} bytes, {MANIFEST_FILE} records {recorded}")]
    Size { file: &'static str, got: u64, recorded: u64 },
    /// A file's content is not the recorded one.
    #[error("{file} has the SHA-256 {got}, {MANIFEST_FILE} records {recorded}")]
    Digest { file: &'static str, got: String, recorded: String },
    /// The tensors are not this model's.
    #[error("{file}: {source}")]
    Tensors { file: &'static str, source: TensorsError },
}

impl Checkpoint {
    /// The checkpoint's bytes.
    ///
    /// # Panics
    /// When a slice is not as long as the layout. The program's own values always are.
    #[must_use]
    pub fn encode(&self, layout: &Layout) -> Encoded {
        let model = tensors::encode(layout, &[("", &self.params)]);
        let slots: Vec<_> =
            self.slots.iter().map(|(name, values)| (name.as_str(), values.as_slice())).collect();
        let optimizer = tensors::encode(layout, &slots);
        let Versioned { averaged, best } = &self.more;
        let mut files = vec![(MODEL_FILE, model)];
        for (file, values) in [(AVERAGED_FILE, averaged), (BEST_FILE, best)] {
            files.extend(values.as_ref().map(|values| (file, tensors::encode(layout, &[("", values)]))));
        }
        files.extend(self.labels.as_ref().map(|labels| (LABELS_FILE, tensors::encode_labels(labels))));
        files.push((OPTIMIZER_FILE, optimizer));
        let record = |bytes: &[u8]| FileRecord { bytes: bytes.len() as u64, sha256: digest(bytes) };
        let manifest = Manifest {
            format_version: FORMAT_VERSION,
            position: self.position.clone(),
            fingerprint: fingerprint(&self.config),
            config: self.config.clone(),
            numerics: self.numerics,
            files: files.iter().map(|(name, bytes)| ((*name).to_owned(), record(bytes))).collect(),
            sha256: String::new(),
        };
        let manifest = manifest.seal();
        files.push((MANIFEST_FILE, manifest.text()));
        Encoded { manifest, files }
    }
}

impl Manifest {
    /// Reads `manifest.json`.
    ///
    /// # Errors
    /// When it is no manifest, has another version, or contradicts itself.
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        /// The field that every version has.
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

    /// The files that it records and only some runs have.
    pub fn more_files(&self) -> impl Iterator<Item = &'static str> {
        [AVERAGED_FILE, BEST_FILE, LABELS_FILE].into_iter().filter(|file| self.files.contains_key(*file))
    }

    /// Checks the files against this manifest, and that all their numbers are finite. `more` are
    /// [`more_files`](Self::more_files).
    ///
    /// # Errors
    /// When a size or a digest differs, or a tensor is not finite.
    pub fn verify(
        self,
        model: Vec<u8>,
        optimizer: Vec<u8>,
        more: Vec<(&'static str, Vec<u8>)>,
    ) -> Result<Verified, CheckpointError> {
        let all = [(MODEL_FILE, &model), (OPTIMIZER_FILE, &optimizer)];
        for (file, bytes) in all.into_iter().chain(more.iter().map(|(file, bytes)| (*file, bytes))) {
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
        Ok(Verified { manifest: self, model, optimizer, more })
    }
}

impl Verified {
    /// The values, for a model of this layout and an optimizer with these slots.
    ///
    /// # Errors
    /// When the tensors differ, because the configuration was not compared before.
    pub fn decode(self, layout: &Layout, slots: &[&str]) -> Result<Checkpoint, CheckpointError> {
        let within = |file| move |source| CheckpointError::Tensors { file, source };
        let mut model = tensors::decode(&self.model, layout, &[""]).map_err(within(MODEL_FILE))?;
        let values = tensors::decode(&self.optimizer, layout, slots).map_err(within(OPTIMIZER_FILE))?;
        let slots = slots.iter().map(|&name| name.to_owned()).zip(values).collect();
        let mut more = Versioned::default();
        let mut labels = None;
        for (file, bytes) in self.more {
            if file == LABELS_FILE {
                labels = Some(tensors::decode_labels(&bytes).map_err(within(file))?);
                continue;
            }
            let mut values = tensors::decode(&bytes, layout, &[""]).map_err(within(file))?;
            let version = if file == BEST_FILE { &mut more.best } else { &mut more.averaged };
            *version = Some(values.remove(0));
        }
        let Manifest { position, config, numerics, .. } = self.manifest;
        Ok(Checkpoint { position, config, numerics, params: model.remove(0), more, labels, slots })
    }
}

/// SHA-256 of `bytes` in hexadecimal digits.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests;
