//! Room for gradients: how many may be in memory at once, whoever sends them.
//!
//! Of a large model not every worker's gradient fits beside every other's. A stream is read up to the head of its answer
//! and then waits here until there is room. Who has it is told by the tree: first what is added to a sum that is here, then
//! from the left, so that sums fill up instead of lying side by side. It is a question of memory alone: no bit depends on
//! it. Nobody waits for ever: when no answer arrives and none that is better to have first can come, or nothing has moved
//! for [`PATIENCE_US`], one is let in, room or not.

use common::tree::{Node, Tree};
use std::collections::BTreeSet;
use tokio::sync::oneshot;

/// Gradients of one round that are in memory at once, arriving or waiting for their neighbours, before others have to wait.
pub(super) const GRADIENTS: usize = 8;

/// For a worker to compute or to send what all others wait for.
const PATIENCE_US: u64 = 5_000_000;

/// Who is arriving, and who waits.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// When somebody was last let in, or had arrived.
    moved_us: u64,
    /// By connection.
    arriving: BTreeSet<u64>,
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    connection: u64,
    node: Node,
    /// The stream goes on when this is dropped.
    _enter: oneshot::Sender<()>,
}

/// What else decides.
pub(super) struct Around<J> {
    pub(super) now_us: u64,
    /// Of the round in progress.
    pub(super) tree: Tree,
    /// Sums that are in memory.
    pub(super) held: usize,
    /// Whether an answer would be added to one of them.
    pub(super) joins: J,
    /// Members with a piece that they have not announced: something may still come that is better to have first.
    pub(super) computing: usize,
}

impl Room {
    /// The stream of `connection` has come to the head of an answer.
    pub(super) fn wait(&mut self, connection: u64, node: Node, enter: oneshot::Sender<()>) {
        self.waiting.push(Waiting { connection, node, _enter: enter });
    }

    /// The connection has no gradient on its way any more.
    pub(super) fn leave(&mut self, now_us: u64, connection: u64) {
        if self.arriving.remove(&connection) {
            self.moved_us = now_us;
        }
        self.waiting.retain(|waiting| waiting.connection != connection);
    }

    /// The round is over: what waits is of no use, and is read only to be discarded.
    pub(super) fn end_round(&mut self) {
        self.waiting.clear();
    }

    /// Whether nobody waits.
    pub(super) fn is_quiet(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether the connection's answer is arriving or waits.
    pub(super) fn has(&self, connection: u64) -> bool {
        self.arriving.contains(&connection) || self.waiting.iter().any(|w| w.connection == connection)
    }

    /// Lets in those for whom there is room.
    pub(super) fn admit(&mut self, around: &Around<impl Fn(Node) -> bool>) {
        while let Some(next) = self.next(around) {
            let Waiting { connection, .. } = self.waiting.swap_remove(next);
            self.arriving.insert(connection);
            self.moved_us = around.now_us;
        }
    }

    fn next(&self, around: &Around<impl Fn(Node) -> bool>) -> Option<usize> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use common::tree::Reduction;
    use tokio::sync::oneshot::error::TryRecvError;

    struct Round {
        room: Room,
        reduction: Reduction<()>,
        entrances: Vec<oneshot::Receiver<()>>,
        tree: Tree,
    }

    impl Round {
        /// All leaves have been announced, the last one first, by connections of the same numbers.
        fn announced(leaves: u32) -> Self {
            let tree = Tree::new(leaves);
            let mut room = Room::default();
            let entrances = (0..leaves).rev().map(|leaf| {
                let (enter, entrance) = oneshot::channel();
                room.wait(leaf.into(), Node::leaf(leaf), enter);
                entrance
            });
            let entrances = entrances.collect::<Vec<_>>().into_iter().rev().collect();
            Self { room, reduction: Reduction::new(tree, tree.root()), entrances, tree }
        }

        fn admit(&mut self, now_us: u64, computing: usize) {
            let reduction = &self.reduction;
            let joins = |node| reduction.joins(node);
            self.room.admit(&Around { now_us, tree: self.tree, held: reduction.held(), joins, computing });
        }

        /// Those that have been let in and have not arrived.
        fn arriving(&mut self) -> Vec<u32> {
            let leaves: Vec<u32> = self.room.arriving.iter().map(|&connection| connection as u32).collect();
            // Their streams go on.
            let is_in = |leaf: u32| self.entrances[leaf as usize].try_recv() != Err(TryRecvError::Empty);
            assert!(leaves.iter().copied().all(is_in));
            leaves
        }

        /// Every other leaf from 20 on is here: as many sums as there may be.
        fn fill(&mut self) {
            (0..GRADIENTS as u32).for_each(|leaf| self.arrive(20 + 2 * leaf));
        }

        fn arrive(&mut self, leaf: u32) {
            self.room.leave(0, leaf.into());
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
                round.room.leave(0, (2 * leaf).into());
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
        (0..GRADIENTS as u64).for_each(|connection| round.room.leave(0, connection));
        round.admit(0, 0);
        assert_eq!(round.arriving().len(), GRADIENTS);
        round.room.end_round();
        assert!(round.room.is_quiet() && round.entrances.iter_mut().all(|e| e.try_recv().is_err()));
    }
}
