//! The coordinator's rules: who is a member, who computes which piece, when a round is complete, who is dropped.
//!
//! A *round* is one pass over the leaves of a step or of an evaluation. The shell begins a round, hands the accepted
//! values to the reduction, and begins the next one when this machine says `Complete`. This machine never sees a
//! tensor, a socket or a clock.

mod event;

pub use self::event::{Action, Cause, Event, Verdict};
use super::queue::Queue;
use crate::ids::{Incarnation, Rank, Round};
use crate::tree::Node;
use std::collections::BTreeMap;

/// How long a piece may take per leaf and thread before any has been measured.
const LEAF_US_UNKNOWN: u64 = 2_000_000;
/// No copy is made of a piece younger than this: below it the network's jitter outweighs the gain.
const COPY_AFTER_US_MIN: u64 = 50_000;
/// A piece that takes this many times what it should is copied to an idle worker.
const COPY_AFTER_TIMES: u64 = 3;
/// Most leaves of a piece: bounds what one death costs and what a worker must hold at once.
pub const PIECE_LEAVES_MAX: u32 = 64;
/// How often a waiting coordinator says so.
const WAITING_NOTICE_US: u64 = 10_000_000;

/// What an operator chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Members that must have joined before the first piece is handed out.
    pub start: u32,
    /// Members below which no piece is handed out.
    pub min: u32,
    /// Members above which a newcomer is refused.
    pub max: u32,
    /// Silence after which a member is dropped, in microseconds.
    pub heartbeat_timeout_us: u64,
}

/// A member as others may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its slot.
    pub rank: Rank,
    /// Leaves that it computes at once.
    pub threads: u32,
    last_heard_us: u64,
    /// Measured time of a leaf on one of its threads.
    leaf_us: Option<u64>,
    pieces: BTreeMap<Node, u64>,
}

impl Member {
    /// The pieces that it computes now.
    pub fn pieces(&self) -> impl Iterator<Item = Node> {
        self.pieces.keys().copied()
    }
}

/// The machine.
#[derive(Debug)]
pub struct Coordinator {
    limits: Limits,
    members: BTreeMap<Incarnation, Member>,
    next_incarnation: u64,
    round: Option<(Round, Queue)>,
    started: bool,
    notice_due_us: Option<u64>,
}

impl Coordinator {
    /// A coordinator without members or work, whose first member gets the number `first`.
    ///
    /// A coordinator that goes on where another ended must start above every number that the other gave: rounds count
    /// anew, so a worker tells what it computed for the other by that number alone.
    #[must_use]
    pub fn new(limits: Limits, first: Incarnation) -> Self {
        let members = BTreeMap::new();
        let next_incarnation = first.0;
        Self { limits, members, next_incarnation, round: None, started: false, notice_due_us: None }
    }

    /// The members, oldest first.
    pub fn members(&self) -> impl Iterator<Item = (Incarnation, &Member)> {
        self.members.iter().map(|(&incarnation, member)| (incarnation, member))
    }

