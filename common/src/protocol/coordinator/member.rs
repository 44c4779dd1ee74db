//! A worker that has a place in the run. Decides nothing.

use crate::ids::{Instance, Rank, Round};
use crate::reduce::tree::Node;
use crate::selftest::NumericsDigest;
use std::collections::{BTreeMap, BTreeSet};

/// How long a member's speed is believed at most: one that was slow, and got nothing since, gets another chance then, if it
/// has answered what it was given last. For one that stays slow it costs a late step in so many seconds.
pub(super) const MEASURE_HOLDS_US: u64 = 5_000_000;
/// The first time it is believed for as long as the member would need for so many leaves, and twice as long after each
/// chance: a moment's slowness, as that of a process's first leaf, is forgotten soon.
const MEASURE_HOLDS_LEAVES: u64 = 10;
/// One that needs less than so many times what the fastest does is not slow.
const SLOW_TIMES: u64 = 2;

/// A member as others may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// The process that it is, across its connections.
    pub instance: Instance,
    /// Its slot.
    pub rank: Rank,
    /// Leaves that it computes at once.
    pub threads: u32,
    /// What its canned gradients came to.
    pub(super) numerics: NumericsDigest,
    pub(super) last_heard_us: u64,
    /// Measured time of a leaf on one of its threads.
    pub(super) leaf_us: Option<u64>,
    /// When.
    pub(super) measured_us: u64,
    /// Chances that it got since it was last not slow.
    pub(super) chances: u32,
    /// What a leaf took by its answers alone: other than `leaf_us` neither guessed nor forgotten. `None` before the first.
    pub(super) answered_leaf_us: Option<u64>,
    /// What it has begun and not answered; the round's end does not settle it.
    pub(super) owes: Option<Owed>,
    /// With the time at which each was begun, as far as can be told.
    pub(super) pieces: BTreeMap<Node, u64>,
    /// The one of them that it begins when it has done the others.
    pub(super) ahead: Option<Node>,
    /// Pieces of this round that it has answered: a message that arrives twice is no offence.
    pub(super) answered: BTreeSet<Node>,
}

/// An answer that a member owes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owed {
    /// The round that it was asked in.
    pub(super) round: Round,
    /// The piece; of several the one that was begun first.
    pub(super) node: Node,
    /// When it was begun, or when anything of an answer last arrived.
    pub(super) since_us: u64,
    /// Leaves that it had begun when that round was over; 0 while it lasts.
    pub(super) leaves: u32,
}

impl Member {
    /// It is to begin `node` now, or once it has done what it was given before.
    pub(super) fn begins(&mut self, now_us: u64, round: Round, node: Node) {
        self.pieces.insert(node, now_us);
        self.owes.get_or_insert(Owed { round, node, since_us: now_us, leaves: 0 });
    }

    /// An answer has come, to whatever it was: from now on the next one is waited for. `round` is the one in progress.
    pub(super) fn has_answered(&mut self, now_us: u64, round: Round) {
        let oldest = self.pieces.iter().min_by_key(|&(_, at_us)| at_us);
        self.owes = oldest.map(|(&node, _)| Owed { round, node, since_us: now_us, leaves: 0 });
    }

    /// A part of an answer has come.
    pub(super) fn is_answering(&mut self, now_us: u64) {
        self.owes.iter_mut().for_each(|owed| owed.since_us = now_us);
    }

    /// Takes a piece from it that it has answered; returns when that was begun, or `None` if it never had it.
    pub(super) fn answers(&mut self, now_us: u64, round: Round, node: Node) -> Option<u64> {
        let began_us = self.pieces.remove(&node)?;
        self.answered.insert(node);
        // Whichever it answered, its threads are at the next one now.
        if let Some(begun) = self.ahead.take().and_then(|next| self.pieces.get_mut(&next)) {
            *begun = now_us;
        }
        self.has_answered(now_us, round);
        Some(began_us)
    }

    /// Takes a finished piece's time into account. `fastest_us` is what the fastest member needs for a leaf.
    pub(super) fn measure(&mut self, now_us: u64, began_us: u64, leaves: u32, fastest_us: Option<u64>) {
        let measured = self.leaf_us_of(now_us.saturating_sub(began_us), leaves);
        if fastest_us.is_none_or(|fastest_us| measured < fastest_us.saturating_mul(SLOW_TIMES)) {
            self.chances = 0;
        }
        let smooth =
            |before: Option<u64>| Some(before.map_or(measured, |before| (before * 3 + measured) / 4));
        self.leaf_us = smooth(self.leaf_us);
        self.answered_leaf_us = smooth(self.answered_leaf_us);
        self.measured_us = now_us;
    }

    /// Forgets a round that is over. Pieces that it still computes have taken until now at least: one that is always late
    /// would else never be known to be slow. `fastest_us` is what others need for a leaf.
    pub(super) fn forget_round(
        &mut self,
        now_us: u64,
        fastest_us: Option<u64>,
        leaves: impl Fn(Node) -> u32,
    ) {
        let mut pieces = std::mem::take(&mut self.pieces);
        // It has not begun that one.
        self.ahead.take().map(|next| pieces.remove(&next));
        let begun = pieces.keys().map(|&node| leaves(node)).sum();
        self.owes.iter_mut().for_each(|owed| owed.leaves = owed.leaves.max(begun));
        let so_far =
            pieces.iter().map(|(&node, &at_us)| self.leaf_us_of(now_us.saturating_sub(at_us), leaves(node)));
        // A copy that was handed out a moment ago says nothing.
        let is_news = |&us: &u64| self.leaf_us.or(fastest_us).is_some_and(|known_us| us > known_us);
        let had_nothing = self.answered.is_empty();
        let is_old = |us: u64| now_us.saturating_sub(self.measured_us) >= self.holds_us(us);
        if let Some(us) = so_far.max().filter(is_news) {
            self.leaf_us = Some(us);
            self.measured_us = now_us;
        } else if had_nothing && self.owes.is_none() && self.leaf_us.is_some_and(is_old) {
            self.leaf_us = None;
            self.chances = self.chances.saturating_add(1);
        }
        self.answered.clear();
    }

    /// How long it is believed that a leaf takes it `leaf_us`.
    fn holds_us(&self, leaf_us: u64) -> u64 {
        let leaves = MEASURE_HOLDS_LEAVES.saturating_mul(1_u64.checked_shl(self.chances).unwrap_or(u64::MAX));
        leaf_us.saturating_mul(leaves).min(MEASURE_HOLDS_US)
    }

    /// The time of a leaf on one thread, from that of a piece.
    fn leaf_us_of(&self, took_us: u64, leaves: u32) -> u64 {
        took_us * u64::from(self.threads) / u64::from(leaves.max(self.threads))
    }

    /// The pieces that it computes now.
    pub fn pieces(&self) -> impl Iterator<Item = Node> {
        self.pieces.keys().copied()
    }
}
