//! What is told of a run's beginning and end. What happens in between is told where it is done.

use super::RunInProgress;
use crate::RunError;
use crate::run::records::run_record;
use crate::store::Saved;
use common::event::{Event, RunOutcome};
use common::ids::Step;
use std::net::SocketAddr;

impl RunInProgress {
    /// Tells what is about to be done, and where workers can come.
    pub(crate) fn introduce(&mut self, address: Option<SocketAddr>, resumed: Option<Saved>) {
        let run = run_record(&self.trainer, &self.rules.run_id);
        if let Some(from) = resumed {
            self.has_resumed(from);
            self.tell(Event::RunResumed(run));
        } else {
            self.tell(Event::RunStarted(run));
        }
        self.tell(Event::Listening { address: address.map(|address| address.to_string()) });
    }

    /// Tells how the run ended.
    pub(super) fn tell_end(&self, result: &Result<(), RunError>) {
        let outcome = match result {
            Ok(()) if self.test.is_some() => RunOutcome::Complete,
            Ok(()) => RunOutcome::Stopped,
            Err(error) => RunOutcome::Failed { problem: error.to_string() },
        };
        let steps_done = self.trainer.step();
        self.tell(Event::RunEnded { step: last_before(steps_done), steps_done: steps_done.0, outcome });
    }
}

/// The last step that was committed when so many were done: what is told of a checkpoint, or of the end,
/// belongs to it.
pub(super) fn last_before(steps_done: Step) -> Step {
    Step(steps_done.0.saturating_sub(1))
}
