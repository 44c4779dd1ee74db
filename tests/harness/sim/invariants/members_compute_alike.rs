//! Where numerics are strict, all steps are computed with one arithmetic, across all lives of the
//! coordinator: that of the first accepted answer. No worker with another one is admitted, kept or accepted.
//! No worker is refused for its arithmetic where none is settled, or where numerics are relaxed.

use super::{Invariant, Ledger, Observation};
use common::ids::SetupId;
use common::protocol::coordinator::{Action, Cause, Event, Numerics, Refusal};
use common::selftest::NumericsDigest;
use std::collections::BTreeMap;

pub(super) struct MembersComputeAlike {
    rule: Numerics,
    /// Arithmetic of the first accepted answer.
    settled: Option<NumericsDigest>,
    /// Arithmetic that was settled after each number of steps of a run.
    at_step: BTreeMap<(SetupId, u64), Option<NumericsDigest>>,
}

impl MembersComputeAlike {
    pub(super) fn new(rule: Numerics) -> Self {
        Self { rule, settled: None, at_step: BTreeMap::new() }
    }

    fn differs(&self, own: NumericsDigest) -> bool {
        self.settled.is_some_and(|settled| settled != own)
    }

    fn joined(&self, name: &str, own: NumericsDigest, actions: &[Action]) -> Result<(), String> {
        let is_in = |action: &Action| matches!(action, Action::Welcome { .. } | Action::Spare { .. });
        let is_refused =
            |action: &Action| matches!(action, Action::Refuse { refusal: Refusal::Numerics(_), .. });
        let differs = self.differs(own);
        let is_strict = self.rule == Numerics::Strict;
        if is_strict && differs && actions.iter().any(is_in) {
            return Err(format!("{name} computes {own}, the run {:?}, and is let in", self.settled));
        }
        if actions.iter().any(is_refused) && !(is_strict && differs) {
            return Err(format!("{name} computes {own}, the run {:?}, and is refused", self.settled));
        }
        Ok(())
    }
}

impl Invariant for MembersComputeAlike {
    fn saw(&mut self, _: u64, ledger: &Ledger, observation: &Observation<'_>) -> Result<(), String> {
        match observation {
            Observation::Born { from } => {
                let mut steps = (0..).map(SetupId).zip(from.iter().map(|from| from.step));
                self.settled = steps.find_map(|at| self.at_step.get(&at).copied().flatten());
            }
            Observation::Committed { run, after, .. } => {
                self.at_step
                    .insert((*run, after.step), self.settled.filter(|_| self.rule == Numerics::Strict));
            }
            Observation::Acted(Action::Accept { from, node, .. }) => {
                let Some(own) = ledger.members.get(from).map(|holder| holder.numerics) else { return Ok(()) };
                if self.rule == Numerics::Strict && self.differs(own) {
                    return Err(format!("piece {node} by {own} is accepted, the run has {:?}", self.settled));
                }
                self.settled.get_or_insert(own);
            }
            Observation::Acted(Action::Removed { member, cause: Cause::Numerics(_), .. }) => {
                let holder = ledger.members.get(member).or_else(|| ledger.spares.get(member));
                let is_other = holder.is_some_and(|holder| self.differs(holder.numerics));
                if self.rule == Numerics::Relaxed || !is_other {
                    return Err(format!("{member} is removed for its arithmetic, which is the run's"));
                }
            }
            Observation::Ruled { event, actions, .. } => {
                if let Event::Join { name, numerics, .. } = event {
                    self.joined(name, *numerics, actions)?;
                }
                let mut all = ledger.members.values().chain(ledger.spares.values());
                if self.rule == Numerics::Strict
                    && let Some(other) = all.find(|holder| self.differs(holder.numerics))
                {
                    let name = &other.name;
                    let own = other.numerics;
                    return Err(format!("{name} computes {own}, the run {:?}, and is kept", self.settled));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
