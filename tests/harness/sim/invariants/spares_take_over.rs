//! While a spare waits every place is taken, the oldest spare is taken in first, and there are no more spares than there
//! may be.

use super::{Invariant, Ledger, Sight};
use common::protocol::coordinator::{Action, Limits};

pub(super) struct SparesTakeOver(pub(super) Limits);

impl Invariant for SparesTakeOver {
    fn saw(&mut self, _: u64, ledger: &Ledger, sight: &Sight<'_>) -> Result<(), String> {
        let (members, spares) = (ledger.members.len(), ledger.spares.len());
        match sight {
            Sight::Ruled { .. } if spares > self.0.spares as usize => {
                Err(format!("{spares} spares, of at most {}", self.0.spares))
            }
            Sight::Ruled { .. } if spares > 0 && members < self.0.max as usize => {
                Err(format!("{spares} spares wait, but only {members} places of {} are taken", self.0.max))
            }
            Sight::Acted(Action::Welcome { incarnation, .. }) if ledger.spares.contains_key(incarnation) => {
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
