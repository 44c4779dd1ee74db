//! What the cluster does for each action of the rules, and what it tells of them. Decides nothing.

use super::{Cluster, Farewell, Message, Output, RoundPlan, RoundValue, Rules};
use common::event::{Departure, Event as RunEvent};
use common::ids::{Incarnation, Rank, Round};
use common::protocol::coordinator::{Action, Cause, Purpose, QUARANTINE_AFTER};
use common::reduce::tree::Node;
use tracing::debug;

impl<V: RoundValue, R: Rules> Cluster<V, R> {
    /// Does one thing. `value` is the one that the rules have judged, if they have.
    pub(super) fn act(&mut self, now_us: u64, action: Action, value: &mut Option<V>) {
        let step = self.step;
        match action {
            Action::Welcome { .. } | Action::Spare { .. } | Action::Refuse { .. } => {
                self.answer_newcomer(action);
            }
            Action::OtherNumerics { name: worker, differs } => {
                self.tell(RunEvent::OtherNumerics { worker, differs, step });
            }
            Action::Quarantined { name: worker } => {
                self.tell(RunEvent::WorkerQuarantined { worker, offences: QUARANTINE_AFTER, step });
            }
            Action::Grant { to, round, node, purpose } => {
                if purpose == Purpose::Backup {
                    self.tell_late(to, round, node);
                }
                self.grant(to, node);
            }
            Action::Accept { from, node } => {
                self.connections.helped(from);
                if let Some(value) = value.take() {
                    self.accept(from, node, value);
                }
            }
            Action::Doubted { from, node } => value.iter().for_each(|value| self.doubted(from, node, value)),
            Action::Confirmed { from, node, by } => {
                let worker = self.name(from);
                self.tell(RunEvent::GradientConfirmed { worker, by, piece: node, step });
            }
            Action::Discard { from } => {
                debug!(worker = %self.name(from), "an answer came too late to be of use");
            }
            Action::Removed { member, cause, returned } => self.removed(now_us, member, cause, returned),
            Action::Complete(round) => self.complete(round),
            Action::Waiting { live, needed } => {
                self.tell(RunEvent::WaitingForWorkers { live, needed, step });
            }
            Action::AuditWaits => self.tell(RunEvent::AuditWaits { step }),
            Action::Anew { node: piece, worker, instance, right: contradicted_by, .. } => {
                self.outputs.push_back(Output::Anew { piece, worker, instance, contradicted_by });
            }
            Action::NonFinite { leaf, workers, .. } => {
                self.outputs.push_back(Output::NonFinite { leaf, workers });
            }
            Action::Disputed { node: piece, workers, .. } => {
                self.outputs.push_back(Output::Disputed { piece, workers });
            }
        }
    }

    /// Tells a newcomer what is to become of it.
    fn answer_newcomer(&mut self, action: Action) {
        let step = self.step;
        match action {
            Action::Welcome { connection, incarnation, rank } => self.welcome(connection, incarnation, rank),
            Action::Spare { connection, incarnation, ahead } => {
                if let Some(worker) = self.connections.keep(connection, incarnation) {
                    self.tell(RunEvent::WorkerKeptAsSpare { worker, incarnation, ahead, step });
                    self.send(incarnation, Message::Spare { incarnation, ahead });
                }
            }
            Action::Refuse { connection, refusal } => {
                if let Some(worker) = self.connections.refuse(connection) {
                    self.tell(RunEvent::WorkerRefused { worker, reason: refusal.clone(), step });
                    self.outputs.push_back(Output::Close { connection, last: Farewell::Refused(refusal) });
                }
            }
            _ => unreachable!("the caller has picked these"),
        }
    }

    fn welcome(&mut self, connection: u64, incarnation: Incarnation, rank: Rank) {
        let Some(worker) = self.connections.admit(connection, incarnation, rank) else { return };
        let member = self.machine().members().find(|&(who, _)| who == incarnation);
        let instance = member.map(|(_, member)| member.instance);
        self.outputs.extend(instance.map(|instance| Output::Joined { instance }));
        let workers = self.members();
        self.tell(RunEvent::WorkerJoined { worker, rank, incarnation, step: self.step, workers });
        self.send(incarnation, Message::Welcome { incarnation, rank });
    }

    /// Sends a piece, and before it what the member lacks.
    fn grant(&mut self, to: Incarnation, node: Node) {
        let Some(round) = &self.round else { return };
        let RoundPlan { setup, parameters, .. } = round.plan;
        let number = round.number;
        if self.connections.lacks_setup(to, setup) {
            self.send(to, Message::Setup(setup));
        }
        if self.connections.lacks_parameters(to, setup, parameters) {
            self.send(to, Message::Parameters(parameters));
        }
        self.send(to, Message::Piece { round: number, node, setup, parameters });
    }

    /// Tells who is late with a piece of which `helper` gets a backup task: once for each membership.
    fn tell_late(&mut self, helper: Incarnation, round: Round, backup: Node) {
        let Some(tree) = self.round.as_ref().map(|round| round.tree) else { return };
        let first = tree.leaves_below(backup).start;
        let holds = |piece: Node| tree.leaves_below(piece).contains(&first);
        let members =
            self.machine().members().filter(|&(who, member)| who != helper && member.pieces().any(holds));
        let late: Vec<Incarnation> = members.map(|(who, _)| who).collect();
        for who in late {
            if self.connections.is_news_that_late(who) {
                let [worker, helper] = [who, helper].map(|who| self.name(who));
                self.tell(RunEvent::WorkerLate { worker, helper, round, piece: backup, step: self.step });
            }
        }
    }

    fn removed(&mut self, now_us: u64, member: Incarnation, cause: Cause, pieces: Vec<Node>) {
        let Some(worker) = self.connections.remove(member) else { return };
        let connection = worker.connection;
        self.outputs.push_back(Output::Close { connection, last: Farewell::Dropped(cause.clone()) });
        self.budget.leave(now_us, connection);
        let departure = Departure {
            has_helped: worker.has_helped,
            worker: worker.name,
            rank: worker.rank,
            incarnation: member,
            pieces,
            step: self.step,
            workers: self.members(),
        };
        self.tell(match cause {
            Cause::Left => RunEvent::WorkerLeft(departure),
            cause => RunEvent::WorkerDropped { cause, departure },
        });
    }

    fn complete(&mut self, round: Round) {
        let Some(open) = self.round.take() else { return };
        // From now on, not from the next round's beginning: answers to this one may already be on their way.
        self.end_round();
        let out_of_line = open.out_of_line;
        let sum = open.into_sum().expect("the rules count every leaf that was added");
        self.outputs.push_back(Output::Complete { round, sum, out_of_line });
    }
}
