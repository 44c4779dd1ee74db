//! Only a member that sent a bad answer is removed for one, and of two that are said to differ one miscomputes: whatever
//! the network does, no rule is broken by obeying.

use super::{Invariant, Ledger, Sight};
use common::protocol::coordinator::{Action, Cause};
use std::collections::BTreeSet;

#[derive(Default)]
pub(super) struct HonestWorkersAreNotAccused {
    /// Connections on which a bad answer was sent.
    spoiled: BTreeSet<u64>,
    /// Workers that miscompute.
    broken: BTreeSet<String>,
}

impl Invariant for HonestWorkersAreNotAccused {
    fn saw(&mut self, _: u64, ledger: &Ledger, sight: &Sight<'_>) -> Result<(), String> {
        match sight {
            Sight::Spoiled { connection } => {
                self.spoiled.insert(*connection as u64);
                Ok(())
            }
            Sight::Miscomputes { name } => {
                self.broken.insert((*name).to_owned());
                Ok(())
            }
            Sight::Acted(Action::Disputed { node, workers, .. })
                if !workers.iter().any(|worker| self.broken.contains(worker)) =>
            {
                Err(format!(
                    "{workers:?} are said to differ in piece {node}, but both compute as they should"
                ))
            }
            Sight::Acted(Action::Removed {
                member,
                cause: cause @ (Cause::Invalid(_) | Cause::NonFinite { .. }),
                ..
            }) if ledger.connection(*member).is_none_or(|connection| !self.spoiled.contains(&connection)) => {
                Err(format!("{member} {cause}"))
            }
            _ => Ok(()),
        }
    }
}
