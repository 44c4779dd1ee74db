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
//!    prefetched piece. The other leaves stay in the queue for whoever is free. A member with an idle thread
//!    is not busy: it would begin the piece at once, and it has got none by rule 3.
//! 5. A member that is later than its forecast is not counted on: nothing is prefetched for it, and rule 3
//!    leaves it out of "the others".
//! 6. When nothing waits, idle members audit pieces (`audits`) and compute late pieces too (backup tasks).
//!    `timeouts` decides when a piece is late.
//! 7. Pieces that need another worker's opinion come before all others (`opinions`): a run that has diverged
//!    must be recognised before each of its leaves has dropped a member.
//! 8. Where several runs have a round open, the oldest round comes first; what it leaves idle goes to the
//!    next one. A run's next round is the youngest, so runs take turns. A member's work for other runs counts
//!    as leaves of the round in question that would take as long.

use super::{Action, Coordinator, Member, OpenRound, PIECE_LEAVES_MAX, Piece, Purpose};
use crate::ids::{Incarnation, Round};

/// Time in which a member's weight counts its leaves. It is long, so that a slow member's weight is not
/// rounded away.
const WEIGHT_US: u64 = 1_000_000_000;
/// Most leaves that a member's work for other runs counts as: enough to be left out.
const LEAVES_MAX: u64 = 1 << 20;
/// Interval of the notices that the run waits for members.
pub(super) const WAITING_NOTICE_US: u64 = 10_000_000;

/// Work and speed of the members that are on time, as one round sees it.
#[derive(Clone, Copy, Debug)]
struct Forecast {
    /// Leaves that wait, and leaves that these members hold.
    left: u64,
    threads: u32,
    weight: u64,
    /// The fastest one's time for a leaf.
    fastest_us: Option<u64>,
}

impl Coordinator {
    /// Hands pieces to members with idle threads, when enough members are there.
    pub(super) fn schedule(&mut self, now_us: u64, actions: &mut Vec<Action>) {
        let open: Vec<Round> =
            self.rounds.values().filter(|open| open.wants_work()).map(|open| open.number).collect();
        if open.is_empty() || !self.has_enough() {
            self.forget_dues();
            self.notice(now_us, (!open.is_empty()).then_some(self.needed()), actions);
            return;
        }
        self.notice_due_us = None;
        self.started = true;
        // A diverged run must be recognised before each of its leaves has dropped a member.
        for &round in &open {
            self.schedule_opinions(now_us, round, Purpose::Opinion, actions);
        }
        loop {
            let before = actions.len();
            self.forget_dues();
            for &round in &open {
                self.schedule_round(now_us, round, actions);
            }
            // What one round has handed out can make a member useful for another.
            if open.len() == 1 || actions.len() == before {
                return;
            }
        }
    }

    fn forget_dues(&mut self) {
        self.reschedule_due_us = None;
        self.backup_due_us = None;
        self.opinion_due_us = None;
    }

    fn schedule_round(&mut self, now_us: u64, round: Round, actions: &mut Vec<Action>) {
        // Pieces are aligned, so one may be less than its member's share: then there is more to hand out.
        while self.schedule_once(now_us, round, actions) || self.prefetch_once(now_us, round, actions) {}
        let earliest = |one: Option<u64>, other: Option<u64>| one.into_iter().chain(other).min();
        if self.rounds.get(&round).is_some_and(|open| open.queue.waiting() > 0) {
            self.reschedule_due_us = earliest(self.reschedule_due_us, self.next_late_us(now_us));
        } else {
            self.schedule_opinions(now_us, round, Purpose::Audit, actions);
            let backup_us = self.schedule_backups(now_us, round, actions);
            self.backup_due_us = earliest(self.backup_due_us, backup_us);
        }
        let opinion_us = self.rounds.get(&round).and_then(|open| self.next_opinion_us(now_us, open));
        self.opinion_due_us = earliest(self.opinion_due_us, opinion_us);
    }

    /// Starts backup tasks on idle members for late pieces of a round. Returns when the next piece is late
    /// that one of them could take.
    fn schedule_backups(&mut self, now_us: u64, round: Round, actions: &mut Vec<Action>) -> Option<u64> {
        let late_us = self.rounds.get(&round)?.late_due_us;
        if let Some(late_us) = late_us.filter(|&late_us| now_us < late_us) {
            return Some(late_us);
        }
        loop {
            let to = self.idle_helper(now_us)?;
            let open = self.rounds.get(&round)?;
            let periods = self.periods(open);
            let (ends_us, late) = periods.values().map(|period| (period.ends_us(), period.node)).min()?;
            let share = share(open.weight(&self.members[&to]), self.total_weight(open));
            let open = self.rounds.get_mut(&round)?;
            if ends_us > now_us {
                open.late_due_us = Some(ends_us);
                return Some(ends_us);
            }
            let is_late = |leaf: u32| periods.get(&leaf).is_some_and(|period| period.ends_us() <= now_us);
            let node = open.queue.backup(late, share(open.queue.leaves_below(late)), is_late)?;
            self.hand_out(now_us, to, Piece { round, node }, Purpose::Backup, actions);
        }
    }

