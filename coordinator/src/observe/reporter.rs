//! Tells a run as it goes: progress and lines to the console, records to the metrics file, and how fast it is.
//!
//! Decides how things are worded; what happened is the caller's. A metrics file that can't be written is given up with
//! a warning: the training goes on.

use crate::observe::StepView;
use crate::observe::console::Console;
use crate::observe::jsonl::{Evaluation, MetricsFile, Record, RunView};
use crate::observe::progress::Progress;
use crate::run::trainer::{Evaluated, Stepped};
use common::train::metrics::Totals;
use std::collections::VecDeque;

/// Steps over which the shown speed is averaged.
const SPEED_STEPS: usize = 50;

/// The teller.
pub(crate) struct Reporter {
    console: Console,
    progress: Progress,
    metrics: Option<MetricsFile>,
    speed: Speed,
    /// Of the epoch that ended last.
    epoch: Totals,
}

impl Reporter {
    pub(crate) fn new(console: Console, progress: Progress, metrics: MetricsFile) -> Self {
        let (speed, epoch) = (Speed::default(), Totals::default());
        Self { console, progress, metrics: Some(metrics), speed, epoch }
    }

    /// A training round begins; the clock runs on from the round before, unless an evaluation lies between.
    pub(crate) fn begin_step(&mut self, now_us: u64) {
        self.speed.begin(now_us);
    }

    /// An evaluation begins: it is not to count as training time.
    pub(crate) fn begin_evaluation(&mut self) {
        self.speed.pause();
    }

    pub(crate) fn stepped(&mut self, now_us: u64, stepped: &Stepped, workers: usize, out_of_line: u32) {
        self.speed.finish(now_us, stepped.batch.samples);
        self.epoch = stepped.epoch_done.unwrap_or(self.epoch);
        let view = StepView {
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
        };
        self.progress.step(&view);
        self.record(&Record::Step(&view));
    }

    pub(crate) fn validated(&mut self, evaluated: &Evaluated) {
        let Evaluated { epoch, totals, is_best, .. } = evaluated;
        let best = if *is_best { ", best so far" } else { "" };
        let (train, valid) = (100.0 * self.epoch.accuracy(), 100.0 * totals.accuracy());
        self.message(&format!(
            "epoch {epoch} done: training loss {:.4} acc {train:.2}%, validation loss {:.4} acc {valid:.2}%{best}",
            self.epoch.loss(),
            totals.loss()
        ));
        self.record(&Record::Validation(evaluation(evaluated)));
    }

    pub(crate) fn tested(&mut self, evaluated: &Evaluated) {
        self.record(&Record::Test(evaluation(evaluated)));
    }

    /// The number of members has changed.
    pub(crate) fn workers(&mut self, workers: usize) {
        self.progress.workers(workers);
    }

    pub(crate) fn message(&self, text: &str) {
        self.console.line(text);
    }

    /// Training time so far, in seconds, and the samples of it.
    pub(crate) fn trained(&self) -> (f64, u64) {
        (self.speed.total_us as f64 / 1e6, self.speed.total_samples)
    }

    /// To be called before a checkpoint: the file must not lack steps that the checkpoint has.
    pub(crate) fn flush(&mut self) {
        let result = self.metrics.as_mut().map_or(Ok(()), MetricsFile::flush);
        self.give_up_on(result);
    }

    /// The run goes back to a step: what was told of it and of later ones is no longer so.
    pub(crate) fn go_back(&mut self, view: RunView<'_>) {
        let Some(metrics) = self.metrics.take() else { return };
        self.speed.pause();
        match metrics.go_back(view.fingerprint, view.step) {
            Ok(metrics) => {
                self.metrics = Some(metrics);
                self.record(&Record::Run(view));
            }
            Err(error) => self.give_up_on(Err(error)),
        }
    }

    pub(crate) fn finish(mut self) {
        self.flush();
        self.progress.finish();
    }

    fn record(&mut self, record: &Record<'_>) {
        let result = self.metrics.as_mut().map_or(Ok(()), |metrics| metrics.write(record));
        self.give_up_on(result);
    }

    fn give_up_on(&mut self, result: Result<(), crate::observe::jsonl::MetricsError>) {
        if let Err(error) = result {
            tracing::warn!(%error, "no metrics are written from here on; the training goes on");
            self.metrics = None;
        }
    }
}

fn evaluation(evaluated: &Evaluated) -> Evaluation {
    let Evaluated { step, epoch, totals, confusion, .. } = evaluated;
    Evaluation::new(*step, *epoch, totals.loss(), confusion.clone())
}

/// Samples a second over the last steps, and over all.
#[derive(Debug, Default)]
struct Speed {
    /// When a step ended and what it had; the first entry only marks the beginning.
    window: VecDeque<(u64, u64)>,
    total_us: u64,
    total_samples: u64,
}

impl Speed {
    fn begin(&mut self, now_us: u64) {
        if self.window.is_empty() {
            self.window.push_back((now_us, 0));
        }
    }

    fn finish(&mut self, now_us: u64, samples: u64) {
        // From the end of the step before: what lies between two steps belongs to training.
        let before_us = self.window.back().map_or(now_us, |&(before_us, _)| before_us);
        self.total_us += now_us.saturating_sub(before_us);
        self.total_samples += samples;
        self.window.push_back((now_us, samples));
        if self.window.len() > SPEED_STEPS + 1 {
            self.window.pop_front();
        }
    }

    fn pause(&mut self) {
        self.window.clear();
    }

    fn samples_per_s(&self) -> f64 {
        let (Some((first_us, _)), Some((last_us, _))) = (self.window.front(), self.window.back()) else {
            return 0.0;
        };
        let samples: u64 = self.window.iter().skip(1).map(|(_, samples)| samples).sum();
        samples as f64 * 1e6 / last_us.saturating_sub(*first_us).max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_counts_training_time_only() {
        let mut speed = Speed::default();
        for step in 0..4 {
            speed.begin(step * 1_000_000);
            speed.finish((step + 1) * 1_000_000, 100);
        }
        assert_eq!(speed.samples_per_s(), 100.0);
        speed.pause();
        speed.begin(60_000_000);
        speed.finish(60_500_000, 100);
        assert_eq!(speed.samples_per_s(), 200.0);
        assert_eq!((speed.total_us, speed.total_samples), (4_500_000, 500));
    }
}
