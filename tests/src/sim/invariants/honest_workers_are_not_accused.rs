//! Only a member that sent a bad answer is removed for one: whatever the network does, no rule is broken by obeying.

use super::{Invariant, Ledger, Sight};
use common::protocol::coordinator::{Action, Cause};
use std::collections::BTreeSet;

/// Knows the connections on which a bad answer was sent.
#[derive(Default)]
pub(super) struct HonestWorkersAreNotAccused(BTreeSet<u64>);

impl Invariant for HonestWorkersAreNotAccused {
    fn saw(&mut self, _: u64, ledger: &Ledger, sight: &Sight<'_>) -> Result<(), String> {
        match sight {
            Sight::Spoiled { connection } => {
                self.0.insert(*connection as u64);
                Ok(())
            }
            Sight::Acted(Action::Removed {
                member,
                cause: cause @ (Cause::Invalid(_) | Cause::NonFinite { .. }),
                ..
            }) if ledger.connection(*member).is_none_or(|connection| !self.0.contains(&connection)) => {
                Err(format!("{member} {cause}"))
            }
            _ => Ok(()),
        }
    }
}
