//! While a spare waits, every place is taken. The oldest spare is admitted first. There are never more spares
//! than the limit.

use super::{Invariant, Ledger, Observation};
use common::protocol::coordinator::{Action, Limits};

pub(super) struct SparesTakeOver(pub(super) Limits);

impl Invariant for SparesTakeOver {
    fn saw(&mut self, _: u64, ledger: &Ledger, observation: &Observation<'_>) -> Result<(), String> {
        let members = ledger.members.len();
        let spares = ledger.spares.len();
        match observation {
            Observation::Ruled { .. } if spares > self.0.spares as usize => {
                Err(format!("{spares} spares, of at most {}", self.0.spares))
            }
            Observation::Ruled { .. } if spares > 0 && members < self.0.max as usize => {
                Err(format!("{spares} spares wait, but only {members} places of {} are taken", self.0.max))
            }
            Observation::Acted(Action::Welcome { incarnation, .. })
                if ledger.spares.contains_key(incarnation) =>
            {
                match ledger.spares.first_key_value() {
                    Some((oldest, _)) if oldest != incarnation => {
                        Err(format!("spare {incarnation} is taken in before {oldest}"))
                    }
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}
