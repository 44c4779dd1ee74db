//! Where numerics are strict, all steps are computed with the program's arithmetic: no worker with another
//! one is admitted or accepted. No worker is refused for its arithmetic that has the program's, or where
//! numerics are relaxed.

use super::{Invariant, Ledger, Observation};
use common::protocol::coordinator::{Action, Event, Limits, Numerics, Refusal};
use common::selftest::NumericsDigest;

pub(super) struct MembersComputeAlike {
    rule: Numerics,
    promised: NumericsDigest,
}

impl MembersComputeAlike {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { rule: limits.numerics, promised: limits.promised }
    }

    /// Whether a worker must be kept out for its arithmetic.
    fn is_kept_out(&self, own: NumericsDigest) -> bool {
        self.rule == Numerics::Strict && own != self.promised
    }

    fn joined(&self, name: &str, own: NumericsDigest, actions: &[Action]) -> Result<(), String> {
        let is_in = |action: &Action| matches!(action, Action::Welcome { .. } | Action::Spare { .. });
        let is_refused =
            |action: &Action| matches!(action, Action::Refuse { refusal: Refusal::Numerics(_), .. });
        if self.is_kept_out(own) && actions.iter().any(is_in) {
            return Err(format!("{name} computes {own}, and is let in"));
        }
        if !self.is_kept_out(own) && actions.iter().any(is_refused) {
            return Err(format!("{name} computes {own}, and is refused"));
        }
        Ok(())
    }
}

impl Invariant for MembersComputeAlike {
    fn saw(&mut self, _: u64, ledger: &Ledger, observation: &Observation<'_>) -> Result<(), String> {
        match observation {
            Observation::Acted(Action::Accept { from, node, .. }) => {
                let own = ledger.members.get(from).map(|holder| holder.numerics);
                if let Some(own) = own.filter(|&own| self.is_kept_out(own)) {
                    return Err(format!("piece {node} by {own} is accepted"));
                }
            }
            Observation::Ruled { event: Event::Join { name, numerics, .. }, actions, .. } => {
                self.joined(name, *numerics, actions)?;
            }
            _ => {}
        }
        Ok(())
    }
}
