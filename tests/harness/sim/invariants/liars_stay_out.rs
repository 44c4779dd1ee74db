//! A worker that was dropped three times for bad answers is refused in this life of the coordinator. One that
//! was dropped less often is never called quarantined.
//!
//! Workers are identified by the random number of their start, neither by names nor by what the coordinator
//! heard.

use super::{Invariant, Ledger, Observation};
use common::ids::Instance;
use common::protocol::coordinator::{Action, QUARANTINE_AFTER, Refusal};
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct LiarsStayOut {
    /// The worker that opened each connection.
    workers: BTreeMap<u64, (Instance, String)>,
    /// Number of times that each worker was dropped for a bad answer.
    dropped: BTreeMap<Instance, u32>,
}

impl LiarsStayOut {
    fn times(&self, connection: u64) -> (&str, u32) {
        let Some((instance, name)) = self.workers.get(&connection) else { return ("nobody", 0) };
        (name, self.dropped.get(instance).copied().unwrap_or(0))
    }
}

impl Invariant for LiarsStayOut {
    fn saw(&mut self, _: u64, ledger: &Ledger, observation: &Observation<'_>) -> Result<(), String> {
        match observation {
            Observation::Dialled { connection, name, instance } => {
                self.workers.insert(*connection as u64, (*instance, (*name).to_owned()));
            }
            // A coordinator does not know what its predecessor knew.
            Observation::Born => self.dropped.clear(),
            Observation::Acted(Action::Removed { member, cause, .. }) if cause.is_offence() => {
                let connection = ledger.connection(*member);
                let worker = connection.and_then(|connection| self.workers.get(&connection));
                if let Some(&(instance, _)) = worker {
                    *self.dropped.entry(instance).or_default() += 1;
                }
            }
            Observation::Acted(Action::Welcome { connection, .. }) => {
                let (name, times) = self.times(*connection);
                if times >= QUARANTINE_AFTER {
                    return Err(format!("{name} was dropped {times} times for bad answers and is let in"));
                }
            }
            Observation::Acted(Action::Refuse { connection, refusal: Refusal::Quarantined { .. } }) => {
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
