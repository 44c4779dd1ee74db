//! After every step the parameters are those of the oracle, which knows no cluster: same leaves, same order of adding.

use super::{Invariant, Ledger, Sight};
use crate::sim::trainer::expected;

pub(super) struct SumsFollowTheTree {
    /// After each number of steps.
    parameters: Vec<u64>,
}

impl SumsFollowTheTree {
    pub(super) fn new(steps: &[u32]) -> Self {
        Self { parameters: expected(steps) }
    }
}

impl Invariant for SumsFollowTheTree {
    fn saw(&mut self, _: u64, _: &Ledger, sight: &Sight<'_>) -> Result<(), String> {
        let Sight::Committed { root, after } = sight else { return Ok(()) };
        // A wrong number that nobody could find is the audits' business.
        if root.wrong || self.parameters[after.step as usize] == after.parameters {
            return Ok(());
        }
        Err(format!("step {} added, in this order or wrongly grouped, {:?}", after.step - 1, root.leaves))
    }
}
