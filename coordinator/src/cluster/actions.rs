//! What the cluster does for each action of the rules, and what it tells of them. Decides nothing.

use super::{Cluster, Farewell, Message, Output, RoundPlan, RoundValue, Rules};
use common::event::{Departure, Event as RunEvent};
use common::ids::{Incarnation, Rank, Round, SetupId};
use common::protocol::coordinator::{Action, Cause, Piece, Purpose, QUARANTINE_AFTER};
use common::reduce::tree::Node;
use tracing::debug;

impl<V: RoundValue, R: Rules> Cluster<V, R> {
    /// Does one thing. `value` is the one that the rules have judged, if they have.
    pub(super) fn act(&mut self, now_us: u64, action: Action, value: &mut Option<V>) {
        match action {
            Action::Welcome { .. } | Action::Spare { .. } | Action::Refuse { .. } => {
                self.answer_newcomer(action);
            }
            Action::OtherNumerics { name, differs } => {
                let worker = || name.clone();
                self.tell_all(|step| RunEvent::OtherNumerics { worker: worker(), differs, step });
            }
            Action::Quarantined { name } => {
                let offences = QUARANTINE_AFTER;
                let worker = || name.clone();
                self.tell_all(|step| RunEvent::WorkerQuarantined { worker: worker(), offences, step });
            }
            Action::Grant { to, round, node, purpose } => {
                self.grant(now_us, to, round, node, purpose);
            }
            Action::Accept { from, round, node } => {
                self.connections.helped(from);
                if let Some(value) = value.take() {
                    self.accept(now_us, from, round, node, value);
                }
            }
            Action::Doubted { from, round, node } => {
                value.iter().for_each(|value| self.doubted(from, round, node, value));
            }
            Action::Confirmed { from, round, node: piece, by } => {
                let worker = self.name(from);
                let Some(run) = self.run_of(round) else { return };
                self.tell(run, |step| RunEvent::GradientConfirmed { worker, by, piece, step });
            }
            Action::Discard { from } => {
                debug!(worker = %self.name(from), "an answer came too late to be of use");
            }
            Action::Removed { member, cause, returned } => self.removed(now_us, member, &cause, &returned),
            Action::Complete(round) => self.complete(round),
            Action::Waiting { live, needed } => {
                self.tell_all(|step| RunEvent::WaitingForWorkers { live, needed, step });
            }
            Action::AuditWaits => self.tell_all(|step| RunEvent::AuditWaits { step }),
            Action::Anew { .. } | Action::NonFinite { .. } | Action::Disputed { .. } => self.trouble(action),
        }
    }

    /// Passes on what a run can't go on with.
    fn trouble(&mut self, action: Action) {
        let output = match action {
            Action::Anew { round, wrong, worker, process, right: contradicted_by } => {
                let piece = wrong.node;
                self.run_of(round).map(|run| Output::Anew { run, piece, worker, process, contradicted_by })
            }
            Action::NonFinite { round, leaf, workers } => {
                self.run_of(round).map(|run| Output::NonFinite { run, leaf, workers })
            }
            Action::Disputed { round, node: piece, workers } => {
                self.run_of(round).map(|run| Output::Disputed { run, piece, workers })
            }
            _ => unreachable!("the caller has picked these"),
        };
        self.outputs.extend(output);
    }

    /// Tells a newcomer what is to become of it.
    fn answer_newcomer(&mut self, action: Action) {
        match action {
            Action::Welcome { connection, incarnation, rank } => self.welcome(connection, incarnation, rank),
            Action::Spare { connection, incarnation, ahead } => {
                if let Some(worker) = self.connections.keep(connection, incarnation) {
                    self.tell_all(|step| {
                        let worker = worker.clone();
                        RunEvent::WorkerKeptAsSpare { worker, incarnation, ahead, step }
                    });
                    self.send(incarnation, Message::Spare { incarnation, ahead });
                }
            }
            Action::Refuse { connection, refusal } => {
                if let Some(worker) = self.connections.refuse(connection) {
                    self.tell_all(|step| {
                        let reason = refusal.clone();
                        RunEvent::WorkerRefused { worker: worker.clone(), reason, step }
                    });
                    self.outputs.push_back(Output::Close { connection, last: Farewell::Refused(refusal) });
                }
            }
            _ => unreachable!("the caller has picked these"),
        }
    }

