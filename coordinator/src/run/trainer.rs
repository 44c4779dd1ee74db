//! The training itself: which round comes next, what its leaves are, and how its sum updates the parameters.
//!
//! The trainer knows no cluster, clock, network or file: the driver asks for rounds and brings their sums. A
//! run is a sequence of steps; a validation follows each epoch, and a test the last one. `batches` provides
//! the leaves' samples, `begin` how a run begins, and `guesses` what unlabelled samples are taken for.

mod begin;
mod guesses;
mod pause;

pub use begin::TrainError;

use crate::cluster::sum::SumBody;
use crate::run::batches::Leaves;
use crate::run::mistakes;
use crate::run::outcome::{Evaluated, Outcome, Stepped};
use crate::run::weights::Versions;
use crate::run::work::Work;
use common::checkpoint::{Best, Checkpoint, Position};
use common::data::samples::Samples;
use common::ids::{Leaf, Step};
use common::model::params::Layout;
use common::reduce::tree::Tree;
use common::train::average::Weights;
use common::train::config::{RunConfig, TrainingConfig};
use common::train::distil::{Blend, Distillation, Teacher};
use common::train::metrics::{Confusion, Totals};
use common::train::optim::{self, GradientSum, Optimizer};
use proto::values::Values;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// A run in progress.
#[derive(Debug)]
pub struct Trainer {
    config: RunConfig,
    leaves: Leaves,
    layout: Layout,
    weights: Versions,
    optimizer: Optimizer,
    /// First values from a file, if it was named at this start.
    first: Option<Arc<Vec<f32>>>,
    /// The network that this one learns from, if it does.
    teacher: Option<Arc<Teacher>>,
    position: Position,
    /// Number of steps after which the run is over.
    end: Step,
    /// Whether the run ends there without the test.
    pauses: bool,
    /// Tests that are done.
    tested: usize,
    /// Whether each test is done once more with views.
    test_views: bool,
    /// Number of threads for the arithmetic; it never affects the results.
    threads: NonZeroUsize,
}

impl Trainer {
    /// Configuration of the run.
    #[must_use]
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// Layout of the parameters.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Parameters after [`step`](Self::step) steps, as a flat vector.
    #[must_use]
    pub fn params(&self) -> Arc<Vec<f32>> {
        self.weights.get(Weights::Last)
    }

    /// A version of the parameters, as a flat vector.
    #[must_use]
    pub fn version(&self, weights: Weights) -> Arc<Vec<f32>> {
        self.weights.get(weights)
    }

    /// The network that this one learns from, if it does, and how much.
    #[must_use]
    pub fn teacher(&self) -> Option<(Arc<Teacher>, Blend)> {
        let Distillation { blend, .. } = self.config.training().compression.distillation.as_ref()?;
        Some((Arc::clone(self.teacher.as_ref()?), *blend))
    }

    /// Number of threads for the arithmetic of large models: 1 unless set.
    #[must_use]
    pub fn threads(&self) -> NonZeroUsize {
        self.threads
    }

    /// Uses `threads` threads from now on.
    pub fn set_threads(&mut self, threads: NonZeroUsize) {
        self.threads = threads;
    }

    /// Number of steps done, which is the number of the next one.
    #[must_use]
    pub fn step(&self) -> Step {
        self.position.step
    }

    /// Ends the run after `steps` steps, or where the configuration does if that is earlier. Nothing else
    /// changes: a run that goes on later has the bits of one that never ended.
    pub fn end_after(&mut self, steps: Option<u64>) {
        let total = self.config.length().total;
        self.end = Step(steps.map_or(total, |steps| steps.min(total)));
    }

    /// Tests once more with nine views of each image, or not. It never affects the training.
    pub fn set_test_views(&mut self, test_views: bool) {
        self.test_views = test_views;
    }

    /// Number of steps after which the run is over.
    #[must_use]
    pub fn end(&self) -> Step {
        self.end
    }

    /// The validations of the present weights and of their average, as far as there are some.
    #[must_use]
    pub fn validations(&self) -> [Option<Totals>; 2] {
        [self.position.validation, self.position.averaged_validation]
    }

    /// Best validation so far.
    #[must_use]
    pub fn best(&self) -> Option<Best> {
        self.position.best
    }

