//! What happens to a run, as one type: the coordinator emits each [`Event`] once. Logs, progress, metrics and
//! tests read it.
//!
//! The serialized form is an object: `event` names the variant in snake case, beside the variant's fields. It
//! can be parsed again, so readers of a JSON log match values instead of prose. The text for people is
//! `Display`'s, in `text`. Nothing here decides which event is emitted when, or to whom.

mod mistakes;
mod record;
mod round;
mod text;

pub use self::mistakes::{Mistake, MistakesRecord};
pub use self::record::{
    Evaluation, NamedQuality, PseudoLabelsRecord, RunRecord, StepRecord, ValidationRecord,
};
pub use self::round::{Phases, PieceTime, RoundKind, RoundRecord, WorkerUsage};

use crate::ids::{Incarnation, Rank, Round, Step};
use crate::protocol::coordinator::{Cause, OtherArithmetic, Refusal};
use crate::reduce::tree::Node;
use serde::{Deserialize, Serialize};

/// Something that happened to a run or its cluster.
///
/// Unless a field's comment says otherwise, `step` is the step in progress, which equals the number of steps
/// done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[allow(missing_docs, reason = "field names say all")]
pub enum Event {
    /// The run started at its first step.
    RunStarted(RunRecord),
    /// The run resumed from a checkpoint.
    RunResumed(RunRecord),
    /// The run rolled back, because a worker that miscomputes had contributed to the later steps.
    RunRolledBack {
        /// Step that was in progress before the rollback.
        from: Step,
        /// Folder of the checkpoint from which the run continues; `None` for the run's beginning.
        checkpoint: Option<String>,
        /// Description of the run, with the step from which it continues.
        #[serde(flatten)]
        run: RunRecord,
    },
    /// The run is complete, was stopped, or has failed.
    RunEnded {
        /// Last step that was committed.
        step: Step,
        steps_done: u64,
        outcome: RunOutcome,
    },
    /// The coordinator listens: workers can connect.
    Listening {
        /// TCP address of the listener; `None` if only local workers can connect.
        address: Option<String>,
        /// Addresses with which workers can connect, those for other machines first. Empty without a
        /// listener.
        #[serde(default)]
        connect: Vec<String>,
        /// File on the coordinator's machine with a token that workers need. `None` if they need none.
        #[serde(default)]
        token_file: Option<String>,
    },
    /// A worker became a member.
    WorkerJoined {
        worker: String,
        rank: Rank,
        incarnation: Incarnation,
        step: Step,
        /// Number of members, with this one.
        workers: u32,
    },
    /// All places are taken, so a worker waits for one.
    WorkerKeptAsSpare {
        worker: String,
        incarnation: Incarnation,
        /// Number of spares that will be admitted before it.
        ahead: u32,
        step: Step,
    },
    /// A worker said goodbye.
    WorkerLeft(Departure),
    /// A worker was dropped.
    WorkerDropped {
        cause: Cause,
        /// The worker, and its state at that time.
        #[serde(flatten)]
        departure: Departure,
    },
    /// A worker was not admitted.
    WorkerRefused { worker: String, reason: Refusal, step: Step },
    /// A worker with different numerics was admitted.
    OtherNumerics {
        worker: String,
        /// Difference between the worker's arithmetic and the run's.
        differs: OtherArithmetic,
        step: Step,
    },
    /// A worker will not be admitted again.
    WorkerQuarantined {
        worker: String,
        /// Number of times that it was dropped for what it sent.
        offences: u32,
        step: Step,
    },
    /// A worker is much slower than others would be, so others compute its pieces too.
    WorkerLate {
        worker: String,
        /// First worker that computes one of its pieces.
        helper: String,
        round: Round,
        piece: Node,
        step: Step,
    },
    /// A gradient is an outlier, so its piece is computed again.
    GradientDoubted {
        /// Worker that computed the gradient.
        worker: String,
        piece: Node,
        /// Largest magnitude in the gradient, per sample.
        peak: f32,
        /// Median of the peaks of earlier gradients.
        usual: f32,
        step: Step,
    },
    /// An outlying gradient has the same bits when computed again, so it is accepted.
    GradientConfirmed {
        /// Last worker that computed it.
        worker: String,
        /// Workers that computed it before.
        by: Vec<String>,
        piece: Node,
        step: Step,
    },
    /// No second worker is there for audits, so pieces go unaudited.
    AuditWaits { step: Step },
    /// Two workers contradict a third, so the round restarts without that one.
    WorkerMiscomputes {
        worker: String,
        /// Workers that agree on other bits.
        contradicted_by: [String; 2],
        piece: Node,
        /// Step in progress when the worker first joined.
        joined: Step,
        step: Step,
    },
    /// Results of a worker that miscomputes remain in the model.
    MiscomputedWorkKept {
        /// Step in progress when the worker first joined.
        joined: Step,
        /// Folder of the last checkpoint from before it joined.
        checkpoint: Option<String>,
        step: Step,
    },
    /// A round is complete; for one that trains, its step follows.
    Round(RoundRecord),
    /// What the members use, told at each heartbeat.
    WorkersUsage { workers: Vec<WorkerUsage>, step: Step },
    /// A step was committed.
    Step(StepRecord),
    /// The model was evaluated on the validation samples.
    Validation(ValidationRecord),
    /// The model was evaluated on the test samples.
    Test(Evaluation),
    /// The test samples that the model gets most wrong.
    Mistakes(MistakesRecord),
    /// Unlabelled samples have labels for the epoch that begins.
    PseudoLabels(PseudoLabelsRecord),
    /// A checkpoint is on disk.
    CheckpointWritten {
        /// Last step that the checkpoint contains.
        step: Step,
        /// Number of the checkpoint, which is the number of steps done.
        checkpoint: Step,
        path: String,
    },
    /// A checkpoint could not be written; training continues.
    CheckpointFailed {
        /// Last step that the checkpoint would have contained.
        step: Step,
        /// Number of the checkpoint, which is the number of steps done.
        checkpoint: Step,
        /// Number of the newest checkpoint on disk.
        last_good: Option<Step>,
        /// Error message of the file system.
        problem: String,
    },
    /// There are fewer workers than the run needs.
    WaitingForWorkers { live: u32, needed: u32, step: Step },
    /// An operator asked the run to stop.
    Stopping { step: Step },
    /// An observer was too slow and did not receive these events.
    EventsLost {
        observer: String,
        /// Number of events lost.
        events: u64,
    },
}

/// A worker that is no longer a member or spare.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Departure {
    pub worker: String,
    /// Rank of a member; `None` for a spare.
    pub rank: Option<Rank>,
    pub incarnation: Incarnation,
    /// Pieces that returned to the queue.
    pub pieces: Vec<Node>,
    /// Whether any of its answers was used.
    pub has_helped: bool,
    pub step: Step,
    /// Number of members that are left.
    pub workers: u32,
}

/// Way in which a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// All steps are done, and the model was tested.
    Complete,
    /// An operator stopped the run.
    Stopped,
    /// The run could not continue.
    Failed {
        /// Reason, as the program's last line states it.
        problem: String,
    },
}

#[cfg(test)]
mod tests;