    fn welcome(&mut self, connection: u64, incarnation: Incarnation, rank: Rank) {
        let Some(worker) = self.connections.admit(connection, incarnation, rank) else { return };
        let member = self.machine().members().find(|&(who, _)| who == incarnation);
        let process = member.map(|(_, member)| member.process);
        self.outputs.extend(process.map(|process| Output::Joined { process }));
        let workers = self.members();
        self.tell_all(|step| RunEvent::WorkerJoined {
            worker: worker.clone(),
            rank,
            incarnation,
            step,
            workers,
        });
        self.send(incarnation, Message::Welcome { incarnation, rank });
    }

    /// Sends a piece, and before it what the member lacks.
    fn grant(&mut self, now_us: u64, to: Incarnation, round: Round, node: Node, purpose: Purpose) {
        let Some((_, open)) = self.open(round) else { return };
        let RoundPlan { setup, parameters, .. } = open.plan;
        if purpose == Purpose::Backup {
            self.tell_late(to, round, node);
        }
        if self.connections.lacks_setup(to, setup) {
            self.send(to, Message::Setup(setup));
        }
        if self.connections.lacks_parameters(to, setup, parameters) {
            self.send(to, Message::Parameters(setup, parameters));
        }
        self.send(to, Message::Piece { round, node, setup, parameters });
        if let Some(open) = self.runs.get_mut(&setup).and_then(|state| state.round.as_mut()) {
            let leaves = open.tree.leaves_below(node).len() as u32;
            open.times.given(now_us, to, node, leaves, purpose == Purpose::Backup);
        }
    }

    /// Tells who is late with a piece of which `helper` gets a backup task: once for each membership.
    fn tell_late(&mut self, helper: Incarnation, round: Round, backup: Node) {
        let Some((run, open)) = self.open(round) else { return };
        let tree = open.tree;
        let first = tree.leaves_below(backup).start;
        let holds = |piece: Piece| piece.round == round && tree.leaves_below(piece.node).contains(&first);
        let members =
            self.machine().members().filter(|&(who, member)| who != helper && member.pieces().any(holds));
        let late: Vec<Incarnation> = members.map(|(who, _)| who).collect();
        for who in late {
            if self.connections.is_news_that_late(who) {
                let [worker, helper] = [who, helper].map(|who| self.name(who));
                self.tell(run, |step| RunEvent::WorkerLate { worker, helper, round, piece: backup, step });
            }
        }
    }

    fn removed(&mut self, now_us: u64, member: Incarnation, cause: &Cause, returned: &[Piece]) {
        let Some(worker) = self.connections.remove(member) else { return };
        let connection = worker.connection;
        self.outputs.push_back(Output::Close { connection, last: Farewell::Dropped(cause.clone()) });
        self.has_arrived(now_us, connection);
        let workers = self.members();
        let runs = self.runs.iter().map(|(&run, state)| (run, state.last));
        for (run, last) in runs.collect::<Vec<(SetupId, Option<Round>)>>() {
            let of_run = |piece: &&Piece| Some(piece.round) == last;
            let pieces = returned.iter().filter(of_run).map(|piece| piece.node).collect();
            let departure = |step| Departure {
                has_helped: worker.has_helped,
                worker: worker.name.clone(),
                rank: worker.rank,
                incarnation: member,
                pieces,
                step,
                workers,
            };
            self.tell(run, |step| match cause {
                Cause::Left => RunEvent::WorkerLeft(departure(step)),
                cause => RunEvent::WorkerDropped { cause: cause.clone(), departure: departure(step) },
            });
        }
    }

    fn complete(&mut self, round: Round) {
        let Some(run) = self.run_of(round) else { return };
        let Some(mut open) = self.runs.get_mut(&run).and_then(|state| state.round.take()) else { return };
        // From now on, not from the next round's beginning: answers to this one may already be on their way.
        self.answers_are_late(run);
        let out_of_line = open.out_of_line;
        let times = std::mem::take(&mut open.times);
        let sum = open.into_sum().expect("the rules count every leaf that was added");
        self.outputs.push_back(Output::Complete { run, round, sum, out_of_line, times });
    }
}
