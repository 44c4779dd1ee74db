//! A configuration as text by name. A checkpoint keeps it, a metrics file shows it, and the fingerprint
//! covers it.
//!
//! Every value is written by its type's `Display` and parsed by its `FromStr`. Four fields do not make
//! another run when they change: the data set's name, the names of its classes, its number of samples (its
//! digest counts), and the epochs if the schedule does not depend on them.

use super::{ConfigError, DataIdentity, NUMERICS_VERSION, RunConfig, TrainingConfig, hex};
use crate::text::shortened;
use crate::train::compression::Compression;
use crate::train::distil::{Blend, Distillation};
use crate::train::objective::Objective;
use crate::train::pseudo::SelfTraining;
use crate::train::schedule::{Schedule, Shape};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

/// A configuration as text, by name.
pub type Fields = BTreeMap<String, String>;

/// Field with the data set's name, which only says where the data came from.
pub const DATASET_FIELD: &str = "dataset";
const DIGEST_FIELD: &str = "dataset_digest";
const SAMPLES_FIELD: &str = "dataset_samples";
const SPEC_FIELD: &str = "data_spec";
/// Field with the names of the classes, as a list in JSON.
pub const CLASSES_FIELD: &str = "class_names";
const VERSION_FIELD: &str = "numerics_version";
const EPOCHS_FIELD: &str = "epochs";
const SCHEDULE_FIELD: &str = "schedule";
/// Field with the number of samples that are held out.
pub const VAL_SPLIT_FIELD: &str = "val_split";
/// Field with the number of samples of each class, where not all are used.
const PER_CLASS_FIELD: &str = "per_class";
/// Fields of what is learned from samples without a label, where that is done.
const PSEUDO_LABELS_FIELD: &str = "pseudo_labels";
const PSEUDO_FROM_FIELD: &str = "pseudo_from";
const LABELLED_SHARE_FIELD: &str = "labelled_share";
/// Field that identifies the initial weights that come from a file.
pub const INIT_FROM_FIELD: &str = "init_from";
/// Field with the tensors whose zeros stay, where there are some.
const MASK_FIELD: &str = "mask";
/// Field of a run that computes with rounded weights.
const QUANTISE_AWARE_FIELD: &str = "quantise_aware";
/// Fields of a run that learns from a teacher: which one, its share in the loss, and the temperature.
pub const DISTIL_FIELDS: [&str; 3] = ["distil", "distil_weight", "distil_temperature"];
/// Field that says how pixels are normalized.
pub const NORMALIZE_FIELD: &str = "normalize";
/// Field with the weights of the classes.
pub const CLASS_WEIGHTS_FIELD: &str = "class_weights";
/// Fields that depend on the data set: they are not known before it is read.
pub const DATA_FIELDS: [&str; 5] = [DATASET_FIELD, DIGEST_FIELD, SAMPLES_FIELD, SPEC_FIELD, CLASSES_FIELD];
/// Value of a limit that is not set.
const NONE: &str = "none";

