//! Who is removed returns the pieces that it holds, no others; leaves that are done are never handed out again, and a
//! leaf of which two computations are out gets no third one at once.

use super::{Invariant, Ledger, Sight};
use common::protocol::coordinator::{Action, Purpose};

/// The shortest time that a computation has for itself before another one is begun besides.
const PERIOD_US: u64 = 50_000;

pub(super) struct DeathsCostTheirOwnPieces;

impl Invariant for DeathsCostTheirOwnPieces {
    fn saw(&mut self, now_us: u64, ledger: &Ledger, sight: &Sight<'_>) -> Result<(), String> {
        match sight {
            Sight::Acted(Action::Removed { member, returned, .. }) => {
                let held = ledger.members.get(member).map(|holder| &holder.pieces);
                if held.is_none() && ledger.spares.contains_key(member) && returned.is_empty() {
                    return Ok(());
                }
                if held.is_none_or(|held| !held.iter().eq(returned)) {
                    return Err(format!("{member} held {held:?} and returned {returned:?}"));
                }
            }
            Sight::Acted(Action::Grant { to, node, purpose, .. }) => {
                let (below, out) = (ledger.leaves_below(*node), ledger.out());
                if below.is_empty() {
                    return Err(format!("piece {node}, granted to {to}, has no leaf"));
                }
                for leaf in below {
                    let computing = out[leaf as usize];
                    let done = ledger.is_done(leaf);
                    let is_right = match purpose {
                        Purpose::Primary => !done && computing == 0,
                        Purpose::Backup if computing > 1 => {
                            !done && ledger.last_granted_us(leaf) + PERIOD_US <= now_us
                        }
                        Purpose::Backup => !done && computing == 1,
                        Purpose::Audit => done,
                        Purpose::Opinion => ledger.doubts.contains_key(node),
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
