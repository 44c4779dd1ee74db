//! The coordinator's rules: who is a member, who computes which piece, when a round is complete, who is
//! dropped.
//!
//! A *round* is one pass over the leaves of a step or of an evaluation. The driver begins a round, hands the
//! accepted values to the reduction, and begins the next one when this machine says `Complete`. This machine
//! never sees a tensor, a socket or a clock.

mod admission;
mod arithmetic;
mod audits;
mod bounds;
mod event;
mod limits;
mod member;
mod offences;
mod opinions;
mod reason;
mod scheduler;
mod timeouts;

pub use self::arithmetic::{OtherArithmetic, Settled, SettledBy};
pub use self::audits::{Audit, SHARE_PARTS};
pub use self::event::{Action, Event, Purpose, Verdict};
pub use self::limits::{ANSWER_TIMEOUT_US_MIN, Limits, Numerics, SPARES_MAX};
pub use self::member::Member;
pub use self::offences::QUARANTINE_AFTER;
pub use self::reason::{AnswerKind, Cause, Disconnect, ProtocolError, Refusal};

use self::admission::{Newcomer, Spare};
use self::audits::Miscomputers;
use self::offences::Offences;
use self::opinions::{Cases, Finding, Opinion, Witness};
use super::queue::Queue;
use crate::ids::{Incarnation, Round};
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
    /// The run's arithmetic, once it is settled.
    settled: Option<Settled>,
    next_incarnation: u64,
    work: Option<CurrentRound>,
    /// Whether it has been reported that nobody can audit.
    audit_waits: bool,
    started: bool,
    /// Members with a measured time for a leaf, fastest first.
    by_speed: BTreeSet<(u64, Incarnation)>,
    notice_due_us: Option<u64>,
    /// No member is to be dropped before this time.
    drop_due_us: Option<u64>,
    /// No leaf that is out is late before this time; `None` where it must be computed again.
    late_due_us: Option<u64>,
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

