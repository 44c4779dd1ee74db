//! The gradient budget: how many gradients may be in memory at the same time, and which one is read next.
//!
//! A large model's gradients of all workers do not fit into memory beside each other. So a stream is read up
//! to the head of its answer, and then waits here until the budget has room. Only memory is at stake: no bit
//! depends on the order.
//!
//! 1. At most [`GRADIENTS`] gradients of a round are in memory, arriving or waiting for the node beside them.
//! 2. Admission order: first a gradient whose sibling is already in memory, because adding it frees a buffer;
//!    then the left-most, so that sums fill up instead of lying side by side.
//! 3. One more is admitted over the budget when no gradient arrives and none that would be better first can
//!    come, or when nothing has moved for [`PATIENCE_US`]. So a stalled worker can't block the rest.
//! 4. A worker whose gradient does not arrive is dropped ([`GradientBudget::stalled`]): no byte for the
//!    heartbeat timeout, or less than [`SLOW_BYTES`] in [`SLOW_US`] while others wait.

use crate::stall::Stall;
use common::protocol::coordinator::Cause;
use common::reduce::tree::{Node, Tree};
use std::collections::BTreeMap;

/// Gradients of one round that are in memory at once, arriving or waiting for the node beside them, before
/// others have to wait.
pub(crate) const GRADIENTS: usize = 8;

/// For a worker to compute or to send what all others wait for.
const PATIENCE_US: u64 = 5_000_000;
/// What a gradient must bring within [`SLOW_US`] in which others wait: 100 kB a second, a hundredth of a poor
/// network.
const SLOW_BYTES: u64 = 1_000_000;
/// Long enough for a network to be out for some seconds.
const SLOW_US: u64 = 10_000_000;

/// Who is arriving, and who waits.
#[derive(Debug, Default)]
pub(crate) struct GradientBudget {
    /// When somebody was last let in, or had arrived.
    moved_us: u64,
    /// Gradients on their way, by connection.
    arriving: BTreeMap<u64, Arriving>,
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Arriving {
    node: Node,
    stall: Stall,
    looked_us: u64,
    /// How long others have waited since `bytes` had come.
    waited_us: u64,
    bytes: u64,
}

#[derive(Debug)]
struct Waiting {
    connection: u64,
    node: Node,
}

/// State of the round, and time, by which gradients are admitted.
pub(crate) struct RoundState<J> {
    pub(crate) now_us: u64,
    /// Of the round in progress.
    pub(crate) tree: Tree,
    /// Sums that are in memory.
    pub(crate) held: usize,
    /// Whether an answer would be added to one of them.
    pub(crate) joins: J,
    /// Members with a piece that they have not announced: something may still come that is better to have
    /// first.
    pub(crate) computing: usize,
}

impl GradientBudget {
    /// Lets the stream of `connection` wait, which has come to the head of an answer.
    pub(crate) fn wait(&mut self, connection: u64, node: Node) {
        self.waiting.push(Waiting { connection, node });
    }

    /// Notes that the connection has no gradient on its way any more.
    pub(crate) fn leave(&mut self, now_us: u64, connection: u64) {
        if self.arriving.remove(&connection).is_some() {
            self.moved_us = now_us;
        }
        self.waiting.retain(|waiting| waiting.connection != connection);
    }

    /// Ends the round. What waits is of no use, and is read only to be discarded: returns those connections.
    pub(crate) fn end_round(&mut self) -> Vec<u64> {
        self.waiting.drain(..).map(|waiting| waiting.connection).collect()
    }

