//! The coordinator's rules: who is a member, who computes which piece, when a round is complete, who is
//! dropped.
//!
//! A *round* is one pass over the leaves of a step or of an evaluation. The driver begins a round, hands the
//! accepted values to the reduction, and begins the next one when this machine says `Complete`. Several runs
//! may each have a round open at the same time. This machine never sees a tensor, a socket or a clock.

mod admission;
mod arithmetic;
mod audits;
mod bounds;
mod event;
mod keys;
mod limits;
mod member;
mod offences;
mod opinions;
mod reason;
mod scheduler;
mod timeouts;

pub use self::arithmetic::OtherArithmetic;
pub use self::audits::{Audit, SHARE_PARTS};
pub use self::event::{Action, Event, Purpose, Verdict};
pub use self::keys::KEY_QUARANTINE_AFTER;
pub use self::limits::{ANSWER_TIMEOUT_US_MIN, Limits, Numerics, SPARES_MAX};
pub use self::member::{Member, Piece};
pub use self::offences::QUARANTINE_AFTER;
pub use self::reason::{AnswerKind, Cause, Disconnect, ProtocolError, Refusal};

use self::admission::{Newcomer, Spare};
use self::audits::Miscomputers;
use self::keys::Keys;
use self::offences::Offences;
use self::opinions::{Cases, Finding, Opinion, Witness};
use self::timeouts::LEAF_US_UNKNOWN;
use super::queue::Queue;
use crate::ids::{Incarnation, Process, Round, SetupId};
use crate::reduce::tree::Node;
use std::collections::{BTreeMap, BTreeSet};

/// Most leaves of a piece. It bounds what one death costs, and what a worker holds at the same time.
pub const PIECE_LEAVES_MAX: u32 = 64;

/// The coordinator's rules as a state machine.
#[derive(Debug)]
pub struct Coordinator {
    limits: Limits,
    members: BTreeMap<Incarnation, Member>,
    spares: BTreeMap<Incarnation, Spare>,
    offences: Offences,
    miscomputers: Miscomputers,
    keys: Keys,
    next_incarnation: u64,
    /// The last round that each run has begun, oldest first.
    rounds: BTreeMap<Round, OpenRound>,
    /// The highest round of all.
    newest: Option<Round>,
    /// Whether it has been reported that nobody can audit.
    audit_waits: bool,
    started: bool,
    notice_due_us: Option<u64>,
    /// No member is to be dropped before this time.
    drop_due_us: Option<u64>,
    /// When waiting leaves may go to other members.
    reschedule_due_us: Option<u64>,
    /// When a piece may be late that an idle member could back up.
    backup_due_us: Option<u64>,
    /// When a case may be handed to another member.
    opinion_due_us: Option<u64>,
    /// Members and pieces that were looked at one by one.
    #[cfg(test)]
    looks: std::cell::Cell<usize>,
}

/// The last round that a run has begun.
#[derive(Debug)]
struct OpenRound {
    run: SetupId,
    number: Round,
    queue: Queue,
    cases: Cases,
    /// Members with a measured time for a leaf of this run, fastest first.
    by_speed: BTreeSet<(u64, Incarnation)>,
    /// The fastest time by answers alone when the round began, for while none is measured.
    answered_us: Option<u64>,
    /// No leaf that is out is late before this time; `None` where it must be computed again.
    late_due_us: Option<u64>,
    /// When the last leaf was accepted.
    done_us: Option<u64>,
    /// Whether answers differ without a decision, or a wrong one was added: the round's sum must not be used.
    is_void: bool,
    /// Whether the round has been reported as complete.
    complete: bool,
}

impl OpenRound {
    /// Whether its leaves or their audits are still to be computed.
    fn wants_work(&self) -> bool {
        !self.complete && !self.is_void
    }

    /// The shortest time for a leaf on any member's thread: slow members are late by the others' measure.
    fn fastest_leaf_us(&self) -> Option<u64> {
        self.by_speed.first().map_or(self.answered_us, |&(leaf_us, _)| Some(leaf_us))
    }

    /// A member's time for a leaf, or what is taken for it.
    fn leaf_us(&self, member: &Member) -> u64 {
        member.leaf_us(self.run).or_else(|| self.fastest_leaf_us()).unwrap_or(LEAF_US_UNKNOWN)
    }
}

