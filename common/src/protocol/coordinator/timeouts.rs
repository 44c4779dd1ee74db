//! Timeout policy: how long a member may take, and what follows when it takes longer.
//!
//! 1. A member or spare that is silent for the heartbeat timeout is dropped.
//! 2. A piece is late when it takes [`LATE_TIMES`] as long as the fastest member would need. When nothing
//!    waits to be handed out, one backup task for it goes to an idle member. A member that is known to need
//!    that long is backed up at once.
//! 3. While a leaf stays unanswered, one more backup task for it may start after each further period of that
//!    length. Audits and opinions (`opinions`) are handed out again by the same rule.
//! 4. A member that is late itself gets neither a backup task nor an audit. A member that was late in an
//!    earlier round stays late until it answers.
//! 5. A member is dropped, even if it sends heartbeats, when nothing of an answer arrives for
//!    [`ANSWER_TIMES`] the time that it should need for all it has begun, by its own earlier answers. A
//!    heartbeat is no work; a part of an answer is.
//! 6. The time in rule 5 has a minimum, so that a short disturbance does not drop a fast member. A member
//!    that has answered nothing yet has a longer time for each leaf: its speed is unknown, and its first leaf
//!    follows all parameters.
//! 7. A dropped member that returns counts as one that has answered nothing. If it still answers nothing, it
//!    costs one late piece. Rule 4 and [`Member::forget_round`] keep it from costing a second one before it
//!    is dropped again.
//! 8. Once a round's leaves are done, its audits wait for members without an answer no longer than the
//!    minimum of rule 6, however many join. A doubted piece waits no longer than that for their opinions.
//!
//! All other assignments are decided in `scheduler`.

use super::{Action, Cause, Coordinator, CurrentRound, Member};
use crate::ids::Incarnation;
use crate::reduce::tree::Node;
use std::collections::{BTreeMap, BTreeSet};

/// Time for a leaf on one thread that is assumed before any has been measured.
pub(super) const LEAF_US_UNKNOWN: u64 = 2_000_000;
/// No piece younger than this is late: network jitter would outweigh the gain of a backup task.
pub(super) const LATE_AFTER_US_MIN: u64 = 50_000;
/// A piece is late when it takes this many times the time it should. The factor is above what other programs
/// on the machine usually cost. It is low enough that a step with a late piece takes only a few times as long
/// as one without.
const LATE_TIMES: u64 = 3;
/// A member is dropped when an answer takes this many times the time it should. Others have computed its
/// pieces by then, so dropping it only frees its place, and dropping one that would have answered costs its
/// next pieces.
const ANSWER_TIMES: u64 = 10;

/// Time that some members have for a leaf or an audit before one more member computes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Period {
    /// When the only member at work is late.
    due_us: u64,
    /// When the member that was asked last is late, whatever is known of its speed.
    late_us: u64,
    /// What that member computes.
    pub(super) node: Node,
    is_single: bool,
}

impl Period {
    /// Joins the period of another member at work.
    pub(super) fn and(self, other: Self) -> Self {
        let last = if self.late_us >= other.late_us { self } else { other };
        Self { is_single: false, ..last }
    }

    /// When one more member may compute it.
    pub(super) fn ends_us(self) -> u64 {
        if self.is_single { self.due_us } else { self.late_us }
    }
}

impl Coordinator {
    /// When `Tick` must come at the latest.
    #[must_use]
    pub fn next_deadline_us(&self) -> Option<u64> {
        let dues = [
            self.drop_due_us,
            self.notice_due_us,
            self.reschedule_due_us,
            self.backup_due_us,
            self.opinion_due_us,
        ];
        dues.into_iter().flatten().min()
    }

    /// When the first member or spare would be dropped if nothing arrived from any.
    pub(super) fn next_drop_us(&self) -> Option<u64> {
        self.looks_at(self.members.len() + self.spares.len());
        let silence = self.last_heard_us().map(|(_, at_us)| at_us + self.limits.heartbeat_timeout_us);
        let answers = self.members.values().filter_map(|member| self.answer_due_us(member));
        silence.chain(answers).min()
    }

    /// When each member and each spare was last heard.
    fn last_heard_us(&self) -> impl Iterator<Item = (Incarnation, u64)> {
        let members = self.members.iter().map(|(&who, member)| (who, member.last_heard_us));
        members.chain(self.spares.iter().map(|(&who, spare)| (who, spare.last_heard_us)))
    }

    /// Drops members that are silent, and members that send heartbeats but no answer.
    pub(super) fn drop_the_overdue(&mut self, now_us: u64, actions: &mut Vec<Action>) {
        let silence = self.last_heard_us().map(|(who, at_us)| (who, now_us.saturating_sub(at_us)));
        let timeout_us = self.limits.heartbeat_timeout_us;
        let silent = silence.filter(|&(_, silent_us)| silent_us >= timeout_us);
        let silent = silent.map(|(who, silent_us)| (who, Cause::Silent { silent_us }));
        let unanswering = self.members.iter().filter_map(|(&who, member)| {
            let owed = member.owes.filter(|_| self.answer_due_us(member).is_some_and(|due| due <= now_us))?;
            let waited_us = now_us.saturating_sub(owed.since_us);
            Some((who, Cause::NoAnswer { round: owed.round, node: owed.node, waited_us }))
        });
        let overdue: Vec<_> = silent.chain(unanswering).collect();
        for (who, cause) in overdue {
            self.remove(who, cause, actions);
        }
    }

