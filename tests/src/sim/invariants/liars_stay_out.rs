//! A worker that was dropped three times for bad answers is let in no more in this life of the coordinator; one that was
//! dropped less often is never called quarantined.
//!
//! Names are taken from the workers themselves, not from what the coordinator heard.

use super::{Invariant, Ledger, Sight};
use common::protocol::coordinator::{Action, QUARANTINE_AFTER, Refusal};
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct LiarsStayOut {
    /// Who opened each connection.
    names: BTreeMap<u64, String>,
    /// How often each was dropped for a bad answer.
    dropped: BTreeMap<String, u32>,
}

impl LiarsStayOut {
    fn times(&self, connection: u64) -> (&str, u32) {
        let name = self.names.get(&connection).map_or("nobody", String::as_str);
        (name, self.dropped.get(name).copied().unwrap_or(0))
    }
}

impl Invariant for LiarsStayOut {
    fn saw(&mut self, _: u64, ledger: &Ledger, sight: &Sight<'_>) -> Result<(), String> {
        match sight {
            Sight::Dialled { connection, name } => {
                self.names.insert(*connection as u64, (*name).to_owned());
            }
            // What one life knows the next does not.
            Sight::Born => self.dropped.clear(),
            Sight::Acted(Action::Removed { member, cause, .. }) if cause.is_offence() => {
                let connection = ledger.connection(*member);
                let name = connection.and_then(|connection| self.names.get(&connection)).cloned();
                *self.dropped.entry(name.unwrap_or_default()).or_default() += 1;
            }
            Sight::Acted(Action::Welcome { connection, .. }) => {
                let (name, times) = self.times(*connection);
                if times >= QUARANTINE_AFTER {
                    return Err(format!("{name} was dropped {times} times for bad answers and is let in"));
                }
            }
            Sight::Acted(Action::Refuse { connection, refusal: Refusal::Quarantined }) => {
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
