//! A run is stopped for a non-finite leaf only when three workers have found it so with the same bits, or all
//! that are there have. If all three are of one origin, those of others have been asked. It is stopped for
//! workers that differ only when there is no third, or the third agrees with none of them. A worker that has
//! answered nothing is not waited for without end.

use super::ledger::{Doubt, Holder, OpenRound};
use super::{Invariant, Ledger, Observation};
use common::ids::SetupId;
use common::protocol::coordinator::{Action, Event, Limits, Verdict};
use common::reduce::tree::Node;
use std::collections::BTreeMap;

/// Number of workers that are enough, whoever else is there.
const ENOUGH: usize = 3;

pub(super) struct ThreeOpinionsStopARun {
    answer_timeout_us_min: u64,
    /// When the last leaf of each run's last round was accepted.
    done_us: BTreeMap<SetupId, u64>,
}

impl ThreeOpinionsStopARun {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { answer_timeout_us_min: limits.answer_timeout_us_min, done_us: BTreeMap::new() }
    }

    /// Whether the opinion on a piece is waited for no longer of a worker that has answered nothing.
    fn is_over(&self, now_us: u64, open: &OpenRound, node: Node) -> bool {
        let since_us = self.done_us.get(&open.run).or(open.doubted_us.get(&node));
        since_us.is_some_and(|&since_us| since_us + self.answer_timeout_us_min <= now_us)
    }

    fn disputed(
        &self,
        now_us: u64,
        ledger: &Ledger,
        open: &OpenRound,
        node: Node,
        workers: &[String],
    ) -> Result<(), String> {
        let is_named = |holder: &&Holder| workers.contains(&holder.name);
        let named = ledger.members.values().find(is_named).map(|holder| holder.numerics);
        let is_over = self.is_over(now_us, open, node);
        let is_worth = |holder: &Holder| holder.has_answered(open.run) || !is_over;
        let could_judge =
            |other: &&Holder| !is_named(other) && Some(other.numerics) == named && is_worth(other);
        match ledger.members.values().find(could_judge).filter(|_| workers.len() < ENOUGH) {
            Some(Holder { name, .. }) => {
                Err(format!("{workers:?} differ in piece {node}, and {name} was not asked"))
            }
            None => Ok(()),
        }
    }

    fn not_finite(
        &self,
        now_us: u64,
        ledger: &Ledger,
        open: &OpenRound,
        leaf: u32,
        workers: &[String],
    ) -> Result<(), String> {
        let nobody = BTreeMap::new();
        let doubts = open.doubts.get(&Node::leaf(leaf)).unwrap_or(&nobody);
        let not_finite =
            || doubts.values().filter(|doubt| matches!(doubt.verdict, Verdict::NonFinite { .. }));
        let agreeing = |own: &Doubt| not_finite().filter(|other| other.agrees(own)).count();
        let Some(believed) = not_finite().max_by_key(|own| agreeing(own)) else {
            return Err(format!("leaf {leaf} is not finite, say {workers:?}, who have not"));
        };
        let agreeing = agreeing(believed);
        let there = ledger.members.values().chain(ledger.spares.values());
        let is_over = self.is_over(now_us, open, Node::leaf(leaf));
        let of_one_origin = not_finite()
            .filter(|other| other.agrees(believed))
            .all(|other| !other.by.is_elsewhere(&believed.by));
        let has_said = |holder: &Holder| match doubts.get(&holder.process()) {
            Some(doubt) => agreeing >= ENOUGH || doubt.agrees(believed),
            None => !holder.has_answered(open.run) && is_over,
        };
        let must_have = |holder: &&Holder| {
            agreeing < ENOUGH || of_one_origin && holder.identity.is_elsewhere(&believed.by)
        };
        match there.filter(must_have).find(|holder| !has_said(holder)) {
            Some(Holder { name, .. }) => {
                Err(format!("{agreeing} call leaf {leaf} not finite, and {name} has not"))
            }
            None => Ok(()),
        }
    }
}

impl Invariant for ThreeOpinionsStopARun {
    fn saw(&mut self, now_us: u64, ledger: &Ledger, observation: &Observation<'_>) -> Result<(), String> {
        match observation {
            Observation::Ruled { event, .. } => {
                if let Event::Begin { run, .. } | Event::End(run) = event {
                    self.done_us.remove(run);
                }
                for open in ledger.rounds.values().filter(|open| open.is_complete()) {
                    self.done_us.entry(open.run).or_insert(now_us);
                }
                Ok(())
            }
            Observation::Acted(Action::Disputed { round, node, workers }) => {
                let open = ledger.round(*round);
                open.map_or(Ok(()), |open| self.disputed(now_us, ledger, open, *node, workers))
            }
            Observation::Acted(Action::NonFinite { round, leaf, workers }) => {
                let open = ledger.round(*round);
                open.map_or(Ok(()), |open| self.not_finite(now_us, ledger, open, *leaf, workers))
            }
            _ => Ok(()),
        }
    }
}
