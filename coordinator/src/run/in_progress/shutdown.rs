//! How a run ends: the last checkpoint has to be on disk before the run is over.

use super::tell::last_before;
use super::{RunError, RunInProgress};
use crate::cluster::Cluster;
use crate::cluster::sum::Sum;
use crate::run::work::Work;
use crate::store::writer::{Ticket, Written};
use crate::store::{Saved, StoreError};
use common::checkpoint::Position;
use common::event::Event;
use common::ids::Step;
use common::reduce::tree::Node;
use host::trace;
use std::time::Duration;
use tracing::info;

/// For the step in progress, once a stop is asked for.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// For the last checkpoint to be written, or one to go back to to be found.
const WRITE_GRACE: Duration = Duration::from_secs(120);

/// Where the run is in its shutdown.
#[derive(Debug, Default)]
pub(super) struct Shutdown {
    phase: Phase,
    /// Position of the last checkpoint handed to the writer.
    submitted: Option<Position>,
    /// While the run is about to go back, and its present state is not to be saved: until when the writer may
    /// look for the checkpoint.
    going_back_until_us: Option<u64>,
    /// Its ticket, until the writer has told what became of it.
    awaited: Option<Ticket>,
    /// Why the last one that was tried is not on disk.
    failed: Option<StoreError>,
    /// The last one that is on disk.
    saved: Option<Saved>,
}

#[derive(Debug, Default)]
enum Phase {
    /// It is not shutdown.
    #[default]
    Running,
    /// An operator asked for it; the step in progress may be finished until then.
    Stopping { until_us: u64 },
    /// No round any more; the writer may finish until then.
    Saving { until_us: u64 },
}

impl Shutdown {
    /// Whether no further round is to begin.
    pub(super) fn is_ending(&self) -> bool {
        !matches!(self.phase, Phase::Running)
    }

    pub(super) fn deadline_us(&self) -> Option<u64> {
        match self.phase {
            _ if self.going_back_until_us.is_some() => self.going_back_until_us,
            Phase::Running => None,
            Phase::Stopping { until_us } | Phase::Saving { until_us } => Some(until_us),
        }
    }

    /// The last checkpoint that is on disk.
    pub(super) fn into_saved(self) -> Option<Saved> {
        self.saved
    }
}

impl RunInProgress {
    /// Hands a copy of the trainer's state to the writer.
    pub(super) fn checkpoint(&mut self, cluster: &Cluster<Sum>) {
        let mut checkpoint = trace::within("checkpoint copy", || self.trainer.checkpoint());
        // Before the first step nothing has been computed: an answer that happens to be there already is no
        // part of it.
        let numerics = cluster.machine().numerics();
        checkpoint.numerics = numerics.filter(|_| checkpoint.position.step > Step(0));
        if self.shutdown.submitted.as_ref() != Some(&checkpoint.position) {
            self.shutdown.submitted = Some(checkpoint.position.clone());
            self.shutdown.awaited = Some(self.writer.submit(checkpoint, self.events.keep()));
        }
    }

    /// Has a checkpoint written after a round of this work, if one is due.
    pub(super) fn checkpoint_if_due(&mut self, cluster: &Cluster<Sum>, work: Work) {
        let step = self.trainer.step().0;
        let every = self.rules.checkpoint_every;
        let is_due = match work {
            // At the end of an epoch the checkpoint waits for the validation.
            _ if matches!(self.trainer.next(), Some(Work::Validate(_))) => false,
            Work::Train => every > 0 && step.is_multiple_of(every) || self.trainer.is_between_epochs(),
            Work::Validate(_) => true,
            Work::Test(_) | Work::TestViews(_) | Work::Guess(_) => false,
        };
        if is_due {
            self.checkpoint(cluster);
        }
    }

    /// The run is about to go back: nothing is saved until it has.
    pub(super) fn goes_back(&mut self) {
        self.shutdown.going_back_until_us = Some(self.clock.now_us() + WRITE_GRACE.as_micros() as u64);
    }

    /// The run has gone back, and counts as being at its beginning: whatever was saved of it is forgotten.
    pub(super) fn has_gone_back(&mut self) {
        self.shutdown.going_back_until_us = None;
        self.shutdown.submitted = None;
        self.shutdown.awaited = None;
        self.shutdown.saved = None;
    }

    /// The run goes on from a checkpoint that is on disk in this state.
    pub(super) fn has_resumed(&mut self, from: Saved) {
        self.shutdown.submitted = Some(self.trainer.checkpoint().position);
        self.shutdown.saved = Some(from);
    }

