//! Lower bounds of what is due among all members, so that not every event looks at each of them.
//!
//! A round has as many events as leaves. If each event looked at all members, the cost of a round would be
//! the square of their number. So deadlines are kept as lower bounds. A bound is computed anew only when it
//! is reached, or when something has happened that can bring the next deadline nearer. A tick that comes too
//! early costs one look.

use super::timeouts::LEAF_US_UNKNOWN;
use super::{Coordinator, Member};
use crate::ids::{Incarnation, Round, SetupId};
use std::collections::BTreeSet;

impl Coordinator {
    /// Counts the members and pieces that are looked at one by one: a test bounds the count.
    pub(super) fn looks_at(&self, _many: usize) {
        #[cfg(test)]
        self.looks.set(self.looks.get() + _many);
    }

    /// Computes the next member's drop time if the bound has been reached. Whatever an event begins to wait
    /// for is due no earlier than after the shortest of all limits.
    pub(super) fn look_for_drops(&mut self, now_us: u64) {
        let limits = &self.limits;
        let shortest_us =
            limits.heartbeat_timeout_us.min(limits.answer_timeout_us).min(limits.answer_timeout_us_min);
        self.drop_due_us = match self.drop_due_us.filter(|&due_us| now_us < due_us) {
            Some(due_us) => Some(due_us.min(now_us.saturating_add(shortest_us))),
            None => self.next_drop_us(),
        };
    }

    /// Members with a measured time for a leaf of that run, fastest first.
    pub(super) fn by_speed(&self, run: SetupId) -> BTreeSet<(u64, Incarnation)> {
        self.looks_at(self.members.len());
        self.members.iter().filter_map(|(&who, member)| Some((member.leaf_us(run)?, who))).collect()
    }

    /// Updates the bounds after a member's time for a leaf of that round was measured; `before` is its
    /// earlier time.
    pub(super) fn has_measured(&mut self, who: Incarnation, round: Round, before: Option<u64>) {
        let (Some(member), Some(open)) = (self.members.get(&who), self.rounds.get_mut(&round)) else {
            return;
        };
        let measure_before = open.by_speed.first().map_or(LEAF_US_UNKNOWN, |&(leaf_us, _)| leaf_us);
        if let Some(leaf_us) = before {
            open.by_speed.remove(&(leaf_us, who));
        }
        open.by_speed.extend(member.leaf_us(open.run).map(|leaf_us| (leaf_us, who)));
        // The fastest member's time decides who is late.
        let is_stricter = open.by_speed.first().is_some_and(|&(leaf_us, _)| leaf_us < measure_before);
        let is_doubted = !open.cases.0.is_empty();
        if is_stricter || is_doubted {
            open.late_due_us = None;
        }
        // It may have begun a prefetched piece, of any round.
        if !member.pieces.is_empty() {
            self.rounds.values_mut().for_each(|open| open.late_due_us = None);
        }
    }

    /// Updates the bounds after a member was removed.
    pub(super) fn has_gone(&mut self, who: Incarnation, member: &Member) {
        self.drop_due_us = None;
        for open in self.rounds.values_mut() {
            open.late_due_us = None;
            if let Some(leaf_us) = member.leaf_us(open.run) {
                open.by_speed.remove(&(leaf_us, who));
            }
        }
    }
}