/// Reason why fields are not a configuration.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum FieldError {
    /// A field is missing.
    #[error("there is no {0}")]
    Missing(&'static str),
    /// A field's text can't be parsed.
    #[error("{name} is {value:?}: {problem}")]
    Value { name: &'static str, value: String, problem: String },
    /// Another version of the program, which computed other numbers, wrote the fields.
    #[error(
        "numerics_version is {got}, and this program computes as version {NUMERICS_VERSION}: use the program that wrote it"
    )]
    Version { got: String },
    /// The values are not those of a run.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl TrainingConfig {
    /// Every setting, as text by name.
    #[must_use]
    pub fn fields(&self) -> Fields {
        let patience = self.patience.map_or(NONE.to_owned(), |epochs| epochs.to_string());
        let clip = self.clip_grad_norm.map_or(NONE.to_owned(), |clip| clip.to_string());
        let values: [(&str, &dyn fmt::Display); 22] = [
            (VERSION_FIELD, &NUMERICS_VERSION),
            (VAL_SPLIT_FIELD, &self.val_split),
            (NORMALIZE_FIELD, &self.normalize),
            ("model", &self.model),
            ("init", &self.init),
            ("seed", &self.seed),
            ("augment", &self.augment),
            ("label_smoothing", &self.objective.label_smoothing),
            (CLASS_WEIGHTS_FIELD, &self.objective.class_weights),
            ("batch_size", &self.batch_size),
            ("micro_batch", &self.micro_batch),
            (EPOCHS_FIELD, &self.epochs),
            ("optimizer", &self.optimizer),
            ("decayed", &self.decayed),
            ("param_groups", &self.param_groups),
            ("lr", &self.schedule.base),
            (SCHEDULE_FIELD, &self.schedule.shape),
            ("warmup_steps", &self.schedule.warmup_steps),
            ("average", &self.average),
            ("patience", &patience),
            ("clip_grad_norm", &clip),
            ("wire_dtype", &self.wire_dtype),
        ];
        let mut fields: Fields = values.map(|(name, value)| (name.to_owned(), value.to_string())).into();
        // A run without them is the one that it was before there were such settings.
        let per_class = self.per_class.map(|count| (PER_CLASS_FIELD, count.to_string()));
        let init_from = self.init_from.as_ref().map(|init_from| (INIT_FROM_FIELD, init_from.to_string()));
        let self_training = self.self_training.map(|SelfTraining { threshold, from, labelled_share }| {
            [
                (PSEUDO_LABELS_FIELD, threshold.to_string()),
                (PSEUDO_FROM_FIELD, from.to_string()),
                (LABELLED_SHARE_FIELD, labelled_share.to_string()),
            ]
        });
        let some = per_class.into_iter().chain(init_from).chain(self_training.into_iter().flatten());
        let some = some.chain(compression_fields(&self.compression));
        fields.extend(some.map(|(name, value)| (name.to_owned(), value)));
        fields
    }

    /// Parses the fields, which may come from anywhere: the inverse of [`fields`](Self::fields).
    ///
    /// # Errors
    /// When a field is missing, malformed or out of its range, or another version wrote them.
    pub fn from_fields(fields: &Fields) -> Result<Self, FieldError> {
        same_version(fields)?;
        let config = Self {
            val_split: field(fields, VAL_SPLIT_FIELD)?,
            per_class: if_there(fields, PER_CLASS_FIELD)?,
            self_training: self_training(fields)?,
            normalize: field(fields, NORMALIZE_FIELD)?,
            model: field(fields, "model")?,
            init: field(fields, "init")?,
            init_from: if_there(fields, INIT_FROM_FIELD)?,
            seed: field(fields, "seed")?,
            augment: field(fields, "augment")?,
            objective: Objective {
                label_smoothing: field(fields, "label_smoothing")?,
                class_weights: field(fields, CLASS_WEIGHTS_FIELD)?,
            },
            batch_size: field(fields, "batch_size")?,
            micro_batch: field(fields, "micro_batch")?,
            epochs: field(fields, EPOCHS_FIELD)?,
            optimizer: field(fields, "optimizer")?,
            decayed: field(fields, "decayed")?,
            param_groups: field(fields, "param_groups")?,
            compression: compression(fields)?,
            schedule: Schedule {
                base: field(fields, "lr")?,
                shape: field(fields, SCHEDULE_FIELD)?,
                warmup_steps: field(fields, "warmup_steps")?,
            },
            average: field(fields, "average")?,
            patience: limit(fields, "patience")?,
            clip_grad_norm: limit(fields, "clip_grad_norm")?,
            wire_dtype: field(fields, "wire_dtype")?,
        };
        config.validate()?;
        Ok(config)
    }
}

impl RunConfig {
    /// Everything on which the numbers depend, as text by name.
    #[must_use]
    pub fn fields(&self) -> Fields {
        let DataIdentity { name, digest, samples, spec, classes } = self.data();
        let values: [(&str, &dyn fmt::Display); 5] = [
            (DATASET_FIELD, name),
            (DIGEST_FIELD, digest),
            (SAMPLES_FIELD, samples),
            (SPEC_FIELD, spec),
            (CLASSES_FIELD, classes),
        ];
        let mut fields = self.training().fields();
        fields.extend(values.map(|(name, value)| (name.to_owned(), value.to_string())));
        fields
    }

    /// Parses the fields, which may come from anywhere: the inverse of [`fields`](Self::fields).
    ///
    /// # Errors
    /// When a field is missing, malformed or out of its range, or another version wrote them.
    pub fn from_fields(fields: &Fields) -> Result<Self, FieldError> {
        let training = TrainingConfig::from_fields(fields)?;
        let data = DataIdentity {
            name: field(fields, DATASET_FIELD)?,
            digest: field(fields, DIGEST_FIELD)?,
            samples: field(fields, SAMPLES_FIELD)?,
            spec: field(fields, SPEC_FIELD)?,
            classes: field(fields, CLASSES_FIELD)?,
        };
        Ok(Self::new(training, data)?)
    }
}

