//! What the driver does for each of the machine's actions. Decides nothing but words.

use super::{Driver, HEARTBEATS_PER_TIMEOUT};
use crate::RunError;
use crate::net::token_bucket::Lines;
use common::ids::{Incarnation, Round};
use common::protocol::coordinator::{Action, Cause, Event, OtherArithmetic, Purpose, QUARANTINE_AFTER};
use common::reduce::tree::Node;
use host::trace;
use proto::message::{Answer, CoordinatorMessage, Spare, Welcome};
use std::time::Instant;
use tracing::{debug, info, warn};

/// Lines about workers that come and go: so many at once, as when all of a large run are back, and so many a second from
/// then on. One who does nothing else fills no disk.
const WORKER_LINES: [u32; 2] = [2, 256];
/// The same of refusals: nobody else is named in them.
const REFUSAL_LINES: [u32; 2] = [1, 10];

/// What is said of workers, within bounds. Whoever has been of use is named whatever happens.
#[derive(Debug)]
pub(super) struct WorkerLines {
    joined: Lines,
    dropped: Lines,
    refused: Lines,
}

impl Default for WorkerLines {
    fn default() -> Self {
        let lines = |[per_second, most]: [u32; 2]| Lines::new(per_second, most);
        Self { joined: lines(WORKER_LINES), dropped: lines(WORKER_LINES), refused: lines(REFUSAL_LINES) }
    }
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
                Ok(self.grant(to, node).err().map(|why| Event::Gone(to, why.to_string())))
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
                let (worker, step, by) = (self.name(from), self.trainer.step(), by.join(", "));
                warn!(%worker, %step, piece = %node, by, "a gradient out of line has the same bits when computed again; it is accepted");
                Ok(None)
            }
            Action::Discard { from } => {
                debug!(worker = %self.name(from), "an answer came too late to be of use");
                Ok(None)
            }
            Action::Removed { member, cause, returned } => {
                self.removed(member, &cause, &returned);
                Ok(None)
            }
            Action::Complete(_) => self.complete(),
            Action::Waiting { live, needed } => {
                warn!(step = %self.trainer.step(), live, needed, "waiting for workers to join");
                Ok(None)
            }
            Action::AuditWaits => {
                warn!(step = %self.trainer.step(), "audit waits for a second worker; until then pieces go unaudited");
                Ok(None)
            }
            Action::Anew { node, worker, instance, right, .. } => {
                Ok(self.anew(node, &worker, instance, right))
            }
            Action::NonFinite { leaf, workers, .. } => Err(self.non_finite(leaf, workers)),
            Action::Disputed { node, workers, .. } => Err(self.disputed(node, workers)),
        }
    }

    /// Tells a newcomer, and the log, what is to become of it.
    fn answer_newcomer(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Welcome { connection, incarnation, rank } => {
                let name = self.connections.admit(connection, incarnation, rank)?;
                self.lines.joined.write(Instant::now(), |left_out| {
                    info!(worker = %name, %rank, %incarnation, left_out, "worker joined");
                });
                self.entered(incarnation);
                self.reporter.workers(self.machine.members().count());
                let (heartbeat_ms, timeout_ms) = self.pulse_ms();
                let welcome = CoordinatorMessage::Welcome(Welcome {
                    incarnation,
                    rank,
                    run_id: self.rules.run_id.clone(),
                    heartbeat_ms,
                    timeout_ms,
                    model: self.trainer.config().model.clone(),
                    precision: self.trainer.config().wire_dtype,
                });
                self.connections
                    .send(incarnation, welcome)
                    .err()
                    .map(|why| Event::Gone(incarnation, why.to_string()))
            }
            Action::Spare { connection, incarnation, ahead } => {
                let name = self.connections.keep(connection, incarnation)?;
                self.lines.joined.write(Instant::now(), |left_out| {
                    let what = "all places are taken; worker kept as a spare";
                    info!(worker = %name, %incarnation, ahead, left_out, "{what}");
                });
                let (heartbeat_ms, timeout_ms) = self.pulse_ms();
                let spare = CoordinatorMessage::Spare(Spare { ahead, heartbeat_ms, timeout_ms });
                self.connections
                    .send(incarnation, spare)
                    .err()
                    .map(|why| Event::Gone(incarnation, why.to_string()))
            }
            Action::Refuse { connection, refusal } => {
                let reason = refusal.to_string();
                if let Some(name) = self.connections.refuse(connection, reason.clone(), refusal.may_retry()) {
                    self.lines.refused.write(Instant::now(), |left_out| {
                        warn!(worker = %name, reason, left_out, "worker refused");
                    });
                }
                None
            }
            Action::OtherNumerics { name, differs: OtherArithmetic { run, own } } => {
                let lost = "the final bits may depend on who computed what";
                warn!(worker = %name, %run, %own, lost, "its arithmetic differs from the run's");
                None
            }
            Action::Quarantined { name } => {
                warn!(worker = %name, offences = QUARANTINE_AFTER, "worker quarantined for the rest of the run");
                None
            }
            _ => unreachable!("the caller has picked these"),
        }
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
            let (worker, helper) = (self.name(who), self.name(helper));
            info!(%worker, %helper, %round, piece = %copy, "worker late; others compute its pieces too");
        }
    }

    pub(super) fn name(&self, who: Incarnation) -> &str {
        self.connections.get(who).map_or("unknown", |peer| &peer.name)
    }

    fn removed(&mut self, member: Incarnation, cause: &Cause, returned: &[Node]) {
        let Some(peer) = self.connections.close(member, CoordinatorMessage::Dropped(cause.to_string()))
        else {
            return;
        };
        self.budget.leave(self.clock.now_us(), peer.connection);
        let has_helped = peer.has_helped();
        let (worker, step) = (peer.name, self.trainer.step());
        let rank = peer.rank.map_or("spare".to_owned(), |rank| rank.to_string());
        let pieces: Vec<String> = returned.iter().map(ToString::to_string).collect();
        let pieces = pieces.join(",");
        let write = |left_out: Option<u64>| {
            if *cause == Cause::Left {
                info!(%worker, %rank, incarnation = %member, %step, pieces, left_out, "worker left");
            } else {
                warn!(%worker, %rank, incarnation = %member, %step, pieces, %cause, left_out, "worker dropped");
            }
        };
        if has_helped {
            write(None);
        } else {
            self.lines.dropped.write(Instant::now(), write);
        }
        self.reporter.workers(self.machine.members().count());
    }
}