    /// Whether no gradient waits to be admitted.
    pub(crate) fn is_quiet(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether the connection's answer is arriving or waits.
    pub(crate) fn has(&self, connection: u64) -> bool {
        self.arriving.contains_key(&connection) || self.waiting.iter().any(|w| w.connection == connection)
    }

    /// Admits gradients while there is room. Returns their connections. `arrived` are the bytes of gradients
    /// that have come on a connection so far.
    pub(crate) fn admit(
        &mut self,
        around: &RoundState<impl Fn(Node) -> bool>,
        arrived: impl Fn(u64) -> u64,
    ) -> Vec<u64> {
        let mut admitted = Vec::new();
        while let Some(next) = self.next(around) {
            let Waiting { connection, node } = self.waiting.swap_remove(next);
            self.arriving.insert(connection, Arriving::new(node, around.now_us, arrived(connection)));
            self.moved_us = around.now_us;
            admitted.push(connection);
        }
        admitted
    }

    /// The connections whose gradients do not arrive, and why: no byte for `timeout_us`, or too few while
    /// others wait.
    ///
    /// To be asked every `look_us`; where it was asked later, this process was held up itself, and that time
    /// does not count.
    pub(crate) fn stalled(
        &mut self,
        now_us: u64,
        look_us: u64,
        timeout_us: u64,
        arrived: impl Fn(u64) -> u64,
    ) -> Vec<(u64, Cause)> {
        let others_wait = !self.waiting.is_empty();
        let looks = self.arriving.iter_mut().map(|(&connection, arriving)| {
            (connection, arriving.look(now_us, look_us, timeout_us, arrived(connection), others_wait))
        });
        looks.filter_map(|(connection, cause)| Some((connection, cause?))).collect()
    }

    fn next(&self, around: &RoundState<impl Fn(Node) -> bool>) -> Option<usize> {
        let has_room = self.arriving.len() + around.held < GRADIENTS;
        // Who lets others wait so long gets no more of it, whether he computes or sends.
        let is_in_vain = around.now_us >= self.moved_us + PATIENCE_US;
        let (may_join, may_others) = match (has_room || is_in_vain, self.arriving.is_empty()) {
            (true, _) => (true, true),
            (false, true) => (true, around.computing == 0),
            (false, false) => (false, false),
        };
        // A node of no tree comes first: it is refused where it is judged.
        let first = |at: &usize| around.tree.leaves_below(self.waiting[*at].node).start;
        let (joining, others): (Vec<usize>, Vec<usize>) =
            (0..self.waiting.len()).partition(|&at| (around.joins)(self.waiting[at].node));
        let leftmost = |of: Vec<usize>, may: bool| of.into_iter().min_by_key(first).filter(|_| may);
        leftmost(joining, may_join).or_else(|| leftmost(others, may_others))
    }
}

impl Arriving {
    fn new(node: Node, now_us: u64, bytes: u64) -> Self {
        let mut stall = Stall::default();
        stall.look(now_us, 0, bytes, true);
        Self { node, stall, looked_us: now_us, waited_us: 0, bytes }
    }

