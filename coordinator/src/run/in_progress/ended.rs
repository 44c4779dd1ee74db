//! What a run came to.

use crate::run::outcome::Evaluated;
use crate::store::Saved;
use common::checkpoint::Best;
use common::event::MistakesRecord;
use common::train::average::Weights;
use common::train::metrics::Totals;

/// How a run ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    /// The final tests, if the run is complete; that of the last weights first.
    pub(crate) tests: Vec<Evaluated>,
    /// What the model gets most wrong of the test samples, if the run is complete.
    pub(crate) mistakes: Option<MistakesRecord>,
    /// The validations of the last weights and of their average.
    pub(crate) validations: [Option<Totals>; 2],
    /// Epochs since the best validation, if the run ended because they were too many.
    pub(crate) waited_in_vain: Option<u64>,
    /// The validation with the most correct answers so far.
    pub(crate) best: Option<Best>,
    /// The last checkpoint that is on disk.
    pub(crate) saved: Saved,
    /// Training time in seconds, and the samples of that time.
    pub(crate) trained: (f64, u64),
    /// What it came to, if it was to pause and has.
    pub(crate) paused: Option<Paused>,
}

/// What a run came to that has paused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Paused {
    /// Whole epochs that were done.
    pub epochs: u64,
    /// The validation after the last of them, if samples are held out.
    pub validation: Option<Totals>,
}

impl Ended {
    /// The version of the weights with the most correct answers in its validation; of equals, the one that
    /// was trained longest.
    pub(crate) fn best_weights(&self) -> Weights {
        let [last, averaged] = self.validations.map(|totals| totals.map_or(0, |totals| totals.correct));
        let best = self.best.map_or(0, |best| best.correct);
        let is_tested = |weights| self.tests.iter().any(|test| test.weights == weights);
        let mut chosen = (last, Weights::Last);
        for (correct, weights) in [(averaged, Weights::Averaged), (best, Weights::Best)] {
            if correct > chosen.0 && is_tested(weights) {
                chosen = (correct, weights);
            }
        }
        chosen.1
    }
}
