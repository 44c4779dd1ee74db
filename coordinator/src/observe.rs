//! What a run shows: to a script in [`jsonl`], to a person in [`table`], [`console`] and [`progress`].
//!
//! Nothing here computes a metric or reads a clock for one: numbers come from the caller, a [`StepView`] a step. The
//! driver is the only caller, but for [`console`], which the log goes through too.

pub mod console;
pub mod jsonl;
pub mod progress;
pub(crate) mod reporter;
pub mod table;

use common::ids::{Epoch, Step};
use serde::Serialize;

/// One committed step, as both the metrics file and the progress show it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepView {
    /// The step.
    pub step: Step,
    /// Its epoch.
    pub epoch: Epoch,
    /// Mean cross-entropy of its samples, in nats.
    pub loss: f64,
    /// Share of its samples that were classified right, in `[0, 1]`.
    pub accuracy: f64,
    /// The rate that its update was made with.
    pub learning_rate: f64,
    /// Training speed, as the caller measured it.
    pub samples_per_s: f64,
    /// Time since this coordinator's first step began, evaluations left out, in seconds.
    pub train_seconds: f64,
    /// L2 norm of the mean gradient before clipping, where it was computed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grad_norm: Option<f64>,
    /// Live workers when the step was committed.
    pub workers: usize,
    /// Answers whose numbers were out of line, so that their pieces were computed once more.
    #[serde(skip_serializing_if = "is_zero")]
    pub out_of_line: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[cfg(test)]
fn view(step: u64, epoch: u64) -> StepView {
    StepView {
        step: Step(step),
        epoch: Epoch(epoch),
        loss: 0.25,
        accuracy: 0.875,
        learning_rate: 0.001,
        samples_per_s: 1234.5,
        train_seconds: 12.5,
        grad_norm: None,
        workers: 2,
        out_of_line: 0,
    }
}
