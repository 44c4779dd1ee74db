//! What happens to a run, as one type: the coordinator tells each [`Event`] once, and logs, progress, metrics
//! and tests read it.
//!
//! The serialized form is an object whose `event` names the variant in snake case, beside the variant's
//! fields. It reads back, so whoever reads a log in JSON matches values and no prose. The text for people is
//! `Display`'s, in `text`. Nothing here decides what is told when, or to whom.

mod record;
mod text;

pub use self::record::{Evaluation, RunRecord, StepRecord, ValidationRecord};

use crate::ids::{Incarnation, Rank, Round, Step};
use crate::protocol::coordinator::{Cause, OtherArithmetic, Refusal};
use crate::reduce::tree::Node;
use serde::{Deserialize, Serialize};

/// Something that happened to a run or its cluster.
///
/// Unless a field's comment says otherwise, `step` is the step in progress: the number of steps done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The run began at its first step.
    RunStarted(RunRecord),
    /// The run goes on from a checkpoint.
    RunResumed(RunRecord),
    /// The run went back: a worker had a hand in the rest that miscomputes.
    RunRolledBack {
        /// The step that was in progress.
        from: Step,
        /// Folder of the checkpoint that the run goes on from; `None` for the run's beginning.
        checkpoint: Option<String>,
        /// The run, and the step that it goes on with.
        #[serde(flatten)]
        run: RunRecord,
    },
    /// The run is over.
    RunEnded {
        /// The last step that was committed.
        step: Step,
        /// Steps done.
        steps_done: u64,
        /// How it ended.
        outcome: RunOutcome,
    },
    /// Workers can connect.
    Listening {
        /// Address for TCP; `None` where only local workers can come.
        address: Option<String>,
    },
    /// A worker became a member.
    WorkerJoined {
        /// Its name.
        worker: String,
        /// Its slot.
        rank: Rank,
        /// The number that it has from now on.
        incarnation: Incarnation,
        /// The step in progress.
        step: Step,
        /// Members from now on.
        workers: u32,
    },
    /// All places are taken: a worker waits for one.
    WorkerKeptAsSpare {
        /// Its name.
        worker: String,
        /// The number that it has from now on.
        incarnation: Incarnation,
        /// Spares that will be taken in before it.
        ahead: u32,
        /// The step in progress.
        step: Step,
    },
    /// A worker said goodbye.
    WorkerLeft(Departure),
    /// A worker was given up.
    WorkerDropped {
        /// Why.
        cause: Cause,
        /// Who, and with what.
        #[serde(flatten)]
        departure: Departure,
    },
    /// A newcomer was not let in.
    WorkerRefused {
        /// Its name.
        worker: String,
        /// Why.
        reason: Refusal,
        /// The step in progress.
        step: Step,
    },
    /// A worker of other numerics was let in.
    OtherNumerics {
        /// Its name.
        worker: String,
        /// What differs.
        differs: OtherArithmetic,
        /// The step in progress.
        step: Step,
    },
    /// A worker is let in no more.
    WorkerQuarantined {
        /// Its name.
        worker: String,
        /// How often it was dropped for what it sent.
        offences: u32,
        /// The step in progress.
        step: Step,
    },
    /// A worker takes much longer than others would: its pieces are computed by others too.
    WorkerLate {
        /// Its name.
        worker: String,
        /// The first that computes a piece of its.
        helper: String,
        /// The round.
        round: Round,
        /// The piece.
        piece: Node,
        /// The step in progress.
        step: Step,
    },
    /// A gradient is out of line: its piece is computed once more.
    GradientDoubted {
        /// Who computed it.
        worker: String,
        /// The piece.
        piece: Node,
        /// Its largest magnitude, for each sample.
        peak: f32,
        /// The median of that in the gradients before.
        usual: f32,
        /// The step in progress.
        step: Step,
    },
    /// A gradient out of line has the same bits when computed again: it is accepted.
    GradientConfirmed {
        /// Who computed it last.
        worker: String,
        /// Who computed it before.
        by: Vec<String>,
        /// The piece.
        piece: Node,
        /// The step in progress.
        step: Step,
    },
    /// There is no second worker that could audit: pieces go unaudited.
    AuditWaits {
        /// The step in progress.
        step: Step,
    },
    /// Two workers contradict one: the round begins anew without it.
    WorkerMiscomputes {
        /// Its name.
        worker: String,
        /// Who agree on other bits.
        contradicted_by: [String; 2],
        /// The piece.
        piece: Node,
        /// The step in progress when it joined first.
        joined: Step,
        /// The step in progress.
        step: Step,
    },
    /// What a worker computed that miscomputes stays in the model.
    MiscomputedWorkKept {
        /// The step in progress when it joined first.
        joined: Step,
        /// Folder of the last checkpoint from before.
        checkpoint: Option<String>,
        /// The step in progress.
        step: Step,
    },
    /// A step was committed.
    Step(StepRecord),
    /// The model met the validation samples.
    Validation(ValidationRecord),
    /// The model met the test samples.
    Test(Evaluation),
    /// A checkpoint is on disk.
    CheckpointWritten {
        /// The last step that is in it.
        step: Step,
        /// Its number: the steps done.
        checkpoint: Step,
        /// Its folder.
        path: String,
    },
    /// A checkpoint could not be written; the training goes on.
    CheckpointFailed {
        /// The last step that it should have held.
        step: Step,
        /// Its number: the steps done.
        checkpoint: Step,
        /// The number of the newest checkpoint on disk.
        last_good: Option<Step>,
        /// The file system's words.
        problem: String,
    },
    /// There are fewer workers than needed.
    WaitingForWorkers {
        /// Members there are.
        live: u32,
        /// Members needed.
        needed: u32,
        /// The step in progress.
        step: Step,
    },
    /// An operator asked for an end.
    Stopping {
        /// The step in progress.
        step: Step,
    },
    /// An observer was too slow: these events were not told to it.
    EventsLost {
        /// Its name.
        observer: String,
        /// How many.
        events: u64,
    },
}

/// A member or spare that is one no longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departure {
    /// Its name.
    pub worker: String,
    /// Its slot; a spare has none.
    pub rank: Option<Rank>,
    /// The number that it had.
    pub incarnation: Incarnation,
    /// Pieces that went back to the queue.
    pub pieces: Vec<Node>,
    /// Whether an answer of its was of use.
    pub has_helped: bool,
    /// The step in progress.
    pub step: Step,
    /// Members from now on.
    pub workers: u32,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// All steps are done, and the model was tested.
    Complete,
    /// An operator asked for it.
    Stopped,
    /// It could not go on.
    Failed {
        /// Why, as the program's last line says it.
        problem: String,
    },
}

#[cfg(test)]
mod tests;
