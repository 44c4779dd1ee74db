//! The settings on which a run's numbers depend: the validated configuration and its fingerprint.
//!
//! Two runs with equal fingerprints (same binary, same CPU type) end in the same bits. Workers, threads,
//! addresses and timeouts are not part of it. The number of epochs is part of it only if the schedule depends
//! on it: a run with a constant rate may go on.
//!
//! [`TrainingConfig`] has a person's choices, [`DataIdentity`] describes the data set, and [`RunConfig`]
//! combines both, checked against each other. [`Fields`] are the same as text by name: a checkpoint keeps
//! them, and they can be parsed again.

mod fields;

pub use fields::{
    CLASS_WEIGHTS_FIELD, CLASSES_FIELD, DATA_FIELDS, DATASET_FIELD, DISTIL_FIELDS, FieldError, Fields,
    INIT_FROM_FIELD, NORMALIZE_FIELD, VAL_SPLIT_FIELD, changes_the_run, difference, fingerprint,
    same_version,
};

use crate::data::classes::ClassNames;
use crate::data::normalize::Normalization;
use crate::data::spec::DataSpec;
use crate::model::architecture::{Architecture, Layers, ModelError};
use crate::model::params::Init;
use crate::reduce::precision::Precision;
use crate::reduce::tree::LEAVES_MAX;
use crate::train::augment::Augmentation;
use crate::train::average::Averaging;
use crate::train::compression::Compression;
use crate::train::distil::{Distillation, TEMPERATURES};
use crate::train::init_from::InitFrom;
use crate::train::objective::Objective;
use crate::train::optim::{
    Decayed, GroupError, Groups, Moments, NothingMasked, OptimError, OptimizerSpec, Partition,
};
use crate::train::patterns::Patterns;
use crate::train::pseudo::SelfTraining;
use crate::train::schedule::{Length, Schedule, ScheduleError, Shape};
use std::fmt;

/// Version of the arithmetic. It is raised when the same configuration would give other numbers than before.
pub const NUMERICS_VERSION: u32 = 6;
/// Largest number of samples in a leaf.
pub const MICRO_BATCH_MAX: u32 = 1024;
/// Largest size of a leaf's images, in bytes. A worker holds a piece's leaves until they are computed.
pub const LEAF_BYTES_MAX: usize = 8 << 20;
/// Largest number of passes over the training samples.
const EPOCHS_MAX: u64 = 1_000_000;

/// Training settings that a person chooses.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingConfig {
    /// Number of training samples held out for validation.
    pub val_split: u32,
    /// Number of training samples of each class, where not all are used.
    pub per_class: Option<u32>,
    /// How the samples that are left out by that are learned from, if they are.
    pub self_training: Option<SelfTraining>,
    /// How pixels are normalized.
    pub normalize: Normalization,
    /// Layers of the network.
    pub model: Layers,
    /// Distribution of the initial weights.
    pub init: Init,
    /// The initial weights that come from a file.
    pub init_from: Option<InitFrom>,
    /// Random seed for initial weights, validation split, shuffling and all that is drawn while training.
    pub seed: u64,
    /// Random changes to the training images.
    pub augment: Augmentation,
    /// Loss that is minimised.
    pub objective: Objective,
    /// Number of samples per step, over all workers.
    pub batch_size: u32,
    /// Number of samples per leaf, the unit of work.
    pub micro_batch: u32,
    /// Number of passes over the training samples.
    pub epochs: u64,
    /// Optimizer and its constants.
    pub optimizer: OptimizerSpec,
    /// Parameters that the optimizer's weight decay is for.
    pub decayed: Decayed,
    /// Parameters with optimizer settings of their own.
    pub param_groups: Groups,
    /// What makes the model a small one.
    pub compression: Compression,
    /// Learning rate of each step.
    pub schedule: Schedule,
    /// How a second version of the weights is averaged.
    pub average: Averaging,
    /// Epochs without a better validation after which the run ends; without it, it never ends early.
    pub patience: Option<u64>,
    /// Maximum L2 norm of the mean gradient; a longer gradient is scaled down to it.
    pub clip_grad_norm: Option<f64>,
    /// Data type in which gradients are sent and added.
    pub wire_dtype: Precision,
}

/// Identity of the data on which a run is trained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataIdentity {
    /// Name of the data set. It is only informative: `digest` identifies the content.
    pub name: String,
    /// SHA-256 of the data set's content, in hex.
    pub digest: String,
    /// Number of training samples in the data set, before the validation split.
    pub samples: u32,
    /// Form of the samples.
    pub spec: DataSpec,
    /// Names of the classes. They are only informative: labels count.
    pub classes: ClassNames,
}

/// Everything on which the numbers of a run depend; always valid.
#[derive(Clone, Debug, PartialEq)]
pub struct RunConfig {
    training: TrainingConfig,
    data: DataIdentity,
    model: Architecture,
    partition: Partition,
}

