//! What the driver does for each of the cluster's outputs: sends, or passes it on to the run. Decides
//! nothing.

use super::driver::Driver;
use crate::RunError;
use crate::cluster::sum::Sum;
use crate::cluster::{Cluster, Farewell, Message, Output};
use crate::net::outbox::Outgoing;
use crate::run::in_progress::RunInProgress;
use crate::run::outcome::CompleteRound;
use common::ids::SetupId;
use proto::message::{CoordinatorMessage, Spare, Welcome};
use std::sync::Arc;

/// What workers are told of a failed run. Why it failed, with its files and names, is for the operator.
const RUN_FAILED: &str = "the run failed; the coordinator's log says why";
/// What workers are told of a coordinator that stops.
const STOPS: &str = "the coordinator stops; it may come back";

/// Between the names of several runs.
const AND: &str = ", ";

impl Driver {
    /// Does what the cluster asks for, until nothing is left to do.
    pub(super) fn perform(&mut self) {
        while let Some(output) = self.cluster.next_output() {
            match output {
                Output::Send { connection, message } => self.send(connection, message),
                Output::Close { connection, last } => {
                    self.links.close(connection, Outgoing::Message(last_word(&last)));
                }
                Output::Enter { connection } => self.links.enter(connection),
                Output::Joined { process } => {
                    self.runs.values_mut().for_each(|entry| entry.run.joined(process));
                }
                Output::Added { .. } => {}
                Output::Tell { run, event } => self.of_run(run, |run, _| {
                    run.tell(event);
                    Ok(())
                }),
                Output::Complete { run, round, sum, out_of_line, times } => {
                    let of = CompleteRound { round, out_of_line, times };
                    self.of_run(run, |run, cluster| run.complete(cluster, sum, of));
                }
                Output::Anew { run, piece, worker, process, contradicted_by } => {
                    self.of_run(run, |run, cluster| {
                        run.anew(cluster, piece, worker, process, contradicted_by);
                        Ok(())
                    });
                }
                Output::NonFinite { run, leaf, workers } => {
                    self.of_run(run, |run, _| Err(run.non_finite(leaf, workers)));
                }
                Output::Disputed { run, piece, workers } => {
                    self.of_run(run, |run, _| Err(run.disputed(piece, workers)));
                }
            }
        }
    }

    /// Calls a run that is in progress. If the call fails the run has.
    pub(super) fn of_run(
        &mut self,
        setup: SetupId,
        call: impl FnOnce(&mut RunInProgress, &mut Cluster<Sum>) -> Result<(), RunError>,
    ) {
        let Some(entry) = self.runs.get_mut(&setup) else { return };
        if let Err(error) = call(&mut entry.run, &mut self.cluster) {
            self.end(setup, Err(error));
        }
    }

    fn send(&mut self, connection: u64, message: Message) {
        let (heartbeat_ms, timeout_ms) = self.cluster.pulse_ms();
        let outgoing = match message {
            Message::Welcome { incarnation, rank } => {
                self.links.accept(connection);
                let runs: Vec<&str> = self.runs.values().map(|entry| entry.run.run_id()).collect();
                let run_id = runs.join(AND);
                let welcome = Welcome { incarnation, rank, run_id, heartbeat_ms, timeout_ms };
                Some(Outgoing::Message(CoordinatorMessage::Welcome(welcome)))
            }
            Message::Spare { ahead, .. } => {
                self.links.accept(connection);
                let spare = Spare { ahead, heartbeat_ms, timeout_ms };
                Some(Outgoing::Message(CoordinatorMessage::Spare(spare)))
            }
            Message::Forget(setup) => Some(Outgoing::Message(CoordinatorMessage::Forget(setup))),
            Message::Heartbeat => Some(Outgoing::Message(CoordinatorMessage::Heartbeat)),
            Message::Setup(setup) => {
                let run = self.runs.get(&setup).map(|entry| &entry.run);
                run.map(|run| Outgoing::Message(CoordinatorMessage::Setup(Arc::new(run.setup()))))
            }
            Message::Parameters(setup, id) => {
                let run = self.runs.get_mut(&setup).map(|entry| &mut entry.run);
                run.map(|run| Outgoing::Parameters(run.encoded(id)))
            }
            Message::Piece { round, node, setup, parameters } => {
                let run = self.runs.get_mut(&setup).map(|entry| &mut entry.run);
                let piece = run.and_then(|run| run.piece(round, node, parameters));
                piece.map(|piece| Outgoing::Message(CoordinatorMessage::Piece(piece)))
            }
        };
        if let Some(outgoing) = outgoing
            && let Err(why) = self.links.send(connection, outgoing)
            && let Some(who) = self.cluster.on(connection)
        {
            self.cluster.gone(self.clock.now_us(), who, why.into());
        }
    }
}

fn last_word(last: &Farewell) -> CoordinatorMessage {
    match last {
        Farewell::Refused(refusal) => {
            CoordinatorMessage::Refused { reason: refusal.to_string(), retry: refusal.may_retry() }
        }
        Farewell::Dropped(cause) => CoordinatorMessage::Dropped(cause.to_string()),
        Farewell::Finished => CoordinatorMessage::Finished,
        Farewell::Stopped => CoordinatorMessage::Dropped(STOPS.to_owned()),
        Farewell::Failed => CoordinatorMessage::Dropped(RUN_FAILED.to_owned()),
    }
}
