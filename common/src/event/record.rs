//! A run's numbers: its start, its steps and its evaluations. These records are also the lines of
//! `metrics.jsonl`, whose field names are stable.

use crate::data::classes::ClassNames;
use crate::ids::{Epoch, Step};
use crate::train::average::Weights;
use crate::train::metrics::{ClassQuality, Confusion};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A run that starts or resumes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "field names say all")]
pub struct RunRecord {
    /// First step to be done.
    pub step: Step,
    pub run_id: String,
    /// SHA-256 of `config`, in hex.
    pub fingerprint: String,
    /// Settings on which the run's numbers depend.
    pub config: BTreeMap<String, String>,
    /// Number of optimizer steps in the whole run.
    pub steps_total: u64,
    /// Number of optimizer steps in an epoch.
    pub steps_per_epoch: u64,
    /// Passes over the training samples.
    pub epochs: u64,
    /// Number of parameters of the network, frozen ones included.
    pub parameters: u64,
    /// Number of training samples in an epoch.
    pub train_samples: u64,
    /// Number of samples held out for validation.
    pub validation_samples: u64,
    /// Number of samples that are learned from without their labels.
    #[serde(default, skip_serializing_if = "are_none")]
    pub unlabelled_samples: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn are_none(number: &u64) -> bool {
    *number == 0
}

/// An optimizer step that has been applied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "field names say all")]
pub struct StepRecord {
    pub step: Step,
    pub epoch: Epoch,
    /// Mean cross-entropy of the step's samples, in nats.
    pub loss: f64,
    /// Share of the step's samples that were classified correctly, in `[0, 1]`.
    pub accuracy: f64,
    /// Learning rate of the update.
    pub learning_rate: f64,
    /// Training speed over the last steps.
    pub samples_per_s: f64,
    /// Time since this coordinator's first step began, without evaluations, in seconds.
    pub train_seconds: f64,
    /// L2 norm of the mean gradient before clipping, if it was computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grad_norm: Option<f64>,
    /// Number of members when the step was committed.
    pub workers: usize,
    /// Number of answers that were outliers, so that their pieces were computed again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub out_of_line: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Labels that unlabelled samples have got for an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PseudoLabelsRecord {
    /// First step of that epoch, which is not done yet.
    pub step: Step,
    /// The epoch.
    pub epoch: Epoch,
    /// Version of the weights that have guessed the labels, where it is not that which is trained.
    #[serde(default, skip_serializing_if = "Weights::are_last")]
    pub weights: Weights,
    /// Number of unlabelled samples.
    pub samples: u64,
    /// Number of those that have got a label.
    pub labelled: u64,
    /// Number of those whose label is the data set's.
    pub right: u64,
}

/// Quality of the model after a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Evaluation {
    /// Last step committed before; its number is one below that of the checkpoint it describes.
    pub step: Step,
    /// Epoch of that step.
    pub epoch: Epoch,
    /// Version of the weights, where it is not that which is trained.
    #[serde(default, skip_serializing_if = "Weights::are_last")]
    pub weights: Weights,
    /// Whether probabilities were averaged over nine views of each image.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub views: bool,
    /// Mean cross-entropy, in nats.
    pub loss: f64,
    /// Share of samples classified correctly, in `[0, 1]`.
    pub accuracy: f64,
    /// Unweighted mean of the precision of the classes that have samples or predictions.
    pub macro_precision: f64,
    /// Unweighted mean of these classes' recall.
    pub macro_recall: f64,
    /// Unweighted mean of these classes' F1.
    pub macro_f1: f64,
    /// Mean of the classes' precision, weighted by their numbers of samples. Records of earlier programs lack
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weighted_precision: Option<f64>,
    /// Mean of the classes' recall, weighted likewise: the accuracy, but for its rounding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weighted_recall: Option<f64>,
    /// Mean of the classes' F1, weighted likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weighted_f1: Option<f64>,
    /// Quality of each class, class 0 first.
    pub per_class: Vec<NamedQuality>,
    /// Confusion matrix: a row for each true class, a column for each predicted class.
    pub confusion: Confusion,
}

/// Quality for one class, with its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamedQuality {
    /// Name of the class, as the data set has it. Records of earlier programs lack it.
    #[serde(default)]
    pub name: String,
    /// Quality for this class.
    #[serde(flatten)]
    pub quality: ClassQuality,
}

impl Evaluation {
    /// The evaluation of the last weights that follows from the counts in `confusion`, with these names of
    /// its classes.
    #[must_use]
    pub fn new(step: Step, epoch: Epoch, loss: f64, confusion: Confusion, names: &ClassNames) -> Self {
        let mean = confusion.macro_average();
        let weighted = confusion.weighted_average();
        let named =
            |class| NamedQuality { name: names.get(class).to_owned(), quality: confusion.class(class) };
        Self {
            step,
            epoch,
            weights: Weights::Last,
            views: false,
            loss,
            accuracy: confusion.accuracy(),
            macro_precision: mean.precision,
            macro_recall: mean.recall,
            macro_f1: mean.f1,
            weighted_precision: Some(weighted.precision),
            weighted_recall: Some(weighted.recall),
            weighted_f1: Some(weighted.f1),
            per_class: (0..confusion.classes()).map(named).collect(),
            confusion,
        }
    }
}

/// An evaluation on the validation samples, after an epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValidationRecord {
    /// Quality on the validation samples.
    #[serde(flatten)]
    pub evaluation: Evaluation,
    /// Whether no earlier validation had as many correct predictions.
    pub best: bool,
    /// Mean cross-entropy of the epoch's training samples, in nats; absent if another process did the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_loss: Option<f64>,
    /// Share of the epoch's training samples that were classified correctly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_accuracy: Option<f64>,
}
