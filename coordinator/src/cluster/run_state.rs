//! What the cluster knows of a run: the step that it is at, and its round in progress.

use super::RoundValue;
use super::gradient_budget::GradientBudget;
use super::round::OpenRound;
use common::ids::{Round, Step};
use common::reduce::outliers::Peaks;

/// A run, as far as the cluster is concerned.
#[derive(Debug)]
pub(super) struct RunState<V> {
    /// The step that events are told of.
    pub(super) step: Step,
    /// Peaks of the gradients that were accepted last.
    pub(super) peaks: Peaks,
    pub(super) budget: GradientBudget,
    /// The round in progress.
    pub(super) round: Option<OpenRound<V>>,
    /// The last round that was begun.
    pub(super) last: Option<Round>,
    /// Whether answers to that one are late.
    pub(super) has_ended: bool,
}

impl<V: RoundValue> RunState<V> {
    pub(super) fn new(step: Step) -> Self {
        let budget = GradientBudget::default();
        Self { step, peaks: Peaks::default(), budget, round: None, last: None, has_ended: true }
    }

    /// Goes on with this step. Where it is an earlier one, what gradients are usual is learnt anew.
    pub(super) fn at_step(&mut self, step: Step) {
        if step < self.step {
            self.peaks = Peaks::default();
        }
        self.step = step;
    }
}
