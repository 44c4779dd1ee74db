//! What a run came to, for whoever started it.

use super::in_progress::{Ended, Paused};
use super::outcome::Evaluated;
use crate::mirror::Mirrored;
use crate::store::Saved;
use common::checkpoint::Best;
use common::event::MistakesRecord;
use common::train::average::Weights;
use std::path::PathBuf;

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The data set's name.
    pub dataset: String,
    /// Optimizer steps that were done.
    pub steps: u64,
    /// Steps that the whole run has.
    pub steps_total: u64,
    /// On the test samples, if the run is complete.
    pub test: Option<Evaluated>,
    /// The tests of other versions of the weights and with views, if the run is complete.
    pub other_tests: Vec<Evaluated>,
    /// What the model gets most wrong of the test samples, if the run is complete.
    pub mistakes: Option<MistakesRecord>,
    /// The version of the weights with the best validation, of those that are tested; the last ones where
    /// there is no other or no validation.
    pub best_weights: Weights,
    /// Epochs since the best validation, if the run ended because they were too many.
    pub waited_in_vain: Option<u64>,
    /// The validation with the most correct answers so far.
    pub best: Option<Best>,
    /// The last checkpoint's directory.
    pub checkpoint: PathBuf,
    /// SHA-256 of its `model.safetensors`, in hex.
    pub model_sha256: String,
    /// SHA-256 of its `optimizer.safetensors`, in hex.
    pub optimizer_sha256: String,
    /// Time spent in training steps.
    pub train_seconds: f64,
    /// Samples a second in training steps, 0 when there was none.
    pub samples_per_s: f64,
    /// What it came to, if it was to pause and has.
    pub paused: Option<Paused>,
    /// Whether the last checkpoint is in the mirror, if the run has one.
    pub mirrored: Option<Mirrored>,
}

/// What a run's summary says of it whatever becomes of it.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(super) dataset: String,
    pub(super) steps_total: u64,
}

impl Facts {
    /// The summary of a run that ended like that.
    pub(crate) fn summarize(self, ended: Ended) -> Summary {
        let Self { dataset, steps_total } = self;
        let best_weights = ended.best_weights();
        let Ended {
            tests,
            mistakes,
            best,
            waited_in_vain,
            saved,
            trained: (train_seconds, samples),
            paused,
            ..
        } = ended;
        let mut tests = tests.into_iter();
        let Saved { path, step, model_sha256, optimizer_sha256 } = saved;
        Summary {
            dataset,
            steps: step.0,
            steps_total,
            test: tests.next(),
            other_tests: tests.collect(),
            mistakes,
            best_weights,
            waited_in_vain,
            best,
            checkpoint: path,
            model_sha256,
            optimizer_sha256,
            train_seconds,
            samples_per_s: if samples == 0 { 0.0 } else { samples as f64 / train_seconds.max(1e-9) },
            paused,
            mirrored: None,
        }
    }
}
