//! What is told of a run's beginning and end. What happens in between is told where it is done.

use super::RunInProgress;
use crate::RunError;
use crate::run::records::run_record;
use crate::session::driver::Entrance;
use crate::store::Saved;
use common::event::{Event, RunOutcome};
use common::ids::Step;
use host::reachable::to_connect_to;

impl RunInProgress {
    /// Tells what is about to be done, and where workers can come.
    pub(crate) fn introduce(&mut self, entrance: &Entrance, resumed: Option<Saved>) {
        let run = run_record(&self.trainer, &self.rules.run_id);
        if let Some(from) = resumed {
            self.has_resumed(from);
            self.tell(Event::RunResumed(run));
        } else {
            self.tell(Event::RunStarted(run));
        }
        let connect = entrance.address.map_or_else(Vec::new, to_connect_to);
        let address = entrance.address.map(|address| address.to_string());
        let token_file = entrance.token_file.as_ref().map(|path| path.display().to_string());
        self.tell(Event::Listening { address, connect, token_file });
    }

    /// Tells how the run ended.
    pub(super) fn tell_end(&self, result: &Result<(), RunError>) {
        let outcome = match result {
            Ok(()) if self.is_complete() => RunOutcome::Complete,
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
