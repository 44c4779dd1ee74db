//! How a run begins: with drawn values, with those of a file, or where a checkpoint ends.

use super::Trainer;
use crate::run::batches::Leaves;
use crate::run::weights::Versions;
use common::checkpoint::{Checkpoint, CheckpointError, Position, Verified};
use common::data::samples::Samples;
use common::ids::{Epoch, Step};
use common::train::config::{RunConfig, TrainingConfig};
use common::train::distil::Teacher;
use common::train::metrics::Totals;
use common::train::optim::{NonFinite, OptimError, Optimizer};
use common::train::pseudo::PseudoLabelsError;
use common::train::schedule::PlateauState;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// Reason why training can't begin or continue.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum TrainError {
    /// The leaves were finite, but their sum, the optimizer's state or the parameters are not.
    #[error("step {step}: the {what} is not finite; try a smaller --lr, or --clip-grad-norm")]
    NonFinite { step: Step, what: NonFinite },
    /// The checkpoint's files are valid, but do not belong to this run.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint's pseudo-labels are not those of this run's samples.
    #[error("the checkpoint does not fit: {0}")]
    PseudoLabels(#[from] PseudoLabelsError),
    /// The checkpoint has pseudo-labels where the run has none.
    #[error("the checkpoint has pseudo-labels, and before step {step} this run has none")]
    SurplusLabels { step: Step },
    /// The optimizer's state does not fit.
    #[error(transparent)]
    Optimizer(#[from] OptimError),
    /// The run goes back to its beginning, and the file with its first values was not named.
    #[error(
        "the run must go back to its beginning, and its first values came from a file; start it anew with --init-from \
         and --resume never"
    )]
    NoFirstValues,
    /// The checkpoint's position in the run contradicts itself.
    #[error("the checkpoint claims epoch {}, step {} of it, for step {}, which is epoch {}, step {} of it",
        got.0, got.1, step, expected.0, expected.1)]
    Position {
        step: Step,
        /// Epoch and step in it, according to this configuration.
        expected: (Epoch, u64),
        /// Epoch and step in it, according to the checkpoint.
        got: (Epoch, u64),
    },
    /// The checkpoint lacks what the schedule needs of earlier validations, or has it for another schedule.
    #[error("the checkpoint {} plateau's state, and the schedule is {schedule}", if *.has { "has a" } else { "has no" })]
    Plateau { schedule: &'static str, has: bool },
}

/// Position at the start of a run.
fn beginning(config: &RunConfig) -> Position {
    let plateau = config.training().schedule.shape.plateau();
    Position {
        step: Step(0),
        epoch: Epoch(0),
        step_in_epoch: 0,
        train: Totals::default(),
        validation: None,
        averaged_validation: None,
        best: None,
        plateau: plateau.map(|_| PlateauState::BEGINNING),
    }
}

/// The versions of the weights of a run that begins with these.
fn versions(config: &RunConfig, first: Arc<Vec<f32>>) -> Versions {
    let TrainingConfig { average, patience, .. } = config.training();
    Versions::new(first, *average, patience.is_some())
}

impl Trainer {
    /// A run from its beginning. `config` belongs to these samples.
    ///
    /// # Panics
    /// When it holds out more samples than leave one of each class, or wants more of a class than there are.
    /// A run's start refuses that (`settle`).
    #[must_use]
    pub fn start(config: RunConfig, train: Samples, test: Samples) -> Self {
        let layout = config.model().layout().clone();
        let training = config.training();
        let weights = versions(&config, Arc::new(training.init.draw(&layout, training.seed)));
        let optimizer = Optimizer::new(training.optimizer, config.partition().clone());
        Self {
            leaves: Leaves::new(&config, train, test),
            end: Step(config.length().total),
            position: beginning(&config),
            config,
            layout,
            weights,
            optimizer,
            pauses: false,
            tested: 0,
            test_views: false,
            first: None,
            teacher: None,
            threads: NonZeroUsize::MIN,
        }
    }

    /// A run from a checkpoint with the same configuration.
    ///
    /// # Errors
    /// When the checkpoint does not fit the configuration.
    pub fn resume(
        config: RunConfig,
        train: Samples,
        test: Samples,
        saved: Verified,
    ) -> Result<Self, TrainError> {
        let mut trainer = Self::start(config, train, test);
        trainer.restore(saved)?;
        Ok(trainer)
    }

    /// Takes first values that come from a file. A run at its beginning begins with them.
    ///
    /// # Panics
    /// When they are not as many as the layout has.
    pub fn set_first_values(&mut self, values: Vec<f32>) {
        assert_eq!(values.len(), self.layout.len(), "a value for each parameter");
        let first = Arc::new(values);
        if self.step() == Step(0) {
            self.weights = versions(&self.config, Arc::clone(&first));
        }
        self.first = Some(first);
    }

    /// Takes the teacher that the configuration names, if it names one.
    pub fn set_teacher(&mut self, teacher: Option<Arc<Teacher>>) {
        self.teacher = teacher;
    }

    /// The values at the run's beginning.
    fn first_values(&self) -> Result<Arc<Vec<f32>>, TrainError> {
        let training = self.config.training();
        match (&self.first, &training.init_from) {
            (Some(first), _) => Ok(Arc::clone(first)),
            (None, Some(_)) => Err(TrainError::NoFirstValues),
            (None, None) => Ok(Arc::new(training.init.draw(&self.layout, training.seed))),
        }
    }

    /// Goes back to a checkpoint with the same configuration, or to the beginning.
    ///
    /// # Errors
    /// When the checkpoint does not fit the configuration, or the values at the beginning are not known.
    pub fn roll_back(&mut self, saved: Option<Verified>) -> Result<(), TrainError> {
        let training = self.config.training();
        let first = if saved.is_none() { self.first_values()? } else { self.params() };
        self.weights = versions(&self.config, first);
        self.optimizer = Optimizer::new(training.optimizer, self.config.partition().clone());
        self.position = beginning(&self.config);
        self.leaves.forget_labels();
        self.tested = 0;
        saved.map_or(Ok(()), |saved| self.restore(saved))
    }

    fn restore(&mut self, saved: Verified) -> Result<(), TrainError> {
        let spec = self.config.training().optimizer;
        let slots = spec.slots();
        let Checkpoint { position, params, more, labels, slots, .. } = saved.decode(&self.layout, slots)?;
        let step = position.step;
        let cut = self.leaves.position(step);
        let expected = (cut.epoch, cut.step_in_epoch);
        let got = (position.epoch, position.step_in_epoch);
        if expected != got {
            return Err(TrainError::Position { step, expected, got });
        }
        let shape = self.config.training().schedule.shape;
        let has = position.plateau.is_some();
        if has != shape.plateau().is_some() {
            return Err(TrainError::Plateau { schedule: shape.name(), has });
        }
        self.optimizer = Optimizer::restore(spec, self.config.partition().clone(), step.0, slots)?;
        self.weights.restore(&position, params, more)?;
        self.restore_labels(&position, labels)?;
        self.position = position;
        Ok(())
    }
}