    /// Purpose of the next round; `None` when the run is complete.
    #[must_use]
    pub fn next(&self) -> Option<Work> {
        let Position { step, validation, averaged_validation, .. } = &self.position;
        let validates = self.is_between_epochs() && self.leaves.has_validation();
        if validates && validation.is_none() {
            Some(Work::Validate(Weights::Last))
        } else if validates && self.has_average() && averaged_validation.is_none() {
            Some(Work::Validate(Weights::Averaged))
        } else if *step < self.end && self.waited_in_vain().is_none() {
            Some(self.has_to_ask().map_or(Work::Train, Work::Guess))
        } else {
            self.tests().filter(|_| !self.pauses).nth(self.tested)
        }
    }

    /// The epochs since the best validation, if the run ends because they are as many as its patience.
    #[must_use]
    pub fn waited_in_vain(&self) -> Option<u64> {
        let Position { step, epoch, validation, best, .. } = &self.position;
        let patience = self.config.training().patience?;
        let best = self.leaves.position((*best)?.step).epoch;
        let waited = epoch.0 - best.0;
        (step.0 > 0 && validation.is_some() && waited >= patience).then_some(waited)
    }

    fn has_average(&self) -> bool {
        let Position { step, epoch, .. } = self.position;
        self.config.training().average.has_begun(step.0, epoch.0)
    }

    /// The tests at the end, that of the trained weights first.
    fn tests(&self) -> impl Iterator<Item = Work> {
        let averaged = self.has_average().then_some(Weights::Averaged);
        let is_earlier = |best: &Best| best.step != self.position.step;
        let is_kept = self.config.training().patience.is_some();
        let best = self.position.best.filter(|best| is_kept && is_earlier(best)).map(|_| Weights::Best);
        let versions = [Some(Weights::Last), averaged, best].into_iter().flatten();
        let with_views = versions.clone().filter(|_| self.test_views).map(Work::TestViews);
        versions.map(Work::Test).chain(with_views)
    }

    /// Whether an epoch has just ended.
    #[must_use]
    pub fn is_between_epochs(&self) -> bool {
        self.position.step.0 > 0 && self.position.step_in_epoch == 0
    }

    /// Reduction tree over the leaves of the next round of this kind.
    #[must_use]
    pub fn tree(&self, work: Work) -> Tree {
        Tree::new(self.leaves.count(work, self.step()))
    }

    /// Samples of a leaf.
    pub fn leaf(&mut self, work: Work, leaf: Leaf) -> Samples {
        self.leaves.get(work, self.position.step, leaf)
    }

    /// Whether a leaf of the step after the present one is left to prefetch.
    #[must_use]
    pub fn can_prefetch(&self) -> bool {
        let next = Step(self.position.step.0 + 1);
        next < self.end && self.leaves.can_prefetch(next)
    }

    /// Prefetches one more leaf of the step after the present one, if one is left.
    pub fn prefetch(&mut self) {
        if self.can_prefetch() {
            self.leaves.prefetch(Step(self.position.step.0 + 1));
        }
    }

    /// Number of samples in a leaf of this round.
    #[must_use]
    pub fn leaf_samples(&self, work: Work, leaf: Leaf) -> u64 {
        self.leaves.samples_of(work, self.step(), leaf)
    }