    /// What became of a checkpoint.
    ///
    /// # Errors
    /// When it failed and the operator wants no run without checkpoints.
    pub(super) fn written(&mut self, written: Written) -> Result<(), RunError> {
        let step = written.step;
        let last = last_before(step);
        if self.shutdown.awaited == Some(written.ticket) {
            self.shutdown.awaited = None;
        }
        match written.result {
            Ok(saved) => {
                let path = saved.path.display().to_string();
                self.tell(Event::CheckpointWritten { step: last, checkpoint: step, path });
                self.shutdown.saved = Some(saved);
                self.shutdown.failed = None;
            }
            Err(problem) => {
                if self.rules.checkpoint_required {
                    let last_good = self.last_good();
                    return Err(RunError::CheckpointRequired { step, last_good, source: Box::new(problem) });
                }
                self.tell(Event::CheckpointFailed {
                    step: last,
                    checkpoint: step,
                    last_good: self.shutdown.saved.as_ref().map(|saved| saved.step),
                    problem: problem.to_string(),
                });
                self.shutdown.failed = Some(problem);
                self.shutdown.submitted = None;
            }
        }
        Ok(())
    }

    /// An operator asks for an end: the step in progress is finished, an evaluation is not.
    pub(crate) fn stop(&mut self, cluster: &Cluster<Sum>) {
        if self.shutdown.is_ending() {
            return;
        }
        let in_step = self.work == Some(Work::Train);
        let has_workers = cluster.is_computed(self.setup);
        self.tell(Event::Stopping { step: self.trainer.step() });
        let grace = if in_step && has_workers { STOP_GRACE } else { Duration::ZERO };
        self.shutdown.phase = Phase::Stopping { until_us: self.clock.now_us() + grace.as_micros() as u64 };
    }

    /// Moves the ending on; whether the run is over.
    ///
    /// # Errors
    /// When the last checkpoint, or the one to go back to, is not there in time.
    pub(crate) fn is_over(&mut self, cluster: &mut Cluster<Sum>) -> Result<bool, RunError> {
        let now_us = self.clock.now_us();
        if let Some(until_us) = self.shutdown.going_back_until_us {
            let step = self.trainer.step();
            let waited_s = WRITE_GRACE.as_secs();
            return if until_us <= now_us {
                Err(RunError::SlowLookBack { step, waited_s })
            } else {
                Ok(false)
            };
        }
        if !self.shutdown.is_ending() && !self.is_complete() && self.stop_us().is_some_and(|at| at <= now_us)
        {
            info!("the run's time is over (--max-time); it can go on later");
            self.stop(cluster);
        }
        match self.shutdown.phase {
            Phase::Running if self.has_nothing_left() => self.save_last(now_us, cluster),
            Phase::Stopping { until_us } if self.work.is_none() || until_us <= now_us => {
                self.work = None;
                cluster.end_round(now_us, self.setup);
                self.save_last(now_us, cluster);
            }
            Phase::Running | Phase::Stopping { .. } | Phase::Saving { .. } => {}
        }
        let Phase::Saving { until_us } = self.shutdown.phase else { return Ok(false) };
        if self.shutdown.awaited.is_none() {
            return match self.shutdown.failed.take() {
                Some(problem) => Err(RunError::LastCheckpoint { step: self.trainer.step(), source: problem }),
                None => Ok(true),
            };
        }
        if until_us <= now_us {
            let waited_s = WRITE_GRACE.as_secs();
            return Err(RunError::SlowCheckpoint { step: self.trainer.step(), waited_s });
        }
        Ok(false)
    }

    fn save_last(&mut self, now_us: u64, cluster: &Cluster<Sum>) {
        self.checkpoint(cluster);
        self.shutdown.phase = Phase::Saving { until_us: now_us + WRITE_GRACE.as_micros() as u64 };
    }

    /// What stops the run when workers agree that a leaf is not finite.
    pub(crate) fn non_finite(&self, leaf: u32, workers: Vec<String>) -> RunError {
        RunError::NonFinite { step: self.trainer.step(), leaf, workers, last_good: self.last_good() }
    }

    /// What stops the run when workers give one piece different bits.
    pub(crate) fn disputed(&self, piece: Node, workers: Vec<String>) -> RunError {
        RunError::Disputed { step: self.trainer.step(), piece, workers, last_good: self.last_good() }
    }

    fn last_good(&self) -> String {
        self.shutdown.saved.as_ref().map_or("none yet".to_owned(), |saved| format!("step {}", saved.step))
    }
}
