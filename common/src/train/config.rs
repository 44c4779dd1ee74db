//! What a run's numbers depend on, and nothing else: the validated configuration and its fingerprint.
//!
//! Two runs with equal fingerprints (same binary, same CPU type) end in the same bits. Workers, threads, addresses and
//! timeouts are no part of it. The epochs are, only where the schedule depends on them: a constant rate may go on.

use crate::model::params::Init;
use crate::model::{ModelError, ModelSpec};
use crate::reduce::precision::Precision;
use crate::reduce::tree::LEAVES_MAX;
use crate::train::optim::{OptimError, OptimizerSpec};
use crate::train::schedule::{Length, Schedule, Shape};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;

/// Changes when the same configuration would give other numbers than before.
pub const NUMERICS_VERSION: u32 = 2;
/// Most samples of a leaf: its pixels (800 kB) must fit one message.
pub const MICRO_BATCH_MAX: u32 = 1024;

/// Everything that the numbers depend on.
#[derive(Clone, Debug, PartialEq)]
pub struct RunConfig {
    /// The data set's name; its content counts by the digest.
    pub dataset: String,
    /// SHA-256 of the data set's content, in hex.
    pub dataset_digest: String,
    /// Training samples in the data set, before the split.
    pub samples: u32,
    /// Of them, held out for validation.
    pub val_split: u32,
    /// What is trained.
    pub model: ModelSpec,
    /// Its first values.
    pub init: Init,
    /// Of the split, the order and the first values.
    pub seed: u64,
    /// Samples of a step.
    pub batch_size: u32,
    /// Samples of a leaf.
    pub micro_batch: u32,
    /// Passes over the training samples.
    pub epochs: u64,
    /// How parameters follow gradients.
    pub optimizer: OptimizerSpec,
    /// By how much.
    pub schedule: Schedule,
    /// The gradient's longest norm, if it is clipped.
    pub clip_grad_norm: Option<f64>,
    /// In which gradients travel and are added.
    pub wire_dtype: Precision,
}

/// Why a configuration can't be run.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// A number out of its range.
    #[error("{flag} is {got}; it must be {range}")]
    Range {
        /// The flag.
        flag: &'static str,
        /// Its value.
        got: String,
        /// What it may be.
        range: String,
    },
    /// The architecture.
    #[error("--model: {0}")]
    Model(#[from] ModelError),
    /// The optimizer.
    #[error("--optimizer: {0}")]
    Optimizer(#[from] OptimError),
}

impl RunConfig {
    /// Checks every number against its range.
    ///
    /// # Errors
    /// The first that is out of it, with the flag that sets it.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.model.validate()?;
        self.optimizer.validate()?;
        let range = |flag, got: &dyn fmt::Display, range: &str, ok: bool| {
            let error = || ConfigError::Range { flag, got: got.to_string(), range: range.to_owned() };
            if ok { Ok(()) } else { Err(error()) }
        };
        let below = format!("below the data set's {} training samples", self.samples);
        range("--val-split", &self.val_split, &below, self.val_split < self.samples)?;
        range("--batch-size", &self.batch_size, "1 or more", self.batch_size >= 1)?;
        let micro = (1..=MICRO_BATCH_MAX).contains(&self.micro_batch);
        range("--micro-batch", &self.micro_batch, &format!("1 to {MICRO_BATCH_MAX}"), micro)?;
        let leaves = self.batch_size.max(self.samples).div_ceil(self.micro_batch);
        let most = format!("large enough for at most {LEAVES_MAX} leaves");
        range("--micro-batch", &self.micro_batch, &most, leaves <= LEAVES_MAX)?;
        range("--epochs", &self.epochs, "1 to 1000000", (1..=1_000_000).contains(&self.epochs))?;
        let rate = self.schedule.base;
        range("--lr", &rate, "above 0 and finite", rate > 0.0 && rate.is_finite())?;
        if let Shape::Step { every_epochs, factor } = self.schedule.shape {
            range("--step-every", &every_epochs, "1 or more", every_epochs >= 1)?;
            range("--step-factor", &factor, "above 0 and at most 1", factor > 0.0 && factor <= 1.0)?;
        }
        if let Some(clip) = self.clip_grad_norm {
            range("--clip-grad-norm", &clip, "above 0 and finite", clip > 0.0 && clip.is_finite())?;
        }
        Ok(())
    }

    /// Training samples after the split.
    #[must_use]
    pub fn train_samples(&self) -> u32 {
        self.samples - self.val_split
    }

    /// How long the run is.
    #[must_use]
    pub fn length(&self) -> Length {
        let epoch = u64::from(self.train_samples().div_ceil(self.batch_size));
        Length { epoch, total: epoch * self.epochs }
    }

    /// Every field that the numbers depend on, by name, as text.
    #[must_use]
    pub fn fields(&self) -> BTreeMap<String, String> {
        let mut fields = BTreeMap::new();
        let mut field =
            |name: &str, value: &dyn fmt::Display| fields.insert(name.to_owned(), value.to_string());
        field("numerics_version", &NUMERICS_VERSION);
        field(DATASET_FIELD, &self.dataset);
        field("dataset_digest", &self.dataset_digest);
        field("val_split", &self.val_split);
        field("model", &self.model);
        field("init", &self.init);
        field("seed", &self.seed);
        field("batch_size", &self.batch_size);
        field("micro_batch", &self.micro_batch);
        field("optimizer", &self.optimizer);
        field("lr", &self.schedule.base);
        field("schedule", &self.schedule.shape);
        field("warmup_steps", &self.schedule.warmup_steps);
        match self.clip_grad_norm {
            Some(clip) => field("clip_grad_norm", &clip),
            None => field("clip_grad_norm", &"none"),
        };
        field("wire_dtype", &self.wire_dtype);
        if self.schedule.depends_on_total() {
            field("epochs", &self.epochs);
        }
        fields
    }

    /// SHA-256 over [`fields`](Self::fields), in hex.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.fields())
    }
}

