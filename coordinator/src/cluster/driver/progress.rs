//! Whether those on the other end get on: who may announce a large gradient, who is let in with it, and who is given up
//! because nothing moves. How much room there is and whom it goes to is decided in [`gradient_budget`](crate::cluster::gradient_budget).

use super::{Driver, RunError};
use crate::cluster::gradient_budget::RoundState;
use common::ids::Round;
use common::protocol::coordinator::{Cause, Event, ProtocolError};
use common::reduce::tree::Node;
use std::cmp::Ordering;
use tokio::sync::oneshot;

impl Driver {
    /// Lets a gradient wait for room if it is one that its sender was asked for. One that comes too late for its round
    /// goes on at once, and is discarded when it is here.
    pub(super) fn announced(
        &mut self,
        connection: u64,
        round: Round,
        node: Node,
        enter: oneshot::Sender<()>,
    ) -> Result<(), RunError> {
        let Some(who) = self.connections.on(connection) else { return Ok(()) };
        let present = self.round.as_ref().map_or(Round(self.rounds + 1), |present| present.number);
        let was_asked_for = match round.cmp(&present) {
            Ordering::Less => self.connections.takes_late_answer(who),
            Ordering::Equal => self.machine.has_piece(who, node) || self.machine.has_answered(who, node),
            Ordering::Greater => false,
        };
        if !was_asked_for {
            return self.feed(Event::Invalid(who, ProtocolError::GradientNotGiven { round, node }));
        }
        if round == present && self.machine.has_piece(who, node) {
            self.budget.wait(connection, node, enter);
        }
        self.feed(Event::Arriving(who))
    }

    /// Lets gradients in that wait, as far as there is room.
    pub(super) fn admit_gradients(&mut self) {
        let Some(round) = &self.round else { return self.budget.end_round() };
        if self.budget.is_quiet() {
            return;
        }
        let is_computing =
            |who| self.connections.get(who).is_some_and(|peer| !self.budget.has(peer.connection));
        let busy = self.machine.members().filter(|(_, member)| member.pieces().next().is_some());
        let computing = busy.filter(|&(who, _)| is_computing(who)).count();
        let (now_us, joins) = (self.clock.now_us(), |node| round.joins(node));
        self.budget.admit(
            &RoundState { now_us, tree: round.tree, held: round.held(), joins, computing },
            |connection| self.connections.arrived(connection),
        );
    }

    /// Drops those that take nothing, or of whose gradients nothing comes. Called once in so long.
    pub(super) fn give_up_the_stuck(&mut self, now_us: u64, look_us: u64) -> Result<(), RunError> {
        let timeout_us = self.rules.heartbeat_timeout.as_micros() as u64;
        for (who, still_us) in self.connections.not_reading(now_us, look_us, timeout_us) {
            self.feed(Event::GiveUp(who, Cause::NotReading { still_us }))?;
        }
        let arrived = |connection| self.connections.arrived(connection);
        for (connection, cause) in self.budget.stalled(now_us, look_us, timeout_us, arrived) {
            self.member_event(connection, |who| Event::GiveUp(who, cause))?;
        }
        Ok(())
    }
}
