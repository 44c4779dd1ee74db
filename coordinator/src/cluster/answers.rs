//! Answers as they arrive: who may announce and send what, how they are judged, and who is given up because
//! nothing moves.
//!
//! How many gradients are in memory is decided in `gradient_budget`; which numbers are out of line in
//! `common::reduce::outliers`; what follows from a verdict by the rules.

use super::gradient_budget::RoundState;
use super::{Cluster, Measure, Output, RoundValue, Rules, release_waiting};
use common::event::Event as RunEvent;
use common::ids::{Incarnation, Round};
use common::protocol::coordinator::{Cause, Event, Member, Piece, ProtocolError, Verdict};
use common::reduce::outliers::peak;
use common::reduce::tree::Node;

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
        self.has_arrived(now_us, connection);
        let Some(from) = self.connections.on(connection) else { return };
        if let Err(what) = self.check(from, of, round, node, &value) {
            return self.feed(now_us, Event::Invalid(from, what), None);
        }
        let verdict = self.verdict(round, &value);
        self.feed(now_us, Event::Result { from, round, node, verdict }, Some(value));
    }

    /// A large gradient is about to arrive. It waits for [`Output::Enter`] if its sender was asked for it.
    /// Returns whether it waits; if not it is read at once: it is late and will be discarded, or its sender
    /// is dropped.
    pub fn announced(&mut self, now_us: u64, connection: u64, round: Round, node: Node) -> bool {
        let Some(who) = self.connections.on(connection) else { return false };
        let run = self.run_of(round);
        let piece = Piece { round, node };
        let has_piece = self.machine().has_piece(who, piece);
        let was_asked_for = match run {
            Some(_) => has_piece || self.machine().has_answered(who, piece),
            None => round.0 <= self.rounds && self.connections.takes_late_answer(who),
        };
        if !was_asked_for {
            let what = ProtocolError::GradientNotGiven { round, node };
            self.feed(now_us, Event::Invalid(who, what), None);
            return false;
        }
        let state = run.filter(|_| has_piece).and_then(|run| self.runs.get_mut(&run));
        let waits = state.map(|state| state.budget.wait(connection, node)).is_some();
        self.feed(now_us, Event::Arriving(who), None);
        waits
    }

    /// Lets waiting gradients in, as far as each run's budget has room. `arrived` are the bytes of gradients
    /// that have come on a connection so far.
    pub fn admit_gradients(&mut self, now_us: u64, arrived: impl Fn(u64) -> u64) {
        let Self { rules, connections, runs, outputs, .. } = self;
        for state in runs.values_mut() {
            let Some(round) = &state.round else {
                release_waiting(state, outputs);
                continue;
            };
            if state.budget.is_quiet() {
                continue;
            }
            let is_computing =
                |who| connections.of(who).is_some_and(|connection| !state.budget.has(connection));
            let has_piece = |member: &Member| member.pieces().any(|piece| piece.round == round.number);
            let busy = rules.machine().members().filter(|(_, member)| has_piece(member));
            let computing = busy.filter(|&(who, _)| is_computing(who)).count();
            let joins = |node| round.joins(node);
            let around = RoundState { now_us, tree: round.tree, held: round.held(), joins, computing };
            let entered = state.budget.admit(&around, &arrived);
            outputs.extend(entered.into_iter().map(|connection| Output::Enter { connection }));
        }
    }

    /// Members whose gradients do not arrive, and why. To be asked every `look_us`.
    pub fn stalled(
        &mut self,
        now_us: u64,
        look_us: u64,
        arrived: impl Fn(u64) -> u64,
    ) -> Vec<(Incarnation, Cause)> {
        let timeout_us = self.heartbeat_timeout_us;
        let stalled = self
            .runs
            .values_mut()
            .flat_map(|state| state.budget.stalled(now_us, look_us, timeout_us, &arrived));
        let member = |(connection, cause)| Some((self.connections.on(connection)?, cause));
        stalled.filter_map(member).collect()
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
        // Where the round is over, the answer is late and will be discarded.
        self.open(round).map_or(Ok(()), |(_, open)| open.check(node, value))
    }

    fn verdict(&self, round: Round, value: &V) -> Verdict {
        let Measure { checksum, is_finite, .. } = value.measure();
        let state = self.run_of(round).and_then(|run| self.runs.get(&run));
        match peak_of(value) {
            _ if !is_finite => Verdict::NonFinite { checksum },
            Some(peak) if state.is_some_and(|state| state.peaks.is_out_of_line(peak)) => {
                Verdict::OutOfLine { checksum }
            }
            _ => Verdict::Finite { checksum },
        }
    }

    /// Adds an accepted answer, and takes it as a measure for those to come.
    pub(super) fn accept(&mut self, now_us: u64, from: Incarnation, round: Round, node: Node, value: V) {
        let Some(run) = self.run_of(round) else { return };
        let Some(state) = self.runs.get_mut(&run) else { return };
        peak_of(&value).into_iter().for_each(|peak| state.peaks.accept(peak));
        if let Some(open) = &mut state.round {
            open.times.answered(now_us, from, node);
            let inserted = open.insert(node, value);
            self.outputs.push_back(Output::Added { run, from, node, inserted });
        }
    }

    /// Tells that an answer is doubted, and counts it.
    pub(super) fn doubted(&mut self, from: Incarnation, round: Round, piece: Node, value: &V) {
        let Some(run) = self.run_of(round) else { return };
        let Some(state) = self.runs.get_mut(&run) else { return };
        state.round.iter_mut().for_each(|open| open.out_of_line += 1);
        let usual = state.peaks.median();
        let worker = self.name(from);
        let peak = peak_of(value).unwrap_or_default();
        self.tell(run, |step| RunEvent::GradientDoubted { worker, piece, peak, usual, step });
    }
}

/// The largest magnitude for each sample, where that can be out of line.
fn peak_of(value: &impl RoundValue) -> Option<f32> {
    value.measure().largest.map(|largest| peak(largest, value.samples()))
}