/// The round in progress.
#[derive(Debug)]
struct CurrentRound {
    round: Round,
    queue: Queue,
    cases: Cases,
    /// When the last leaf was accepted.
    done_us: Option<u64>,
    /// Whether answers differ without a decision, or a wrong one was added: the round's sum must not be used.
    is_void: bool,
    /// Whether the round has been reported as complete.
    complete: bool,
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
            settled: None,
            next_incarnation: first.0,
            work: None,
            audit_waits: false,
            started: false,
            by_speed: BTreeSet::new(),
            notice_due_us: None,
            drop_due_us: None,
            late_due_us: None,
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
            Event::Join { connection, name, instance, threads, numerics } => {
                self.join(now_us, Newcomer { connection, name, instance, threads, numerics }, &mut actions);
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
            Event::Begin { round, leaves } => self.begin(now_us, round, leaves),
            Event::Tick => self.drop_the_overdue(now_us, &mut actions),
        }
        self.fill_places(&mut actions);
        self.dispute(now_us, &mut actions);
        self.settle(now_us, &mut actions);
        self.schedule(now_us, &mut actions);
        self.look_for_drops(now_us);
        actions
    }

    /// Whether a member computes this piece of the round in progress.
    #[must_use]
    pub fn has_piece(&self, who: Incarnation, node: Node) -> bool {
        self.members.get(&who).is_some_and(|member| member.pieces.contains_key(&node))
    }

    /// Whether a member has answered this piece of the round in progress: it may repeat itself.
    #[must_use]
    pub fn has_answered(&self, who: Incarnation, node: Node) -> bool {
        self.members.get(&who).is_some_and(|member| member.answered.contains(&node))
    }

    fn heard(&mut self, now_us: u64, from: Incarnation) {
        let member = self.members.get_mut(&from).map(|member| &mut member.last_heard_us);
        let spare = self.spares.get_mut(&from).map(|spare| &mut spare.last_heard_us);
        member.into_iter().chain(spare).for_each(|last_heard_us| *last_heard_us = now_us);
    }

    fn begin(&mut self, now_us: u64, round: Round, leaves: u32) {
        let fastest_us = self.fastest_leaf_us();
        if let Some(CurrentRound { round: before, complete, is_void, queue, .. }) = &self.work {
            assert!(*before < round, "round {round} begins after round {before}");
            assert!(complete | is_void, "round {round} begins while round {before} is incomplete");
            for member in self.members.values_mut() {
                member.forget_round(now_us, fastest_us, |node| queue.leaves_below(node));
            }
            self.has_forgotten_a_round();
        }
        let queue = Queue::new(leaves);
        let cases = Cases::default();
        self.work =
            Some(CurrentRound { round, queue, cases, done_us: None, is_void: false, complete: false });
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
        let fastest_us = self.fastest_leaf_us();
        let Some(member) = self.members.get_mut(&from) else {
            actions.push(Action::Discard { from });
            return;
        };
        let Some(work) = self.work.as_mut().filter(|work| work.round >= round) else {
            self.remove(from, Cause::Invalid(ProtocolError::RoundNotBegun { round }), actions);
            return;
        };
        if work.round > round || member.answered.contains(&node) {
            if work.round > round {
                member.has_answered(now_us, work.round);
            }
            actions.push(Action::Discard { from });
            return;
        }
        let Some(began_us) = member.answers(now_us, round, node) else {
            self.remove(from, Cause::Invalid(ProtocolError::AnswerNotGiven { round, node }), actions);
            return;
        };
        if work.is_void {
            work.queue.give_back(node);
            actions.push(Action::Discard { from });
            return;
        }
        let by = Witness::of(member);
        let opinion = |finding, checksum| Opinion { by, finding, checksum };
        let (finding, checksum) = match verdict {
            Verdict::Finite { checksum } => (Finding::InLine, checksum),
            Verdict::OutOfLine { checksum } => (Finding::OutOfLine, checksum),
            Verdict::NonFinite { checksum } => {
                return self.not_finite(
                    now_us,
                    from,
                    round,
                    node,
                    opinion(Finding::NotFinite, checksum),
                    actions,
                );
            }
        };
        let known_us = member.leaf_us;
        member.measure(now_us, began_us, work.queue.leaves_below(node), fastest_us);
        self.has_measured(from, known_us);
        self.judge(now_us, from, node, opinion(finding, checksum), actions);
    }

    /// Completes the round once every leaf is accepted and every possible audit is made.
    fn settle(&mut self, now_us: u64, actions: &mut Vec<Action>) {
        let is_due = |work: &&mut CurrentRound| !work.complete && !work.is_void && work.queue.is_complete();
        let Some(work) = self.work.as_mut().filter(is_due) else { return };
        work.done_us.get_or_insert(now_us);
        if self.give_up_audits(now_us) && !std::mem::replace(&mut self.audit_waits, true) {
            actions.push(Action::AuditWaits);
        }
        if let Some(work) = self.work.as_mut().filter(|work| work.cases.0.is_empty()) {
            work.complete = true;
            actions.push(Action::Complete(work.round));
        }
    }

    fn remove(&mut self, who: Incarnation, cause: Cause, actions: &mut Vec<Action>) {
        let (name, instance, returned) = match (self.members.remove(&who), self.spares.remove(&who)) {
            (Some(member), _) => {
                self.has_gone(who, &member);
                (member.name, member.instance, member.pieces.into_keys().collect())
            }
            (None, Some(Spare { newcomer, .. })) => (newcomer.name, newcomer.instance, Vec::new()),
            (None, None) => return,
        };
        if let Some(work) = &mut self.work {
            returned.iter().for_each(|&node| work.queue.give_back(node));
        }
        let quarantine = cause.is_offence() && self.offences.note(instance);
        actions.push(Action::Removed { member: who, cause, returned });
        if quarantine {
            actions.push(Action::Quarantined { name });
        }
    }
}

#[cfg(test)]
mod tests;
