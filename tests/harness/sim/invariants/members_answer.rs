//! A member that sends heartbeats and no answer stays for a bounded time only: ten times what its own answers
//! took, or the limits where that is less or unknown.

use super::{Invariant, Ledger, Observation};
use common::protocol::coordinator::Limits;

/// Longest delay of a timer.
const LATE_US: u64 = 10_000;

pub(super) struct MembersAnswer(pub(super) Limits);

impl Invariant for MembersAnswer {
    fn saw(&mut self, now_us: u64, ledger: &Ledger, observation: &Observation<'_>) -> Result<(), String> {
        let Observation::Ruled { .. } = observation else { return Ok(()) };
        let is_overdue = |owes_us: u64, allowed_us: u64| {
            owes_us.saturating_add(allowed_us).saturating_add(LATE_US) < now_us
        };
        let overdue = ledger.members.iter().find(|(_, holder)| {
            let allowed_us = Ledger::answer_time_us(&self.0, holder);
            let owes = holder.owes.as_ref();
            owes.zip(allowed_us).is_some_and(|(owes, allowed_us)| is_overdue(owes.since_us, allowed_us))
        });
        overdue.map_or(Ok(()), |(who, holder)| Err(format!("{who} is still a member: {holder:?}")))
    }
}
