//! The log of several runs on one cluster: what happens to its workers is told once, though each run is told
//! of it. What belongs to one run alone, such as its steps, is in that run's metrics.

use super::Observer;
use super::console::Console;
use super::log::Log;
use common::event::Event;
use host::logging::LogFormat;
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Events that are remembered: more than workers can cause while one run is behind the others.
const REMEMBERED: usize = 1024;
/// Fields in which runs differ that tell of the same.
const OF_A_RUN: [&str; 3] = ["step", "pieces", "has_helped"];

/// What was told already; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told(Arc<Mutex<VecDeque<Value>>>);

/// A run's part in the log.
pub(crate) struct SharedLog {
    log: Log,
    told: Told,
}

impl SharedLog {
    pub(crate) fn new(console: Console, format: LogFormat, told: Told) -> Self {
        Self { log: Log::new(console, format), told }
    }
}

impl Observer for SharedLog {
    fn observe(&mut self, event: &Event) {
        if concerns_all(event) && self.told.is_new(event) {
            self.log.observe(event);
        }
    }
}

impl Told {
    /// Whether no run has told of it since the cluster has changed.
    fn is_new(&self, event: &Event) -> bool {
        let mut fields = serde_json::to_value(event).unwrap_or_default();
        if let Some(fields) = fields.as_object_mut() {
            OF_A_RUN.iter().for_each(|field| drop(fields.remove(*field)));
        }
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.contains(&fields) {
            return false;
        }
        if !matches!(event, Event::WaitingForWorkers { .. }) {
            // After a change the same lack of workers is news.
            told.retain(|told| told["event"] != "waiting_for_workers");
        }
        told.truncate(REMEMBERED - 1);
        told.push_front(fields);
        true
    }
}

/// Whether it is about workers, or about a loss that nobody sees elsewhere.
fn concerns_all(event: &Event) -> bool {
    match event {
        Event::WorkerJoined { .. }
        | Event::WorkerKeptAsSpare { .. }
        | Event::WorkerLeft(_)
        | Event::WorkerDropped { .. }
        | Event::WorkerRefused { .. }
        | Event::OtherNumerics { .. }
        | Event::WorkerQuarantined { .. }
        | Event::WorkerMiscomputes { .. }
        | Event::MiscomputedWorkKept { .. }
        | Event::RunRolledBack { .. }
        | Event::AuditWaits { .. }
        | Event::WaitingForWorkers { .. }
        | Event::CheckpointFailed { .. } => true,
        Event::RunStarted(_)
        | Event::RunResumed(_)
        | Event::RunEnded { .. }
        | Event::Listening { .. }
        | Event::WorkerLate { .. }
        | Event::GradientDoubted { .. }
        | Event::GradientConfirmed { .. }
        | Event::Round(_)
        | Event::WorkersUsage { .. }
        | Event::Step(_)
        | Event::Validation(_)
        | Event::Test(_)
        | Event::Mistakes(_)
        | Event::PseudoLabels(_)
        | Event::CheckpointWritten { .. }
        | Event::Stopping { .. }
        | Event::EventsLost { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::ids::{Incarnation, Rank, Step};

    #[test]
    fn what_two_runs_tell_of_is_told_once_and_again_after_a_change() {
        let told = Told::default();
        let waiting = |step| Event::WaitingForWorkers { live: 0, needed: 1, step: Step(step) };
        let joined = |incarnation, step| Event::WorkerJoined {
            worker: "a".to_owned(),
            rank: Rank(0),
            incarnation: Incarnation(incarnation),
            step: Step(step),
            workers: 1,
        };
        let news = [waiting(0), waiting(7), joined(1, 0), joined(1, 7), waiting(9), joined(2, 9)];
        let news = news.map(|event| told.is_new(&event));
        assert_eq!(news, [true, false, true, false, true, true]);
    }
}
