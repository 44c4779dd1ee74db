//! A trainer whose numbers are digests: any leaf missing, doubled, stale or added out of order changes the
//! result.
//!
//! It replaces gradients and optimizer. Addition is neither commutative nor associative, like floating point
//! but far less forgiving. [`expected`] is the oracle: it computes the run without a cluster and without
//! `common::reduce::tree`.

use super::message::Task;
use common::ids::SetupId;

/// Magnitude of a correct value, and below that of a huge one.
pub(crate) const USUAL: f32 = 1.0;
pub(crate) const HUGE: f32 = 1e30;

/// The parameters of a run before its first step: no two runs have the same.
pub(crate) fn initial(run: SetupId) -> u64 {
    mix(0x1057_57E9 + u64::from(run.0))
}

/// The input of a value. Real answers do not carry it; the invariants use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Basis {
    /// The connection on which the piece was granted.
    pub(crate) connection: usize,
    pub(crate) task: Task,
}

/// A stand-in for a gradient.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Value {
    pub(crate) digest: u64,
    /// Leaves of the value, in the order in which they were added.
    pub(crate) leaves: Vec<u32>,
    pub(crate) basis: Basis,
    /// Whether a worker that miscomputes contributed to it.
    pub(crate) wrong: bool,
    /// Largest magnitude of the value.
    pub(crate) peak: f32,
}

impl Value {
    pub(crate) fn of_leaf(basis: Basis, leaf: u32) -> Self {
        let digest = leaf_digest(basis.task.parameters, basis.task.step, leaf);
        Self { digest, leaves: vec![leaf], basis, wrong: false, peak: USUAL }
    }

    /// The value of a machine that miscomputes; no two machines give the same.
    pub(crate) fn miscomputed(self, machine: usize) -> Self {
        Self { digest: self.digest ^ mix(machine as u64), wrong: true, ..self }
    }

    /// The value of a machine that always fails alike.
    pub(crate) fn huge(self, machine: usize) -> Self {
        Self { peak: HUGE, ..self.miscomputed(machine) }
    }

    /// The checksum that a receiver computes.
    pub(crate) fn checksum(&self) -> u32 {
        (self.digest ^ self.digest >> 32) as u32
    }

    pub(crate) fn add(&mut self, right: Self) {
        self.digest = sum(self.digest, right.digest);
        self.leaves.extend(right.leaves);
        self.wrong |= right.wrong;
        self.peak = self.peak.max(right.peak);
    }
}

/// The optimizer: the parameters after a step whose reduction gave `root`.
pub(crate) fn advance(parameters: u64, root: u64) -> u64 {
    mix(mix(parameters) ^ root.rotate_left(31))
}

/// The optimizer's slot after a step of that magnitude: a running mean of squares, like Adam's.
pub(crate) fn advance_slot(slot: f32, peak: f32) -> f32 {
    0.9 * slot + 0.1 * (peak * peak)
}

/// The parameters before each step and after the last one, for steps of these numbers of leaves.
pub(crate) fn expected(run: SetupId, leaves_per_step: &[u32]) -> Vec<u64> {
    let mut parameters = vec![initial(run)];
    for (step, &leaves) in leaves_per_step.iter().enumerate() {
        let before = parameters[step];
        let root = direct(before, step as u64, 0..leaves.next_power_of_two(), leaves);
        parameters.push(advance(before, root));
    }
    parameters
}

/// The sum over `span` (a power of two long) of a step with `leaves` leaves; its first leaf exists.
fn direct(parameters: u64, step: u64, span: std::ops::Range<u32>, leaves: u32) -> u64 {
    if span.len() == 1 {
        return leaf_digest(parameters, step, span.start);
    }
    let middle = span.start + span.len() as u32 / 2;
    let left = direct(parameters, step, span.start..middle, leaves);
    if middle >= leaves {
        return left;
    }
    sum(left, direct(parameters, step, middle..span.end, leaves))
}

fn leaf_digest(parameters: u64, step: u64, leaf: u32) -> u64 {
    mix(mix(parameters.wrapping_add(step)) ^ u64::from(leaf))
}

fn sum(left: u64, right: u64) -> u64 {
    mix(left.wrapping_mul(3) ^ mix(right))
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014), after an odd offset so that 0 moves.
fn mix(word: u64) -> u64 {
    let mut z = word.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::reduce::tree::{Node, Reduction, Tree};

    #[test]
    fn adding_depends_on_order_and_grouping() {
        assert_ne!(sum(1, 2), sum(2, 1));
        assert_ne!(sum(sum(1, 2), 3), sum(1, sum(2, 3)));
    }

    #[test]
    fn the_oracle_and_the_reduction_tree_agree() {
        for leaves in 1..=40 {
            let tree = Tree::new(leaves);
            let mut reduction = Reduction::new(tree, tree.root());
            let run = SetupId(2);
            let task = Task { run, step: 0, leaves, parameters: initial(run) };
            let basis = Basis { connection: 0, task };
            for leaf in (0..leaves).rev() {
                reduction
                    .insert(Node::leaf(leaf), Value::of_leaf(basis, leaf), |_, left, right| left.add(right));
            }
            let root = reduction.into_result().unwrap();
            assert_eq!(expected(run, &[leaves])[1], advance(initial(run), root.digest));
        }
    }
}
