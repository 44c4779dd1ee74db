//! Scheduling policy: which member gets which piece next, how large, and what for.
//!
//! 1. A round's waiting leaves go to members with idle threads. A member's share is proportional to its
//!    weight: its threads divided by its measured time for a leaf. So all finish at about the same time. A
//!    member without a measurement counts as fast as the fastest.
//! 2. Pieces are aligned nodes of the reduction tree, of at most [`PIECE_LEAVES_MAX`] leaves. A piece may be
//!    smaller than its member's share, so shares are offered until nothing is taken any more.
//! 3. A member gets nothing if the others should finish all that is left before it finishes one leaf: the
//!    round would wait for it. `member` says when such a slow member is probed.
//! 4. Leaves that still wait are prefetched: the busy member that should be free first gets one piece in
//!    advance, so that it does not idle for a round trip between two pieces. Each member holds at most one
//!    prefetched piece. The other leaves stay in the queue for whoever is free.
//! 5. A member that is later than its forecast is not counted on: nothing is prefetched for it, and rule 3
//!    leaves it out of "the others".
//! 6. When nothing waits, idle members audit pieces (`audits`) and compute late pieces too (backup tasks).
//!    `timeouts` decides when a piece is late.
//! 7. Pieces that need another worker's opinion come before all others (`opinions`): a run that has diverged
//!    must be recognised before each of its leaves has dropped a member.

use super::timeouts::LEAF_US_UNKNOWN;
use super::{Action, Coordinator, Member, PIECE_LEAVES_MAX, Purpose};
use crate::ids::Incarnation;
use crate::reduce::tree::Node;

/// Time in which a member's weight counts its leaves. It is long, so that a slow member's weight is not
/// rounded away.
const WEIGHT_US: u64 = 1_000_000_000;
/// Interval of the notices that the run waits for members.
pub(super) const WAITING_NOTICE_US: u64 = 10_000_000;

/// Work and speed of the members that are on time.
#[derive(Clone, Copy, Debug)]
struct Forecast {
    /// Leaves that wait, and leaves that these members hold.
    left: u32,
    threads: u32,
    weight: u64,
    /// The fastest one's time for a leaf.
    fastest_us: Option<u64>,
}

impl Coordinator {
    /// Hands pieces to members with idle threads, when enough members are there.
    pub(super) fn schedule(&mut self, now_us: u64, actions: &mut Vec<Action>) {
        let is_open = self.work.as_ref().is_some_and(|work| !work.complete && !work.is_void);
        self.reschedule_due_us = None;
        self.backup_due_us = None;
        self.opinion_due_us = None;
        if !is_open || !self.has_enough() {
            self.notice(now_us, is_open.then_some(self.needed()), actions);
            return;
        }
        self.notice_due_us = None;
        self.started = true;
        // A diverged run must be recognised before each of its leaves has dropped a member.
        self.schedule_opinions(now_us, Purpose::Opinion, actions);
        // Pieces are aligned, so one may be less than its member's share: then there is more to hand out.
        while self.schedule_once(now_us, actions) || self.prefetch_once(now_us, actions) {}
        self.reschedule_due_us = self.next_late_us(now_us);
        if self.waiting() == 0 {
            self.schedule_opinions(now_us, Purpose::Audit, actions);
            self.backup_due_us = self.schedule_backups(now_us, actions);
        }
        self.opinion_due_us = self.next_opinion_us(now_us);
    }

