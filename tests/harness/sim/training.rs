//! The simulated coordinator's training: it adds accepted answers, applies steps, and saves checkpoints.

use super::Sabotage;
use super::invariants::{Observation, Violation};
use super::message::Task;
use super::plan::Plan;
use super::trainer::{INITIAL, Value, advance, advance_slot};
use super::world::World;
use common::selftest::NumericsDigest;

/// The state that survives a coordinator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Checkpoint {
    /// Number of applied steps.
    pub(crate) step: u64,
    /// Digest of the parameters after these steps.
    pub(crate) parameters: u64,
    /// The arithmetic of all these steps, if the coordinator records it.
    pub(crate) numerics: Option<NumericsDigest>,
    /// The optimizer's slot.
    pub(crate) slot: f32,
}

impl Checkpoint {
    /// The state before the first step.
    pub(crate) const NONE: Self = Self { step: 0, parameters: INITIAL, numerics: None, slot: 0.0 };
}

pub(crate) struct Training {
    steps: Vec<u32>,
    checkpoint_every: u64,
    at: Checkpoint,
    pub(crate) saved: Checkpoint,
    stopped: bool,
    /// The list to which a saboteur adds instead.
    heap: Option<Value>,
}

impl Training {
    pub(crate) fn new(plan: &Plan, saved: Checkpoint) -> Self {
        let steps = plan.steps.clone();
        let checkpoint_every = plan.checkpoint_every;
        Self { steps, checkpoint_every, at: saved, saved, stopped: false, heap: None }
    }

    /// Whether every step has been applied, or the run was stopped.
    pub(crate) fn is_done(&self) -> bool {
        self.stopped || self.at.step == self.steps.len() as u64
    }

    /// Stops the run for a fault that the coordinator has found.
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
    }

    /// The task from which the present step's pieces are computed.
    pub(crate) fn task(&self) -> Task {
        let leaves = self.steps[self.at.step as usize];
        Task { step: self.at.step, leaves, parameters: self.at.parameters }
    }

    /// An answer has been accepted: a saboteur adds it as it comes.
    pub(crate) fn accepted(&mut self, world: &World, value: &Value) {
        if world.has(Sabotage::AddInArrivalOrder) || world.has(Sabotage::CommitEarly) {
            match &mut self.heap {
                Some(heap) => heap.add(value.clone()),
                heap @ None => *heap = Some(value.clone()),
            }
        }
    }

    /// Applies the step with the sum `root`, which was computed with `numerics`, and saves a checkpoint if
    /// one is due.
    pub(crate) fn commit(
        &mut self,
        world: &mut World,
        numerics: Option<NumericsDigest>,
        root: Option<Value>,
    ) -> Result<(), Violation> {
        let root = self.heap.take().or(root).ok_or_else(|| {
            Violation::new("leaves_are_reduced_once", "a round is complete without all its leaves")
        })?;
        let parameters = advance(self.at.parameters, root.digest);
        let slot = advance_slot(self.at.slot, root.peak);
        if !slot.is_finite() && !world.has(Sabotage::SlotsUnchecked) {
            world.report.count("step refused that leaves the numbers");
            self.stopped = true;
            return Ok(());
        }
        self.at = Checkpoint { step: self.at.step + 1, parameters, numerics, slot };
        world.saw(&Observation::Committed { root: &root, after: self.at })?;
        if root.wrong {
            // No worker was there to find the wrong number, so the following steps are not compared.
            world.report.count("miscomputing worker alone");
            self.stopped = true;
        }
        if self.at.step.is_multiple_of(self.checkpoint_every) {
            self.saved = self.at;
        }
        Ok(())
    }
}
