//! While enough members are there, no member has an idle thread while a leaf waits. There are two exceptions:
//! a run that is being stopped, and a member that would delay the round, while another one is at work.

use super::{Invariant, Ledger, Observation};
use common::protocol::coordinator::{Action, Limits};

pub(super) struct NoThreadIdlesWhileLeavesWait(pub(super) Limits);

impl Invariant for NoThreadIdlesWhileLeavesWait {
    fn saw(&mut self, now_us: u64, ledger: &Ledger, observation: &Observation<'_>) -> Result<(), String> {
        let Observation::Ruled { actions, machine, .. } = observation else { return Ok(()) };
        let is_end = |action: &Action| {
            matches!(action, Action::Disputed { .. } | Action::NonFinite { .. } | Action::Anew { .. })
        };
        // Nothing follows from a round that is to begin again.
        if actions.iter().any(is_end) || ledger.is_void {
            return Ok(());
        }
        let needed = if ledger.started { self.0.min } else { self.0.start };
        if (ledger.members.len() as u32) < needed {
            return Ok(());
        }
        let mut idle = ledger.members.iter().filter(|&(&who, holder)| {
            let out: usize = holder.pieces.iter().map(|&node| ledger.leaves_below(node).len()).sum();
            let is_left_out = machine.would_be_waited_for(now_us, who)
                && ledger.members.iter().any(|(&other, holder)| other != who && !holder.pieces.is_empty());
            out < holder.threads as usize && !is_left_out
        });
        match idle.find_map(|(who, holder)| Some((who, holder, ledger.waiting(holder.instance)?))) {
            Some((who, holder, leaf)) => {
                let threads = holder.threads;
                let pieces = &holder.pieces;
                Err(format!(
                    "leaf {leaf} waits, and of the {threads} threads of {who} only {pieces:?} is taken"
                ))
            }
            None => Ok(()),
        }
    }
}
