//! What travels in the simulated world and what happens in it. Decides nothing.

use super::plan::Fault;
use super::trainer::Value;
use common::ids::{Incarnation, Instance, Round};
use common::reduce::tree::Node;
use common::selftest::NumericsDigest;

/// Something that happens at a moment.
#[derive(Debug)]
pub(crate) enum Wake {
    /// A message reaches the coordinator.
    Up { connection: usize, generation: u32, message: Up },
    /// A message reaches a worker.
    Down { connection: usize, generation: u32, message: Down },
    /// Heartbeats of the coordinator's life are due.
    Beat(u64),
    /// The coordinator of this life has applied a step, or loaded its checkpoint.
    Begin(u64),
    /// A worker's thread has computed a leaf of a piece.
    LeafDone { worker: usize, piece: usize, leaf: u32 },
    /// The outside interferes.
    Fault(Fault),
    /// A frozen worker runs again.
    Thaw(usize),
    /// A slow worker is fast again.
    Recover(usize),
    /// A deaf worker computes again.
    Hear(usize),
    /// The network is as good as before in this.
    Calm(Trouble),
    /// A worker process starts.
    StartWorker(String),
    /// A worker that has not been there before starts.
    StartNewcomer,
    /// A dead coordinator is started again.
    StartCoordinator,
    /// Faults end.
    Heal,
}

/// What can be wrong with a network.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    Lag,
    Repeats,
    Disorder,
    Partition,
}

/// From a worker.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Up {
    Hello { name: String, instance: Instance, threads: u32, numerics: NumericsDigest },
    Heartbeat,
    Answer { round: Round, node: Node, body: Body },
    Goodbye,
    Ended,
}

/// What an answer holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    Value(Value),
    NonFinite { checksum: u32 },
    Garbage,
}

/// From the coordinator.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Down {
    Welcome(Incarnation),
    Spare,
    Refused {
        retry: bool,
    },
    Heartbeat,
    Parameters(Task),
    /// With the step whose parameters it needs.
    Grant(Round, Node, u64),
    Dropped,
    Ended,
}

/// What a round's pieces are computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) step: u64,
    pub(crate) leaves: u32,
    /// Digest of the parameters.
    pub(crate) parameters: u64,
}
