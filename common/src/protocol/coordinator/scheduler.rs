//! Which member gets which piece next, how large, and what for. When a piece is late is decided in `timeouts`.

use super::timeouts::LEAF_US_UNKNOWN;
use super::{Action, Coordinator, Member, PIECE_LEAVES_MAX, Purpose};
use crate::ids::Incarnation;
use crate::reduce::tree::Node;

/// In which a member's weight counts its leaves: long, so that a slow one's is not rounded away.
const WEIGHT_US: u64 = 1_000_000_000;
/// How often a waiting coordinator says so.
pub(super) const WAITING_NOTICE_US: u64 = 10_000_000;

/// What some members have before them.
#[derive(Clone, Copy, Debug)]
struct Outlook {
    /// Leaves that wait, and those that they were given.
    left: u32,
    threads: u32,
    weight: u64,
    /// What the fastest of them needs for a leaf.
    fastest_us: Option<u64>,
}

impl Coordinator {
    /// Hands pieces to members with idle threads, when enough members are there.
    pub(super) fn schedule(&mut self, now_us: u64, actions: &mut Vec<Action>) {
        let work = self.work.as_ref().is_some_and(|work| !work.complete && !work.is_void);
        (self.redeal_due_us, self.copy_due_us, self.opinion_due_us) = (None, None, None);
        if !work || !self.has_enough() {
            self.notice(now_us, work.then_some(self.needed()), actions);
            return;
        }
        self.notice_due_us = None;
        self.started = true;
        // Before all else: a run that has diverged is to be known as such before each of its leaves has dropped a member.
        self.deal_opinions(now_us, Purpose::Opinion, actions);
        // A piece may be less than its member's share, because pieces are aligned: then there is more to hand out.
        while self.deal_once(now_us, actions) || self.deal_ahead(now_us, actions) {}
        self.redeal_due_us = self.next_late_us(now_us);
        if self.waiting() == 0 {
            self.deal_opinions(now_us, Purpose::Audit, actions);
            self.copy_due_us = self.deal_copies(now_us, actions);
        }
        self.opinion_due_us = self.next_opinion_us(now_us);
    }

    /// Hands late pieces to idle members; returns when the next one is late that one of them could take.
    fn deal_copies(&mut self, now_us: u64, actions: &mut Vec<Action>) -> Option<u64> {
        if let Some(late_us) = self.late_due_us.filter(|&late_us| now_us < late_us) {
            return Some(late_us);
        }
        loop {
            let to = self.idle_helper(now_us)?;
            let periods = self.periods();
            let (ends_us, late) = periods.values().map(|period| (period.ends_us(), period.node)).min()?;
            if ends_us > now_us {
                self.late_due_us = Some(ends_us);
                return Some(ends_us);
            }
            let share = share(self.weight(&self.members[&to]), self.total_weight());
            let is_late = |leaf: u32| periods.get(&leaf).is_some_and(|period| period.ends_us() <= now_us);
            let queue = &mut self.work.as_mut()?.queue;
            let copy = queue.copy(late, share(queue.leaves_below(late)), is_late)?;
            self.hand_out(now_us, to, copy, Purpose::Copy, actions);
        }
    }

    /// The oldest member that has nothing to do and is known to answer.
    fn idle_helper(&self, now_us: u64) -> Option<Incarnation> {
        self.looks_at(self.members.len());
        let mut idle = self.members.iter().filter(|(_, member)| member.pieces.is_empty());
        idle.find(|(_, member)| !self.is_late(now_us, None, member)).map(|(&who, _)| who)
    }

    /// Where leaves wait for others than an idle member: when the first of those is late, and no more to be counted on.
    fn next_late_us(&self, now_us: u64) -> Option<u64> {
        let is_left_out = self.waiting() > 0 && self.members.values().any(|m| self.idle_threads(m) > 0);
        if !is_left_out {
            return None;
        }
        let free = self.members.values().filter_map(|member| self.free_us(member));
        free.filter(|&free_us| free_us >= now_us).min().map(|free_us| free_us + 1)
    }

    /// Offers a piece to each member with idle threads that is of use; whether one was handed out.
    fn deal_once(&mut self, now_us: u64, actions: &mut Vec<Action>) -> bool {
        if self.waiting() == 0 {
            return false;
        }
        let outlook = self.outlook(now_us);
        let is_of_use = |member| !self.is_too_slow(now_us, member, outlook);
        let hungry = self.members.iter().filter(|(_, m)| self.idle_threads(m) > 0 && is_of_use(m));
        let hungry: Vec<Incarnation> = hungry.map(|(&who, _)| who).collect();
        let total = self.total_weight();
        let waiting = self.waiting();
        let mut any = false;
        for to in hungry {
            let share = share(self.weight(&self.members[&to]), total);
            any |= self.grant(now_us, to, share(waiting), actions).is_some();
        }
        any
    }

    /// Offers a piece to the busy member that will be free first, to begin then: asking for it would cost a round trip in
    /// which nothing is computed. Each has at most one such piece; what waits beyond that goes to whoever is free. Whether
    /// one was handed out.
    fn deal_ahead(&mut self, now_us: u64, actions: &mut Vec<Action>) -> bool {
        let waiting = self.waiting();
        let first = if waiting > 0 { self.free_first(now_us) } else { None };
        let Some(to) = first.filter(|to| self.members[to].ahead.is_none()) else { return false };
        let share = share(self.weight(&self.members[&to]), self.total_weight());
        let Some(node) = self.grant(now_us, to, share(waiting), actions) else { return false };
        if let Some(member) = self.members.get_mut(&to) {
            member.ahead = Some(node);
        }
        true
    }

