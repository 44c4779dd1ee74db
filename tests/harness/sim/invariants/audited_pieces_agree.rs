//! 1. A round is complete only when each of its audited pieces has two equal answers of different workers,
//!    unless no worker could give the second.
//! 2. A wrong number is applied only where no such worker was there.
//! 3. After a round's leaves have been done for as long as any answer may take, a worker that has answered no
//!    piece in time does not count.
//!
//! It compares the workers' values, not the checksums that the coordinator computed.

use super::ledger::Holder;
use super::{Invariant, Ledger, Observation};
use common::ids::{Process, Round, SetupId};
use common::protocol::coordinator::{Action, Audit, Event, Limits};
use common::reduce::tree::Node;
use common::selftest::NumericsDigest;
use std::collections::BTreeMap;

pub(super) struct AuditedPiecesAgree {
    audit: Audit,
    answer_timeout_us_min: u64,
    /// The last round of each run.
    rounds: BTreeMap<SetupId, Audited>,
    /// The worker, and its arithmetic, that gave the last accepted answer; it may have been dropped since.
    accepted_from: Option<(Process, NumericsDigest)>,
}

#[derive(Default)]
struct Audited {
    /// When the round's last leaf was accepted.
    done_us: Option<u64>,
    /// Pieces with one answer, each with the worker and its arithmetic.
    waiting: BTreeMap<Node, (Process, NumericsDigest)>,
    /// Whether pieces of this round went unaudited because no worker was there.
    gave_up: bool,
}

impl AuditedPiecesAgree {
    pub(super) fn new(limits: &Limits) -> Self {
        let Limits { audit, answer_timeout_us_min, .. } = *limits;
        Self { audit, answer_timeout_us_min, rounds: BTreeMap::new(), accepted_from: None }
    }

    fn answered(&mut self, ledger: &Ledger, event: &Event, actions: &[Action]) {
        let Event::Result { from, round, node, .. } = event else { return };
        let Some(open) = ledger.round(*round) else { return };
        let waiting = &mut self.rounds.entry(open.run).or_default().waiting;
        if actions.contains(&Action::Accept { from: *from, round: *round, node: *node }) {
            if let Some(by) = self.accepted_from.filter(|_| self.audit.picks(*round, *node)) {
                waiting.insert(*node, by);
            }
            return;
        }
        let Some(holder) = ledger.members.get(from) else { return };
        let is_second = |&(first, numerics): &(Process, NumericsDigest)| {
            first != holder.process() && numerics == holder.numerics
        };
        if waiting.get(node).is_some_and(is_second) {
            waiting.remove(node);
        }
    }

    fn completed(&mut self, now_us: u64, ledger: &Ledger, round: Round) -> Result<(), String> {
        let Some(open) = ledger.round(round) else { return Ok(()) };
        let audited = self.rounds.entry(open.run).or_default();
        let due_us = audited.done_us.map(|done_us| done_us + self.answer_timeout_us_min);
        let is_over = due_us.is_some_and(|due_us| due_us <= now_us);
        for (node, &(first, numerics)) in &audited.waiting {
            let is_worth = |other: &&Holder| other.has_answered(open.run) || !is_over;
            let mut others = ledger.members.values().filter(is_worth);
            if let Some(other) = others.find(|other| other.process() != first && other.numerics == numerics) {
                let other = &other.name;
                return Err(format!(
                    "round {round} is complete, but only worker {first:?} has computed piece {node}, and {other} is there"
                ));
            }
        }
        audited.gave_up = !audited.waiting.is_empty();
        Ok(())
    }
}

impl Invariant for AuditedPiecesAgree {
    fn saw(&mut self, now_us: u64, ledger: &Ledger, observation: &Observation<'_>) -> Result<(), String> {
        match observation {
            Observation::Acted(Action::Accept { from, .. }) => {
                let holder = ledger.members.get(from);
                self.accepted_from = holder.map(|holder| (holder.process(), holder.numerics));
                Ok(())
            }
            Observation::Ruled { event, actions, .. } => {
                if let Event::Begin { run, .. } | Event::End(run) = event {
                    self.rounds.remove(run);
                }
                self.answered(ledger, event, actions);
                for open in ledger.rounds.values().filter(|open| open.is_complete()) {
                    self.rounds.entry(open.run).or_default().done_us.get_or_insert(now_us);
                }
                let complete = actions.iter().filter_map(|action| match action {
                    Action::Complete(round) => Some(*round),
                    _ => None,
                });
                complete.into_iter().try_for_each(|round| self.completed(now_us, ledger, round))
            }
            Observation::Committed { run, root, after }
                if root.wrong && !self.rounds.get(run).is_some_and(|audited| audited.gave_up) =>
            {
                Err(format!("step {} applies a wrong number that an audit has seen", after.step - 1))
            }
            _ => Ok(()),
        }
    }
}
