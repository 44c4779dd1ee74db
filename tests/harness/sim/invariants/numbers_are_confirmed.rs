//! No number out of line is added unless two workers gave the same, or one did twice when no other could be
//! asked. The optimizer's state stays finite.

use super::ledger::Doubt;
use super::{Invariant, Ledger, Observation};
use common::ids::Instance;
use common::protocol::coordinator::{Event, Limits};
use common::reduce::outliers::{Peaks, peak};

pub(super) struct NumbersAreConfirmed {
    answer_timeout_us_min: u64,
    /// Whether the present answer is confirmed: others gave the same before, or no other could be asked.
    is_confirmed: bool,
    /// Peaks of what this life of the coordinator has added.
    peaks: Peaks,
}

impl NumbersAreConfirmed {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            answer_timeout_us_min: limits.answer_timeout_us_min,
            is_confirmed: false,
            peaks: Peaks::default(),
        }
    }
}

impl Invariant for NumbersAreConfirmed {
    fn saw(&mut self, now_us: u64, ledger: &Ledger, observation: &Observation<'_>) -> Result<(), String> {
        match observation {
            Observation::Ruled { event: Event::Result { from, node, verdict, .. }, .. } => {
                let Some(doubts) = ledger.doubts.get(node) else { return Ok(()) };
                let Some(holder) = ledger.members.get(from) else { return Ok(()) };
                let own = Doubt { verdict: *verdict, numerics: holder.numerics };
                let agrees =
                    |(&other, doubt): (&Instance, &Doubt)| other != holder.instance && doubt.agrees(&own);
                // A worker that has answered nothing is not waited for without end.
                let until_us = ledger.doubted_us[node] + self.answer_timeout_us_min;
                let is_alone = ledger.members.values().all(|holder| {
                    doubts.contains_key(&holder.instance) || holder.leaf_us.is_none() && until_us <= now_us
                });
                self.is_confirmed = doubts.iter().any(agrees) || is_alone;
                Ok(())
            }
            Observation::Born { .. } => {
                self.peaks = Peaks::default();
                Ok(())
            }
            Observation::Accepted { value, .. } => {
                let peak = peak(value.peak, value.leaves.len() as u64);
                let is_out_of_line = self.peaks.is_out_of_line(peak);
                self.peaks.accept(peak);
                match is_out_of_line && !self.is_confirmed {
                    true => {
                        Err(format!("{:?} is added, and another worker could have been asked", value.leaves))
                    }
                    false => Ok(()),
                }
            }
            Observation::Committed { after, .. } if !after.slot.is_finite() => {
                Err(format!("the optimizer's slot is {} after step {}", after.slot, after.step))
            }
            _ => Ok(()),
        }
    }
}
