//! While enough members are there, no member has an idle thread while a leaf waits, of whichever run. There
//! are two exceptions: a run that is being stopped, and a member that would delay the round, while another
//! one is at work.

use super::ledger::{Holder, OpenRound};
use super::{Invariant, Ledger, Observation};
use common::protocol::coordinator::{Action, Limits};

pub(super) struct NoThreadIdlesWhileLeavesWait(pub(super) Limits);

impl Invariant for NoThreadIdlesWhileLeavesWait {
    fn saw(&mut self, now_us: u64, ledger: &Ledger, observation: &Observation<'_>) -> Result<(), String> {
        let Observation::Ruled { actions, machine, .. } = observation else { return Ok(()) };
        let needed = if ledger.started { self.0.min } else { self.0.start };
        if (ledger.members.len() as u32) < needed {
            return Ok(());
        }
        let ends = |open: &OpenRound| {
            let is_end = |action: &Action| match action {
                Action::Disputed { round, .. }
                | Action::NonFinite { round, .. }
                | Action::Anew { round, .. } => *round == open.number,
                _ => false,
            };
            // Nothing follows from a round that is to begin again.
            actions.iter().any(is_end) || open.is_void
        };
        for open in ledger.rounds.values().filter(|open| !ends(open)) {
            let mut idle = ledger.members.iter().filter(|&(&who, holder)| {
                let out: u32 = holder.pieces.values().map(|work| work.leaves).sum();
                let is_left_out = machine.would_be_waited_for(now_us, open.number, who)
                    && ledger
                        .members
                        .iter()
                        .any(|(&other, holder)| other != who && !holder.pieces.is_empty());
                out < holder.threads && !is_left_out
            });
            let found = idle.find_map(|(who, holder)| Some((who, holder, ledger.waiting(open, holder)?)));
            if let Some((who, Holder { threads, pieces, .. }, leaf)) = found {
                let round = open.number;
                return Err(format!(
                    "leaf {leaf} of round {round} waits, and of the {threads} threads of {who} only {pieces:?} is taken"
                ));
            }
        }
        Ok(())
    }
}
