//! A worker that has a place in the run. Decides nothing.

use crate::ids::Rank;
use crate::numerics::NumericsDigest;
use crate::tree::Node;
use std::collections::{BTreeMap, BTreeSet};

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
    /// With the time of each grant.
    pub(super) pieces: BTreeMap<Node, u64>,
    /// Pieces of this round that it has answered: a message that arrives twice is no offence.
    pub(super) answered: BTreeSet<Node>,
}

impl Member {
    /// Takes a finished piece's time into account.
    pub(super) fn measure(&mut self, took_us: u64, leaves: u32) {
        let measured = took_us * u64::from(self.threads) / u64::from(leaves.max(self.threads));
        self.leaf_us = Some(self.leaf_us.map_or(measured, |before| (before * 3 + measured) / 4));
    }

    /// The pieces that it computes now.
    pub fn pieces(&self) -> impl Iterator<Item = Node> {
        self.pieces.keys().copied()
    }
}
