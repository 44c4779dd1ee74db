//! A worker that has a place in the run. Decides nothing.

use crate::ids::Rank;
use crate::numerics::NumericsDigest;
use crate::tree::Node;
use std::collections::{BTreeMap, BTreeSet};

/// How long a member's speed is believed: one that was slow, and got nothing since, gets another chance then. For one that
/// stays slow it costs a late step in so many seconds.
pub(super) const MEASURE_HOLDS_US: u64 = 5_000_000;

/// A member as others may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
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
    /// With the time at which each was begun, as far as can be told.
    pub(super) pieces: BTreeMap<Node, u64>,
    /// The one of them that it begins when it has done the others.
    pub(super) ahead: Option<Node>,
    /// Pieces of this round that it has answered: a message that arrives twice is no offence.
    pub(super) answered: BTreeSet<Node>,
}

impl Member {
    /// Takes a piece from it that it has answered; returns when that was begun, or `None` if it never had it.
    pub(super) fn answers(&mut self, now_us: u64, node: Node) -> Option<u64> {
        let began_us = self.pieces.remove(&node)?;
        self.answered.insert(node);
        // Whichever it answered, its threads are at the next one now.
        if let Some(begun) = self.ahead.take().and_then(|next| self.pieces.get_mut(&next)) {
            *begun = now_us;
        }
        Some(began_us)
    }

    /// Takes a finished piece's time into account.
    pub(super) fn measure(&mut self, now_us: u64, began_us: u64, leaves: u32) {
        let measured = self.leaf_us_of(now_us.saturating_sub(began_us), leaves);
        self.leaf_us = Some(self.leaf_us.map_or(measured, |before| (before * 3 + measured) / 4));
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
        let so_far =
            pieces.iter().map(|(&node, &at_us)| self.leaf_us_of(now_us.saturating_sub(at_us), leaves(node)));
        // A copy that was handed out a moment ago says nothing.
        let is_news = |&us: &u64| self.leaf_us.or(fastest_us).is_some_and(|known_us| us > known_us);
        if let Some(us) = so_far.max().filter(is_news) {
            self.leaf_us = Some(us);
            self.measured_us = now_us;
        } else if now_us.saturating_sub(self.measured_us) >= MEASURE_HOLDS_US {
            self.leaf_us = None;
        }
        self.answered.clear();
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
