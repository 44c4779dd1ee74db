//! Messages and events of the simulated world. Decides nothing.

use super::identity::Identity;
use super::plan::Fault;
use super::trainer::Value;
use common::ids::{Incarnation, ParamsId, Round, SetupId};
use common::reduce::tree::Node;
use common::selftest::NumericsDigest;

/// An event that is still to come.
#[derive(Debug)]
pub(crate) enum Wake {
    /// A message reaches the coordinator.
    Up { connection: usize, generation: u32, message: Up },
    /// A message reaches a worker.
    Down { connection: usize, generation: u32, message: Down },
    /// Heartbeats are due in this life of the coordinator.
    Beat(u64),
    /// The coordinator of this life has applied a step of a run, or loaded its checkpoint.
    Begin(u64, SetupId),
    /// A worker's thread has computed a leaf of a piece.
    LeafDone { worker: usize, piece: usize, leaf: u32 },
    /// A fault is injected.
    Fault(Fault),
    /// A frozen worker runs again.
    Thaw(usize),
    /// A slow worker is fast again.
    Recover(usize),
    /// A deaf worker computes again.
    Hear(usize),
    /// The network recovers from this trouble.
    Calm(Trouble),
    /// A worker process starts.
    StartWorker(String),
    /// A worker that was not there before starts.
    StartNewcomer,
    /// A dead coordinator is started again.
    StartCoordinator,
    /// From now on there are no faults.
    Heal,
}

/// A fault of the network.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    Lag,
    Repeats,
    Disorder,
    Partition,
}

/// A message from a worker.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Up {
    Hello { name: String, identity: Identity, threads: u32, numerics: NumericsDigest },
    Heartbeat,
    Answer { setup: SetupId, round: Round, node: Node, body: Body },
    Goodbye,
    Ended,
}

/// The content of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    Value(Value),
    NonFinite {
        checksum: u32,
        /// Number of leaves.
        leaves: u32,
    },
    Garbage,
}

/// A message from the coordinator.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Down {
    Welcome(Incarnation),
    Spare,
    Refused {
        retry: bool,
    },
    Heartbeat,
    Setup(SetupId),
    Forget(SetupId),
    Parameters(Task),
    /// A piece, with the run and the parameters that it needs.
    Grant(Round, Node, SetupId, ParamsId),
    Dropped,
    Ended,
}

/// The input of a round's pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) run: SetupId,
    pub(crate) step: u64,
    pub(crate) leaves: u32,
    /// Digest of the parameters before the step.
    pub(crate) parameters: u64,
}
