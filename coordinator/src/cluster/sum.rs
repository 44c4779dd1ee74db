//! The value of a node as workers send it: a gradient, counts or guesses, with the totals of its samples.
//!
//! The last addition of gradients is left to the optimizer, which makes it on its way: the root has a left
//! side and a right side. Guesses are not added but joined, so that they stay in their samples' order.

use crate::cluster::{Measure, RoundValue};
use common::ids::SetupId;
use common::protocol::coordinator::AnswerKind;
use common::train::metrics::{Confusion, Totals};
use common::train::optim::GradientSum;
use common::train::pseudo::Guess;
use proto::message::{Answer, AnswerBody, ReceivedAnswer};
use proto::values::Values;
use std::num::NonZeroUsize;

/// The sum over some leaves of a round.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sum {
    pub(crate) totals: Totals,
    pub(crate) body: SumBody,
    setup: SetupId,
    measure: Measure,
    /// Threads that add gradients.
    threads: NonZeroUsize,
}

/// What is summed up besides the totals.
#[derive(Clone, Debug, PartialEq)]
pub enum SumBody {
    /// Gradient of the summed loss. Only in the root is its last addition left over.
    Gradient(GradientSum<Values>),
    /// Confusion matrix of an evaluation.
    Confusion(Box<Confusion>),
    /// Guesses of samples, in their order.
    Guesses(Vec<Guess>),
}

impl Sum {
    /// The value of an answer, which `threads` threads add to others.
    pub(crate) fn of(received: ReceivedAnswer, threads: NonZeroUsize) -> Self {
        let measure = Measure {
            checksum: received.checksum(),
            is_finite: received.is_finite(),
            largest: received.inspection.map(|seen| seen.largest),
        };
        let Answer { setup, totals, body, precision, .. } = received.answer;
        let body = match body {
            AnswerBody::Gradient(gradient) => SumBody::Gradient(GradientSum::new(gradient, precision)),
            AnswerBody::Confusion(confusion) => SumBody::Confusion(confusion),
            AnswerBody::Guesses(guesses) => SumBody::Guesses(guesses),
        };
        Self { totals, body, setup, measure, threads }
    }
}

impl RoundValue for Sum {
    fn setup(&self) -> SetupId {
        self.setup
    }

    fn kind(&self) -> AnswerKind {
        match self.body {
            SumBody::Gradient(_) => AnswerKind::Gradient,
            SumBody::Confusion(_) => AnswerKind::Confusion,
            SumBody::Guesses(_) => AnswerKind::Guesses,
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
        match (&mut self.body, right.body) {
            (SumBody::Gradient(left), SumBody::Gradient(right)) if is_root => left.add_last(right),
            (SumBody::Gradient(left), SumBody::Gradient(right)) => left.add(&right, self.threads),
            (SumBody::Confusion(left), SumBody::Confusion(right)) => left.add(&right),
            (SumBody::Guesses(left), SumBody::Guesses(right)) => left.extend(right),
            _ => unreachable!("a round asks for one kind of value"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::ids::{Incarnation, Round};
    use common::reduce::precision::Precision;
    use common::reduce::tree::{Node, Reduction, Tree};

    fn leaf(leaf: u32) -> Sum {
        let answer = Answer {
            incarnation: Incarnation(1),
            setup: SetupId(0),
            round: Round(1),
            node: Node::leaf(leaf),
            totals: Totals { samples: 1, ..Totals::default() },
            body: AnswerBody::Gradient(vec![1.0 + leaf as f32].into()),
            precision: Precision::F32,
        };
        Sum::of(ReceivedAnswer { answer, inspection: None }, NonZeroUsize::MIN)
    }

    #[test]
    fn guesses_are_in_the_order_of_their_samples_in_whatever_order_they_come() {
        for order in [[0, 1, 2, 3, 4], [4, 2, 0, 3, 1]] {
            let tree = Tree::new(5);
            let mut reduction = Reduction::new(tree, tree.root());
            for at in order {
                let guesses = vec![Guess { class: at as u16, confidence: 7 }];
                let value = Sum { body: SumBody::Guesses(guesses), ..leaf(at) };
                let add = |parent, left: &mut Sum, right| left.add(right, parent == tree.root());
                reduction.insert(Node::leaf(at), value, add);
            }
            let SumBody::Guesses(guesses) = reduction.into_result().unwrap().body else { panic!("guesses") };
            assert_eq!(guesses.iter().map(|guess| guess.class).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        }
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
                let Sum { totals, body, .. } = reduction.into_result().unwrap();
                let sum_of = |leaves: std::ops::Range<u32>| {
                    let sum = leaves.map(|leaf| 1.0 + leaf as f32).sum::<f32>();
                    GradientSum::new(vec![sum].into(), Precision::F32)
                };
                let middle = leaves.next_power_of_two().div_ceil(2);
                let mut expected = sum_of(0..middle);
                if leaves > 1 {
                    expected.add_last(sum_of(middle..leaves));
                }
                assert_eq!(totals.samples, u64::from(leaves));
                assert_eq!(body, SumBody::Gradient(expected), "{leaves} leaves");
            }
        }
    }
}
