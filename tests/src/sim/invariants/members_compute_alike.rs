//! Where numerics are strict, no worker is let in or kept that computes other bits than the first; where they are
//! relaxed, nobody is refused for it.

use super::{Invariant, Ledger, Sight};
use common::numerics::NumericsDigest;
use common::protocol::coordinator::{Action, Event, Numerics, Refusal};

pub(super) struct MembersComputeAlike {
    rule: Numerics,
    /// Of the first worker in this life of the coordinator.
    first: Option<NumericsDigest>,
}

impl MembersComputeAlike {
    pub(super) fn new(rule: Numerics) -> Self {
        Self { rule, first: None }
    }
}

impl Invariant for MembersComputeAlike {
    fn saw(&mut self, _: u64, _: &Ledger, sight: &Sight<'_>) -> Result<(), String> {
        match sight {
            Sight::Born => self.first = None,
            Sight::Ruled { event: Event::Join { name, numerics, .. }, actions, .. } => {
                let first = *self.first.get_or_insert(*numerics);
                let is_in = |action: &Action| matches!(action, Action::Welcome { .. } | Action::Spare { .. });
                let refused = |action: &Action| {
                    matches!(action, Action::Refuse { refusal: Refusal::Numerics { .. }, .. })
                };
                let differs = first != *numerics;
                if self.rule == Numerics::Strict && differs && actions.iter().any(is_in) {
                    return Err(format!("{name} computes {numerics}, the first {first}, and is let in"));
                }
                if actions.iter().any(refused) && (self.rule == Numerics::Relaxed || !differs) {
                    return Err(format!("{name} computes {numerics}, the first {first}, and is refused"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
