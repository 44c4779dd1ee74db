//! The round in progress: what it is for, what its answers must look like, and their sum so far.

use crate::trainer::{Trainer, Work};
use common::ids::{Leaf, Round};
use common::metrics::Totals;
use common::tree::{Node, Reduction, Tree};
use proto::message::{Answer, AnswerBody, Piece};
use std::num::NonZeroUsize;

/// A round that has begun.
#[derive(Debug)]
pub(super) struct RoundInProgress {
    pub(super) number: Round,
    pub(super) tree: Tree,
    work: Work,
    /// Samples of each leaf, added up from the left: entry `i` counts those of the leaves before `i`.
    samples_before: Vec<u64>,
    reduction: Reduction<(Totals, AnswerBody)>,
}

impl RoundInProgress {
    pub(super) fn new(number: Round, work: Work, trainer: &Trainer) -> Self {
        let tree = trainer.tree(work);
        let mut samples_before = vec![0];
        for leaf in 0..tree.leaves() {
            samples_before.push(samples_before[leaf as usize] + trainer.leaf_samples(work, Leaf(leaf)));
        }
        Self { number, tree, work, samples_before, reduction: Reduction::new(tree, tree.root()) }
    }

    /// Whether an answer is one to this round's question.
    ///
    /// # Errors
    /// How it is not.
    pub(super) fn check(&self, answer: &Answer) -> Result<(), String> {
        let Answer { node, totals, body, .. } = answer;
        let leaves = self.tree.leaves_below(*node);
        let [start, end] = [leaves.start, leaves.end].map(|leaf| self.samples_before[leaf as usize]);
        if totals.samples != end - start {
            let expected = end - start;
            return Err(format!("{} samples for piece {node}, which has {expected}", totals.samples));
        }
        match (self.work, body) {
            (Work::Train, AnswerBody::Gradient(_)) => Ok(()),
            (Work::Validate | Work::Test, AnswerBody::Confusion(_)) => Ok(()),
            (work, _) => Err(format!("an answer of the wrong kind for piece {node} of a {work:?} round")),
        }
    }

    /// Adds an answer that the machine has accepted.
    pub(super) fn insert(&mut self, answer: Answer, threads: NonZeroUsize) {
        let precision = answer.precision;
        self.reduction.insert(answer.node, (answer.totals, answer.body), |left, right| {
            left.0.add(&right.0);
            left.1.add(right.1, precision, threads);
        });
    }

    /// A piece with its samples.
    pub(super) fn piece(&self, node: Node, version: u64, trainer: &mut Trainer) -> Piece {
        let leaves = self.tree.leaves_below(node).map(|leaf| trainer.leaf(self.work, Leaf(leaf))).collect();
        Piece { round: self.number, task: self.work.task(), version, tree: self.tree, node, leaves }
    }

    /// What it was for, and the sum, once complete.
    pub(super) fn into_sum(self) -> (Work, Option<(Totals, AnswerBody)>) {
        (self.work, self.reduction.into_result())
    }

    /// What it is for.
    pub(super) fn work(&self) -> Work {
        self.work
    }
}