/// The field that only says where the data came from: its content counts by `dataset_digest`.
pub const DATASET_FIELD: &str = "dataset";

/// The fields that the data set decides: they are not known before it is read.
pub const DATA_FIELDS: [&str; 2] = [DATASET_FIELD, "dataset_digest"];

/// SHA-256 over `name=value` lines in name order, without [`DATASET_FIELD`], in hex.
#[must_use]
pub fn fingerprint(fields: &BTreeMap<String, String>) -> String {
    let mut hash = Sha256::new();
    for (name, value) in fields.iter().filter(|(name, _)| *name != DATASET_FIELD) {
        hash.update(format!("{name}={value}\n"));
    }
    hex(&hash.finalize())
}

/// Bytes in lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::optim::Moments;

    type Change = fn(&mut RunConfig);

    fn config() -> RunConfig {
        RunConfig {
            dataset: "digits".into(),
            dataset_digest: "00".into(),
            samples: 1000,
            val_split: 100,
            model: ModelSpec::Cnn,
            init: Init::He,
            seed: 1,
            batch_size: 128,
            micro_batch: 32,
            epochs: 3,
            optimizer: OptimizerSpec::Adam(Moments::new(0.0)),
            schedule: Schedule { base: 1e-3, shape: Shape::Constant, warmup_steps: 0 },
            clip_grad_norm: None,
            wire_dtype: Precision::F32,
        }
    }

    #[test]
    fn the_fingerprint_changes_with_every_field_that_counts() {
        let reference = config().fingerprint();
        let changes: [Change; 9] = [
            |c| c.dataset_digest = "01".into(),
            |c| c.val_split = 99,
            |c| c.model = ModelSpec::Linear,
            |c| c.seed = 2,
            |c| c.micro_batch = 16,
            |c| c.schedule.base = 2e-3,
            |c| c.clip_grad_norm = Some(1.0),
            |c| c.wire_dtype = Precision::Bf16,
            |c| c.schedule.shape = Shape::Cosine,
        ];
        for (i, change) in changes.into_iter().enumerate() {
            let mut changed = config();
            change(&mut changed);
            assert_ne!(changed.fingerprint(), reference, "change {i}");
        }
    }

    #[test]
    fn the_same_data_under_another_name_is_the_same_run() {
        let moved = RunConfig { dataset: "/elsewhere/digits".into(), ..config() };
        assert_eq!(moved.fingerprint(), config().fingerprint());
    }

    #[test]
    fn more_epochs_are_the_same_run_unless_the_schedule_needs_to_know() {
        let longer = |shape| {
            let mut a = config();
            a.schedule.shape = shape;
            let mut b = a.clone();
            b.epochs += 1;
            a.fingerprint() == b.fingerprint()
        };
        assert!(longer(Shape::Constant));
        assert!(!longer(Shape::Cosine));
    }

    #[test]
    fn numbers_out_of_range_are_refused_with_their_flag() {
        let changes: [(&str, Change); 7] = [
            ("--val-split", |c| c.val_split = 1000),
            ("--batch-size", |c| c.batch_size = 0),
            ("--micro-batch", |c| c.micro_batch = 2000),
            ("--epochs", |c| c.epochs = 0),
            ("--lr", |c| c.schedule.base = f64::NAN),
            ("--step-factor", |c| c.schedule.shape = Shape::Step { every_epochs: 1, factor: 2.0 }),
            ("--clip-grad-norm", |c| c.clip_grad_norm = Some(0.0)),
        ];
        assert_eq!(config().validate(), Ok(()));
        for (flag, change) in changes {
            let mut changed = config();
            change(&mut changed);
            let message = changed.validate().unwrap_err().to_string();
            assert!(message.contains(flag), "{message}");
        }
    }
}