    /// Completes a round with the sum over all its leaves.
    ///
    /// # Errors
    /// When the sum, the updated parameters or the optimizer's state are not finite. The trainer must not be
    /// used then.
    ///
    /// # Panics
    /// When the sum is not of the kind that the round asked for: the driver has checked every answer.
    pub fn finish(&mut self, work: Work, totals: Totals, body: SumBody) -> Result<Outcome, TrainError> {
        match (work, body) {
            (Work::Train, SumBody::Gradient(sum)) => self.update(totals, sum).map(Outcome::Stepped),
            (Work::Validate(Weights::Last), SumBody::Confusion(confusion)) => {
                let better = |best: Best| totals.correct > best.correct;
                let is_best = self.position.best.is_none_or(better);
                if is_best {
                    let Totals { samples, correct, .. } = totals;
                    self.position.best = Some(Best { step: self.position.step, correct, samples });
                    self.weights.set_best();
                }
                self.position.validation = Some(totals);
                if let (Some(plateau), Some(state)) =
                    (self.config.training().schedule.shape.plateau(), &mut self.position.plateau)
                {
                    *state = plateau.after(*state, totals.loss());
                }
                Ok(Outcome::Validated(self.evaluated(Weights::Last, totals, *confusion, is_best)))
            }
            (Work::Validate(weights), SumBody::Confusion(confusion)) => {
                self.position.averaged_validation = Some(totals);
                Ok(Outcome::Validated(self.evaluated(weights, totals, *confusion, false)))
            }
            (Work::Test(weights), SumBody::Guesses(guesses)) => {
                self.tested += 1;
                let labels = self.leaves.test().labels().iter().copied();
                let predictions = labels.zip(guesses.iter().map(|guess| guess.class));
                let confusion = Confusion::of(self.config.data().spec.classes(), predictions);
                // A worker's own count is its word alone.
                let totals = Totals { correct: confusion.correct(), ..totals };
                let evaluated = self.evaluated(weights, totals, confusion, false);
                let classes = &self.config.data().classes;
                let of = || mistakes::of(evaluated.step, &guesses, self.leaves.test(), classes);
                let mistakes = (weights == Weights::Last).then(of);
                Ok(Outcome::Tested(evaluated, mistakes))
            }
            (Work::TestViews(weights), SumBody::Confusion(confusion)) => {
                self.tested += 1;
                let evaluated = self.evaluated(weights, totals, *confusion, false);
                Ok(Outcome::Tested(Evaluated { has_views: true, ..evaluated }, None))
            }
            (Work::Guess(weights), SumBody::Guesses(guesses)) => {
                Ok(Outcome::Guessed(self.learn(weights, &guesses)))
            }
            _ => unreachable!("answers of another kind are refused where they arrive"),
        }
    }

    /// Everything that is needed to resume from here. The arithmetic that computed it is not known here.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        let slots = self.optimizer.slots().map(|(name, values)| (name.to_owned(), values.to_vec()));
        Checkpoint {
            position: self.position.clone(),
            config: self.config.fields(),
            numerics: None,
            params: self.params().to_vec(),
            more: self.weights.to_keep(&self.position),
            labels: self.labels_to_keep(),
            slots: slots.collect(),
        }
    }

    fn update(&mut self, batch: Totals, sum: GradientSum<Values>) -> Result<Stepped, TrainError> {
        let Position { step, epoch, plateau, .. } = self.position;
        let TrainingConfig { schedule, clip_grad_norm: clip, ref objective, .. } = *self.config.training();
        let weights = &objective.class_weights;
        let sum = match weights.as_slice() {
            [] => sum,
            _ => sum.with_weight(self.leaves.weight(step, weights)),
        };
        let threads = self.threads;
        let length = self.config.length();
        let learning_rate = schedule.rate(step.0, length, plateau.map_or(0, |state| state.falls));
        if let Some(momentum) = schedule.momentum(step.0, length) {
            self.optimizer.set_momentum(momentum);
        }
        let params = Arc::make_mut(&mut self.weights.last);
        let optim::Stepped { grad_norm, non_finite } =
            self.optimizer.step(params, sum, batch.samples, clip, learning_rate, threads);
        if let Some(what) = non_finite {
            return Err(TrainError::NonFinite { step, what });
        }
        let position = &mut self.position;
        position.train.add(&batch);
        position.step = Step(step.0 + 1);
        let next = self.leaves.position(position.step);
        (position.epoch, position.step_in_epoch) = (next.epoch, next.step_in_epoch);
        position.validation = None;
        position.averaged_validation = None;
        let epochs = (next.step_in_epoch == 0).then_some(next.epoch.0);
        self.weights.follow(position.step.0, epochs, threads);
        let epoch_done = (next.step_in_epoch == 0).then(|| std::mem::take(&mut position.train));
        Ok(Stepped { step, epoch, batch, learning_rate, grad_norm, epoch_done })
    }

    fn evaluated(&self, weights: Weights, totals: Totals, confusion: Confusion, is_best: bool) -> Evaluated {
        let step = Step(self.position.step.0.saturating_sub(1));
        let classes = self.config.data().classes.clone();
        Evaluated {
            step,
            epoch: self.leaves.position(step).epoch,
            totals,
            weights,
            has_views: false,
            confusion,
            classes,
            is_best,
        }
    }
}

#[cfg(test)]
mod tests;