/// Checks that a program with the same arithmetic as this one wrote the fields.
///
/// # Errors
/// When another version wrote them, or none is named.
pub fn same_version(fields: &Fields) -> Result<(), FieldError> {
    match fields.get(VERSION_FIELD) {
        None => Err(FieldError::Missing(VERSION_FIELD)),
        Some(version) if *version == NUMERICS_VERSION.to_string() => Ok(()),
        Some(version) => Err(FieldError::Version { got: shortened(version) }),
    }
}

/// A limit that may not be set.
fn limit<T: FromStr<Err: fmt::Display>>(
    fields: &Fields,
    name: &'static str,
) -> Result<Option<T>, FieldError> {
    match fields.get(name).map(String::as_str) {
        Some(NONE) => Ok(None),
        _ => field(fields, name).map(Some),
    }
}

fn field<T: FromStr<Err: fmt::Display>>(fields: &Fields, name: &'static str) -> Result<T, FieldError> {
    let text = fields.get(name).ok_or(FieldError::Missing(name))?;
    text.parse().map_err(|error: T::Err| FieldError::Value {
        name,
        value: shortened(text),
        problem: error.to_string(),
    })
}

/// How samples without a label are learned from, if they are.
fn self_training(fields: &Fields) -> Result<Option<SelfTraining>, FieldError> {
    let Some(threshold) = if_there(fields, PSEUDO_LABELS_FIELD)? else { return Ok(None) };
    let from = field(fields, PSEUDO_FROM_FIELD)?;
    let labelled_share = field(fields, LABELLED_SHARE_FIELD)?;
    Ok(Some(SelfTraining { threshold, from, labelled_share }))
}

/// The fields of what makes a model small, as far as a run has some.
fn compression_fields(of: &Compression) -> impl Iterator<Item = (&'static str, String)> {
    let mask = of.mask.as_ref().map(|mask| (MASK_FIELD, mask.to_string()));
    let quantise_aware = of.quantise_aware.then(|| (QUANTISE_AWARE_FIELD, true.to_string()));
    let distil = of.distillation.as_ref().map(|Distillation { teacher, blend }| {
        let values = [teacher.to_string(), blend.weight.to_string(), blend.temperature.to_string()];
        DISTIL_FIELDS.into_iter().zip(values)
    });
    mask.into_iter().chain(quantise_aware).chain(distil.into_iter().flatten())
}

/// What makes a model small.
fn compression(fields: &Fields) -> Result<Compression, FieldError> {
    let [distil, weight, temperature] = DISTIL_FIELDS;
    let teacher = if_there(fields, distil)?;
    let distillation = teacher.map(|teacher| {
        let blend = Blend { weight: field(fields, weight)?, temperature: field(fields, temperature)? };
        Ok::<_, FieldError>(Distillation { teacher, blend })
    });
    Ok(Compression {
        mask: if_there(fields, MASK_FIELD)?,
        quantise_aware: if_there(fields, QUANTISE_AWARE_FIELD)?.unwrap_or(false),
        distillation: distillation.transpose()?,
    })
}

/// The value of a field that only some runs have.
fn if_there<T: FromStr<Err: fmt::Display>>(
    fields: &Fields,
    name: &'static str,
) -> Result<Option<T>, FieldError> {
    fields.contains_key(name).then(|| field(fields, name)).transpose()
}

/// Whether changing that field makes another run.
#[must_use]
pub fn changes_the_run(fields: &Fields, name: &str) -> bool {
    let shape = fields.get(SCHEDULE_FIELD).and_then(|text| text.parse::<Shape>().ok());
    match name {
        DATASET_FIELD | SAMPLES_FIELD | CLASSES_FIELD => false,
        EPOCHS_FIELD => shape.is_none_or(Shape::depends_on_total),
        _ => true,
    }
}

/// SHA-256 in hex over the fields that identify a run, as `name=value` lines in name order.
#[must_use]
pub fn fingerprint(fields: &Fields) -> String {
    let mut hash = Sha256::new();
    for (name, value) in fields.iter().filter(|(name, _)| changes_the_run(fields, name)) {
        hash.update(format!("{name}={value}\n"));
    }
    hex(&hash.finalize())
}

/// Fields in which a saved configuration differs from the current run: name, saved value, current value.
#[must_use]
pub fn difference(saved: &Fields, current: &Fields) -> Vec<(String, String, String)> {
    let value = |of: &Fields, name: &String| of.get(name).map_or("unset", |v| v).to_owned();
    let names: BTreeSet<&String> = saved.keys().chain(current.keys()).collect();
    names
        .into_iter()
        .map(|name| (name.clone(), value(saved, name), value(current, name)))
        .filter(|(name, saved, now)| saved != now && changes_the_run(current, name))
        .collect()
}
