//! A worker that has a place in the run, and how long its measured speed is trusted.
//!
//! 1. A member's speed is a moving average over its answers. A piece that is unfinished at the round's end
//!    also counts, if it has taken longer than the speed so far.
//! 2. A slow member may receive no work, so its speed is not measured again. It is therefore probed: once its
//!    speed is too old to be trusted, it is forgotten, and the member counts as fast as the fastest.
//! 3. The first probe comes after [`MEASURE_HOLDS_LEAVES`] of its own leaf times, and each further one after
//!    twice as long, up to [`MEASURE_HOLDS_US`]. A short disturbance, such as a process's slow first leaf, is
//!    forgotten soon.
//! 4. A member that owes an answer is not probed.

use crate::ids::{Instance, Rank, Round};
use crate::reduce::tree::Node;
use crate::selftest::NumericsDigest;
use std::collections::{BTreeMap, BTreeSet};

/// Longest time a speed estimate is trusted. A slow member that has received no work for this long, and owes
/// no answer, is probed with a piece. If it is still slow, the probe delays one step.
pub(super) const MEASURE_HOLDS_US: u64 = 5_000_000;
/// Back-off before the first probe, in the member's own leaf times; doubled after each failed probe.
const MEASURE_HOLDS_LEAVES: u64 = 10;
/// A member is slow if its leaf takes at least this many times as long as the fastest member's.
const SLOW_TIMES: u64 = 2;

/// A member as others may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The worker's name.
    pub name: String,
    /// The worker's process, across its connections.
    pub instance: Instance,
    /// The member's slot.
    pub rank: Rank,
    /// Leaves that it computes at the same time.
    pub threads: u32,
    /// Digest of the worker's self-test.
    pub(super) numerics: NumericsDigest,
    pub(super) last_heard_us: u64,
    /// Measured time for a leaf on one of its threads.
    pub(super) leaf_us: Option<u64>,
    pub(super) measured_us: u64,
    /// Probes since the member was last not slow.
    pub(super) probes: u32,
    /// Average time for a leaf by its answers alone: unlike `leaf_us` neither estimated nor forgotten. `None`
    /// before the first answer.
    pub(super) answered_leaf_us: Option<u64>,
    /// The oldest unanswered piece. The round's end does not settle it.
    pub(super) owes: Option<Owed>,
    /// Pieces in work, each with the time at which it was begun, as far as known.
    pub(super) pieces: BTreeMap<Node, u64>,
    /// The piece among them that it begins when it has done the others.
    pub(super) prefetched: Option<Node>,
    /// Pieces of this round that it has answered: a message that arrives twice is no offence.
    pub(super) answered: BTreeSet<Node>,
}

/// An answer that a member owes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owed {
    /// The round in which it was asked.
    pub(super) round: Round,
    /// The piece that was begun first.
    pub(super) node: Node,
    /// When it was begun, or when a part of any answer last arrived.
    pub(super) since_us: u64,
    /// Leaves that the member had begun when that round ended; 0 while it lasts.
    pub(super) leaves: u32,
}

impl Member {
    /// Gives the member `node`, to begin now or after the pieces that it holds.
    pub(super) fn begins(&mut self, now_us: u64, round: Round, node: Node) {
        self.pieces.insert(node, now_us);
        self.owes.get_or_insert(Owed { round, node, since_us: now_us, leaves: 0 });
    }

    /// Notes that an answer has arrived, whichever it was: the next one is waited for from now on. `round` is
    /// the one in progress.
    pub(super) fn has_answered(&mut self, now_us: u64, round: Round) {
        let oldest = self.pieces.iter().min_by_key(|&(_, at_us)| at_us);
        self.owes = oldest.map(|(&node, _)| Owed { round, node, since_us: now_us, leaves: 0 });
    }

    /// Notes that a part of an answer has arrived.
    pub(super) fn is_answering(&mut self, now_us: u64) {
        self.owes.iter_mut().for_each(|owed| owed.since_us = now_us);
    }

    /// Takes an answered piece from the member. Returns when it was begun, or `None` if the member did not
    /// hold it.
    pub(super) fn answers(&mut self, now_us: u64, round: Round, node: Node) -> Option<u64> {
        let began_us = self.pieces.remove(&node)?;
        self.answered.insert(node);
        // Whichever piece it was, the threads are at the prefetched one now.
        if let Some(begun) = self.prefetched.take().and_then(|next| self.pieces.get_mut(&next)) {
            *begun = now_us;
        }
        self.has_answered(now_us, round);
        Some(began_us)
    }

    /// Includes a finished piece in the speed estimate. `fastest_us` is the fastest member's time for a leaf.
    pub(super) fn measure(&mut self, now_us: u64, began_us: u64, leaves: u32, fastest_us: Option<u64>) {
        let measured = self.leaf_us_of(now_us.saturating_sub(began_us), leaves);
        if fastest_us.is_none_or(|fastest_us| measured < fastest_us.saturating_mul(SLOW_TIMES)) {
            self.probes = 0;
        }
        let smooth =
            |before: Option<u64>| Some(before.map_or(measured, |before| (before * 3 + measured) / 4));
        self.leaf_us = smooth(self.leaf_us);
        self.answered_leaf_us = smooth(self.answered_leaf_us);
        self.measured_us = now_us;
    }

    /// Ends a round for this member. Unfinished pieces have taken at least until now: a member that is always
    /// late would otherwise never be known as slow. `fastest_us` is the other members' time for a leaf.
    pub(super) fn forget_round(
        &mut self,
        now_us: u64,
        fastest_us: Option<u64>,
        leaves: impl Fn(Node) -> u32,
    ) {
        let mut pieces = std::mem::take(&mut self.pieces);
        // The prefetched piece has not been begun.
        self.prefetched.take().map(|next| pieces.remove(&next));
        let begun = pieces.keys().map(|&node| leaves(node)).sum();
        self.owes.iter_mut().for_each(|owed| owed.leaves = owed.leaves.max(begun));
        let so_far =
            pieces.iter().map(|(&node, &at_us)| self.leaf_us_of(now_us.saturating_sub(at_us), leaves(node)));
        // A backup task that was handed out a moment ago says nothing.
        let is_news = |&us: &u64| self.leaf_us.or(fastest_us).is_some_and(|known_us| us > known_us);
        let had_nothing = self.answered.is_empty();
        let is_old = |us: u64| now_us.saturating_sub(self.measured_us) >= self.holds_us(us);
        if let Some(us) = so_far.max().filter(is_news) {
            self.leaf_us = Some(us);
            self.measured_us = now_us;
        } else if had_nothing && self.owes.is_none() && self.leaf_us.is_some_and(is_old) {
            self.leaf_us = None;
            self.probes = self.probes.saturating_add(1);
        }
        self.answered.clear();
    }

    /// How long a time of `leaf_us` for a leaf is trusted.
    fn holds_us(&self, leaf_us: u64) -> u64 {
        let leaves = MEASURE_HOLDS_LEAVES.saturating_mul(1_u64.checked_shl(self.probes).unwrap_or(u64::MAX));
        leaf_us.saturating_mul(leaves).min(MEASURE_HOLDS_US)
    }

    /// Time for a leaf on one thread, from the time for a piece.
    fn leaf_us_of(&self, took_us: u64, leaves: u32) -> u64 {
        took_us * u64::from(self.threads) / u64::from(leaves.max(self.threads))
    }

    /// Number of pieces of the round in progress that the member has answered.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.answered.len()
    }

    /// The pieces that the member holds.
    pub fn pieces(&self) -> impl Iterator<Item = Node> {
        self.pieces.keys().copied()
    }
}
