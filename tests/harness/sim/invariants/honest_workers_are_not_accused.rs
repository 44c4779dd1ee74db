//! Only a member that sent a bad answer is removed for one, and of those that are said to differ one sent a bad one: whatever
//! the network does, no rule is broken by obeying.

use super::{Invariant, Ledger, Sight};
use common::protocol::coordinator::{Action, Cause};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(super) struct HonestWorkersAreNotAccused {
    /// Connections on which a bad answer was sent.
    spoiled: BTreeSet<u64>,
    /// Who opened each connection.
    names: BTreeMap<u64, String>,
    /// Workers that miscompute, or sent a bad answer.
    broken: BTreeSet<String>,
}

impl Invariant for HonestWorkersAreNotAccused {
    fn saw(&mut self, _: u64, ledger: &Ledger, sight: &Sight<'_>) -> Result<(), String> {
        match sight {
            Sight::Spoiled { connection } => {
                self.spoiled.insert(*connection as u64);
                self.broken.extend(self.names.get(&(*connection as u64)).cloned());
                Ok(())
            }
            Sight::Dialled { connection, name, .. } => {
                self.names.insert(*connection as u64, (*name).to_owned());
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
            // Nobody can tell two that fail alike from two that are right.
            Sight::Acted(Action::Anew { node, worker, right, .. })
                if !self.broken.contains(worker) && !right.iter().all(|name| self.broken.contains(name)) =>
            {
                Err(format!("{worker} is said to miscompute piece {node}"))
            }
            // It may have a new connection when others have had their say.
            Sight::Acted(Action::Removed { member, cause: cause @ Cause::OutOfLine { .. }, .. })
                if !ledger.members.get(member).is_some_and(|holder| self.broken.contains(&holder.name)) =>
            {
                Err(format!("{member} {cause}"))
            }
            _ => Ok(()),
        }
    }
}