    /// When a member is dropped if nothing of an answer arrives.
    fn answer_due_us(&self, member: &Member) -> Option<u64> {
        let owed = member.owes?;
        let begun = member.pieces.keys().filter(|&&node| member.prefetched != Some(node));
        let leaves = begun.map(|&node| self.leaves_below(node)).sum::<u32>().max(owed.leaves);
        let turns = u64::from(leaves.div_ceil(member.threads)).max(1);
        let patience_us = match member.answered_leaf_us {
            None => self.limits.answer_timeout_us.saturating_mul(turns),
            Some(leaf_us) => {
                (ANSWER_TIMES * turns).saturating_mul(leaf_us).max(self.limits.answer_timeout_us_min)
            }
        };
        Some(owed.since_us.saturating_add(patience_us))
    }

    /// When audits stop waiting for members that have answered nothing yet. `None` while leaves are missing.
    pub(super) fn newcomers_due_us(&self) -> Option<u64> {
        let done_us = self.work.as_ref()?.done_us?;
        Some(done_us.saturating_add(self.limits.answer_timeout_us_min))
    }

    /// Whether a member is late with a piece of this round, or owes an answer from an earlier one.
    pub(super) fn is_late(&self, now_us: u64, fastest_us: Option<u64>, member: &Member) -> bool {
        let round = self.work.as_ref().map(|work| work.round);
        let is_old = member.owes.is_some_and(|owed| Some(owed.round) != round);
        let is_late =
            |(&node, &at_us): (&Node, &u64)| self.period(fastest_us, member, node, at_us).late_us <= now_us;
        is_old || member.pieces.iter().any(is_late)
    }

    /// The leaves that are out, each with the time until a backup task for it may start.
    pub(super) fn periods(&self) -> BTreeMap<u32, Period> {
        let mut periods = BTreeMap::<u32, Period>::new();
        let Some(CurrentRound { queue, cases, .. }) = &self.work else { return periods };
        let fastest_us = self.fastest_leaf_us();
        // These pieces wait for another opinion instead (`opinions`).
        let doubted: BTreeSet<u32> = cases.kept().flat_map(|node| queue.undone_below(node)).collect();
        for member in self.members.values() {
            self.looks_at(1 + member.pieces.len());
            for (&node, &at_us) in &member.pieces {
                let period = self.period(fastest_us, member, node, at_us);
                for leaf in queue.undone_below(node).filter(|leaf| !doubted.contains(leaf)) {
                    periods.entry(leaf).and_modify(|before| *before = before.and(period)).or_insert(period);
                }
            }
        }
        periods
    }

    /// When the next member becomes late.
    pub(super) fn next_end_us(&self, now_us: u64) -> Option<u64> {
        let fastest_us = self.fastest_leaf_us();
        let pieces =
            self.members.values().flat_map(|m| m.pieces.iter().map(move |(&node, &at)| (m, node, at)));
        let periods = pieces.map(|(member, node, at_us)| self.period(fastest_us, member, node, at_us));
        periods.map(|period| period.late_us).filter(|&late_us| late_us > now_us).min()
    }

    /// The time that a member has for a piece that it was to begin at `granted_us`.
    pub(super) fn period(
        &self,
        fastest_us: Option<u64>,
        member: &Member,
        node: Node,
        granted_us: u64,
    ) -> Period {
        let leaf_us = fastest_us.unwrap_or(LEAF_US_UNKNOWN);
        // A prefetched piece begins after the others.
        let before = member.pieces.keys().filter(|_| member.prefetched == Some(node));
        let leaves = before.map(|&piece| self.leaves_below(piece)).sum::<u32>().max(self.leaves_below(node));
        let turns = u64::from(leaves.div_ceil(member.threads));
        let patience_us = (LATE_TIMES * turns).saturating_mul(leaf_us).max(LATE_AFTER_US_MIN);
        let is_known_late = member.leaf_us.is_some_and(|own_us| own_us.saturating_mul(turns) >= patience_us);
        let late_us = granted_us.saturating_add(patience_us);
        Period { due_us: if is_known_late { granted_us } else { late_us }, late_us, node, is_single: true }
    }

    /// The shortest time for a leaf on any member's thread: slow members are late by the others' measure.
    pub(super) fn fastest_leaf_us(&self) -> Option<u64> {
        let answered = || self.members.values().filter_map(|member| member.answered_leaf_us).min();
        self.by_speed.first().map_or_else(answered, |&(leaf_us, _)| Some(leaf_us))
    }
}