    fn look(
        &mut self,
        now_us: u64,
        look_us: u64,
        timeout_us: u64,
        bytes: u64,
        others_wait: bool,
    ) -> Option<Cause> {
        let node = self.node;
        let still_us = self.stall.look(now_us, look_us, bytes, true);
        if still_us >= timeout_us {
            return Some(Cause::Stalled { node, bytes: 0, took_us: still_us });
        }
        let since_us = now_us.saturating_sub(std::mem::replace(&mut self.looked_us, now_us)).min(2 * look_us);
        self.waited_us = if others_wait { self.waited_us + since_us } else { 0 };
        if others_wait && self.waited_us < SLOW_US {
            return None;
        }
        let took_us = std::mem::take(&mut self.waited_us);
        let came = bytes.saturating_sub(std::mem::replace(&mut self.bytes, bytes));
        // In as much more time so much more is due.
        let is_slow = others_wait && came < SLOW_BYTES.saturating_mul(took_us) / SLOW_US;
        is_slow.then_some(Cause::Stalled { node, bytes: came, took_us })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::reduce::tree::Reduction;

    struct Round {
        budget: GradientBudget,
        reduction: Reduction<()>,
        entered: Vec<u64>,
        tree: Tree,
    }

    impl Round {
        /// All leaves have been announced, the last one first, by connections of the same numbers.
        fn announced(leaves: u32) -> Self {
            let tree = Tree::new(leaves);
            let mut budget = GradientBudget::default();
            (0..leaves).rev().for_each(|leaf| budget.wait(leaf.into(), Node::leaf(leaf)));
            Self { budget, reduction: Reduction::new(tree, tree.root()), entered: Vec::new(), tree }
        }

        fn admit(&mut self, now_us: u64, computing: usize) {
            let reduction = &self.reduction;
            let joins = |node| reduction.joins(node);
            let state = RoundState { now_us, tree: self.tree, held: reduction.held(), joins, computing };
            self.entered.extend(self.budget.admit(&state, |_| 0));
        }

        /// Those that have been let in and have not arrived.
        fn arriving(&mut self) -> Vec<u32> {
            let leaves: Vec<u32> = self.budget.arriving.keys().map(|&connection| connection as u32).collect();
            assert!(leaves.iter().all(|&leaf| self.entered.contains(&leaf.into())), "their streams go on");
            leaves
        }

        /// Every other leaf from 20 on is here: as many sums as there may be.
        fn fill(&mut self) {
            (0..GRADIENTS as u32).for_each(|leaf| self.arrive(20 + 2 * leaf));
        }

        fn arrive(&mut self, leaf: u32) {
            self.budget.leave(0, leaf.into());
            self.reduction.insert(Node::leaf(leaf), (), |_, (), ()| {});
        }
    }

    #[test]
    fn few_at_once_from_the_left_and_all_in_the_end() {
        let mut round = Round::announced(100);
        round.admit(0, 0);
        assert_eq!(round.arriving(), (0..GRADIENTS as u32).collect::<Vec<_>>());
        let mut arrived = 0;
        while let Some(&leaf) = round.arriving().last() {
            assert!(round.arriving().len() + round.reduction.held() <= GRADIENTS + 1);
            round.arrive(leaf);
            arrived += 1;
            round.admit(0, 0);
        }
        assert_eq!(arrived, 100);
    }

    #[test]
    fn what_makes_room_comes_before_what_takes_it() {
        let mut round = Round::announced(40);
        round.fill();
        round.admit(0, 1);
        assert_eq!(round.arriving(), [21]);
    }

    #[test]
    fn a_full_room_waits_for_those_who_compute_but_not_for_ever() {
        for (now_us, computing) in [(0, 0), (PATIENCE_US, 1)] {
            let mut round = Round::announced(60);
            for leaf in 0..GRADIENTS as u32 {
                round.arrive(2 * leaf + 1);
                round.budget.leave(0, (2 * leaf).into());
            }
            round.admit(0, 1);
            assert!(round.arriving().is_empty(), "one of the missing leaves may be on its way");
            round.admit(now_us, computing);
            assert_eq!(round.arriving(), [2 * GRADIENTS as u32]);
        }
    }

    #[test]
    fn one_who_does_not_send_what_he_announced_stops_nobody() {
        let mut round = Round::announced(60);
        round.fill();
        round.admit(0, 0);
        round.admit(PATIENCE_US - 1, 0);
        assert_eq!(round.arriving(), [21]);
        round.admit(PATIENCE_US, 0);
        assert_eq!(round.arriving(), [21, 23]);
    }

    #[test]
    fn who_is_gone_takes_no_room() {
        let mut round = Round::announced(20);
        round.admit(0, 0);
        (0..GRADIENTS as u64).for_each(|connection| round.budget.leave(0, connection));
        round.admit(0, 0);
        assert_eq!(round.arriving().len(), GRADIENTS);
        let waited = round.budget.end_round();
        assert!(round.budget.is_quiet() && waited.len() == 20 - 2 * GRADIENTS);
    }

    /// What becomes of the first of as many as there is room for, which brings `bytes` a second, in so many
    /// seconds.
    fn first_of(leaves: u32, bytes: u64, seconds: u64) -> Option<(u64, Cause)> {
        let mut round = Round::announced(leaves);
        round.admit(0, 0);
        let second = 1_000_000;
        (1..=seconds).find_map(|at| {
            let arrived = |connection| if connection == 0 { bytes * at } else { SLOW_BYTES * at };
            let mut stalled = round.budget.stalled(at * second, second, 5 * second, arrived);
            assert!(stalled.len() <= 1 && stalled.iter().all(|&(connection, _)| connection == 0));
            stalled.pop().map(|(_, cause)| (at, cause))
        })
    }

    #[test]
    fn a_gradient_of_which_nothing_comes_is_given_up() {
        let stalled = |at| Some((at, Cause::Stalled { node: Node::leaf(0), bytes: 0, took_us: 5_000_000 }));
        assert_eq!(first_of(1, 0, 60), stalled(5));
        assert_eq!(first_of(1, 1, 60), None, "nobody waits for it");
    }

    #[test]
    fn a_slow_gradient_is_given_up_only_where_others_wait() {
        let few = SLOW_BYTES / 10 - 1;
        let cause = Cause::Stalled { node: Node::leaf(0), bytes: 10 * few, took_us: SLOW_US };
        assert_eq!(first_of(GRADIENTS as u32 + 1, few, 60), Some((10, cause)));
        assert_eq!(first_of(GRADIENTS as u32, few, 60), None);
        assert_eq!(first_of(GRADIENTS as u32 + 1, few + 1, 60), None);
    }

    #[test]
    fn time_in_which_nobody_looked_is_no_stall() {
        let mut round = Round::announced(1);
        round.admit(0, 0);
        assert_eq!(round.budget.stalled(3_600_000_000, 1_000_000, 5_000_000, |_| 0), []);
    }
}
