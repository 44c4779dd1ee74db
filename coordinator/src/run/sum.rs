//! The value of a node in a run: a gradient or counts, with the totals of its samples.
//!
//! The last addition of gradients is left to the optimizer, which makes it on its way: the root has a left
//! side and a right side.

use crate::cluster::{Measure, RoundValue};
use common::protocol::coordinator::AnswerKind;
use common::reduce::precision::Precision;
use common::train::metrics::Totals;
use proto::message::{Answer, AnswerBody};
use proto::values::Values;
use std::num::NonZeroUsize;

/// The sum over some leaves of a round.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sum {
    pub(crate) totals: Totals,
    /// The value or, of the root of a training round, its left side.
    pub(crate) body: AnswerBody,
    /// What is still to be added to the right of a gradient: only in the root.
    pub(crate) right: Option<Values>,
    precision: Precision,
    measure: Measure,
    /// Threads that add gradients.
    threads: NonZeroUsize,
}

impl Sum {
    /// The value of an answer, which `threads` threads add to others.
    pub(crate) fn of(answer: Answer, threads: NonZeroUsize) -> Self {
        let is_gradient = matches!(answer.body, AnswerBody::Gradient(_));
        let measure = Measure {
            checksum: answer.checksum(),
            is_finite: answer.is_finite(),
            largest: is_gradient.then_some(answer.inspection.largest),
        };
        let Answer { totals, body, precision, .. } = answer;
        Self { totals, body, right: None, precision, measure, threads }
    }
}

impl RoundValue for Sum {
    fn kind(&self) -> AnswerKind {
        match self.body {
            AnswerBody::Gradient(_) => AnswerKind::Gradient,
            AnswerBody::Confusion(_) => AnswerKind::Confusion,
        }
    }

    fn samples(&self) -> u64 {
        self.totals.samples
    }

    fn measure(&self) -> Measure {
        self.measure
    }

    fn add(&mut self, right: Self, is_root: bool) {
        self.totals.add(&right.totals);
        match right.body {
            AnswerBody::Gradient(gradient) if is_root => self.right = Some(gradient),
            body => self.body.add(body, self.precision, self.threads),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::ids::{Incarnation, Round, SetupId};
    use common::reduce::tree::{Node, Reduction, Tree};
    use proto::message::Inspection;

    fn leaf(leaf: u32) -> Sum {
        let answer = Answer {
            incarnation: Incarnation(1),
            setup: SetupId(0),
            round: Round(1),
            node: Node::leaf(leaf),
            totals: Totals { samples: 1, ..Totals::default() },
            body: AnswerBody::Gradient(vec![1.0 + leaf as f32].into()),
            precision: Precision::F32,
            inspection: Inspection::default(),
        };
        Sum::of(answer, NonZeroUsize::MIN)
    }

    #[test]
    fn the_last_addition_of_gradients_alone_is_left_over() {
        let forwards = |leaves| (0..leaves).collect::<Vec<u32>>();
        for leaves in 1..=9 {
            for order in [forwards(leaves), forwards(leaves).into_iter().rev().collect()] {
                let tree = Tree::new(leaves);
                let mut reduction = Reduction::new(tree, tree.root());
                for at in order {
                    let add = |parent, left: &mut Sum, right| left.add(right, parent == tree.root());
                    reduction.insert(Node::leaf(at), leaf(at), add);
                }
                let Sum { totals, body, right, .. } = reduction.into_result().unwrap();
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
