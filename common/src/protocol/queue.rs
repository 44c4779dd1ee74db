//! The leaves of a round: which are done, which are out at a worker, and which piece is handed out next.
//!
//! A *piece* is a node of the reduction tree: a worker computes all leaves below it and answers with their
//! sum. The queue decides sizes; it knows no connections and no deadlines.

use crate::reduce::tree::{Node, Tree};

/// The state of a round's leaves.
#[derive(Debug)]
pub(super) struct Queue {
    tree: Tree,
    /// Leaves whose value has been accepted.
    done: Vec<bool>,
    /// Workers that compute each leaf now.
    out: Vec<u16>,
    /// Leaves that travel alone, because a larger piece with them was not finite.
    alone: Vec<bool>,
    undone: u32,
    waiting: u32,
    /// No leaf waits before this one.
    first_waiting: u32,
}

impl Queue {
    pub(super) fn new(leaves: u32) -> Self {
        let n = leaves as usize;
        Self {
            tree: Tree::new(leaves),
            done: vec![false; n],
            out: vec![0; n],
            alone: vec![false; n],
            undone: leaves,
            waiting: leaves,
            first_waiting: 0,
        }
    }

    /// Leaves that no worker computes and that are not done.
    pub(super) fn waiting(&self) -> u32 {
        self.waiting
    }

    pub(super) fn is_complete(&self) -> bool {
        self.undone == 0
    }

    pub(super) fn leaves_below(&self, node: Node) -> u32 {
        self.tree.leaves_below(node).len() as u32
    }

    /// Hands out the next piece of at most `most` leaves. `None` when no leaf waits.
    pub(super) fn take(&mut self, most: u32) -> Option<Node> {
        let is_waiting = |leaf: usize| !self.done[leaf] && self.out[leaf] == 0;
        let first = (self.first_waiting as usize..self.done.len()).find(|&leaf| is_waiting(leaf))?;
        let piece = if self.alone[first] {
            Node::leaf(first as u32)
        } else {
            let free = |leaf: u32| is_waiting(leaf as usize) && !self.alone[leaf as usize];
            self.tree.largest_node(first as u32, most, free)
        };
        self.first_waiting = first as u32;
        self.lend(piece);
        Some(piece)
    }

    /// The leaves of `piece` that are not done.
    pub(super) fn undone_below(&self, piece: Node) -> impl Iterator<Item = u32> {
        self.tree.leaves_below(piece).filter(|&leaf| !self.done[leaf as usize])
    }

    /// Hands out late leaves of `piece`, at most `most`, to one more worker. `None` unless an unfinished leaf
    /// `is_late`.
    pub(super) fn backup(&mut self, piece: Node, most: u32, is_late: impl Fn(u32) -> bool) -> Option<Node> {
        let below = self.tree.leaves_below(piece);
        let may = |leaf: u32| below.contains(&leaf) && !self.done[leaf as usize] && is_late(leaf);
        let first = below.clone().find(|&leaf| may(leaf))?;
        let backup = self.tree.largest_node(first, most, may);
        self.lend(backup);
        Some(backup)
    }

    /// Counts one more worker that computes `piece`.
    pub(super) fn lend(&mut self, piece: Node) {
        for leaf in self.tree.leaves_below(piece) {
            let leaf = leaf as usize;
            self.waiting -= u32::from(self.out[leaf] == 0 && !self.done[leaf]);
            self.out[leaf] += 1;
        }
    }

    /// Counts one worker less that computes `piece`.
    pub(super) fn give_back(&mut self, piece: Node) {
        for leaf in self.tree.leaves_below(piece) {
            let leaf = leaf as usize;
            self.out[leaf] -= 1;
            let waits = self.out[leaf] == 0 && !self.done[leaf];
            self.waiting += u32::from(waits);
            self.first_waiting = if waits { self.first_waiting.min(leaf as u32) } else { self.first_waiting };
        }
    }

    /// Marks the leaves of `piece` as done. Returns whether one of them was not done before. Comes before
    /// `give_back`.
    pub(super) fn accept(&mut self, piece: Node) -> bool {
        let mut news = false;
        for leaf in self.tree.leaves_below(piece) {
            let leaf = leaf as usize;
            if !self.done[leaf] {
                news = true;
                self.undone -= 1;
                self.waiting -= u32::from(self.out[leaf] == 0);
                self.done[leaf] = true;
            }
        }
        news
    }

    /// Whether a leaf of `piece` is not done, so that a value of it would be of use.
    pub(super) fn wants(&self, piece: Node) -> bool {
        self.tree.leaves_below(piece).any(|leaf| !self.done[leaf as usize])
    }

    /// Lets each leaf of `piece` travel alone from now on, to find the one that is not finite.
    pub(super) fn part(&mut self, piece: Node) {
        self.tree.leaves_below(piece).for_each(|leaf| self.alone[leaf as usize] = true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_come_back_and_go_out_again_until_done() {
        let mut queue = Queue::new(6);
        let first = queue.take(4).unwrap();
        assert_eq!((first, queue.waiting()), (Node { level: 2, index: 0 }, 2));
        queue.give_back(first);
        assert_eq!(queue.waiting(), 6);
        let pieces = [queue.take(2).unwrap(), queue.take(2).unwrap(), queue.take(2).unwrap()];
        assert_eq!(queue.take(1), None);
        for piece in pieces {
            assert!(queue.accept(piece));
            queue.give_back(piece);
        }
        assert!(queue.is_complete());
    }

    #[test]
    fn a_backup_task_holds_leaves_that_are_late_and_not_done() {
        let mut queue = Queue::new(4);
        let piece = queue.take(4).unwrap();
        let backup = queue.backup(piece, 2, |_| true).unwrap();
        assert_eq!(backup, Node { level: 1, index: 0 });
        assert_eq!(queue.backup(piece, 1, |leaf| leaf > 1), Some(Node::leaf(2)));
        assert_eq!(queue.backup(piece, 4, |leaf| leaf == 3), Some(Node::leaf(3)));
        assert_eq!(queue.backup(piece, 1, |_| false), None);
        assert!(queue.accept(backup));
        queue.give_back(backup);
        assert_eq!(queue.backup(piece, 4, |_| true), Some(Node { level: 1, index: 1 }));
        assert!(!queue.accept(backup), "its leaves are done already");
        assert!(queue.accept(piece), "the larger piece still brings leaves 2 and 3");
        assert!(queue.is_complete());
        assert_eq!(queue.backup(piece, 4, |_| true), None);
    }

    #[test]
    fn the_leaves_of_a_parted_piece_travel_alone() {
        let mut queue = Queue::new(4);
        let piece = queue.take(4).unwrap();
        queue.part(piece);
        queue.give_back(piece);
        assert_eq!(
            (0..5).map(|_| queue.take(4)).collect::<Vec<_>>(),
            [0, 1, 2, 3].map(|leaf| Some(Node::leaf(leaf))).into_iter().chain([None]).collect::<Vec<_>>()
        );
    }
}
