//! The order in which the gradients of a round's leaves are added: a fixed binary tree, whoever computed
//! what.
//!
//! Node (level, i) is the sum of nodes (level-1, 2i) and (level-1, 2i+1), in that order; where the right
//! child does not exist the node is its left child. Floating-point addition is not associative, so fixing the
//! tree fixes the bits: a node has one value, whether a worker sent it whole or the coordinator added it from
//! parts. That is why overlapping answers do no harm, and a node that arrives twice can be ignored.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

/// Most leaves of one round: bounds what a peer can announce and keeps levels in a byte.
pub const LEAVES_MAX: u32 = 1 << 24;

/// A node of the tree; level 0 holds the leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Node {
    /// Distance from the leaves.
    pub level: u8,
    /// Position within the level, from 0.
    pub index: u32,
}

impl Node {
    /// The node of one leaf.
    #[must_use]
    pub fn leaf(index: u32) -> Self {
        Self { level: 0, index }
    }

    /// The parent of this node.
    #[must_use]
    pub fn parent(self) -> Self {
        Self { level: self.level + 1, index: self.index / 2 }
    }

    fn sibling(self) -> Self {
        Self { level: self.level, index: self.index ^ 1 }
    }

    fn is_right(self) -> bool {
        self.index % 2 == 1
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.level, self.index)
    }
}

/// The shape of a round's tree: a function of the number of leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tree {
    leaves: u32,
}

impl Tree {
    /// The tree over `leaves` leaves.
    ///
    /// # Panics
    /// When `leaves` is 0 or above [`LEAVES_MAX`].
    #[must_use]
    pub fn new(leaves: u32) -> Self {
        assert!((1..=LEAVES_MAX).contains(&leaves), "a tree has 1 to {LEAVES_MAX} leaves, not {leaves}");
        Self { leaves }
    }

    /// The number of leaves in the tree.
    #[must_use]
    pub fn leaves(self) -> u32 {
        self.leaves
    }

    /// The node above all leaves.
    #[must_use]
    pub fn root(self) -> Node {
        Node { level: self.leaves.next_power_of_two().trailing_zeros() as u8, index: 0 }
    }

    /// Whether `node` is in this tree.
    #[must_use]
    pub fn contains(self, node: Node) -> bool {
        node.level <= self.root().level && u64::from(node.index) << node.level < u64::from(self.leaves)
    }

    /// The leaves below `node`; empty when the node is not in the tree.
    #[must_use]
    pub fn leaves_below(self, node: Node) -> Range<u32> {
        if !self.contains(node) {
            return 0..0;
        }
        let first = node.index << node.level;
        first..self.leaves.min(first.saturating_add(1 << node.level))
    }

    /// The largest node that starts at leaf `first` and has at most `most` leaves, all of them `free`. `most`
    /// counts as at least 1, and `first` itself must be free.
    pub fn largest_node(self, first: u32, most: u32, free: impl Fn(u32) -> bool) -> Node {
        let mut best = Node::leaf(first);
        while !best.is_right() && best != self.root() {
            let parent = best.parent();
            let below = self.leaves_below(parent);
            if below.len() as u32 > most.max(1) || !below.into_iter().all(&free) {
                break;
            }
            best = parent;
        }
        best
    }
}

/// Result of inserting a value into a [`Reduction`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The value was added; the reduction still waits for others.
    Added,
    /// The value was added, and the reduction is complete.
    Complete,
    /// The node's value was already present, alone or within an ancestor; the new one was dropped.
    Duplicate,
}

/// Adds values up the tree as soon as both children are present, whatever their order of arrival.
///
/// Holds at most one value per uncovered subtree.
#[derive(Debug)]
pub struct Reduction<T> {
    tree: Tree,
    target: Node,
    values: BTreeMap<Node, T>,
}

impl<T> Reduction<T> {
    /// Reduces the part of `tree` below `target` (the root for a whole round, a piece's node on a worker).
    ///
    /// # Panics
    /// When `target` is not in the tree.
    #[must_use]
    pub fn new(tree: Tree, target: Node) -> Self {
        assert!(tree.contains(target), "node {target} is not in a tree of {} leaves", tree.leaves());
        Self { tree, target, values: BTreeMap::new() }
    }

    /// Whether `node`'s value is present or part of a value that is.
    #[must_use]
    pub fn covers(&self, node: Node) -> bool {
        let mut at = node;
        while at.level < self.target.level && !self.values.contains_key(&at) {
            at = at.parent();
        }
        self.values.contains_key(&at)
    }

    /// Whether the value of `node`, which is absent, would be added to one that is present.
    #[must_use]
    pub fn joins(&self, node: Node) -> bool {
        let mut at = node;
        while at != self.target && at.level < self.target.level {
            if self.tree.contains(at.sibling()) {
                return self.values.contains_key(&at.sibling());
            }
            at = at.parent();
        }
        false
    }

    /// The number of present values, which wait for others.
    #[must_use]
    pub fn held(&self) -> usize {
        self.values.len()
    }

