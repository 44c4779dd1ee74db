//! Only a worker's own new connection replaces its old one. A worker is refused for its name only while
//! another has it. Another worker of the same name costs the one that has it nothing.

use super::{Invariant, Ledger, Observation};
use common::ids::Process;
use common::protocol::coordinator::{Action, Cause, Event, Refusal};
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct NamesAreKept {
    /// The worker that opened each connection.
    processes: BTreeMap<u64, Process>,
    /// Connections that the event in progress has replaced.
    replaced: Vec<u64>,
}

impl Invariant for NamesAreKept {
    fn saw(&mut self, _: u64, ledger: &Ledger, observation: &Observation<'_>) -> Result<(), String> {
        match observation {
            Observation::Dialled { connection, identity, .. } => {
                self.processes.insert(*connection as u64, identity.process);
            }
            Observation::Acted(Action::Removed { member, cause: Cause::Replaced, .. }) => {
                self.replaced.extend(ledger.connection(*member));
            }
            Observation::Ruled { event: Event::Join { connection, name, .. }, actions, .. } => {
                let own = self.processes.get(connection);
                let is_own = |other: &u64| self.processes.get(other) == own;
                if let Some(other) =
                    std::mem::take(&mut self.replaced).into_iter().find(|other| !is_own(other))
                {
                    return Err(format!("{name} on {connection} replaces the worker on {other}"));
                }
                let mut others = ledger.members.values().chain(ledger.spares.values());
                let is_taken = others.any(|holder| holder.name == *name && !is_own(&holder.connection));
                let taken = Refusal::NameTaken { name: name.clone() };
                if actions.contains(&Action::Refuse { connection: *connection, refusal: taken }) && !is_taken
                {
                    return Err(format!("{name} is said to be taken, and is not"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
