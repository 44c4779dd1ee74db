//! What follows when a worker is found to miscompute: the round begins anew without it. With
//! `--audit-rollback` the run goes back to the last checkpoint from before it joined; without, the log names
//! that one.
//!
//! Where no checkpoint is old enough the run goes back to its beginning, which is the state before any worker
//! joined. What a worker did before the run began here is not known.

use super::RunInProgress;
use crate::RunError;
use crate::cluster::Cluster;
use crate::cluster::sum::Sum;
use crate::run::records::run_record;
use crate::store::writer::{LookBack, LookedBack};
use crate::store::{Expected, Saved, StoreError};
use common::event::Event as RunEvent;
use common::ids::{Process, Step};
use common::reduce::tree::Node;
use common::train::config::difference;
use std::collections::BTreeMap;

/// Workers whose first step is remembered: four times as many as there may be members. Of others it is taken
/// that they were there from the first step on.
const ENTRANCES_MAX: usize = 4096;

/// At which step each worker joined first.
#[derive(Debug)]
pub(super) struct Entrances {
    /// The step with which the run began here.
    first: Step,
    by_process: BTreeMap<Process, Step>,
}

impl Entrances {
    pub(super) fn new(first: Step) -> Self {
        Self { first, by_process: BTreeMap::new() }
    }

    pub(super) fn note(&mut self, who: Process, step: Step) {
        if self.by_process.len() < ENTRANCES_MAX {
            self.by_process.entry(who).or_insert(step);
        }
    }

    fn of(&self, who: Process) -> Step {
        self.by_process.get(&who).copied().unwrap_or(self.first)
    }

    /// The run goes on with that step: who is remembered from a later one has had no part in it.
    fn roll_back(&mut self, step: Step) {
        self.first = self.first.min(step);
        self.by_process.values_mut().for_each(|joined| *joined = (*joined).min(step));
    }
}

impl RunInProgress {
    /// Begins the round anew, or waits for the checkpoint to go back to.
    pub(crate) fn anew(
        &mut self,
        cluster: &mut Cluster<Sum>,
        piece: Node,
        worker: String,
        process: Process,
        contradicted_by: [String; 2],
    ) {
        let step = self.trainer.step();
        let joined = self.entrances.of(process);
        self.tell(RunEvent::WorkerMiscomputes { worker, contradicted_by, piece, joined, step });
        let goes_back = self.rules.audit_rollback && joined < step;
        let expected = Expected::of(self.trainer.config().training());
        self.writer.look_back(LookBack { expected, until: joined, goes_back });
        if !goes_back {
            return self.begin_round(cluster);
        }
        self.work = None;
        cluster.end_round(self.clock.now_us(), self.setup);
        self.goes_back();
    }

    /// Goes on from the checkpoint that was looked for, or names it.
    ///
    /// # Errors
    /// When it can't be read, or belongs to another run.
    pub(super) fn looked_back(
        &mut self,
        cluster: &mut Cluster<Sum>,
        found: LookedBack,
    ) -> Result<(), RunError> {
        let LookedBack { asked: LookBack { until: joined, goes_back, .. }, result } = found;
        let found = result?;
        let checkpoint = found.as_ref().map(|(path, _)| path.display().to_string());
        if !goes_back {
            let step = self.trainer.step();
            if joined < step {
                self.tell(RunEvent::MiscomputedWorkKept { joined, checkpoint, step });
            }
            return Ok(());
        }
        let fields = self.trainer.config().fields();
        if let Some((path, saved)) = &found {
            let differences = difference(&saved.manifest.config, &fields);
            if !differences.is_empty() {
                return Err(StoreError::Different { path: path.clone(), differences }.into());
            }
        }
        let from = self.trainer.step();
        let gone_back_to = found.as_ref().map(|(path, saved)| Saved::new(path.clone(), &saved.manifest));
        self.trainer.roll_back(found.map(|(_, saved)| saved))?;
        let step = self.trainer.step();
        self.params_id += 1;
        self.params = None;
        self.parameters = None;
        self.tests.clear();
        self.entrances.roll_back(step);
        self.has_gone_back();
        if let Some(saved) = gone_back_to {
            self.has_resumed(saved);
        }
        self.records.pause();
        let run = run_record(&self.trainer, &self.rules.run_id);
        self.tell(RunEvent::RunRolledBack { from, checkpoint, run });
        self.begin_round(cluster);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::ids::{Instance, KeyId};

    #[test]
    fn a_worker_is_remembered_from_its_first_step_on() {
        let mut entrances = Entrances::new(Step(7));
        let process = |instance| Process { key: Some(KeyId(1)), instance: Instance(instance) };
        for (who, step) in [(1, 8), (2, 9), (1, 12)] {
            entrances.note(process(who), Step(step));
        }
        // Another worker's claim to an instance.
        entrances.note(Process { key: Some(KeyId(2)), ..process(1) }, Step(6));
        let of = |entrances: &Entrances| [1, 2, 3].map(|who| entrances.of(process(who)).0);
        assert_eq!(of(&entrances), [8, 9, 7]);
        entrances.roll_back(Step(5));
        assert_eq!(of(&entrances), [5, 5, 5]);
    }
}
