//! After every step a run's parameters are those of the oracle, which knows neither cluster nor other runs:
//! same leaves, same order of addition.

use super::{Invariant, Ledger, Observation};
use crate::sim::plan::PlannedRun;
use crate::sim::trainer::expected;
use common::ids::SetupId;

pub(super) struct SumsFollowTheTree {
    /// Parameters of each run after each number of steps.
    parameters: Vec<Vec<u64>>,
}

impl SumsFollowTheTree {
    pub(super) fn new(runs: &[PlannedRun]) -> Self {
        let runs = runs.iter().enumerate();
        Self {
            parameters: runs.map(|(run, planned)| expected(SetupId(run as u32), &planned.steps)).collect(),
        }
    }
}

impl Invariant for SumsFollowTheTree {
    fn saw(&mut self, _: u64, _: &Ledger, observation: &Observation<'_>) -> Result<(), String> {
        let Observation::Committed { run, root, after } = observation else { return Ok(()) };
        // A wrong number that no worker could find is a matter of audits.
        if root.wrong || self.parameters[run.0 as usize][after.step as usize] == after.parameters {
            return Ok(());
        }
        Err(format!(
            "step {} of run {run} added, in this order or wrongly grouped, {:?}",
            after.step - 1,
            root.leaves
        ))
    }
}
