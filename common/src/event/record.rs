//! What a run tells of itself in numbers: its beginning, its steps and its evaluations. They are also the
//! lines of `metrics.jsonl`, whose field names are stable.

use crate::ids::{Epoch, Step};
use crate::train::metrics::{ClassQuality, Confusion};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A run that begins, or goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The first step to be done.
    pub step: Step,
    /// The run's name.
    pub run_id: String,
    /// Digest of `config`.
    pub fingerprint: String,
    /// What the run's numbers depend on.
    pub config: BTreeMap<String, String>,
    /// Optimizer steps of the whole run.
    pub steps_total: u64,
    /// Optimizer steps of an epoch.
    pub steps_per_epoch: u64,
    /// Passes over the training samples.
    pub epochs: u64,
    /// Numbers that are trained.
    pub parameters: u64,
    /// Samples of an epoch.
    pub train_samples: u64,
    /// Samples held out for validation.
    pub validation_samples: u64,
}

/// A committed step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The step.
    pub step: Step,
    /// The step's epoch.
    pub epoch: Epoch,
    /// Mean cross-entropy of the step's samples, in nats.
    pub loss: f64,
    /// Share of the step's samples that were classified right, in `[0, 1]`.
    pub accuracy: f64,
    /// Learning rate of the update.
    pub learning_rate: f64,
    /// Training speed over the last steps.
    pub samples_per_s: f64,
    /// Time since this coordinator's first step began, evaluations left out, in seconds.
    pub train_seconds: f64,
    /// L2 norm of the mean gradient before clipping, where it was computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grad_norm: Option<f64>,
    /// Members when the step was committed.
    pub workers: usize,
    /// Answers whose numbers were out of line, so that their pieces were computed once more.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub out_of_line: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// How good the model was after a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The last step committed before: its number is one below that of the checkpoint it describes.
    pub step: Step,
    /// That step's epoch.
    pub epoch: Epoch,
    /// Mean cross-entropy, in nats.
    pub loss: f64,
    /// Share classified right, in `[0, 1]`.
    pub accuracy: f64,
    /// Unweighted mean of the classes' precision.
    pub macro_precision: f64,
    /// Unweighted mean of the classes' recall.
    pub macro_recall: f64,
    /// Unweighted mean of the classes' F1.
    pub macro_f1: f64,
    /// Quality of each class, class 0 first.
    pub per_class: Vec<ClassQuality>,
    /// Row: true class. Column: predicted class.
    pub confusion: Confusion,
}

impl Evaluation {
    /// All that follows from the counts.
    #[must_use]
    pub fn new(step: Step, epoch: Epoch, loss: f64, confusion: Confusion) -> Self {
        let mean = confusion.macro_average();
        Self {
            step,
            epoch,
            loss,
            accuracy: confusion.accuracy(),
            macro_precision: mean.precision,
            macro_recall: mean.recall,
            macro_f1: mean.f1,
            per_class: (0..confusion.classes()).map(|class| confusion.class(class)).collect(),
            confusion,
        }
    }
}

/// An evaluation on the validation samples, after an epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValidationRecord {
    /// How good the model was.
    #[serde(flatten)]
    pub evaluation: Evaluation,
    /// Whether no earlier validation had as many right answers.
    pub best: bool,
    /// Mean cross-entropy of the epoch's training samples, in nats; absent where another process did the
    /// epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_loss: Option<f64>,
    /// Share of the epoch's training samples that were classified right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_accuracy: Option<f64>,
}
