//! What the driver does for each of the machine's actions, and what it tells of them. Decides nothing.

use super::{Driver, HEARTBEATS_PER_TIMEOUT, SETUP};
use crate::RunError;
use common::event::{Departure, Event as RunEvent};
use common::ids::{Incarnation, Round};
use common::protocol::coordinator::{Action, Cause, Event, Purpose, QUARANTINE_AFTER};
use common::reduce::tree::Node;
use common::train::config::RunConfig;
use host::trace;
use proto::message::{Answer, CoordinatorMessage, Spare, Welcome};
use proto::setup::Setup;
use tracing::debug;

/// What workers must know of a run.
pub(crate) fn setup_of(config: &RunConfig) -> Setup {
    Setup { id: SETUP, model: config.model().clone(), precision: config.training().wire_dtype }
}

impl Driver {
    /// Does one thing; returns what that means to the machine. `answer` is the one that the machine has judged, if it has.
    pub(super) fn act(
        &mut self,
        action: Action,
        answer: &mut Option<Answer>,
    ) -> Result<Option<Event>, RunError> {
        match action {
            Action::Welcome { .. }
            | Action::Spare { .. }
            | Action::Refuse { .. }
            | Action::OtherNumerics { .. }
            | Action::Quarantined { .. } => Ok(self.answer_newcomer(action)),
            Action::Grant { to, round, node, purpose } => {
                if purpose == Purpose::Backup {
                    self.tell_late(to, round, node);
                }
                Ok(self.grant(to, node).err().map(|why| Event::Gone(to, why.into())))
            }
            Action::Accept { from, .. } => {
                self.connections.helped(from);
                answer.iter().for_each(|answer| self.measure(answer));
                if let (Some(round), Some(answer)) = (&mut self.round, answer.take()) {
                    let threads = self.trainer.threads();
                    trace::within("add", || round.insert(answer, threads));
                }
                Ok(None)
            }
            Action::Doubted { .. } => {
                answer.iter().for_each(|answer| self.doubted(answer));
                Ok(None)
            }
            Action::Confirmed { from, node, by } => {
                let worker = self.name(from).to_owned();
                let step = self.trainer.step();
                self.tell(RunEvent::GradientConfirmed { worker, by, piece: node, step });
                Ok(None)
            }
            Action::Discard { from } => {
                debug!(worker = %self.name(from), "an answer came too late to be of use");
                Ok(None)
            }
            Action::Removed { member, cause, returned } => {
                self.removed(member, cause, returned);
                Ok(None)
            }
            Action::Complete(_) => self.complete(),
            Action::Waiting { live, needed } => {
                self.tell(RunEvent::WaitingForWorkers { live, needed, step: self.trainer.step() });
                Ok(None)
            }
            Action::AuditWaits => {
                self.tell(RunEvent::AuditWaits { step: self.trainer.step() });
                Ok(None)
            }
            Action::Anew { node, worker, instance, right, .. } => {
                Ok(self.anew(node, worker, instance, right))
            }
            Action::NonFinite { leaf, workers, .. } => Err(self.non_finite(leaf, workers)),
            Action::Disputed { node, workers, .. } => Err(self.disputed(node, workers)),
        }
    }

    /// Tells a newcomer what is to become of it.
    fn answer_newcomer(&mut self, action: Action) -> Option<Event> {
        let step = self.trainer.step();
        match action {
            Action::Welcome { connection, incarnation, rank } => {
                let worker = self.connections.admit(connection, incarnation, rank)?;
                self.entered(incarnation);
                let workers = self.members();
                self.tell(RunEvent::WorkerJoined { worker, rank, incarnation, step, workers });
                let (heartbeat_ms, timeout_ms) = self.pulse_ms();
                let welcome = CoordinatorMessage::Welcome(Welcome {
                    incarnation,
                    rank,
                    run_id: self.rules.run_id.clone(),
                    heartbeat_ms,
                    timeout_ms,
                });
                let setup = CoordinatorMessage::Setup(setup_of(self.trainer.config()));
                self.send_first(incarnation, welcome).or_else(|| self.send_first(incarnation, setup))
            }
            Action::Spare { connection, incarnation, ahead } => {
                let worker = self.connections.keep(connection, incarnation)?;
                self.tell(RunEvent::WorkerKeptAsSpare { worker, incarnation, ahead, step });
                let (heartbeat_ms, timeout_ms) = self.pulse_ms();
                let spare = CoordinatorMessage::Spare(Spare { ahead, heartbeat_ms, timeout_ms });
                self.send_first(incarnation, spare)
            }
            Action::Refuse { connection, refusal: reason } => {
                let worker = self.connections.refuse(connection, reason.to_string(), reason.may_retry())?;
                self.tell(RunEvent::WorkerRefused { worker, reason, step });
                None
            }
            Action::OtherNumerics { name: worker, differs } => {
                self.tell(RunEvent::OtherNumerics { worker, differs, step });
                None
            }
            Action::Quarantined { name: worker } => {
                self.tell(RunEvent::WorkerQuarantined { worker, offences: QUARANTINE_AFTER, step });
                None
            }
            _ => unreachable!("the caller has picked these"),
        }
    }

    /// Sends a newcomer its first message; where that fails it is gone again.
    fn send_first(&mut self, to: Incarnation, message: CoordinatorMessage) -> Option<Event> {
        self.connections.send(to, message).err().map(|why| Event::Gone(to, why.into()))
    }

    fn members(&self) -> u32 {
        self.machine.members().count() as u32
    }

    /// How often both sides are to be heard, and when silence means death.
    fn pulse_ms(&self) -> (u32, u32) {
        let timeout_ms = self.rules.heartbeat_timeout.as_millis() as u32;
        ((timeout_ms / HEARTBEATS_PER_TIMEOUT).max(1), timeout_ms)
    }

    /// Says who is late with a piece of which `helper` gets a copy: once for each membership.
    fn tell_late(&mut self, helper: Incarnation, round: Round, copy: Node) {
        let Some(tree) = self.round.as_ref().map(|round| round.tree) else { return };
        let first = tree.leaves_below(copy).start;
        let holds = |piece: Node| tree.leaves_below(piece).contains(&first);
        let members =
            self.machine.members().filter(|&(who, member)| who != helper && member.pieces().any(holds));
        let late: Vec<Incarnation> = members.map(|(who, _)| who).collect();
        for who in late {
            if !self.connections.is_news_that_late(who) {
                continue;
            }
            let [worker, helper] = [who, helper].map(|who| self.name(who).to_owned());
            let step = self.trainer.step();
            self.tell(RunEvent::WorkerLate { worker, helper, round, piece: copy, step });
        }
    }

    pub(super) fn name(&self, who: Incarnation) -> &str {
        self.connections.get(who).map_or("unknown", |peer| &peer.name)
    }

    fn removed(&mut self, member: Incarnation, cause: Cause, pieces: Vec<Node>) {
        let Some(peer) = self.connections.close(member, CoordinatorMessage::Dropped(cause.to_string()))
        else {
            return;
        };
        self.budget.leave(self.clock.now_us(), peer.connection);
        let departure = Departure {
            has_helped: peer.has_helped(),
            worker: peer.name,
            rank: peer.rank,
            incarnation: member,
            pieces,
            step: self.trainer.step(),
            workers: self.members(),
        };
        self.tell(match cause {
            Cause::Left => RunEvent::WorkerLeft(departure),
            cause => RunEvent::WorkerDropped { cause, departure },
        });
    }
}