/// Reason why a configuration is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum ConfigError {
    /// A number is out of its range.
    #[error("{name} is {got}; it must be {range}")]
    Range { name: &'static str, got: String, range: String },
    /// The network does not fit the data.
    #[error("model: {0}")]
    Model(#[from] ModelError),
    /// A number of the schedule is not valid.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// The schedule looks at the validation, and there is none.
    #[error(
        "schedule is plateau, which follows the validation's loss, and val-split is 0; hold samples out, or choose \
         another schedule"
    )]
    NoValidation,
    /// The optimizer's constants are not valid.
    #[error("optimizer: {0}")]
    Optimizer(#[from] OptimError),
    /// A leaf would have a single sample, where a layer normalises over a leaf's samples.
    #[error(
        "micro-batch is {micro_batch}: a step of {step} samples has a leaf of one, and layer {layer}, batchnorm, \
         normalises over a leaf's samples; choose another size, or one more or less held-out sample"
    )]
    OneSample {
        /// Position of the layer, from 1.
        layer: usize,
        micro_batch: u32,
        /// Samples of the step.
        step: u32,
    },
    /// The parameter groups are not valid.
    #[error("param-groups: {0}")]
    Groups(#[from] GroupError),
    /// The mask names a tensor that is not trained.
    #[error("mask: {0}")]
    Mask(#[from] NothingMasked),
    /// There is a mask, and the first values are drawn.
    #[error(
        "mask is {0}: values that are 0 stay 0, and without init-from all first values are drawn; name with init-from \
         the model whose zeros are to stay"
    )]
    MaskOfDrawn(Patterns),
}

/// An error unless `ok`.
fn in_range(name: &'static str, got: &dyn fmt::Display, range: &str, ok: bool) -> Result<(), ConfigError> {
    let error = || ConfigError::Range { name, got: got.to_string(), range: range.to_owned() };
    if ok { Ok(()) } else { Err(error()) }
}

impl TrainingConfig {
    /// The defaults: what a person trains this network with who chooses nothing else. Nothing is held out.
    #[must_use]
    pub fn new(model: Layers) -> Self {
        Self {
            val_split: 0,
            per_class: None,
            self_training: None,
            normalize: Normalization::Unit,
            model,
            init: Init::He,
            init_from: None,
            seed: 1,
            augment: Augmentation::default(),
            objective: Objective::default(),
            batch_size: 128,
            micro_batch: 32,
            epochs: 5,
            optimizer: OptimizerSpec::Adam(Moments::new(0.0)),
            decayed: Decayed::All,
            param_groups: Groups::default(),
            compression: Compression::default(),
            schedule: Schedule { base: 2e-3, shape: Shape::Cosine, warmup_steps: 0 },
            average: Averaging::None,
            patience: None,
            clip_grad_norm: None,
            wire_dtype: Precision::F32,
        }
    }

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
        self.schedule.validate()?;
        if let Some(first) = self.schedule.shape.first_momentum() {
            let momentum = self.optimizer.momentum();
            let range = format!("{first}, with which {} begins", self.schedule.shape.name());
            in_range("momentum (beta1)", &momentum, &range, momentum == first)?;
        }
        let smoothing = &self.objective.label_smoothing;
        in_range("label-smoothing", smoothing, "0 or more and below 1", self.objective.smoothing_fits())?;
        if let Some(clip) = self.clip_grad_norm {
            in_range("clip-grad-norm", &clip, "above 0 and finite", clip > 0.0 && clip.is_finite())?;
        }
        if let Some(Distillation { blend, .. }) = &self.compression.distillation {
            in_range("distil-weight", &blend.weight, "0 to 1", blend.weight_fits())?;
            let [least, most] = TEMPERATURES;
            let range = format!("{least} to {most}");
            in_range("distil-temperature", &blend.temperature, &range, blend.temperature_fits())?;
        }
        if let Some(SelfTraining { threshold, from, labelled_share }) = self.self_training {
            let is_share = |share: f64| (0.0..1.0).contains(&share);
            in_range("pseudo-labels", &threshold, "0 or more and below 1", is_share(threshold))?;
            in_range("pseudo-from", &from, "1 or more", from >= 1)?;
            in_range("labelled-share", &labelled_share, "0 or more and below 1", is_share(labelled_share))?;
        }
        Ok(())
    }
}

