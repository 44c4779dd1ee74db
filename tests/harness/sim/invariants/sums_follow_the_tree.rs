//! After every step the parameters are those of the oracle, which knows no cluster: same leaves, same order
//! of addition.

use super::{Invariant, Ledger, Observation};
use crate::sim::trainer::expected;

pub(super) struct SumsFollowTheTree {
    /// Parameters after each number of steps.
    parameters: Vec<u64>,
}

impl SumsFollowTheTree {
    pub(super) fn new(steps: &[u32]) -> Self {
        Self { parameters: expected(steps) }
    }
}

impl Invariant for SumsFollowTheTree {
    fn saw(&mut self, _: u64, _: &Ledger, observation: &Observation<'_>) -> Result<(), String> {
        let Observation::Committed { root, after } = observation else { return Ok(()) };
        // A wrong number that no worker could find is a matter of audits.
        if root.wrong || self.parameters[after.step as usize] == after.parameters {
            return Ok(());
        }
        Err(format!("step {} added, in this order or wrongly grouped, {:?}", after.step - 1, root.leaves))
    }
}
