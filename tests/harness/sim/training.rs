//! One run of the simulated coordinator: it adds accepted answers, applies steps, and saves checkpoints.

use super::Sabotage;
use super::invariants::{Observation, Violation};
use super::message::Task;
use super::plan::{Plan, Start};
use super::trainer::{Value, advance, advance_slot, initial};
use super::world::World;
use common::ids::SetupId;

/// The state that survives a coordinator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Checkpoint {
    /// Number of applied steps.
    pub(crate) step: u64,
    /// Digest of the parameters after these steps.
    pub(crate) parameters: u64,
    /// The optimizer's running mean of squares.
    pub(crate) slot: f32,
    /// Whether the run was stopped: nothing follows.
    pub(crate) is_stopped: bool,
}

impl Checkpoint {
    /// The state of a run before its first step.
    pub(crate) fn none(run: SetupId) -> Self {
        Self { step: 0, parameters: initial(run), slot: 0.0, is_stopped: false }
    }
}

pub(crate) struct Training {
    pub(crate) run: SetupId,
    pub(crate) start: Start,
    /// Whether its first round in this life has been begun, or is about to be.
    pub(crate) has_begun: bool,
    steps: Vec<u32>,
    checkpoint_every: u64,
    at: Checkpoint,
    pub(crate) saved: Checkpoint,
    /// The list to which a saboteur adds instead.
    heap: Option<Value>,
}

impl Training {
    pub(crate) fn new(plan: &Plan, run: SetupId, saved: Checkpoint) -> Self {
        let planned = &plan.runs[run.0 as usize];
        Self {
            run,
            start: planned.start,
            has_begun: false,
            steps: planned.steps.clone(),
            checkpoint_every: plan.checkpoint_every,
            at: saved,
            saved,
            heap: None,
        }
    }

    /// Whether every step has been applied, or the run was stopped.
    pub(crate) fn is_done(&self) -> bool {
        self.at.is_stopped || self.at.step == self.steps.len() as u64
    }

    /// Stops the run for a fault that the coordinator has found.
    pub(crate) fn stop(&mut self) {
        self.at.is_stopped = true;
        self.saved = self.at;
    }

    /// The task from which the present step's pieces are computed.
    pub(crate) fn task(&self) -> Task {
        let leaves = self.steps[self.at.step as usize];
        Task { run: self.run, step: self.at.step, leaves, parameters: self.at.parameters }
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

    /// Applies the step with the sum `root`, and saves a checkpoint if one is due.
    pub(crate) fn commit(&mut self, world: &mut World, root: Option<Value>) -> Result<(), Violation> {
        let root = self.heap.take().or(root).ok_or_else(|| {
            Violation::new("leaves_are_reduced_once", "a round is complete without all its leaves")
        })?;
        let parameters = advance(self.at.parameters, root.digest);
        let slot = advance_slot(self.at.slot, root.peak);
        if !slot.is_finite() && !world.has(Sabotage::SlotsUnchecked) {
            world.report.count("step refused that leaves the numbers");
            self.stop();
            return Ok(());
        }
        self.at = Checkpoint { step: self.at.step + 1, parameters, slot, is_stopped: false };
        world.saw(&Observation::Committed { run: self.run, root: &root, after: self.at })?;
        if root.wrong {
            // No worker was there to find the wrong number, so the following steps are not compared.
            world.report.count("miscomputing worker alone");
            self.at.is_stopped = true;
        }
        if self.at.step.is_multiple_of(self.checkpoint_every) || self.is_done() {
            self.saved = self.at;
        }
        Ok(())
    }
}