impl RunConfig {
    /// The configuration of a run with these settings on that data.
    ///
    /// # Errors
    /// The first setting that is out of its range, or the reason why the network does not fit the data.
    pub fn new(training: TrainingConfig, data: DataIdentity) -> Result<Self, ConfigError> {
        training.validate()?;
        let TrainingConfig { val_split, batch_size, micro_batch, .. } = training;
        let below = format!("below the data set's {} training samples", data.samples);
        in_range("val-split", &val_split, &below, val_split < data.samples)?;
        if let Some(patience) = training.patience {
            in_range("patience", &patience, "1 or more", patience >= 1)?;
            in_range("val-split", &val_split, "above 0 with a patience", val_split > 0)?;
        }
        if training.schedule.shape.plateau().is_some() && val_split == 0 {
            return Err(ConfigError::NoValidation);
        }
        few_fit(&training, &data)?;
        let one_each = format!("one for each of the data set's {} classes", data.spec.classes());
        in_range("class-names", &data.classes.len(), &one_each, data.classes.fit(data.spec))?;
        let channels = data.spec.channels();
        let one_each = format!("unit, or a mean and a deviation for each of {channels} channels");
        in_range("normalize", &training.normalize, &one_each, training.normalize.fits(channels))?;
        let one_each = format!("one for each of the data set's {} classes", data.spec.classes());
        let weights = &training.objective.class_weights;
        in_range("class-weights", &weights.as_slice().len(), &one_each, weights.fits(data.spec.classes()))?;
        let leaves = batch_size.max(data.samples).div_ceil(micro_batch);
        let most = format!("large enough for at most {LEAVES_MAX} leaves");
        in_range("micro-batch", &micro_batch, &most, leaves <= LEAVES_MAX)?;
        let most = LEAF_BYTES_MAX / data.spec.image_bytes();
        let range = format!("at most {most}: a leaf's images have at most {LEAF_BYTES_MAX} bytes");
        in_range("micro-batch", &micro_batch, &range, micro_batch as usize <= most)?;
        let model = Architecture::new(data.spec, training.model.clone())?;
        if let Some(layer) = model.needs_two_samples() {
            let samples = trained_on(&training, &data);
            let has_one = |&step: &u32| step > 0 && step % micro_batch == 1 % micro_batch;
            if let Some(step) = [batch_size.min(samples), samples % batch_size].into_iter().find(has_one) {
                return Err(ConfigError::OneSample { layer, micro_batch, step });
            }
        }
        let resets = training.init_from.as_ref().is_none_or(|init_from| init_from.fits(model.layout()));
        let got: &dyn fmt::Display = training.init_from.as_ref().map_or(&"none", |init_from| init_from);
        in_range("init-from", got, "one whose reset tensors are the network's", resets)?;
        let mut partition = training.param_groups.partition(model.layout(), training.decayed)?;
        if let Some(mask) = &training.compression.mask {
            if training.init_from.is_none() {
                return Err(ConfigError::MaskOfDrawn(mask.clone()));
            }
            partition = partition.masked(mask, model.layout())?;
        }
        Ok(Self { training, data, model, partition })
    }

    /// Training settings that a person chose.
    #[must_use]
    pub fn training(&self) -> &TrainingConfig {
        &self.training
    }

    /// Identity of the data on which the run is trained.
    #[must_use]
    pub fn data(&self) -> &DataIdentity {
        &self.data
    }

    /// The network that is trained.
    #[must_use]
    pub fn model(&self) -> &Architecture {
        &self.model
    }

    /// Division of the parameters into ranges that the optimizer treats alike.
    #[must_use]
    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    /// Number of samples in an epoch: those after the validation split, or as many of each class as were
    /// asked for, if the others are not learned from.
    #[must_use]
    pub fn train_samples(&self) -> u32 {
        trained_on(&self.training, &self.data)
    }

    /// Number of samples that are learned from without their labels.
    #[must_use]
    pub fn unlabelled(&self) -> u32 {
        let TrainingConfig { per_class, self_training, .. } = self.training;
        let labelled = per_class.unwrap_or(0) * self.data.spec.classes() as u32;
        self_training.map_or(0, |_| self.train_samples() - labelled)
    }

    /// Length of an epoch and of the run, in steps.
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

/// Checks that there are so many samples of each class, and others where these are learned from.
fn few_fit(training: &TrainingConfig, data: &DataIdentity) -> Result<(), ConfigError> {
    let classes = data.spec.classes() as u32;
    let left = data.samples - training.val_split;
    let few = training.per_class.map_or(1, |count| count.saturating_mul(classes));
    let range =
        format!("1 to {}: after the validation split there are no more of each class", left / classes);
    in_range("per-class", &training.per_class.unwrap_or(0), &range, (1..=left).contains(&few))?;
    if let Some(SelfTraining { threshold, .. }) = training.self_training {
        let range = "beside a per-class that leaves samples over: they are those without a label";
        in_range("pseudo-labels", &threshold, range, training.per_class.is_some() && few < left)?;
    }
    Ok(())
}

/// Number of samples in an epoch.
fn trained_on(training: &TrainingConfig, data: &DataIdentity) -> u32 {
    let few = training.per_class.map(|count| count * data.spec.classes() as u32);
    few.filter(|_| training.self_training.is_none()).unwrap_or(data.samples - training.val_split)
}

/// `bytes` in lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
