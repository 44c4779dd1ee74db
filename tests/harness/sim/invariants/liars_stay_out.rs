//! A worker that was dropped three times for bad answers is let in no more in this life of the coordinator; one that was
//! dropped less often is never called quarantined.
//!
//! Workers are told apart by what they drew at their start, not by their names or by what the coordinator heard.

use super::{Invariant, Ledger, Sight};
use common::ids::Instance;
use common::protocol::coordinator::{Action, QUARANTINE_AFTER, Refusal};
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct LiarsStayOut {
    /// Who opened each connection.
    workers: BTreeMap<u64, (Instance, String)>,
    /// How often each was dropped for a bad answer.
    dropped: BTreeMap<Instance, u32>,
}

impl LiarsStayOut {
    fn times(&self, connection: u64) -> (&str, u32) {
        let Some((instance, name)) = self.workers.get(&connection) else { return ("nobody", 0) };
        (name, self.dropped.get(instance).copied().unwrap_or(0))
    }
}

impl Invariant for LiarsStayOut {
    fn saw(&mut self, _: u64, ledger: &Ledger, sight: &Sight<'_>) -> Result<(), String> {
        match sight {
            Sight::Dialled { connection, name, instance } => {
                self.workers.insert(*connection as u64, (*instance, (*name).to_owned()));
            }
            // What one life knows the next does not.
            Sight::Born { .. } => self.dropped.clear(),
            Sight::Acted(Action::Removed { member, cause, .. }) if cause.is_offence() => {
                let connection = ledger.connection(*member);
                let worker = connection.and_then(|connection| self.workers.get(&connection));
                if let Some(&(instance, _)) = worker {
                    *self.dropped.entry(instance).or_default() += 1;
                }
            }
            Sight::Acted(Action::Welcome { connection, .. }) => {
                let (name, times) = self.times(*connection);
                if times >= QUARANTINE_AFTER {
                    return Err(format!("{name} was dropped {times} times for bad answers and is let in"));
                }
            }
            Sight::Acted(Action::Refuse { connection, refusal: Refusal::Quarantined { .. } }) => {
                let (name, times) = self.times(*connection);
                if times < QUARANTINE_AFTER {
                    return Err(format!(
                        "{name} was dropped {times} times for bad answers and is quarantined"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