    /// The oldest member that has nothing to do and is known to answer.
    fn idle_helper(&self, now_us: u64) -> Option<Incarnation> {
        self.looks_at(self.members.len());
        let mut idle = self.members.iter().filter(|(_, member)| member.pieces.is_empty());
        idle.find(|(_, member)| !self.is_late(now_us, member)).map(|(&who, _)| who)
    }

    /// When a busy member that waiting leaves are reserved for becomes late: idle members may take them then.
    /// `None` unless a thread is idle.
    fn next_late_us(&self, now_us: u64) -> Option<u64> {
        if self.members.values().all(|member| member.idle_threads() == 0) {
            return None;
        }
        let free = self.members.values().filter_map(|member| self.free_us(member));
        free.filter(|&free_us| free_us >= now_us).min().map(|free_us| free_us + 1)
    }

    /// Offers a piece to each useful member with idle threads. Returns whether a piece was handed out.
    fn schedule_once(&mut self, now_us: u64, round: Round, actions: &mut Vec<Action>) -> bool {
        let Some(open) = self.rounds.get(&round).filter(|open| open.queue.waiting() > 0) else {
            return false;
        };
        let forecast = self.forecast(now_us, open);
        let is_of_use = |member| !self.is_too_slow(now_us, open, member, forecast);
        let idle = self.members.iter().filter(|(_, m)| m.idle_threads() > 0 && is_of_use(m));
        let total = self.total_weight(open);
        let waiting = open.queue.waiting();
        let most = idle.map(|(&who, member)| (who, share(open.weight(member), total)(waiting)));
        let most: Vec<(Incarnation, u32)> = most.collect();
        let mut any = false;
        for (to, most) in most {
            any |= self.grant(now_us, to, round, most, actions).is_some();
        }
        any
    }

    /// Offers a piece to the busy member that should be free first. Returns whether a piece was handed out.
    fn prefetch_once(&mut self, now_us: u64, round: Round, actions: &mut Vec<Action>) -> bool {
        let Some(open) = self.rounds.get(&round).filter(|open| open.queue.waiting() > 0) else {
            return false;
        };
        let first = self.free_first(now_us, open);
        let Some(to) = first.filter(|to| self.members[to].prefetched.is_none()) else { return false };
        let share = share(open.weight(&self.members[&to]), self.total_weight(open));
        let most = share(open.queue.waiting());
        let Some(piece) = self.grant(now_us, to, round, most, actions) else { return false };
        if let Some(member) = self.members.get_mut(&to) {
            member.prefetched = Some(piece);
        }
        true
    }

    /// Whether, at measured speeds, the other on-time members finish everything that is left of a round
    /// before `who` finishes one leaf. Giving it work would only delay the round.
    #[must_use]
    pub fn would_be_waited_for(&self, now_us: u64, round: Round, who: Incarnation) -> bool {
        let Some(open) = self.rounds.get(&round) else { return false };
        let forecast = || self.forecast(now_us, open);
        self.members.get(&who).is_some_and(|member| self.is_too_slow(now_us, open, member, forecast()))
    }

    fn is_too_slow(&self, now_us: u64, open: &OpenRound, member: &Member, all: Forecast) -> bool {
        let (Some(own_us), Some(fastest_us)) = (member.leaf_us(open.run), all.fastest_us) else {
            return false;
        };
        let mut others = all;
        if self.is_on_time(now_us, member) {
            others.left -= self.leaves_held(open, member);
            others.threads -= member.threads;
            others.weight -= open.weight(member);
        }
        if others.threads == 0 {
            return false;
        }
        let turns_us = fastest_us.saturating_mul(others.left.div_ceil(others.threads.into()));
        own_us > turns_us.max(others.left.saturating_mul(WEIGHT_US) / others.weight)
    }

