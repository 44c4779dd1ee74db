//! What the invariants and the report see of the simulated coordinator. Decides nothing.

use super::{Link, SimCoordinator};
use crate::sim::Sabotage;
use crate::sim::invariants::{Observation, Violation};
use crate::sim::rules::Ruled;
use crate::sim::trainer::Value;
use crate::sim::world::World;
use common::protocol::coordinator::{Action, Cause, Purpose};

impl SimCoordinator {
    /// Shows the invariants one event of the rules with its actions, and counts what is notable.
    pub(super) fn show(
        &mut self,
        world: &mut World,
        (event, actions): Ruled,
        value: Option<&Value>,
    ) -> Result<(), Violation> {
        world.note(|| format!("coordinator: {event:?} -> {actions:?}"));
        let machine = self.cluster.machine();
        world.saw(&Observation::Ruled { event: &event, actions: &actions, machine })?;
        for action in &actions {
            if let Some(kind) = notable(action) {
                world.report.count(kind);
            }
            if let (Action::Accept { from, round, .. }, Some(value)) = (action, value) {
                let is_it = |(_, link): &(&usize, &Link)| link.member == Some(*from);
                let connection = self.links.iter().find(is_it).map(|(&connection, _)| connection);
                let connection = connection.expect("only members' answers are accepted");
                let run = self.rounds[round];
                let training = self.training(run);
                let task = training.task();
                world.saw(&Observation::Accepted { connection, value, task })?;
                training.accepted(world, value);
                if world.has(Sabotage::CommitEarly) {
                    training.commit(world, None)?;
                }
            }
        }
        Ok(())
    }
}

/// What a report counts an action as.
fn notable(action: &Action) -> Option<&'static str> {
    match action {
        Action::Grant { purpose: Purpose::Backup, .. } => Some("copy"),
        Action::Grant { purpose: Purpose::Audit, .. } => Some("audit"),
        Action::Grant { purpose: Purpose::Opinion, .. } => Some("opinion asked"),
        Action::Removed { cause: Cause::NoAnswer { .. }, .. } => Some("deaf worker dropped"),
        Action::OtherNumerics { .. } => Some("worker of other numerics let in"),
        Action::AuditWaits => Some("nobody to audit"),
        Action::Doubted { .. } => Some("answer out of line"),
        Action::Confirmed { .. } => Some("answer out of line, given twice"),
        _ => None,
    }
}