    /// Inserts the value of `node` and adds upwards: `add(parent, left, right)` makes `left` the value of
    /// `parent`.
    ///
    /// # Panics
    /// When `node` is not below the target.
    pub fn insert(&mut self, node: Node, value: T, mut add: impl FnMut(Node, &mut T, T)) -> Inserted {
        let below = self.tree.leaves_below(node);
        let all = self.tree.leaves_below(self.target);
        assert!(
            !below.is_empty()
                && all.start <= below.start
                && below.end <= all.end
                && node.level <= self.target.level,
            "node {node} is not below {}",
            self.target
        );
        if self.covers(node) {
            return Inserted::Duplicate;
        }
        self.values.retain(|&part, _| !below.contains(&self.tree.leaves_below(part).start));
        let mut at = node;
        let mut value = value;
        while at != self.target {
            let sibling = at.sibling();
            if self.tree.contains(sibling) {
                match self.values.remove(&sibling) {
                    None => break,
                    Some(mut left) if at.is_right() => {
                        add(at.parent(), &mut left, value);
                        value = left;
                    }
                    Some(right) => add(at.parent(), &mut value, right),
                }
            }
            at = at.parent();
        }
        self.values.insert(at, value);
        if at == self.target { Inserted::Complete } else { Inserted::Added }
    }

    /// The target's value, once complete.
    #[must_use]
    pub fn into_result(mut self) -> Option<T> {
        self.values.remove(&self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    /// The definition, written as a recursion over text: shows the order of every addition.
    fn expected(tree: Tree, node: Node) -> String {
        if node.level == 0 {
            return node.index.to_string();
        }
        let left = Node { level: node.level - 1, index: node.index * 2 };
        let right = Node { level: node.level - 1, index: node.index * 2 + 1 };
        if tree.contains(right) {
            format!("({}+{})", expected(tree, left), expected(tree, right))
        } else {
            expected(tree, left)
        }
    }

    fn add(_parent: Node, left: &mut String, right: String) {
        *left = format!("({left}+{right})");
    }

    #[test]
    fn any_order_of_arrival_adds_in_tree_order() {
        let mut stream = Stream::new(1, "tree test", &[]);
        for leaves in 1..40 {
            let tree = Tree::new(leaves);
            for _ in 0..20 {
                let mut reduction = Reduction::new(tree, tree.root());
                let order = stream.permutation(leaves);
                for (i, &leaf) in order.iter().enumerate() {
                    let got = reduction.insert(Node::leaf(leaf), leaf.to_string(), add);
                    let last = i + 1 == order.len();
                    assert_eq!(got, if last { Inserted::Complete } else { Inserted::Added });
                }
                assert_eq!(reduction.into_result(), Some(expected(tree, tree.root())));
            }
        }
    }

    #[test]
    fn overlapping_and_repeated_nodes_change_nothing() {
        let mut stream = Stream::new(2, "tree test", &[]);
        for leaves in 1..40 {
            let tree = Tree::new(leaves);
            for _ in 0..20 {
                let mut reduction = Reduction::new(tree, tree.root());
                loop {
                    let leaf = stream.below(leaves);
                    let level = stream.below(u32::from(tree.root().level) + 1) as u8;
                    let node = Node { level, index: leaf >> level };
                    let covered = reduction.covers(node);
                    match reduction.insert(node, expected(tree, node), add) {
                        Inserted::Complete => break,
                        Inserted::Duplicate => assert!(covered),
                        Inserted::Added => assert!(!covered),
                    }
                }
                assert_eq!(reduction.into_result(), Some(expected(tree, tree.root())));
            }
        }
    }

    #[test]
    fn a_value_joins_the_one_that_it_would_be_added_to() {
        let tree = Tree::new(5);
        let mut reduction = Reduction::new(tree, tree.root());
        let pair = Node { level: 1, index: 1 };
        reduction.insert(Node::leaf(0), "0".to_owned(), add);
        reduction.insert(pair, "(2+3)".to_owned(), add);
        assert_eq!(reduction.held(), 2);
        // The last leaf waits for the sum of all before it.
        let joins = [1, 2, 4].map(|leaf| reduction.joins(Node::leaf(leaf)));
        assert_eq!(joins, [true, false, false]);
        reduction.insert(Node::leaf(1), "1".to_owned(), add);
        assert!(reduction.held() == 1 && reduction.joins(Node::leaf(4)) && !reduction.joins(tree.root()));
    }

    #[test]
    fn a_piece_reduces_to_its_own_node() {
        let tree = Tree::new(7);
        let piece = Node { level: 2, index: 1 };
        let mut reduction = Reduction::new(tree, piece);
        for leaf in [6, 4, 5] {
            reduction.insert(Node::leaf(leaf), leaf.to_string(), add);
        }
        assert_eq!(reduction.into_result(), Some("((4+5)+6)".to_owned()));
    }

    #[test]
    fn the_largest_node_is_aligned_free_and_within_the_limit() {
        let tree = Tree::new(11);
        let node = |first, most| tree.largest_node(first, most, |leaf| leaf != 7);
        assert_eq!(node(0, 100), Node { level: 2, index: 0 });
        assert_eq!(node(0, 3), Node { level: 1, index: 0 });
        assert_eq!(node(6, 100), Node::leaf(6));
        assert_eq!(node(5, 100), Node::leaf(5));
        assert_eq!(node(8, 100), Node { level: 3, index: 1 });
        assert_eq!(node(10, 0), Node { level: 1, index: 5 });
        assert_eq!(Tree::new(1).largest_node(0, 9, |_| true), Tree::new(1).root());
    }

    #[test]
    fn nodes_outside_the_tree_have_no_leaves() {
        let tree = Tree::new(5);
        assert_eq!(tree.root(), Node { level: 3, index: 0 });
        assert_eq!(tree.leaves_below(Node { level: 0, index: 5 }), 0..0);
        assert_eq!(tree.leaves_below(Node { level: 1, index: 2 }), 4..5);
        assert_eq!(tree.leaves_below(Node { level: 200, index: 0 }), 0..0);
        assert_eq!(tree.leaves_below(Node { level: 3, index: u32::MAX }), 0..0);
    }
}
