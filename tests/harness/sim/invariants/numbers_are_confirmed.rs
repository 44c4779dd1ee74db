//! No number out of line is added unless two workers gave the same, or one did twice when no other could be
//! asked. The optimizer's state stays finite.

use super::ledger::Doubt;
use super::{Invariant, Ledger, Observation};
use common::ids::{Instance, SetupId};
use common::protocol::coordinator::{Event, Limits};
use common::reduce::outliers::{Peaks, peak};
use std::collections::BTreeMap;

pub(super) struct NumbersAreConfirmed {
    answer_timeout_us_min: u64,
    /// Whether the present answer is confirmed: others gave the same before, or no other could be asked.
    is_confirmed: bool,
    /// Peaks of what this life of the coordinator has added in each run.
    peaks: BTreeMap<SetupId, Peaks>,
}

impl NumbersAreConfirmed {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            answer_timeout_us_min: limits.answer_timeout_us_min,
            is_confirmed: false,
            peaks: BTreeMap::new(),
        }
    }
}

impl Invariant for NumbersAreConfirmed {
    fn saw(&mut self, now_us: u64, ledger: &Ledger, observation: &Observation<'_>) -> Result<(), String> {
        match observation {
            Observation::Ruled { event: Event::Result { from, round, node, verdict }, .. } => {
                let Some(open) = ledger.round(*round) else { return Ok(()) };
                let Some(doubts) = open.doubts.get(node) else { return Ok(()) };
                let Some(holder) = ledger.members.get(from) else { return Ok(()) };
                let own = Doubt { verdict: *verdict, numerics: holder.numerics };
                let agrees =
                    |(&other, doubt): (&Instance, &Doubt)| other != holder.instance && doubt.agrees(&own);
                // A worker that has answered nothing is not waited for without end.
                let until_us = open.doubted_us[node] + self.answer_timeout_us_min;
                let is_alone = ledger.members.values().all(|holder| {
                    let is_over = !holder.has_answered(open.run) && until_us <= now_us;
                    doubts.contains_key(&holder.instance) || is_over
                });
                self.is_confirmed = doubts.iter().any(agrees) || is_alone;
                Ok(())
            }
            Observation::Born => {
                self.peaks.clear();
                Ok(())
            }
            Observation::Accepted { value, task, .. } => {
                let peak = peak(value.peak, value.leaves.len() as u64);
                let peaks = self.peaks.entry(task.run).or_default();
                let is_out_of_line = peaks.is_out_of_line(peak);
                peaks.accept(peak);
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
