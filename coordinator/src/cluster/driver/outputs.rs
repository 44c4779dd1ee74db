//! What the driver does for each of the cluster's outputs: sends, tells, trains. Decides nothing.

use super::{Driver, SETUP};
use crate::RunError;
use crate::cluster::{Farewell, Message, Output};
use crate::net::outbox::Outgoing;
use crate::run::sum::Sum;
use common::event::Event as RunEvent;
use common::ids::{Leaf, ParamsId, Round};
use common::reduce::tree::Node;
use common::train::config::RunConfig;
use proto::message::{CoordinatorMessage, Piece, Spare, Welcome};
use proto::parameters::EncodedParameters;
use proto::setup::Setup;
use std::sync::Arc;

/// What workers are told of a failed run. Why it failed, with its files and names, is for the operator.
const RUN_FAILED: &str = "the run failed; the coordinator's log says why";
/// What workers are told of a coordinator that stops.
const STOPS: &str = "the coordinator stops; it may come back";

/// What workers must know of a run.
pub(crate) fn setup_of(config: &RunConfig) -> Setup {
    Setup { id: SETUP, model: config.model().clone(), precision: config.training().wire_dtype }
}

impl Driver {
    /// Does what the cluster asks for, until nothing is left to do.
    pub(super) fn perform(&mut self) -> Result<(), RunError> {
        while let Some(output) = self.cluster.next_output() {
            match output {
                Output::Send { connection, message } => self.send(connection, message),
                Output::Close { connection, last } => {
                    self.links.close(connection, Outgoing::Message(last_word(&last)));
                }
                Output::Enter { connection } => self.links.enter(connection),
                Output::Tell { event, .. } => self.tell(event),
                Output::Joined { instance } => self.entrances.note(instance, self.trainer.step()),
                Output::Added { .. } => {}
                Output::Complete { sum, out_of_line, .. } => self.complete(sum, out_of_line)?,
                Output::Anew { piece, worker, instance, contradicted_by, .. } => {
                    self.anew(piece, worker, instance, contradicted_by);
                }
                Output::NonFinite { leaf, workers, .. } => return Err(self.non_finite(leaf, workers)),
                Output::Disputed { piece, workers, .. } => return Err(self.disputed(piece, workers)),
            }
        }
        Ok(())
    }

    fn send(&mut self, connection: u64, message: Message) {
        let (heartbeat_ms, timeout_ms) = self.cluster.pulse_ms();
        let outgoing = match message {
            Message::Welcome { incarnation, rank } => {
                self.links.accept(connection);
                let run_id = self.rules.run_id.clone();
                let welcome = Welcome { incarnation, rank, run_id, heartbeat_ms, timeout_ms };
                Outgoing::Message(CoordinatorMessage::Welcome(welcome))
            }
            Message::Spare { ahead, .. } => {
                self.links.accept(connection);
                let spare = Spare { ahead, heartbeat_ms, timeout_ms };
                Outgoing::Message(CoordinatorMessage::Spare(spare))
            }
            Message::Setup(_) => {
                Outgoing::Message(CoordinatorMessage::Setup(setup_of(self.trainer.config())))
            }
            Message::Forget(setup) => Outgoing::Message(CoordinatorMessage::Forget(setup)),
            Message::Parameters(_, id) => Outgoing::Parameters(self.encoded(id)),
            Message::Piece { round, node, parameters, .. } => match self.piece(round, node, parameters) {
                Some(piece) => Outgoing::Message(CoordinatorMessage::Piece(piece)),
                None => return,
            },
            Message::Heartbeat => Outgoing::Message(CoordinatorMessage::Heartbeat),
        };
        if let Err(why) = self.links.send(connection, outgoing)
            && let Some(who) = self.cluster.on(connection)
        {
            self.cluster.gone(self.clock.now_us(), who, why.into());
        }
    }

    /// The present parameters, encoded once for all workers.
    fn encoded(&mut self, id: ParamsId) -> Arc<EncodedParameters> {
        let fresh = || Arc::new(EncodedParameters::new(id, SETUP, self.trainer.params()));
        let encoded = self.parameters.take().filter(|encoded| encoded.id() == id).unwrap_or_else(fresh);
        Arc::clone(self.parameters.insert(encoded))
    }

    /// A piece of the round in progress with its samples.
    fn piece(&mut self, round: Round, node: Node, parameters: ParamsId) -> Option<Piece> {
        let work = self.work?;
        let tree = self.trainer.tree(work);
        let leaves = tree.leaves_below(node).map(|leaf| self.trainer.leaf(work, Leaf(leaf))).collect();
        Some(Piece { round, task: work.task(), setup: SETUP, parameters, tree, node, leaves })
    }

    /// Takes a round's sum: trains, tells, and begins the next round.
    fn complete(&mut self, sum: Sum, out_of_line: u32) -> Result<(), RunError> {
        let Some(work) = self.work.take() else { return Ok(()) };
        let event = self.finish(work, sum, out_of_line)?;
        self.tell(event);
        self.checkpoint_if_due(work);
        self.begin_round();
        Ok(())
    }

    /// Tells all observers of the run what has happened; waits for none.
    pub(super) fn tell(&self, event: RunEvent) {
        self.events.tell(event);
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
