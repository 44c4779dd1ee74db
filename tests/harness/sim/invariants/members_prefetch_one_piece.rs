//! A member never holds more pieces than one for each of its threads and one prefetched piece. The others are
//! for whoever is free first.

use super::{Invariant, Ledger, Observation};

pub(super) struct MembersPrefetchOnePiece;

impl Invariant for MembersPrefetchOnePiece {
    fn saw(&mut self, _: u64, ledger: &Ledger, observation: &Observation<'_>) -> Result<(), String> {
        let Observation::Ruled { .. } = observation else { return Ok(()) };
        let hoards =
            ledger.members.iter().find(|(_, holder)| holder.pieces.len() > holder.threads as usize + 1);
        hoards.map_or(Ok(()), |(who, holder)| {
            Err(format!("{who} has {} threads and holds {:?}", holder.threads, holder.pieces))
        })
    }
}
