//! What a run's numbers depend on, and nothing else: the validated configuration and its fingerprint.
//!
//! Two runs with equal fingerprints (same binary, same CPU type) end in the same bits. Workers, threads, addresses and
//! timeouts are no part of it. The epochs are, only where the schedule depends on them: a constant rate may go on.
//!
//! [`TrainingConfig`] is what a person chooses, [`DataIdentity`] what the data set says, [`RunConfig`] both, checked
//! against each other. As [`Fields`] they are text by name, which a checkpoint keeps and which reads back.

mod fields;

pub use fields::{
    DATA_FIELDS, DATASET_FIELD, FieldError, Fields, changes_the_run, difference, fingerprint, same_version,
};

use crate::data::spec::DataSpec;
use crate::model::architecture::{Architecture, Layers, ModelError};
use crate::model::params::Init;
use crate::reduce::precision::Precision;
use crate::reduce::tree::LEAVES_MAX;
use crate::train::optim::{GroupError, Groups, OptimError, OptimizerSpec, Partition};
use crate::train::schedule::{Length, Schedule, Shape};
use std::fmt;

/// Changes when the same configuration would give other numbers than before.
pub const NUMERICS_VERSION: u32 = 3;
/// Most samples of a leaf.
pub const MICRO_BATCH_MAX: u32 = 1024;
/// Most bytes of a leaf's images: what a worker holds of each piece's leaves until they are computed.
pub const LEAF_BYTES_MAX: usize = 8 << 20;
/// Most passes over the training samples.
const EPOCHS_MAX: u64 = 1_000_000;

/// What a person chooses.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingConfig {
    /// Training samples held out for validation.
    pub val_split: u32,
    /// Layers of the network.
    pub model: Layers,
    /// Distribution of the first weights.
    pub init: Init,
    /// Random seed for first weights, validation split and shuffling.
    pub seed: u64,
    /// Samples of a step, over all workers.
    pub batch_size: u32,
    /// Samples of a leaf, the unit of work.
    pub micro_batch: u32,
    /// Passes over the training samples.
    pub epochs: u64,
    /// Optimizer and its constants.
    pub optimizer: OptimizerSpec,
    /// Parameters with optimizer settings of their own.
    pub param_groups: Groups,
    /// Learning rate of each step.
    pub schedule: Schedule,
    /// Longest L2 norm of a mean gradient; longer ones are scaled down to it.
    pub clip_grad_norm: Option<f64>,
    /// Data type in which gradients travel and are added.
    pub wire_dtype: Precision,
}

/// Which data a run is trained on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataIdentity {
    /// Name of the data set. It only says where the data came from: the content counts by `digest`.
    pub name: String,
    /// SHA-256 of the data set's content, in hex.
    pub digest: String,
    /// Training samples in the data set, before the validation split.
    pub samples: u32,
    /// Form of the samples.
    pub spec: DataSpec,
}

/// Everything that the numbers of a run depend on; always valid.
#[derive(Clone, Debug, PartialEq)]
pub struct RunConfig {
    training: TrainingConfig,
    data: DataIdentity,
    model: Architecture,
    partition: Partition,
}

/// Why a configuration can't be run.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// A number out of its range.
    #[error("{name} is {got}; it must be {range}")]
    Range {
        /// Name of the setting.
        name: &'static str,
        /// Its value.
        got: String,
        /// What it may be.
        range: String,
    },
    /// The network does not fit the data.
    #[error("model: {0}")]
    Model(#[from] ModelError),
    /// The optimizer.
    #[error("optimizer: {0}")]
    Optimizer(#[from] OptimError),
    /// The parameter groups.
    #[error("param-groups: {0}")]
    Groups(#[from] GroupError),
}

/// An error unless `ok`.
fn in_range(name: &'static str, got: &dyn fmt::Display, range: &str, ok: bool) -> Result<(), ConfigError> {
    let error = || ConfigError::Range { name, got: got.to_string(), range: range.to_owned() };
    if ok { Ok(()) } else { Err(error()) }
}

impl TrainingConfig {
    /// Checks what can be checked without the data.
    ///
    /// # Errors
    /// The first setting that is out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.optimizer.validate()?;
        in_range("batch-size", &self.batch_size, "1 or more", self.batch_size >= 1)?;
        let micro = (1..=MICRO_BATCH_MAX).contains(&self.micro_batch);
        in_range("micro-batch", &self.micro_batch, &format!("1 to {MICRO_BATCH_MAX}"), micro)?;
        let epochs = (1..=EPOCHS_MAX).contains(&self.epochs);
        in_range("epochs", &self.epochs, &format!("1 to {EPOCHS_MAX}"), epochs)?;
        let rate = self.schedule.base;
        in_range("lr", &rate, "above 0 and finite", rate > 0.0 && rate.is_finite())?;
        if let Shape::Step { every_epochs, factor } = self.schedule.shape {
            in_range("step-every", &every_epochs, "1 or more", every_epochs >= 1)?;
            in_range("step-factor", &factor, "above 0 and at most 1", factor > 0.0 && factor <= 1.0)?;
        }
        if let Some(clip) = self.clip_grad_norm {
            in_range("clip-grad-norm", &clip, "above 0 and finite", clip > 0.0 && clip.is_finite())?;
        }
        Ok(())
    }
}

impl RunConfig {
    /// The configuration of a run with these choices on that data.
    ///
    /// # Errors
    /// The first setting that is out of its range, or why the network does not fit the data.
    pub fn new(training: TrainingConfig, data: DataIdentity) -> Result<Self, ConfigError> {
        training.validate()?;
        let TrainingConfig { val_split, batch_size, micro_batch, .. } = training;
        let below = format!("below the data set's {} training samples", data.samples);
        in_range("val-split", &val_split, &below, val_split < data.samples)?;
        let leaves = batch_size.max(data.samples).div_ceil(micro_batch);
        let most = format!("large enough for at most {LEAVES_MAX} leaves");
        in_range("micro-batch", &micro_batch, &most, leaves <= LEAVES_MAX)?;
        let most = LEAF_BYTES_MAX / data.spec.image_bytes();
        let range = format!("at most {most}: a leaf's images have at most {LEAF_BYTES_MAX} bytes");
        in_range("micro-batch", &micro_batch, &range, micro_batch as usize <= most)?;
        let model = Architecture::new(data.spec, training.model.clone())?;
        let partition = training.param_groups.partition(model.layout())?;
        Ok(Self { training, data, model, partition })
    }

    /// What a person chose.
    #[must_use]
    pub fn training(&self) -> &TrainingConfig {
        &self.training
    }

    /// Which data the run is trained on.
    #[must_use]
    pub fn data(&self) -> &DataIdentity {
        &self.data
    }

    /// The network.
    #[must_use]
    pub fn model(&self) -> &Architecture {
        &self.model
    }

    /// The parameters as the optimizer treats them.
    #[must_use]
    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    /// Training samples after the validation split.
    #[must_use]
    pub fn train_samples(&self) -> u32 {
        self.data.samples - self.training.val_split
    }

    /// Number of steps.
    #[must_use]
    pub fn length(&self) -> Length {
        let epoch = u64::from(self.train_samples().div_ceil(self.training.batch_size));
        Length { epoch, total: epoch * self.training.epochs }
    }

    /// SHA-256 over [`fields`](Self::fields), in hex.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.fields())
    }
}

/// Bytes in lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