impl Coordinator {
    /// A coordinator without members or work, whose first member gets the incarnation `first`.
    ///
    /// A coordinator that resumes a run must start above every incarnation of its predecessor. Its rounds
    /// count from 0 again, so only the incarnation tells answers to the two apart.
    #[must_use]
    pub fn new(limits: Limits, first: Incarnation) -> Self {
        Self {
            limits,
            members: BTreeMap::new(),
            spares: BTreeMap::new(),
            offences: Offences::default(),
            miscomputers: Miscomputers::default(),
            keys: Keys::default(),
            next_incarnation: first.0,
            rounds: BTreeMap::new(),
            newest: None,
            audit_waits: false,
            started: false,
            notice_due_us: None,
            drop_due_us: None,
            reschedule_due_us: None,
            backup_due_us: None,
            opinion_due_us: None,
            #[cfg(test)]
            looks: std::cell::Cell::default(),
        }
    }

    /// The members, oldest first.
    pub fn members(&self) -> impl Iterator<Item = (Incarnation, &Member)> {
        self.members.iter().map(|(&incarnation, member)| (incarnation, member))
    }

    /// Handles one event. Returns what must be done, in order.
    pub fn on_event(&mut self, now_us: u64, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Join { connection, name, key, instance, address, threads, numerics } => {
                let process = Process { key, instance };
                let newcomer = Newcomer { connection, name, process, address, threads, numerics };
                self.join(now_us, newcomer, &mut actions);
            }
            Event::Heard(from) => self.heard(now_us, from),
            Event::Arriving(from) => {
                self.heard(now_us, from);
                self.members.get_mut(&from).into_iter().for_each(|member| member.is_answering(now_us));
            }
            Event::Result { from, round, node, verdict } => {
                self.heard(now_us, from);
                self.result(now_us, from, round, node, verdict, &mut actions);
            }
            Event::Invalid(from, what) => self.remove(from, Cause::Invalid(what), &mut actions),
            Event::Gone(from, why) => self.remove(from, Cause::Gone(why), &mut actions),
            Event::GiveUp(from, cause) => self.remove(from, cause, &mut actions),
            Event::Leave(from) => self.remove(from, Cause::Left, &mut actions),
            Event::Begin { run, round, leaves } => self.begin(now_us, run, round, leaves),
            Event::End(run) => self.end(now_us, run),
            Event::Tick => self.drop_the_overdue(now_us, &mut actions),
        }
        self.fill_places(&mut actions);
        self.dispute(now_us, &mut actions);
        self.settle(now_us, &mut actions);
        self.schedule(now_us, &mut actions);
        self.look_for_drops(now_us);
        actions
    }

    /// Whether a member computes this piece.
    #[must_use]
    pub fn has_piece(&self, who: Incarnation, piece: Piece) -> bool {
        self.members.get(&who).is_some_and(|member| member.pieces.contains_key(&piece))
    }

    /// Whether a member has answered this piece of the last round of a run: it may repeat itself.
    #[must_use]
    pub fn has_answered(&self, who: Incarnation, piece: Piece) -> bool {
        self.members.get(&who).is_some_and(|member| member.answered.contains(&piece))
    }

    fn heard(&mut self, now_us: u64, from: Incarnation) {
        let member = self.members.get_mut(&from).map(|member| &mut member.last_heard_us);
        let spare = self.spares.get_mut(&from).map(|spare| &mut spare.last_heard_us);
        member.into_iter().chain(spare).for_each(|last_heard_us| *last_heard_us = now_us);
    }

    fn begin(&mut self, now_us: u64, run: SetupId, round: Round, leaves: u32) {
        assert!(self.newest < Some(round), "round {round} begins after round {:?}", self.newest);
        if let Some(before) = self.forget_round(now_us, run) {
            let OpenRound { number, .. } = before;
            assert!(!before.wants_work(), "round {round} begins while round {number} is incomplete");
        }
        self.newest = Some(round);
        let open = OpenRound {
            run,
            number: round,
            queue: Queue::new(leaves),
            cases: Cases::default(),
            by_speed: self.by_speed(run),
            answered_us: self.members.values().filter_map(|member| member.answered_leaf_us(run)).min(),
            late_due_us: None,
            done_us: None,
            is_void: false,
            complete: false,
        };
        self.rounds.insert(round, open);
    }

    fn end(&mut self, now_us: u64, run: SetupId) {
        self.forget_round(now_us, run);
        let patience = self.members.values().map(|member| {
            let abandoned = member.owes.as_ref().and_then(|owed| owed.abandoned.get(&run));
            abandoned.map_or(0, |abandoned| self.patience_us(member, run, abandoned.leaves))
        });
        let patience: Vec<u64> = patience.collect();
        for (member, patience_us) in self.members.values_mut().zip(patience) {
            member.forget_run(run, patience_us);
        }
        self.drop_due_us = None;
    }

    /// Removes the run's last round. What is out of it is of no use any more.
    fn forget_round(&mut self, now_us: u64, run: SetupId) -> Option<OpenRound> {
        let round = self.rounds.values().find(|open| open.run == run)?.number;
        let before = self.rounds.remove(&round)?;
        let fastest_us = before.fastest_leaf_us();
        self.members.values_mut().for_each(|member| member.forget_round(now_us, run, round, fastest_us));
        Some(before)
    }

    fn result(
        &mut self,
        now_us: u64,
        from: Incarnation,
        round: Round,
        node: Node,
        verdict: Verdict,
        actions: &mut Vec<Action>,
    ) {
        if self.spares.contains_key(&from) {
            self.remove(from, Cause::Invalid(ProtocolError::AnswerOfSpare { round, node }), actions);
            return;
        }
        let fastest_us = self.rounds.get(&round).and_then(OpenRound::fastest_leaf_us);
        let Some(member) = self.members.get_mut(&from) else {
            actions.push(Action::Discard { from });
            return;
        };
        if self.newest < Some(round) {
            self.remove(from, Cause::Invalid(ProtocolError::RoundNotBegun { round }), actions);
            return;
        }
        let piece = Piece { round, node };
        let open = self.rounds.get_mut(&round);
        let Some(open) = open.filter(|_| !member.answered.contains(&piece)) else {
            if !member.answered.contains(&piece) {
                member.has_answered(now_us);
            }
            actions.push(Action::Discard { from });
            return;
        };
        let Some(done) = member.answers(now_us, piece) else {
            self.remove(from, Cause::Invalid(ProtocolError::AnswerNotGiven { round, node }), actions);
            return;
        };
        // Whatever becomes of the answer, it took its sender so long.
        let known_us = member.leaf_us(done.run);
        member.measure(now_us, done, fastest_us);
        let by = Witness::of(member);
        let is_void = open.is_void;
        if is_void {
            open.queue.give_back(node);
            actions.push(Action::Discard { from });
        }
        self.has_measured(from, round, known_us);
        if is_void {
            return;
        }
        let opinion = |finding, checksum| Opinion { by, finding, checksum };
        let opinion = match verdict {
            Verdict::Finite { checksum } => opinion(Finding::InLine, checksum),
            Verdict::OutOfLine { checksum } => opinion(Finding::OutOfLine, checksum),
            Verdict::NonFinite { checksum } => opinion(Finding::NotFinite, checksum),
        };
        if opinion.finding == Finding::NotFinite {
            return self.not_finite(now_us, from, piece, opinion, actions);
        }
        self.judge(now_us, from, piece, opinion, actions);
    }

    /// Completes each round of which every leaf is accepted and every possible audit is made.
    fn settle(&mut self, now_us: u64, actions: &mut Vec<Action>) {
        let done = self.rounds.values().filter(|open| open.wants_work() && open.queue.is_complete());
        for round in done.map(|open| open.number).collect::<Vec<_>>() {
            if let Some(open) = self.rounds.get_mut(&round) {
                open.done_us.get_or_insert(now_us);
            }
            if self.give_up_audits(now_us, round) && !std::mem::replace(&mut self.audit_waits, true) {
                actions.push(Action::AuditWaits);
            }
            if let Some(open) = self.rounds.get_mut(&round).filter(|open| open.cases.0.is_empty()) {
                open.complete = true;
                actions.push(Action::Complete(round));
            }
        }
    }

    fn remove(&mut self, who: Incarnation, cause: Cause, actions: &mut Vec<Action>) {
        let (name, process, returned) = match (self.members.remove(&who), self.spares.remove(&who)) {
            (Some(member), _) => {
                self.has_gone(who, &member);
                (member.name, member.process, member.pieces.into_keys().collect())
            }
            (None, Some(Spare { newcomer, .. })) => (newcomer.name, newcomer.process, Vec::new()),
            (None, None) => return,
        };
        for &Piece { round, node } in &returned {
            self.rounds.get_mut(&round).into_iter().for_each(|open| open.queue.give_back(node));
        }
        let quarantine = cause.is_offence() && self.offences.note(process);
        actions.push(Action::Removed { member: who, cause, returned });
        if quarantine {
            self.keys.note(process);
            actions.push(Action::Quarantined { name });
        }
    }
}

#[cfg(test)]
mod tests;
