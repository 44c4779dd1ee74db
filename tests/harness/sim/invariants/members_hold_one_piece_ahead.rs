//! A member never holds more pieces than one for each of its threads and one to begin next: the rest is for whoever is
//! free first.

use super::{Invariant, Ledger, Sight};

pub(super) struct MembersHoldOnePieceAhead;

impl Invariant for MembersHoldOnePieceAhead {
    fn saw(&mut self, _: u64, ledger: &Ledger, sight: &Sight<'_>) -> Result<(), String> {
        let Sight::Ruled { .. } = sight else { return Ok(()) };
        let hoards =
            ledger.members.iter().find(|(_, holder)| holder.pieces.len() > holder.threads as usize + 1);
        hoards.map_or(Ok(()), |(who, holder)| {
            Err(format!("{who} has {} threads and holds {:?}", holder.threads, holder.pieces))
        })
    }
}
