//! No round is complete before each of its audited pieces has two equal answers of different workers, unless nobody is
//! there who could give the second; and no wrong number is applied where somebody was.
//!
//! It compares the values that workers sent, not the checksums that the coordinator made of them.

use super::{Invariant, Ledger, Sight};
use common::ids::Round;
use common::numerics::NumericsDigest;
use common::protocol::coordinator::{Action, Audit, Event};
use common::tree::Node;
use std::collections::BTreeMap;

pub(super) struct AuditedPiecesAgree {
    audit: Audit,
    /// Pieces with one answer: whose, and of what numerics.
    waiting: BTreeMap<Node, (String, NumericsDigest)>,
    /// Some of this round's pieces went unaudited, as nobody was there.
    gave_up: bool,
}

impl AuditedPiecesAgree {
    pub(super) fn new(audit: Audit) -> Self {
        Self { audit, waiting: BTreeMap::new(), gave_up: false }
    }

    fn answered(&mut self, ledger: &Ledger, event: &Event, actions: &[Action]) {
        let Event::Result { from, round, node, .. } = event else { return };
        let Some(holder) = ledger.members.get(from).filter(|_| ledger.is_current(*round)) else { return };
        if actions.contains(&Action::Accept { from: *from, node: *node }) {
            if self.audit.picks(*round, *node) {
                self.waiting.insert(*node, (holder.name.clone(), holder.numerics));
            }
            return;
        }
        let is_second = |(name, numerics): &(String, NumericsDigest)| {
            *name != holder.name && *numerics == holder.numerics
        };
        if self.waiting.get(node).is_some_and(is_second) {
            self.waiting.remove(node);
        }
    }

    fn completed(&mut self, ledger: &Ledger, round: Round) -> Result<(), String> {
        for (node, (name, numerics)) in &self.waiting {
            let mut others = ledger.members.values();
            if let Some(other) = others.find(|other| other.name != *name && other.numerics == *numerics) {
                let other = &other.name;
                return Err(format!(
                    "round {round} is complete, but only {name} has computed piece {node}, and {other} is there"
                ));
            }
        }
        self.gave_up = !self.waiting.is_empty();
        Ok(())
    }
}

impl Invariant for AuditedPiecesAgree {
    fn saw(&mut self, _: u64, ledger: &Ledger, sight: &Sight<'_>) -> Result<(), String> {
        match sight {
            Sight::Ruled { event, actions, .. } => {
                if matches!(event, Event::Begin { .. }) {
                    self.waiting.clear();
                    self.gave_up = false;
                }
                self.answered(ledger, event, actions);
                let complete = actions.iter().find_map(|action| match action {
                    Action::Complete(round) => Some(*round),
                    _ => None,
                });
                complete.map_or(Ok(()), |round| self.completed(ledger, round))
            }
            Sight::Committed { root, after } if root.wrong && !self.gave_up => {
                Err(format!("step {} applies a wrong number that an audit has seen", after.step - 1))
            }
            _ => Ok(()),
        }
    }
}
