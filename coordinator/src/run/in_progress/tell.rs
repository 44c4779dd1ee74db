//! What is told of a run's beginning and end. What happens in between is told where it is done.

use super::RunInProgress;
use crate::RunError;
use crate::run::records::run_record;
use crate::store::Saved;
use common::event::{Event, RunOutcome};
use common::ids::Step;
use host::reachable;
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
        let connect = address.map_or_else(Vec::new, to_connect_to);
        self.tell(Event::Listening { address: address.map(|address| address.to_string()), connect });
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

/// Addresses that workers can dial. Nobody can dial "all addresses": then they are those of this machine.
pub(crate) fn to_connect_to(address: SocketAddr) -> Vec<String> {
    if !address.ip().is_unspecified() {
        return vec![address.to_string()];
    }
    let elsewhere = reachable::from_elsewhere(address);
    if elsewhere.is_empty() { vec![format!("127.0.0.1:{}", address.port())] } else { elsewhere }
}

/// The last step that was committed when so many were done: what is told of a checkpoint, or of the end,
/// belongs to it.
pub(super) fn last_before(steps_done: Step) -> Step {
    Step(steps_done.0.saturating_sub(1))
}
