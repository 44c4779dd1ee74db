//! While enough members are there, no member has an idle thread and a leaf waits; but for a run that is being stopped, and
//! for one that all others should be ready before: only while another is at work.

use super::{Invariant, Ledger, Sight};
use common::protocol::coordinator::{Action, Limits};

pub(super) struct NoThreadIdlesWhileLeavesWait(pub(super) Limits);

impl Invariant for NoThreadIdlesWhileLeavesWait {
    fn saw(&mut self, now_us: u64, ledger: &Ledger, sight: &Sight<'_>) -> Result<(), String> {
        let Sight::Ruled { actions, machine, .. } = sight else { return Ok(()) };
        if actions.iter().any(|action| matches!(action, Action::Disputed { .. })) {
            return Ok(());
        }
        let needed = if ledger.started { self.0.min } else { self.0.start };
        if (ledger.members.len() as u32) < needed {
            return Ok(());
        }
        let idle = ledger.members.iter().find(|&(&who, holder)| {
            let out: usize = holder.pieces.iter().map(|&node| ledger.leaves_below(node).len()).sum();
            let is_left_out = machine.would_be_waited_for(now_us, who)
                && ledger.members.iter().any(|(&other, holder)| other != who && !holder.pieces.is_empty());
            out < holder.threads as usize && !is_left_out
        });
        match (idle, ledger.waiting()) {
            (Some((who, holder)), Some(leaf)) => {
                let (threads, pieces) = (holder.threads, &holder.pieces);
                Err(format!(
                    "leaf {leaf} waits, and of the {threads} threads of {who} only {pieces:?} is taken"
                ))
            }
            _ => Ok(()),
        }
    }
}