    /// Work and speed of all members that are on time.
    fn forecast(&self, now_us: u64, open: &OpenRound) -> Forecast {
        self.looks_at(self.members.len());
        let left = open.queue.waiting().into();
        let mut forecast = Forecast { left, threads: 0, weight: 0, fastest_us: None };
        for member in self.members.values().filter(|member| self.is_on_time(now_us, member)) {
            forecast.left += self.leaves_held(open, member);
            forecast.threads += member.threads;
            forecast.weight += open.weight(member);
            forecast.fastest_us = forecast.fastest_us.into_iter().chain(member.leaf_us(open.run)).min();
        }
        forecast
    }

    /// Leaves that a member holds of a round, and as many more as would take as long as what it holds of
    /// others.
    fn leaves_held(&self, open: &OpenRound, member: &Member) -> u64 {
        let others = self.rounds.values().filter(|other| other.number != open.number);
        let times =
            others.map(|other| other.leaf_us(member).saturating_mul(member.leaves_of(other.number).into()));
        let others_us = times.fold(0, u64::saturating_add);
        u64::from(member.leaves_of(open.number)) + (others_us / open.leaf_us(member).max(1)).min(LEAVES_MAX)
    }

    /// Whether a member holds nothing, or is not later than its forecast.
    fn is_on_time(&self, now_us: u64, member: &Member) -> bool {
        self.free_us(member).is_none_or(|free_us| free_us >= now_us)
    }

    /// The member without an idle thread that should be free first for a piece of this round. Members later
    /// than their forecast are left out, and members that compute for another run of which no time for a leaf
    /// is known.
    fn free_first(&self, now_us: u64, open: &OpenRound) -> Option<Incarnation> {
        let is_unknown =
            |other: &&OpenRound| other.number != open.number && other.fastest_leaf_us().is_none();
        let unknown: Vec<Round> = self.rounds.values().filter(is_unknown).map(|other| other.number).collect();
        let is_known = |member: &Member| unknown.iter().all(|&round| member.leaves_of(round) == 0);
        let busy = self.members.iter().filter(|(_, m)| m.idle_threads() == 0 && is_known(m));
        let free = busy.filter_map(|(&who, member)| Some((self.free_us(member)?, who)));
        free.filter(|&(free_us, _)| free_us >= now_us).min().map(|(_, who)| who)
    }

    /// When a busy member should be free, by its speeds so far.
    fn free_us(&self, member: &Member) -> Option<u64> {
        let began_us = member.pieces.values().map(|work| work.began_us).min()?;
        let times = self.rounds.values().map(|open| {
            let turns = u64::from(member.leaves_of(open.number).div_ceil(member.threads));
            open.leaf_us(member).saturating_mul(turns)
        });
        Some(times.fold(began_us, u64::saturating_add))
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

    /// Gives one member a piece of at most `most` waiting leaves of a round.
    fn grant(
        &mut self,
        now_us: u64,
        to: Incarnation,
        round: Round,
        most: u32,
        actions: &mut Vec<Action>,
    ) -> Option<Piece> {
        let node = self.rounds.get_mut(&round)?.queue.take(most)?;
        let piece = Piece { round, node };
        self.hand_out(now_us, to, piece, Purpose::Primary, actions);
        Some(piece)
    }

    /// Tells a member to compute a piece that the queue counts as out.
    pub(super) fn hand_out(
        &mut self,
        now_us: u64,
        to: Incarnation,
        piece: Piece,
        purpose: Purpose,
        actions: &mut Vec<Action>,
    ) {
        let Piece { round, node } = piece;
        if let (Some(member), Some(open)) = (self.members.get_mut(&to), self.rounds.get_mut(&round)) {
            // The only worker may be asked a second time.
            member.answered.remove(&piece);
            member.begins(now_us, open.run, piece, open.queue.leaves_below(node));
            open.late_due_us = None;
            actions.push(Action::Grant { to, round, node, purpose });
        }
    }

    pub(super) fn has_enough(&self) -> bool {
        self.members.len() as u32 >= self.needed()
    }

    fn needed(&self) -> u32 {
        if self.started { self.limits.min } else { self.limits.start }
    }

    fn total_weight(&self, open: &OpenRound) -> u64 {
        self.members.values().map(|member| open.weight(member)).sum()
    }
}

impl OpenRound {
    /// Leaves that a member computes in [`WEIGHT_US`].
    fn weight(&self, member: &Member) -> u64 {
        (u64::from(member.threads) * WEIGHT_US / self.leaf_us(member).max(1)).max(1)
    }
}

/// A member's share of some leaves, rounded to the nearest: equal members whose measurements differ slightly
/// get equal shares.
fn share(weight: u64, total: u64) -> impl Fn(u32) -> u32 {
    move |leaves| {
        ((u64::from(leaves) * weight + total / 2) / total).clamp(1, u64::from(PIECE_LEAVES_MAX)) as u32
    }
}
