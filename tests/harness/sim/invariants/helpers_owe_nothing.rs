//! A backup task goes only to a member that owes no answer at all, and an audit only to one that owes none of
//! an earlier round.

use super::{Invariant, Ledger, Observation};
use common::protocol::coordinator::{Action, Purpose};

pub(super) struct HelpersOweNothing;

impl Invariant for HelpersOweNothing {
    fn saw(&mut self, _: u64, ledger: &Ledger, observation: &Observation<'_>) -> Result<(), String> {
        let Observation::Acted(Action::Grant { to, node, purpose, .. }) = observation else { return Ok(()) };
        let Some(owes) = ledger.members.get(to).and_then(|holder| holder.owes.as_ref()) else {
            return Ok(());
        };
        let may = match purpose {
            Purpose::Primary | Purpose::Opinion => true,
            Purpose::Audit => ledger.round(owes.round).is_some(),
            Purpose::Backup => false,
        };
        if may {
            Ok(())
        } else {
            Err(format!("{to} is given piece {node} as {purpose:?}, and owes {owes:?}"))
        }
    }
}
