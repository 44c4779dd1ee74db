//! What a round came to: a committed step, an evaluation, or guesses.

use crate::cluster::RoundTimes;
use common::data::classes::ClassNames;
use common::event::MistakesRecord;
use common::ids::{Epoch, Round, Step};
use common::train::average::Weights;
use common::train::metrics::{Confusion, Totals};

/// A round that is complete, besides its sum.
pub(crate) struct CompleteRound {
    pub(crate) round: Round,
    /// Answers whose numbers were out of line, whatever came of them.
    pub(crate) out_of_line: u32,
    /// When its pieces were given and answered.
    pub(crate) times: RoundTimes,
}

/// Result of a round.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The parameters were updated.
    Stepped(Stepped),
    /// The validation samples were evaluated.
    Validated(Evaluated),
    /// The test samples were evaluated; with what the trained weights get most wrong.
    Tested(Evaluated, Option<MistakesRecord>),
    /// The unlabelled samples were guessed.
    Guessed(Guessed),
}

/// A committed optimizer step.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Stepped {
    pub step: Step,
    pub epoch: Epoch,
    /// Totals of the step's samples, before the update.
    pub batch: Totals,
    /// Learning rate of the update.
    pub learning_rate: f64,
    /// L2 norm of the mean gradient, before clipping.
    pub grad_norm: f64,
    /// Totals of the epoch, if this was its last step.
    pub epoch_done: Option<Totals>,
}

/// Labels that unlabelled samples were given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guessed {
    /// The step that follows, the first of its epoch.
    pub step: Step,
    /// The epoch that begins.
    pub epoch: Epoch,
    /// The weights that have guessed.
    pub weights: Weights,
    /// Unlabelled samples.
    pub samples: u64,
    /// Those of them that have got a label.
    pub labelled: u64,
    /// Those whose label is the true one.
    pub right: u64,
}

/// Result of an evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluated {
    /// Last step before the evaluation.
    pub step: Step,
    /// Epoch of that step.
    pub epoch: Epoch,
    /// Number of samples and correct predictions, and sum of losses.
    pub totals: Totals,
    /// The weights that were evaluated.
    pub weights: Weights,
    /// Whether probabilities were averaged over nine views of each image.
    pub has_views: bool,
    /// Confusion matrix of the evaluation.
    pub confusion: Confusion,
    /// Names of its classes.
    pub classes: ClassNames,
    /// Whether no earlier validation had as many correct predictions.
    pub is_best: bool,
}
