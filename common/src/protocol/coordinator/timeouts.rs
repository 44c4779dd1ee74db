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
//! Speeds are those of the piece's run. All other assignments are decided in `scheduler`.

use super::member::{Abandoned, InWork};
use super::{Action, Cause, Coordinator, Member, OpenRound, Piece};
use crate::ids::{Incarnation, SetupId};
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
            let owed = member.owes.as_ref();
            let owed = owed.filter(|_| self.answer_due_us(member).is_some_and(|due| due <= now_us))?;
            let waited_us = now_us.saturating_sub(owed.since_us);
            let Piece { round, node } = owed.piece;
            Some((who, Cause::NoAnswer { round, node, waited_us }))
        });
        let overdue: Vec<_> = silent.chain(unanswering).collect();
        for (who, cause) in overdue {
            self.remove(who, cause, actions);
        }
    }

    /// When a member is dropped if nothing of an answer arrives.
    fn answer_due_us(&self, member: &Member) -> Option<u64> {
        let owed = member.owes.as_ref()?;
        let mut begun = BTreeMap::<SetupId, u32>::new();
        for (&piece, work) in &member.pieces {
            *begun.entry(work.run).or_default() +=
                if member.prefetched == Some(piece) { 0 } else { work.leaves };
        }
        for (&run, &Abandoned { leaves, .. }) in &owed.abandoned {
            begun.entry(run).and_modify(|now| *now = leaves.max(*now)).or_insert(leaves);
        }
        if begun.is_empty() {
            begun.insert(owed.run, 0);
        }
        let patience = begun.iter().map(|(&run, &leaves)| self.patience_us(member, run, leaves));
        Some(patience.fold(owed.since_us.saturating_add(owed.ended_us), u64::saturating_add))
    }

    /// The longest time that a member has for so many leaves of that run.
    pub(super) fn patience_us(&self, member: &Member, run: SetupId, leaves: u32) -> u64 {
        let turns = u64::from(leaves.div_ceil(member.threads)).max(1);
        match member.answered_leaf_us(run) {
            None => self.limits.answer_timeout_us.saturating_mul(turns),
            Some(leaf_us) => {
                (ANSWER_TIMES * turns).saturating_mul(leaf_us).max(self.limits.answer_timeout_us_min)
            }
        }
    }

    /// Whether a member is late with a piece of an open round, or owes an answer from an earlier one.
    pub(super) fn is_late(&self, now_us: u64, member: &Member) -> bool {
        let is_old = member.owes.as_ref().is_some_and(|owed| !self.rounds.contains_key(&owed.piece.round));
        let is_late = |(&piece, &work): (&Piece, &InWork)| self.period(member, piece, work).late_us <= now_us;
        is_old || member.pieces.iter().any(is_late)
    }

    /// The leaves of a round that are out, each with the time until a backup task for it may start.
    pub(super) fn periods(&self, open: &OpenRound) -> BTreeMap<u32, Period> {
        let OpenRound { number, queue, cases, .. } = open;
        let mut periods = BTreeMap::<u32, Period>::new();
        // These pieces wait for another opinion instead (`opinions`).
        let doubted: BTreeSet<u32> = cases.kept().flat_map(|node| queue.undone_below(node)).collect();
        for member in self.members.values() {
            self.looks_at(1 + member.pieces.len());
            for (&piece, &work) in member.pieces.iter().filter(|(piece, _)| piece.round == *number) {
                let period = self.period(member, piece, work);
                for leaf in queue.undone_below(piece.node).filter(|leaf| !doubted.contains(leaf)) {
                    periods.entry(leaf).and_modify(|before| *before = before.and(period)).or_insert(period);
                }
            }
        }
        periods
    }

    /// When the next member becomes late.
    pub(super) fn next_end_us(&self, now_us: u64) -> Option<u64> {
        let pieces =
            self.members.values().flat_map(|m| m.pieces.iter().map(move |(&at, &work)| (m, at, work)));
        let periods = pieces.map(|(member, piece, work)| self.period(member, piece, work));
        periods.map(|period| period.late_us).filter(|&late_us| late_us > now_us).min()
    }

    /// The time that a member has for a piece that it holds.
    pub(super) fn period(&self, member: &Member, piece: Piece, work: InWork) -> Period {
        // A prefetched piece begins after the others.
        let is_after_all = member.prefetched == Some(piece);
        let mut patience_us = 0_u64;
        let mut own_us = Some(0_u64);
        for open in self.rounds.values() {
            let leaves = match (is_after_all, open.number == piece.round) {
                (true, _) => member.leaves_of(open.number),
                (false, true) => work.leaves,
                (false, false) => continue,
            };
            let turns = u64::from(leaves.div_ceil(member.threads));
            let leaf_us = open.fastest_leaf_us().unwrap_or(LEAF_US_UNKNOWN);
            patience_us = patience_us.saturating_add((LATE_TIMES * turns).saturating_mul(leaf_us));
            let known_us = if turns > 0 { member.leaf_us(open.run) } else { Some(0) };
            own_us = own_us.zip(known_us).map(|(sum, us)| sum.saturating_add(us.saturating_mul(turns)));
        }
        let patience_us = patience_us.max(LATE_AFTER_US_MIN);
        let is_known_late = own_us.is_some_and(|own_us| own_us >= patience_us);
        let late_us = work.began_us.saturating_add(patience_us);
        let due_us = if is_known_late { work.began_us } else { late_us };
        Period { due_us, late_us, node: piece.node, is_single: true }
    }
}
