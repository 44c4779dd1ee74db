//! The round in progress: what it is for, what its answers must look like, and their sum so far.
//!
//! The last addition of gradients is left to the optimizer, which makes it on its way.

use crate::run::trainer::{Trainer, Work};
use common::ids::{Leaf, ParamsId, Round, SetupId};
use common::protocol::coordinator::{AnswerKind, ProtocolError};
use common::reduce::tree::{Node, Reduction, Tree};
use common::train::metrics::Totals;
use proto::message::{Answer, AnswerBody, Piece};
use proto::values::Values;
use std::num::NonZeroUsize;

/// A round that has begun.
#[derive(Debug)]
pub(crate) struct RoundInProgress {
    pub(crate) number: Round,
    pub(crate) tree: Tree,
    /// Answers so far whose numbers are out of line, whatever came of them.
    pub(crate) out_of_line: u32,
    work: Work,
    /// Samples of each leaf, added up from the left: entry `i` counts those of the leaves before `i`.
    samples_before: Vec<u64>,
    reduction: Reduction<Sum>,
}

/// A node's value.
#[derive(Debug)]
pub(crate) struct Sum {
    pub(crate) totals: Totals,
    pub(crate) body: AnswerBody,
    /// What is still to be added to a gradient: only in the root.
    pub(crate) right: Option<Values>,
}

impl RoundInProgress {
    pub(crate) fn new(number: Round, work: Work, trainer: &Trainer) -> Self {
        let tree = trainer.tree(work);
        let mut samples_before = vec![0];
        for leaf in 0..tree.leaves() {
            samples_before.push(samples_before[leaf as usize] + trainer.leaf_samples(work, Leaf(leaf)));
        }
        Self {
            number,
            tree,
            out_of_line: 0,
            work,
            samples_before,
            reduction: Reduction::new(tree, tree.root()),
        }
    }

    /// Whether an answer is one to this round's question.
    ///
    /// # Errors
    /// How it is not.
    pub(crate) fn check(&self, answer: &Answer) -> Result<(), ProtocolError> {
        let Answer { node, totals, body, .. } = answer;
        let leaves = self.tree.leaves_below(*node);
        let [start, end] = [leaves.start, leaves.end].map(|leaf| self.samples_before[leaf as usize]);
        if totals.samples != end - start {
            return Err(ProtocolError::Samples { node: *node, expected: end - start, got: totals.samples });
        }
        match (self.work, body) {
            (Work::Train, AnswerBody::Gradient(_)) => Ok(()),
            (Work::Validate | Work::Test, AnswerBody::Confusion(_)) => Ok(()),
            (Work::Train, _) => {
                Err(ProtocolError::AnswerKind { node: *node, expected: AnswerKind::Gradient })
            }
            (Work::Validate | Work::Test, _) => {
                Err(ProtocolError::AnswerKind { node: *node, expected: AnswerKind::Confusion })
            }
        }
    }

    /// Adds an answer that the machine has accepted.
    pub(crate) fn insert(&mut self, answer: Answer, threads: NonZeroUsize) {
        let Answer { node, totals, body, precision, .. } = answer;
        let root = self.tree.root();
        self.reduction.insert(node, Sum { totals, body, right: None }, |parent, left, right| {
            left.totals.add(&right.totals);
            match right.body {
                AnswerBody::Gradient(gradient) if parent == root => left.right = Some(gradient),
                body => left.body.add(body, precision, threads),
            }
        });
    }

    /// Whether a piece's answer would be added to a sum that is here.
    pub(crate) fn joins(&self, node: Node) -> bool {
        self.reduction.joins(node)
    }

    /// How many sums are here.
    pub(crate) fn held(&self) -> usize {
        self.reduction.held()
    }

    /// A piece with its samples.
    pub(crate) fn piece(
        &self,
        node: Node,
        setup: SetupId,
        parameters: ParamsId,
        trainer: &mut Trainer,
    ) -> Piece {
        let leaves = self.tree.leaves_below(node).map(|leaf| trainer.leaf(self.work, Leaf(leaf))).collect();
        let task = self.work.task();
        Piece { round: self.number, task, setup, parameters, tree: self.tree, node, leaves }
    }

    /// What it was for, and the sum, once complete.
    pub(crate) fn into_sum(self) -> (Work, Option<Sum>) {
        (self.work, self.reduction.into_result())
    }

    /// What it is for.
    pub(crate) fn work(&self) -> Work {
        self.work
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::ids::Incarnation;
    use common::reduce::precision::Precision;
    use proto::message::Inspection;

    fn answer(leaf: u32) -> Answer {
        Answer {
            incarnation: Incarnation(1),
            setup: SetupId(0),
            round: Round(1),
            node: Node::leaf(leaf),
            totals: Totals { samples: 1, ..Totals::default() },
            body: AnswerBody::Gradient(vec![1.0 + leaf as f32].into()),
            precision: Precision::F32,
            inspection: Inspection::default(),
        }
    }

    #[test]
    fn the_last_addition_of_gradients_alone_is_left_over() {
        let forwards = |leaves| (0..leaves).collect::<Vec<u32>>();
        for leaves in 1..=9 {
            for order in [forwards(leaves), forwards(leaves).into_iter().rev().collect()] {
                let tree = Tree::new(leaves);
                let reduction = Reduction::new(tree, tree.root());
                let mut round = RoundInProgress {
                    number: Round(1),
                    tree,
                    out_of_line: 0,
                    work: Work::Train,
                    samples_before: vec![],
                    reduction,
                };
                order.into_iter().for_each(|leaf| round.insert(answer(leaf), NonZeroUsize::MIN));
                let (_, sum) = round.into_sum();
                let Sum { totals, body, right } = sum.unwrap();
                let sum_of = |leaves: std::ops::Range<u32>| leaves.map(|leaf| 1.0 + leaf as f32).sum::<f32>();
                let middle = leaves.next_power_of_two().div_ceil(2);
                assert_eq!(totals.samples, u64::from(leaves));
                assert_eq!(body, AnswerBody::Gradient(vec![sum_of(0..middle)].into()), "{leaves} leaves");
                let expected = (leaves > 1).then(|| vec![sum_of(middle..leaves)].into());
                assert_eq!(right, expected, "{leaves} leaves");
            }
        }
    }
}
