//! In every committed step every leaf was added exactly once; what is accepted is always of use.

use super::{Invariant, Ledger, Sight};
use common::reduce::tree::Inserted;

pub(super) struct LeavesAreReducedOnce {
    /// Of each step.
    pub(super) leaves: Vec<u32>,
}

impl Invariant for LeavesAreReducedOnce {
    fn saw(&mut self, _: u64, _: &Ledger, sight: &Sight<'_>) -> Result<(), String> {
        match sight {
            Sight::Added(Inserted::Duplicate) => Err("an accepted answer was there already".into()),
            Sight::Committed { root, after } => {
                let mut added = root.leaves.clone();
                added.sort_unstable();
                let step = after.step - 1;
                let is_whole = added.iter().copied().eq(0..self.leaves[step as usize]);
                if is_whole { Ok(()) } else { Err(format!("step {step} added leaves {added:?}")) }
            }
            _ => Ok(()),
        }
    }
}
