//! Only a member that sent a bad answer is removed for one. Of workers whose answers are said to differ, one
//! sent a bad answer. No fault of the network makes a worker break a rule.

use super::{Invariant, Ledger, Observation};
use common::protocol::coordinator::{Action, Cause};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(super) struct HonestWorkersAreNotAccused {
    /// Connections on which a bad answer was sent.
    spoiled: BTreeSet<u64>,
    /// The worker that opened each connection.
    names: BTreeMap<u64, String>,
    /// Workers that miscompute, or sent a bad answer.
    broken: BTreeSet<String>,
}

impl Invariant for HonestWorkersAreNotAccused {
    fn saw(&mut self, _: u64, ledger: &Ledger, observation: &Observation<'_>) -> Result<(), String> {
        match observation {
            Observation::Spoiled { connection } => {
                self.spoiled.insert(*connection as u64);
                self.broken.extend(self.names.get(&(*connection as u64)).cloned());
                Ok(())
            }
            Observation::Dialled { connection, name, .. } => {
                self.names.insert(*connection as u64, (*name).to_owned());
                Ok(())
            }
            Observation::Miscomputes { name } => {
                self.broken.insert((*name).to_owned());
                Ok(())
            }
            Observation::Acted(Action::Disputed { node, workers, .. })
                if !workers.iter().any(|worker| self.broken.contains(worker)) =>
            {
                Err(format!(
                    "{workers:?} are said to differ in piece {node}, but both compute as they should"
                ))
            }
            Observation::Acted(Action::Removed {
                member,
                cause: cause @ (Cause::Invalid(_) | Cause::NonFinite { .. }),
                ..
            }) if ledger.connection(*member).is_none_or(|connection| !self.spoiled.contains(&connection)) => {
                Err(format!("{member} {cause}"))
            }
            // Nobody can tell two workers that fail alike from two that are right.
            Observation::Acted(Action::Anew { wrong, worker, right, .. })
                if !self.broken.contains(worker) && !right.iter().all(|name| self.broken.contains(name)) =>
            {
                Err(format!("{worker} is said to miscompute piece {wrong}"))
            }
            // The worker may have a new connection when the others have answered.
            Observation::Acted(Action::Removed {
                member, cause: cause @ Cause::OutOfLine { .. }, ..
            }) if !ledger.members.get(member).is_some_and(|holder| self.broken.contains(&holder.name)) => {
                Err(format!("{member} {cause}"))
            }
            _ => Ok(()),
        }
    }
}
