//! A removed member returns the pieces that it holds, and no others. Leaves that are done are never handed
//! out again. A leaf that two members compute is not given to a third at once.

use super::{Invariant, Ledger, Observation};
use common::protocol::coordinator::{Action, Purpose};

/// Shortest time of a computation before a backup task begins.
const PERIOD_US: u64 = 50_000;

pub(super) struct DeathsCostTheirOwnPieces;

impl Invariant for DeathsCostTheirOwnPieces {
    fn saw(&mut self, now_us: u64, ledger: &Ledger, observation: &Observation<'_>) -> Result<(), String> {
        match observation {
            Observation::Acted(Action::Removed { member, returned, .. }) => {
                let held = ledger.members.get(member).map(|holder| &holder.pieces);
                if held.is_none() && ledger.spares.contains_key(member) && returned.is_empty() {
                    return Ok(());
                }
                if held.is_none_or(|held| !held.keys().eq(returned)) {
                    return Err(format!("{member} held {held:?} and returned {returned:?}"));
                }
            }
            Observation::Acted(Action::Grant { to, round, node, purpose }) => {
                let Some(open) = ledger.round(*round) else {
                    return Err(format!("piece {node} of round {round}, which is over, is granted to {to}"));
                };
                let below = open.leaves_below(*node);
                let out = ledger.out(open);
                if below.is_empty() {
                    return Err(format!("piece {node}, granted to {to}, has no leaf"));
                }
                for leaf in below {
                    let computing = out[leaf as usize];
                    let done = open.is_done(leaf);
                    let is_right = match purpose {
                        Purpose::Primary => !done && computing == 0,
                        Purpose::Backup if computing > 1 => {
                            !done && ledger.last_granted_us(open, leaf) + PERIOD_US <= now_us
                        }
                        Purpose::Backup => !done && computing == 1,
                        Purpose::Audit => done,
                        Purpose::Opinion => open.doubts.contains_key(node),
                    };
                    if !is_right {
                        return Err(format!(
                            "leaf {leaf} is granted to {to} as {purpose:?}, done: {done}, computed by {computing}"
                        ));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