    /// Takes one event in; returns what must be done, in order.
    pub fn on_event(&mut self, now_us: u64, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Join { connection, name, threads } => {
                self.join(now_us, connection, name, threads, &mut actions);
            }
            Event::Heard(from) => self.heard(now_us, from),
            Event::Result { from, round, node, verdict } => {
                self.heard(now_us, from);
                self.result(now_us, from, round, node, verdict, &mut actions);
            }
            Event::Invalid(from, what) => self.remove(from, Cause::Invalid(what), &mut actions),
            Event::Gone(from, why) => self.remove(from, Cause::Gone(why), &mut actions),
            Event::Leave(from) => self.remove(from, Cause::Left, &mut actions),
            Event::Begin { round, leaves } => self.begin(round, leaves),
            Event::Tick => self.drop_the_silent(now_us, &mut actions),
        }
        self.deal(now_us, &mut actions);
        actions
    }

    /// When `Tick` must come at the latest.
    #[must_use]
    pub fn next_deadline_us(&self) -> Option<u64> {
        let silence = self.members.values().map(|m| m.last_heard_us + self.limits.heartbeat_timeout_us);
        let can_copy = self.has_enough() && self.members.values().any(|m| m.pieces.is_empty());
        let copies = can_copy.then(|| self.overdue().first().map(|&(due_us, _)| due_us)).flatten();
        silence.chain(copies).chain(self.notice_due_us).min()
    }

    fn join(&mut self, now_us: u64, connection: u64, name: String, threads: u32, actions: &mut Vec<Action>) {
        let earlier = self.members.iter().find(|(_, m)| m.name == name).map(|(&i, _)| i);
        if let Some(earlier) = earlier {
            self.remove(earlier, Cause::Replaced, actions);
        }
        if self.members.len() as u32 >= self.limits.max {
            actions.push(Action::Full { connection, max: self.limits.max });
            return;
        }
        let taken = |rank: &u32| self.members.values().any(|m| m.rank.0 == *rank);
        let rank = Rank((0..self.limits.max).find(|r| !taken(r)).unwrap_or(self.limits.max));
        let incarnation = Incarnation(self.next_incarnation);
        self.next_incarnation += 1;
        let (last_heard_us, pieces) = (now_us, BTreeMap::new());
        let threads = threads.max(1);
        self.members
            .insert(incarnation, Member { name, rank, threads, last_heard_us, leaf_us: None, pieces });
        actions.push(Action::Welcome { connection, incarnation, rank });
    }

    fn heard(&mut self, now_us: u64, from: Incarnation) {
        if let Some(member) = self.members.get_mut(&from) {
            member.last_heard_us = now_us;
        }
    }

    fn begin(&mut self, round: Round, leaves: u32) {
        if let Some((before, queue)) = &self.round {
            assert!(*before < round, "round {round} begins after round {before}");
            assert!(queue.is_complete(), "round {round} begins while round {before} is incomplete");
        }
        for member in self.members.values_mut() {
            member.pieces.clear();
        }
        self.round = Some((round, Queue::new(leaves)));
    }

    fn result(
        &mut self,
        now_us: u64,
        from: Incarnation,
        round: Round,
        node: Node,
        verdict: Verdict,
        actions: &mut Vec<Action>,
    ) {
        let Some(member) = self.members.get_mut(&from) else {
            actions.push(Action::Discard { from });
            return;
        };
        let Some((current, queue)) = self.round.as_mut().filter(|(current, _)| *current >= round) else {
            self.remove(
                from,
                Cause::Invalid(format!("an answer to round {round}, which has not begun")),
                actions,
            );
            return;
        };
        if *current > round {
            actions.push(Action::Discard { from });
            return;
        }
        let Some(granted_us) = member.pieces.remove(&node) else {
            let what = format!("an answer to piece {node} of round {round}, which it was not given");
            self.remove(from, Cause::Invalid(what), actions);
            return;
        };
        if let Verdict::NonFinite { checksum } = verdict {
            let agreed = queue.non_finite(node, checksum);
            queue.give_back(node);
            actions.push(Action::Discard { from });
            match agreed {
                Some(leaf) => actions.push(Action::NonFinite { round, leaf }),
                None => self.remove(from, Cause::NonFinite { round, node }, actions),
            }
            return;
        }
        let measured = now_us.saturating_sub(granted_us) * u64::from(member.threads)
            / u64::from(queue.leaves_below(node).max(member.threads));
        member.leaf_us = Some(member.leaf_us.map_or(measured, |before| (before * 3 + measured) / 4));
        let news = queue.accept(node);
        queue.give_back(node);
        actions.push(if news { Action::Accept { from, node } } else { Action::Discard { from } });
        if news && queue.is_complete() {
            actions.push(Action::Complete(round));
        }
    }

    fn remove(&mut self, who: Incarnation, cause: Cause, actions: &mut Vec<Action>) {
        let Some(member) = self.members.remove(&who) else { return };
        let returned: Vec<Node> = member.pieces.into_keys().collect();
        if let Some((_, queue)) = &mut self.round {
            returned.iter().for_each(|&node| queue.give_back(node));
        }
        actions.push(Action::Removed { member: who, cause, returned });
    }

    fn drop_the_silent(&mut self, now_us: u64, actions: &mut Vec<Action>) {
        let silence = |m: &Member| now_us.saturating_sub(m.last_heard_us);
        let timeout = self.limits.heartbeat_timeout_us;
        let silent: Vec<_> = self
            .members
            .iter()
            .filter(|(_, m)| silence(m) >= timeout)
            .map(|(&i, m)| (i, silence(m)))
            .collect();
        for (who, silent_us) in silent {
            self.remove(who, Cause::Silent { silent_us }, actions);
        }
    }

    /// Hands pieces to members with idle threads, when enough members are there.
    fn deal(&mut self, now_us: u64, actions: &mut Vec<Action>) {
        let work = self.round.as_ref().is_some_and(|(_, queue)| !queue.is_complete());
        if !work || !self.has_enough() {
            self.notice(now_us, work.then_some(self.needed()), actions);
            return;
        }
        self.notice_due_us = None;
        self.started = true;
        // A piece may be less than its member's share, because pieces are aligned: then there is more to hand out.
        while self.deal_once(now_us, actions) && self.waiting() > 0 {}
    }

    /// Offers a piece to each member with idle threads; whether there is one.
    fn deal_once(&mut self, now_us: u64, actions: &mut Vec<Action>) -> bool {
        let hungry: Vec<Incarnation> =
            self.members.iter().filter(|(_, m)| self.idle_threads(m) > 0).map(|(&i, _)| i).collect();
        let total: u64 = self.members.values().map(|m| self.weight(m)).sum();
        let waiting = self.waiting();
        for &to in &hungry {
            let weight = self.weight(&self.members[&to]);
            // Rounded to the nearest: equal members whose measurements differ slightly get equal shares.
            let share = |leaves: u32| {
                ((u64::from(leaves) * weight + total / 2) / total).clamp(1, u64::from(PIECE_LEAVES_MAX))
                    as u32
            };
            self.grant(now_us, to, share(waiting), share, actions);
        }
        !hungry.is_empty()
    }

    /// Leaves that nobody computes and that are not done.
    fn waiting(&self) -> u32 {
        self.round.as_ref().map_or(0, |(_, queue)| queue.waiting())
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

    /// Gives one member a piece of at most `most` waiting leaves or, where none wait, a copy of a late piece.
    fn grant(
        &mut self,
        now_us: u64,
        to: Incarnation,
        most: u32,
        share: impl Fn(u32) -> u32,
        actions: &mut Vec<Action>,
    ) {
        let overdue = self.overdue();
        let idle = self.members.get(&to).is_some_and(|m| m.pieces.is_empty());
        let Some((round, queue)) = &mut self.round else { return };
        let (piece, copy) = if queue.waiting() > 0 {
            (queue.take(most), false)
        } else if let Some(&(_, late)) = overdue.first().filter(|&&(due_us, _)| idle && due_us <= now_us) {
            (queue.copy(late, share(queue.leaves_below(late))), true)
        } else {
            (None, true)
        };
        if let (Some(node), Some(member)) = (piece, self.members.get_mut(&to)) {
            member.pieces.insert(node, now_us);
            actions.push(Action::Grant { to, round: *round, node, copy });
        }
    }

    /// Pieces that take too long and of which something is left to copy, the longest overdue first.
    fn overdue(&self) -> Vec<(u64, Node)> {
        let Some((_, queue)) = &self.round else { return Vec::new() };
        let leaf_us = self.fastest_leaf_us().unwrap_or(LEAF_US_UNKNOWN);
        let due_us = |member: &Member, node: Node, granted_us: u64| {
            let turns = u64::from(queue.leaves_below(node).div_ceil(member.threads));
            granted_us + (COPY_AFTER_TIMES * leaf_us * turns).max(COPY_AFTER_US_MIN)
        };
        let pieces = self.members.values().flat_map(|m| m.pieces.iter().map(move |(&n, &at)| (m, n, at)));
        let mut due: Vec<_> = pieces
            .filter(|&(_, node, _)| queue.can_copy(node))
            .map(|(member, node, at)| (due_us(member, node, at), node))
            .collect();
        due.sort_unstable();
        due
    }

    /// The shortest time that a leaf took on any member's thread: a slow member is overdue by the others' measure.
    fn fastest_leaf_us(&self) -> Option<u64> {
        self.members.values().filter_map(|m| m.leaf_us).min()
    }

    fn has_enough(&self) -> bool {
        self.members.len() as u32 >= self.needed()
    }

    fn needed(&self) -> u32 {
        if self.started { self.limits.min } else { self.limits.start }
    }

    fn idle_threads(&self, member: &Member) -> u32 {
        let Some((_, queue)) = &self.round else { return member.threads };
        let out: u32 = member.pieces.keys().map(|&node| queue.leaves_below(node)).sum();
        member.threads.saturating_sub(out)
    }

    /// Leaves per second, about: the share of the queue that a member can take.
    fn weight(&self, member: &Member) -> u64 {
        let leaf_us = member.leaf_us.or(self.fastest_leaf_us()).unwrap_or(LEAF_US_UNKNOWN).max(1);
        (u64::from(member.threads) * 1_000_000_000 / leaf_us).max(1)
    }
}

#[cfg(test)]
mod tests;
