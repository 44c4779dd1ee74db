//! A worker that was dropped three times for bad answers is refused in this life of the coordinator. One that
//! was dropped less often is never called quarantined. Once three workers with a key are refused, or were
//! found to miscompute, newcomers with that key are refused too, and not before.
//!
//! Workers are identified by their keys and the random number of their start, neither by names nor by what
//! the coordinator heard.

use super::{Invariant, Ledger, Observation};
use crate::sim::identity::Identity;
use common::ids::{KeyId, Process};
use common::protocol::coordinator::{Action, Event, KEY_QUARANTINE_AFTER, QUARANTINE_AFTER, Refusal};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(super) struct LiarsStayOut {
    /// The worker that opened each connection.
    workers: BTreeMap<u64, (Identity, String)>,
    /// Number of times that each worker was dropped for a bad answer.
    dropped: BTreeMap<Process, u32>,
    /// Workers of each key that are refused.
    refused: BTreeMap<KeyId, BTreeSet<Process>>,
}

impl LiarsStayOut {
    fn times(&self, connection: u64) -> (&str, u32) {
        let Some((identity, name)) = self.workers.get(&connection) else { return ("nobody", 0) };
        (name, self.dropped.get(&identity.process).copied().unwrap_or(0))
    }

    fn refuses(&mut self, who: Process) {
        if let Some(key) = who.key {
            self.refused.entry(key).or_default().insert(who);
        }
    }

    /// Whether the key of a connection is to be refused.
    fn is_key_refused(&self, connection: u64) -> bool {
        let key = self.workers.get(&connection).and_then(|(identity, _)| identity.process.key);
        let refused = key.and_then(|key| self.refused.get(&key));
        refused.is_some_and(|refused| refused.len() >= KEY_QUARANTINE_AFTER)
    }
}

impl Invariant for LiarsStayOut {
    fn saw(&mut self, _: u64, ledger: &Ledger, observation: &Observation<'_>) -> Result<(), String> {
        match observation {
            Observation::Dialled { connection, name, identity } => {
                self.workers.insert(*connection as u64, (*identity, (*name).to_owned()));
            }
            // A coordinator does not know what its predecessor knew.
            Observation::Born => {
                self.dropped.clear();
                self.refused.clear();
            }
            Observation::Acted(Action::Removed { member, cause, .. }) if cause.is_offence() => {
                let connection = ledger.connection(*member);
                let worker = connection.and_then(|connection| self.workers.get(&connection));
                if let Some(&(Identity { process, .. }, _)) = worker {
                    let times = self.dropped.entry(process).or_default();
                    *times += 1;
                    if *times == QUARANTINE_AFTER {
                        self.refuses(process);
                    }
                }
            }
            Observation::Acted(Action::Anew { process, .. }) => self.refuses(*process),
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
            Observation::Acted(Action::Refuse { connection, refusal: Refusal::KeyQuarantined })
                if !self.is_key_refused(*connection) =>
            {
                return Err(format!("{} is refused for its key", self.times(*connection).0));
            }
            // Spares that become members later had been let in before.
            Observation::Ruled { event: Event::Join { connection, name, .. }, actions, .. } => {
                let is_in = |action: &Action| match action {
                    Action::Welcome { connection: own, .. } | Action::Spare { connection: own, .. } => {
                        own == connection
                    }
                    _ => false,
                };
                if self.is_key_refused(*connection) && actions.iter().any(is_in) {
                    return Err(format!("{name} is let in with the key of three that are refused"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
