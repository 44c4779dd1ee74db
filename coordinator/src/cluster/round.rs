//! A round in progress: what its answers must look like, and their sum so far.

use super::{RoundPlan, RoundTimes, RoundValue};
use common::ids::Round;
use common::protocol::coordinator::ProtocolError;
use common::reduce::tree::{Inserted, Node, Reduction, Tree};

/// A round that has begun.
#[derive(Debug)]
pub(super) struct OpenRound<V> {
    pub(super) number: Round,
    pub(super) plan: RoundPlan,
    pub(super) tree: Tree,
    /// Answers so far whose numbers are out of line, whatever came of them.
    pub(super) out_of_line: u32,
    /// When its pieces were given and answered.
    pub(super) times: RoundTimes,
    /// Samples of the leaves, added up from the left: entry `i` counts those of the leaves before `i`.
    samples_before: Vec<u64>,
    reduction: Reduction<V>,
}

impl<V: RoundValue> OpenRound<V> {
    pub(super) fn new(now_us: u64, number: Round, plan: RoundPlan) -> Self {
        let tree = Tree::new(plan.samples.len() as u32);
        let mut samples_before = vec![0];
        for samples in &plan.samples {
            samples_before.push(samples_before.last().copied().unwrap_or(0) + samples);
        }
        Self {
            number,
            plan,
            tree,
            out_of_line: 0,
            times: RoundTimes::new(now_us),
            samples_before,
            reduction: Reduction::new(tree, tree.root()),
        }
    }

    /// Checks that an answer is one to this round's question.
    ///
    /// # Errors
    /// How it is not.
    pub(super) fn check(&self, node: Node, value: &V) -> Result<(), ProtocolError> {
        let expected = self.plan.setup;
        let got = value.setup();
        if expected != got {
            return Err(ProtocolError::OtherSetup { node, expected, got });
        }
        let leaves = self.tree.leaves_below(node);
        let [start, end] = [leaves.start, leaves.end].map(|leaf| self.samples_before[leaf as usize]);
        let expected = end - start;
        let got = value.samples();
        if expected != got {
            return Err(ProtocolError::Samples { node, expected, got });
        }
        let expected = self.plan.kind;
        if value.kind() == expected { Ok(()) } else { Err(ProtocolError::AnswerKind { node, expected }) }
    }

    /// Adds an answer that the rules have accepted.
    pub(super) fn insert(&mut self, node: Node, value: V) -> Inserted {
        let root = self.tree.root();
        self.reduction.insert(node, value, |parent, left, right| left.add(right, parent == root))
    }

    /// Whether a piece's answer would be added to a sum that is here.
    pub(super) fn joins(&self, node: Node) -> bool {
        self.reduction.joins(node)
    }

    /// Number of sums that are here.
    pub(super) fn held(&self) -> usize {
        self.reduction.held()
    }

    /// The sum, once it is complete.
    pub(super) fn into_sum(self) -> Option<V> {
        self.reduction.into_result()
    }
}
