//! What is known of all members without a look at each: who is fastest, and before when nothing is due.
//!
//! A round has as many events as leaves. If each of them looked at all members, a round would cost the square of their
//! number. So deadlines are kept as lower bounds: they are looked for again only when one is reached, or when something
//! has happened that can bring the next one nearer. A tick that comes too early for that costs one look and does no harm.

use super::timeouts::LEAF_US_UNKNOWN;
use super::{Coordinator, Member};
use crate::ids::Incarnation;

impl Coordinator {
    /// Counts what is looked at one by one: a test bounds it.
    pub(super) fn looks_at(&self, _many: usize) {
        #[cfg(test)]
        self.looks.set(self.looks.get() + _many);
    }

    /// Looks for the next member to drop, once nothing is known of it any more. Whatever an event begins to wait for, it is
    /// due no earlier than after the shortest of all limits.
    pub(super) fn look_for_drops(&mut self, now_us: u64) {
        let limits = &self.limits;
        let shortest_us =
            limits.heartbeat_timeout_us.min(limits.answer_timeout_us).min(limits.answer_timeout_us_min);
        self.drop_due_us = match self.drop_due_us.filter(|&due_us| now_us < due_us) {
            Some(due_us) => Some(due_us.min(now_us.saturating_add(shortest_us))),
            None => self.next_drop_us(),
        };
    }

    /// A round is over: other times for a leaf may be known of any member, and nothing is late.
    pub(super) fn has_forgotten_a_round(&mut self) {
        self.looks_at(self.members.len());
        let known = self.members.iter().filter_map(|(&who, member)| Some((member.leaf_us?, who)));
        self.by_speed = known.collect();
        self.late_due_us = None;
    }

    /// A member's time for a leaf has been measured; `before` is what was known of it.
    pub(super) fn has_measured(&mut self, who: Incarnation, before: Option<u64>) {
        let Some(member) = self.members.get(&who) else { return };
        let measure_before = self.by_speed.first().map_or(LEAF_US_UNKNOWN, |&(leaf_us, _)| leaf_us);
        if let Some(leaf_us) = before {
            self.by_speed.remove(&(leaf_us, who));
        }
        self.by_speed.extend(member.leaf_us.map(|leaf_us| (leaf_us, who)));
        // By the time of the fastest it is told who is late.
        let is_stricter = self.by_speed.first().is_some_and(|&(leaf_us, _)| leaf_us < measure_before);
        let is_doubted = self.work.as_ref().is_some_and(|work| !work.cases.0.is_empty());
        if is_stricter || is_doubted || !member.pieces.is_empty() {
            self.late_due_us = None;
        }
    }

    /// A member has gone, and what it held has been given back.
    pub(super) fn has_gone(&mut self, who: Incarnation, member: &Member) {
        (self.late_due_us, self.drop_due_us) = (None, None);
        if let Some(leaf_us) = member.leaf_us {
            self.by_speed.remove(&(leaf_us, who));
        }
    }
}
