//! Names and ranks of members are distinct, and there are never more than the maximum.

use super::{Invariant, Ledger, Observation};
use std::collections::BTreeSet;

pub(super) struct MembersAreDistinct {
    pub(super) max: u32,
}

impl Invariant for MembersAreDistinct {
    fn saw(&mut self, _: u64, ledger: &Ledger, observation: &Observation<'_>) -> Result<(), String> {
        let Observation::Ruled { machine, .. } = observation else { return Ok(()) };
        let mut names = BTreeSet::new();
        let mut ranks = BTreeSet::new();
        for (incarnation, member) in machine.members() {
            if !names.insert(member.name.as_str()) {
                return Err(format!("two members are called {}", member.name));
            }
            if !ranks.insert(member.rank) || member.rank.0 >= self.max {
                return Err(format!("{incarnation} has rank {}, of {}", member.rank, self.max));
            }
            if !ledger.members.contains_key(&incarnation) {
                return Err(format!("{incarnation} was never welcomed, or removed"));
            }
        }
        Ok(())
    }
}
