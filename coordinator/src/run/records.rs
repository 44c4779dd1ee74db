//! Records of rounds: the trainer's outcome, with the training speed and the epoch's totals.
//!
//! This file is pure: the time is an argument.

use super::outcome::{Evaluated, Guessed, Stepped};
use super::speed::Speed;
use super::trainer::Trainer;
use common::event::{Evaluation, PseudoLabelsRecord, RunRecord, StepRecord, ValidationRecord};
use common::train::metrics::Totals;

/// State that is kept between rounds.
#[derive(Debug, Default)]
pub(crate) struct Records {
    speed: Speed,
    /// Training totals of the epoch that ended last, if it ended in this process.
    epoch: Option<Totals>,
}

impl Records {
    /// Notes that a training round begins.
    pub(crate) fn begin_step(&mut self, now_us: u64) {
        self.speed.begin(now_us);
    }

    /// Notes that an evaluation or a rollback begins, which is not training time.
    pub(crate) fn pause(&mut self) {
        self.speed.pause();
    }

    /// Training time so far, in seconds, and the number of samples.
    pub(crate) fn trained(&self) -> (f64, u64) {
        self.speed.trained()
    }

    /// The record of a committed step.
    pub(crate) fn step(
        &mut self,
        now_us: u64,
        stepped: &Stepped,
        workers: usize,
        out_of_line: u32,
    ) -> StepRecord {
        self.speed.finish(now_us, stepped.batch.samples);
        self.epoch = stepped.epoch_done.or(self.epoch);
        StepRecord {
            step: stepped.step,
            epoch: stepped.epoch,
            loss: stepped.batch.loss(),
            accuracy: stepped.batch.accuracy(),
            learning_rate: stepped.learning_rate,
            samples_per_s: self.speed.samples_per_s(),
            train_seconds: self.trained().0,
            grad_norm: Some(stepped.grad_norm),
            workers,
            out_of_line,
        }
    }

    /// The record of a validation.
    pub(crate) fn validation(&self, evaluated: &Evaluated) -> ValidationRecord {
        ValidationRecord {
            evaluation: evaluation(evaluated),
            best: evaluated.is_best,
            train_loss: self.epoch.map(|totals| totals.loss()),
            train_accuracy: self.epoch.map(|totals| totals.accuracy()),
        }
    }
}

/// The record of an evaluation.
pub(crate) fn evaluation(evaluated: &Evaluated) -> Evaluation {
    let Evaluated { step, epoch, totals, weights, has_views, confusion, classes, .. } = evaluated;
    let evaluation = Evaluation::new(*step, *epoch, totals.loss(), confusion.clone(), classes);
    Evaluation { weights: *weights, views: *has_views, ..evaluation }
}

/// The record of labels that unlabelled samples were given.
pub(crate) fn pseudo_labels(guessed: &Guessed) -> PseudoLabelsRecord {
    let Guessed { step, epoch, weights, samples, labelled, right } = *guessed;
    PseudoLabelsRecord { step, epoch, weights, samples, labelled, right }
}

/// The record of the run, with the step from which it continues.
pub(crate) fn run_record(trainer: &Trainer, run_id: &str) -> RunRecord {
    let config = trainer.config();
    let length = config.length();
    RunRecord {
        step: trainer.step(),
        run_id: run_id.to_owned(),
        fingerprint: config.fingerprint(),
        config: config.fields(),
        steps_total: trainer.end().0,
        steps_per_epoch: length.epoch,
        epochs: config.training().epochs,
        parameters: trainer.layout().len() as u64,
        train_samples: config.train_samples().into(),
        validation_samples: config.training().val_split.into(),
        unlabelled_samples: config.unlabelled().into(),
    }
}
