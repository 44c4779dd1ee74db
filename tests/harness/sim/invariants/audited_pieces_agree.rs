//! No round is complete before each of its audited pieces has two equal answers of different workers, unless nobody is
//! there who could give the second; and no wrong number is applied where somebody was. Once a round's
//! leaves have been there for as long as any answer may take, one that has answered no piece in time counts as nobody.
//!
//! It compares the values that workers sent, not the checksums that the coordinator made of them.

use super::{Invariant, Ledger, Sight};
use common::ids::{Instance, Round};
use common::protocol::coordinator::{Action, Audit, Event, Limits};
use common::reduce::tree::Node;
use common::selftest::NumericsDigest;
use std::collections::BTreeMap;

pub(super) struct AuditedPiecesAgree {
    audit: Audit,
    answer_timeout_us_min: u64,
    /// When the round's last leaf was accepted.
    done_us: Option<u64>,
    /// Who gave the answer that was accepted last, and of what numerics; it may have been dropped for an earlier one since.
    accepted_from: Option<(Instance, NumericsDigest)>,
    /// Pieces with one answer: whose, and of what numerics.
    waiting: BTreeMap<Node, (Instance, NumericsDigest)>,
    /// Some of this round's pieces went unaudited, as nobody was there.
    gave_up: bool,
}

impl AuditedPiecesAgree {
    pub(super) fn new(limits: &Limits) -> Self {
        let Limits { audit, answer_timeout_us_min, .. } = *limits;
        Self {
            audit,
            answer_timeout_us_min,
            done_us: None,
            accepted_from: None,
            waiting: BTreeMap::new(),
            gave_up: false,
        }
    }

    fn answered(&mut self, ledger: &Ledger, event: &Event, actions: &[Action]) {
        let Event::Result { from, round, node, .. } = event else { return };
        if !ledger.is_current(*round) {
            return;
        }
        if actions.contains(&Action::Accept { from: *from, node: *node }) {
            if let Some(by) = self.accepted_from.filter(|_| self.audit.picks(*round, *node)) {
                self.waiting.insert(*node, by);
            }
            return;
        }
        let Some(holder) = ledger.members.get(from) else { return };
        let is_second = |&(first, numerics): &(Instance, NumericsDigest)| {
            first != holder.instance && numerics == holder.numerics
        };
        if self.waiting.get(node).is_some_and(is_second) {
            self.waiting.remove(node);
        }
    }

    fn completed(&mut self, now_us: u64, ledger: &Ledger, round: Round) -> Result<(), String> {
        let due_us = self.done_us.map(|done_us| done_us + self.answer_timeout_us_min);
        let is_over = due_us.is_some_and(|due_us| due_us <= now_us);
        for (node, &(first, numerics)) in &self.waiting {
            let mut others = ledger.members.values().filter(|other| other.leaf_us.is_some() || !is_over);
            if let Some(other) = others.find(|other| other.instance != first && other.numerics == numerics) {
                let other = &other.name;
                return Err(format!(
                    "round {round} is complete, but only worker {first} has computed piece {node}, and {other} is there"
                ));
            }
        }
        self.gave_up = !self.waiting.is_empty();
        Ok(())
    }
}

impl Invariant for AuditedPiecesAgree {
    fn saw(&mut self, now_us: u64, ledger: &Ledger, sight: &Sight<'_>) -> Result<(), String> {
        match sight {
            Sight::Acted(Action::Accept { from, .. }) => {
                let holder = ledger.members.get(from);
                self.accepted_from = holder.map(|holder| (holder.instance, holder.numerics));
                Ok(())
            }
            Sight::Ruled { event, actions, .. } => {
                if matches!(event, Event::Begin { .. }) {
                    self.waiting.clear();
                    self.gave_up = false;
                    self.done_us = None;
                }
                self.answered(ledger, event, actions);
                if self.done_us.is_none() && ledger.is_complete() {
                    self.done_us = Some(now_us);
                }
                let complete = actions.iter().find_map(|action| match action {
                    Action::Complete(round) => Some(*round),
                    _ => None,
                });
                complete.map_or(Ok(()), |round| self.completed(now_us, ledger, round))
            }
            Sight::Committed { root, after } if root.wrong && !self.gave_up => {
                Err(format!("step {} applies a wrong number that an audit has seen", after.step - 1))
            }
            _ => Ok(()),
        }
    }
}