    /// Whether the others should have done all that is left before this member has done a single leaf, by their speed so
    /// far: then it gets none of it. One that is late already is not counted on.
    #[must_use]
    pub fn would_be_waited_for(&self, now_us: u64, who: Incarnation) -> bool {
        self.members.get(&who).is_some_and(|member| self.is_too_slow(now_us, member, self.outlook(now_us)))
    }

    fn is_too_slow(&self, now_us: u64, member: &Member, all: Outlook) -> bool {
        let (Some(own_us), Some(fastest_us)) = (member.leaf_us, all.fastest_us) else { return false };
        let mut others = all;
        if self.is_on_time(now_us, member) {
            others.left -= self.leaves_of(member);
            others.threads -= member.threads;
            others.weight -= self.weight(member);
        }
        if others.threads == 0 {
            return false;
        }
        let turns_us = fastest_us.saturating_mul(others.left.div_ceil(others.threads).into());
        own_us > turns_us.max(u64::from(others.left) * WEIGHT_US / others.weight)
    }

    /// What all that are not late have before them.
    fn outlook(&self, now_us: u64) -> Outlook {
        self.looks_at(self.members.len());
        let mut outlook = Outlook { left: self.waiting(), threads: 0, weight: 0, fastest_us: None };
        for member in self.members.values().filter(|member| self.is_on_time(now_us, member)) {
            outlook.left += self.leaves_of(member);
            outlook.threads += member.threads;
            outlook.weight += self.weight(member);
            outlook.fastest_us = outlook.fastest_us.into_iter().chain(member.leaf_us).min();
        }
        outlook
    }

    /// Whether a member should be at what it was given, or has nothing.
    fn is_on_time(&self, now_us: u64, member: &Member) -> bool {
        self.free_us(member).is_none_or(|free_us| free_us >= now_us)
    }

    /// Leaves that it was given.
    fn leaves_of(&self, member: &Member) -> u32 {
        member.pieces.keys().map(|&node| self.leaves_below(node)).sum()
    }

    /// Who has done first what it was given, by its speed so far; one that is later than that already is not counted on.
    fn free_first(&self, now_us: u64) -> Option<Incarnation> {
        let free = self.members.iter().filter_map(|(&who, member)| Some((self.free_us(member)?, who)));
        free.filter(|&(free_us, _)| free_us >= now_us).min().map(|(_, who)| who)
    }

    /// When a busy member should be free.
    fn free_us(&self, member: &Member) -> Option<u64> {
        let began_us = *member.pieces.values().min()?;
        let turns = u64::from(self.leaves_of(member).div_ceil(member.threads));
        let leaf_us = member.leaf_us.or_else(|| self.fastest_leaf_us()).unwrap_or(LEAF_US_UNKNOWN);
        Some(began_us.saturating_add(leaf_us.saturating_mul(turns)))
    }

    /// Leaves that nobody computes and that are not done.
    pub(super) fn waiting(&self) -> u32 {
        self.work.as_ref().map_or(0, |work| work.queue.waiting())
    }

    fn notice(&mut self, now_us: u64, needed: Option<u32>, actions: &mut Vec<Action>) {
        let Some(needed) = needed else {
            self.notice_due_us = None;
            return;
        };
        if self.notice_due_us.is_none_or(|due| due <= now_us) {
            self.notice_due_us = Some(now_us + WAITING_NOTICE_US);
            actions.push(Action::Waiting { live: self.members.len() as u32, needed });
        }
    }

    /// Gives one member a piece of at most `most` waiting leaves.
    fn grant(&mut self, now_us: u64, to: Incarnation, most: u32, actions: &mut Vec<Action>) -> Option<Node> {
        let node = self.work.as_mut()?.queue.take(most)?;
        self.hand_out(now_us, to, node, Purpose::First, actions);
        Some(node)
    }

    /// Tells one member to compute a piece that the queue counts as out.
    pub(super) fn hand_out(
        &mut self,
        now_us: u64,
        to: Incarnation,
        node: Node,
        purpose: Purpose,
        actions: &mut Vec<Action>,
    ) {
        let round = self.work.as_ref().map(|work| work.round);
        if let (Some(member), Some(round)) = (self.members.get_mut(&to), round) {
            // The only worker may be asked a second time.
            member.answered.remove(&node);
            member.begins(now_us, round, node);
            self.late_due_us = None;
            actions.push(Action::Grant { to, round, node, purpose });
        }
    }

    pub(super) fn has_enough(&self) -> bool {
        self.members.len() as u32 >= self.needed()
    }

    fn needed(&self) -> u32 {
        if self.started { self.limits.min } else { self.limits.start }
    }

    pub(super) fn idle_threads(&self, member: &Member) -> u32 {
        member.threads.saturating_sub(self.leaves_of(member))
    }

    pub(super) fn leaves_below(&self, node: Node) -> u32 {
        self.work.as_ref().map_or(0, |work| work.queue.leaves_below(node))
    }

    fn total_weight(&self) -> u64 {
        self.members.values().map(|member| self.weight(member)).sum()
    }

    /// Leaves in [`WEIGHT_US`]: the share of the queue that a member can take.
    fn weight(&self, member: &Member) -> u64 {
        let leaf_us = member.leaf_us.or_else(|| self.fastest_leaf_us()).unwrap_or(LEAF_US_UNKNOWN).max(1);
        (u64::from(member.threads) * WEIGHT_US / leaf_us).max(1)
    }
}

/// How many of some leaves are a member's. Rounded to the nearest: equal members whose measurements differ slightly get
/// equal shares.
fn share(weight: u64, total: u64) -> impl Fn(u32) -> u32 {
    move |leaves| {
        ((u64::from(leaves) * weight + total / 2) / total).clamp(1, u64::from(PIECE_LEAVES_MAX)) as u32
    }
}
