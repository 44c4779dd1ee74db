//! Answers as they arrive: who may announce and send what, how they are judged, and who is given up because
//! nothing moves.
//!
//! How many gradients are in memory is decided in `gradient_budget`; which numbers are out of line in
//! `common::reduce::outliers`; what follows from a verdict by the rules.

use super::gradient_budget::RoundState;
use super::{Cluster, Measure, Output, RoundValue, Rules};
use common::event::Event as RunEvent;
use common::ids::{Incarnation, Round};
use common::protocol::coordinator::{Cause, Event, ProtocolError, Verdict};
use common::reduce::outliers::peak;
use common::reduce::tree::Node;
use std::cmp::Ordering;

impl<V: RoundValue, R: Rules> Cluster<V, R> {
    /// An answer has arrived, which claims to be of membership `of`.
    pub fn answer(
        &mut self,
        now_us: u64,
        connection: u64,
        of: Incarnation,
        round: Round,
        node: Node,
        value: V,
    ) {
        self.budget.leave(now_us, connection);
        let Some(from) = self.connections.on(connection) else { return };
        if let Err(what) = self.check(from, of, round, node, &value) {
            return self.feed(now_us, Event::Invalid(from, what), None);
        }
        let verdict = self.verdict(&value);
        self.feed(now_us, Event::Result { from, round, node, verdict }, Some(value));
    }

    /// A large gradient is about to arrive. It waits for [`Output::Enter`] if its sender was asked for it.
    /// Returns whether it waits; if not it is read at once: it is late and will be discarded, or its sender
    /// is dropped.
    pub fn announced(&mut self, now_us: u64, connection: u64, round: Round, node: Node) -> bool {
        let Some(who) = self.connections.on(connection) else { return false };
        let present = self.round.as_ref().map_or(Round(self.rounds + 1), |present| present.number);
        let has_piece = self.machine().has_piece(who, node);
        let was_asked_for = match round.cmp(&present) {
            Ordering::Less => self.connections.takes_late_answer(who),
            Ordering::Equal => has_piece || self.machine().has_answered(who, node),
            Ordering::Greater => false,
        };
        if !was_asked_for {
            let what = ProtocolError::GradientNotGiven { round, node };
            self.feed(now_us, Event::Invalid(who, what), None);
            return false;
        }
        let waits = round == present && has_piece;
        if waits {
            self.budget.wait(connection, node);
        }
        self.feed(now_us, Event::Arriving(who), None);
        waits
    }

    /// Lets waiting gradients in, as far as the budget has room. `arrived` are the bytes of gradients that
    /// have come on a connection so far.
    pub fn admit_gradients(&mut self, now_us: u64, arrived: impl Fn(u64) -> u64) {
        let Some(round) = &self.round else { return self.release_waiting() };
        if self.budget.is_quiet() {
            return;
        }
        let is_computing =
            |who| self.connections.of(who).is_some_and(|connection| !self.budget.has(connection));
        let busy = self.rules.machine().members().filter(|(_, member)| member.pieces().next().is_some());
        let computing = busy.filter(|&(who, _)| is_computing(who)).count();
        let joins = |node| round.joins(node);
        let state = RoundState { now_us, tree: round.tree, held: round.held(), joins, computing };
        let entered = self.budget.admit(&state, arrived);
        self.outputs.extend(entered.into_iter().map(|connection| Output::Enter { connection }));
    }

    /// Members whose gradients do not arrive, and why. To be asked every `look_us`.
    pub fn stalled(
        &mut self,
        now_us: u64,
        look_us: u64,
        arrived: impl Fn(u64) -> u64,
    ) -> Vec<(Incarnation, Cause)> {
        let stalled = self.budget.stalled(now_us, look_us, self.heartbeat_timeout_us, arrived);
        let member = |(connection, cause)| Some((self.connections.on(connection)?, cause));
        stalled.into_iter().filter_map(member).collect()
    }

    /// What the rules can't see: whose answer it is, and whether it is one to this round's question.
    fn check(
        &self,
        from: Incarnation,
        of: Incarnation,
        round: Round,
        node: Node,
        value: &V,
    ) -> Result<(), ProtocolError> {
        if of != from {
            return Err(ProtocolError::OtherIncarnation { expected: from, got: of });
        }
        match &self.round {
            Some(present) if present.number == round => present.check(node, value),
            _ => Ok(()),
        }
    }

    fn verdict(&self, value: &V) -> Verdict {
        let Measure { checksum, is_finite, .. } = value.measure();
        match peak_of(value) {
            _ if !is_finite => Verdict::NonFinite { checksum },
            Some(peak) if self.peaks.is_out_of_line(peak) => Verdict::OutOfLine { checksum },
            _ => Verdict::Finite { checksum },
        }
    }

    /// Adds an accepted answer, and takes it as a measure for those to come.
    pub(super) fn accept(&mut self, from: Incarnation, node: Node, value: V) {
        peak_of(&value).into_iter().for_each(|peak| self.peaks.accept(peak));
        if let Some(round) = &mut self.round {
            let inserted = round.insert(node, value);
            self.outputs.push_back(Output::Added { from, node, inserted });
        }
    }

    /// Tells that an answer is doubted, and counts it.
    pub(super) fn doubted(&mut self, from: Incarnation, piece: Node, value: &V) {
        self.round.iter_mut().for_each(|round| round.out_of_line += 1);
        self.tell(RunEvent::GradientDoubted {
            worker: self.name(from),
            piece,
            peak: peak_of(value).unwrap_or_default(),
            usual: self.peaks.median(),
            step: self.step,
        });
    }
}

/// The largest magnitude for each sample, where that can be out of line.
fn peak_of(value: &impl RoundValue) -> Option<f32> {
    value.measure().largest.map(|largest| peak(largest, value.samples()))
}
