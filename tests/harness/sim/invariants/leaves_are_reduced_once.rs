//! In every committed step every leaf was added exactly once, and every accepted answer adds a leaf.

use super::{Invariant, Ledger, Observation};
use crate::sim::plan::PlannedRun;
use common::reduce::tree::Inserted;

pub(super) struct LeavesAreReducedOnce {
    pub(super) runs: Vec<PlannedRun>,
}

impl Invariant for LeavesAreReducedOnce {
    fn saw(&mut self, _: u64, _: &Ledger, observation: &Observation<'_>) -> Result<(), String> {
        match observation {
            Observation::Added(Inserted::Duplicate) => Err("an accepted answer was there already".into()),
            Observation::Committed { run, root, after } => {
                let mut added = root.leaves.clone();
                added.sort_unstable();
                let step = after.step - 1;
                let is_whole = added.iter().copied().eq(0..self.runs[run.0 as usize].steps[step as usize]);
                if is_whole {
                    Ok(())
                } else {
                    Err(format!("step {step} of run {run} added leaves {added:?}"))
                }
            }
            _ => Ok(()),
        }
    }
}