    /// Starts backup tasks on idle members for late pieces. Returns when the next piece is late that one of
    /// them could take.
    fn schedule_backups(&mut self, now_us: u64, actions: &mut Vec<Action>) -> Option<u64> {
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
            let task = queue.backup(late, share(queue.leaves_below(late)), is_late)?;
            self.hand_out(now_us, to, task, Purpose::Backup, actions);
        }
    }

    /// The oldest member that has nothing to do and is known to answer.
    fn idle_helper(&self, now_us: u64) -> Option<Incarnation> {
        self.looks_at(self.members.len());
        let mut idle = self.members.iter().filter(|(_, member)| member.pieces.is_empty());
        idle.find(|(_, member)| !self.is_late(now_us, None, member)).map(|(&who, _)| who)
    }

    /// When a busy member that waiting leaves are reserved for becomes late: idle members may take them then.
    /// `None` unless leaves wait while a thread is idle.
    fn next_late_us(&self, now_us: u64) -> Option<u64> {
        let is_left_out = self.waiting() > 0 && self.members.values().any(|m| self.idle_threads(m) > 0);
        if !is_left_out {
            return None;
        }
        let free = self.members.values().filter_map(|member| self.free_us(member));
        free.filter(|&free_us| free_us >= now_us).min().map(|free_us| free_us + 1)
    }

    /// Offers a piece to each useful member with idle threads. Returns whether a piece was handed out.
    fn schedule_once(&mut self, now_us: u64, actions: &mut Vec<Action>) -> bool {
        if self.waiting() == 0 {
            return false;
        }
        let forecast = self.forecast(now_us);
        let is_of_use = |member| !self.is_too_slow(now_us, member, forecast);
        let idle = self.members.iter().filter(|(_, m)| self.idle_threads(m) > 0 && is_of_use(m));
        let idle: Vec<Incarnation> = idle.map(|(&who, _)| who).collect();
        let total = self.total_weight();
        let waiting = self.waiting();
        let mut any = false;
        for to in idle {
            let share = share(self.weight(&self.members[&to]), total);
            any |= self.grant(now_us, to, share(waiting), actions).is_some();
        }
        any
    }

    /// Offers a piece to the busy member that should be free first. Returns whether a piece was handed out.
    fn prefetch_once(&mut self, now_us: u64, actions: &mut Vec<Action>) -> bool {
        let waiting = self.waiting();
        let first = if waiting > 0 { self.free_first(now_us) } else { None };
        let Some(to) = first.filter(|to| self.members[to].prefetched.is_none()) else { return false };
        let share = share(self.weight(&self.members[&to]), self.total_weight());
        let Some(node) = self.grant(now_us, to, share(waiting), actions) else { return false };
        if let Some(member) = self.members.get_mut(&to) {
            member.prefetched = Some(node);
        }
        true
    }

    /// Whether, at measured speeds, the other on-time members finish everything that is left before `who`
    /// finishes one leaf. Giving it work would only delay the round.
    #[must_use]
    pub fn would_be_waited_for(&self, now_us: u64, who: Incarnation) -> bool {
        self.members.get(&who).is_some_and(|member| self.is_too_slow(now_us, member, self.forecast(now_us)))
    }

    fn is_too_slow(&self, now_us: u64, member: &Member, all: Forecast) -> bool {
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

    /// Work and speed of all members that are on time.
    fn forecast(&self, now_us: u64) -> Forecast {
        self.looks_at(self.members.len());
        let mut forecast = Forecast { left: self.waiting(), threads: 0, weight: 0, fastest_us: None };
        for member in self.members.values().filter(|member| self.is_on_time(now_us, member)) {
            forecast.left += self.leaves_of(member);
            forecast.threads += member.threads;
            forecast.weight += self.weight(member);
            forecast.fastest_us = forecast.fastest_us.into_iter().chain(member.leaf_us).min();
        }
        forecast
    }

    /// Whether a member holds nothing, or is not later than its forecast.
    fn is_on_time(&self, now_us: u64, member: &Member) -> bool {
        self.free_us(member).is_none_or(|free_us| free_us >= now_us)
    }

    /// Leaves that a member holds in this round.
    fn leaves_of(&self, member: &Member) -> u32 {
        member.pieces.keys().map(|&node| self.leaves_below(node)).sum()
    }

    /// The busy member that should be free first. Members later than their forecast are left out.
    fn free_first(&self, now_us: u64) -> Option<Incarnation> {
        let free = self.members.iter().filter_map(|(&who, member)| Some((self.free_us(member)?, who)));
        free.filter(|&(free_us, _)| free_us >= now_us).min().map(|(_, who)| who)
    }

    /// When a busy member should be free, by its speed so far.
    fn free_us(&self, member: &Member) -> Option<u64> {
        let began_us = *member.pieces.values().min()?;
        let turns = u64::from(self.leaves_of(member).div_ceil(member.threads));
        let leaf_us = member.leaf_us.or_else(|| self.fastest_leaf_us()).unwrap_or(LEAF_US_UNKNOWN);
        Some(began_us.saturating_add(leaf_us.saturating_mul(turns)))
    }

    /// Leaves that no member computes and that are not done.
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
        self.hand_out(now_us, to, node, Purpose::Primary, actions);
        Some(node)
    }

    /// Tells a member to compute a piece that the queue counts as out.
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

    /// Leaves that a member computes in [`WEIGHT_US`].
    fn weight(&self, member: &Member) -> u64 {
        let leaf_us = member.leaf_us.or_else(|| self.fastest_leaf_us()).unwrap_or(LEAF_US_UNKNOWN).max(1);
        (u64::from(member.threads) * WEIGHT_US / leaf_us).max(1)
    }
}

/// A member's share of some leaves, rounded to the nearest: equal members whose measurements differ slightly
/// get equal shares.
fn share(weight: u64, total: u64) -> impl Fn(u32) -> u32 {
    move |leaves| {
        ((u64::from(leaves) * weight + total / 2) / total).clamp(1, u64::from(PIECE_LEAVES_MAX)) as u32
    }
}
