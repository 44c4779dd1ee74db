//! What the ledger knows of a run's last round. Judges nothing.

use crate::sim::identity::Identity;
use common::ids::{Process, Round, SetupId};
use common::protocol::coordinator::Verdict;
use common::reduce::tree::{Node, Tree};
use common::selftest::NumericsDigest;
use std::collections::BTreeMap;

#[derive(Debug)]
pub(in crate::sim::invariants) struct OpenRound {
    pub(in crate::sim::invariants) run: SetupId,
    pub(in crate::sim::invariants) number: Round,
    tree: Tree,
    done: Vec<bool>,
    /// Whether the round is to begin again, or its run stops.
    pub(in crate::sim::invariants) is_void: bool,
    /// Doubtful answers by piece: out of line, or not finite for a single leaf.
    pub(in crate::sim::invariants) doubts: BTreeMap<Node, BTreeMap<Process, Doubt>>,
    /// When each piece got its first doubtful answer.
    pub(in crate::sim::invariants) doubted_us: BTreeMap<Node, u64>,
}

/// An answer that others must confirm.
#[derive(Clone, Copy, Debug)]
pub(in crate::sim::invariants) struct Doubt {
    pub(in crate::sim::invariants) by: Identity,
    pub(in crate::sim::invariants) verdict: Verdict,
    pub(in crate::sim::invariants) numerics: NumericsDigest,
}

impl Doubt {
    /// Whether two answers agree, as far as their bits can be compared.
    pub(in crate::sim::invariants) fn agrees(&self, with: &Self) -> bool {
        let is_kind = matches!(
            (self.verdict, with.verdict),
            (Verdict::OutOfLine { .. }, Verdict::OutOfLine { .. })
                | (Verdict::NonFinite { .. }, Verdict::NonFinite { .. })
        );
        self.verdict == with.verdict || is_kind && self.numerics != with.numerics
    }
}

impl OpenRound {
    pub(super) fn new(run: SetupId, number: Round, leaves: u32) -> Self {
        Self {
            run,
            number,
            tree: Tree::new(leaves),
            done: vec![false; leaves as usize],
            is_void: false,
            doubts: BTreeMap::new(),
            doubted_us: BTreeMap::new(),
        }
    }

    pub(super) fn accept(&mut self, node: Node) {
        for leaf in self.leaves_below(node) {
            self.done[leaf as usize] = true;
        }
    }

    pub(in crate::sim::invariants) fn leaves(&self) -> u64 {
        self.done.len() as u64
    }

    pub(in crate::sim::invariants) fn leaves_below(&self, node: Node) -> std::ops::Range<u32> {
        self.tree.leaves_below(node)
    }

    pub(in crate::sim::invariants) fn is_done(&self, leaf: u32) -> bool {
        self.done[leaf as usize]
    }

    /// Whether every leaf is done.
    pub(in crate::sim::invariants) fn is_complete(&self) -> bool {
        self.done.iter().all(|&done| done)
    }
}
