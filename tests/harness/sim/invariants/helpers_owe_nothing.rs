//! A backup task goes to a member that owes no answer at all, an audit to one that owes none of an earlier round: who is
//! late itself helps nobody.

use super::{Invariant, Ledger, Sight};
use common::protocol::coordinator::{Action, Purpose};

pub(super) struct HelpersOweNothing;

impl Invariant for HelpersOweNothing {
    fn saw(&mut self, _: u64, ledger: &Ledger, sight: &Sight<'_>) -> Result<(), String> {
        let Sight::Acted(Action::Grant { to, node, purpose, .. }) = sight else { return Ok(()) };
        let Some(owes) = ledger.members.get(to).and_then(|holder| holder.owes) else { return Ok(()) };
        let may = match purpose {
            Purpose::Primary | Purpose::Opinion => true,
            Purpose::Audit => ledger.is_current(owes.round),
            Purpose::Backup => false,
        };
        if may {
            Ok(())
        } else {
            Err(format!("{to} is given piece {node} as {purpose:?}, and owes {owes:?}"))
        }
    }
}
