//! No number out of line is added unless two workers of different origins gave the same. Two of one origin
//! are enough when none of another could be asked, and none contradicts them; one that gives it twice is,
//! when no other could be asked. The optimizer's state stays finite.

use super::ledger::{Doubt, Holder};
use super::{Invariant, Ledger, Observation};
use common::ids::{Incarnation, Round, SetupId};
use common::protocol::coordinator::{Action, Limits, Verdict};
use common::reduce::outliers::{Peaks, peak};
use common::reduce::tree::Node;
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

    fn is_confirmed(
        &self,
        now_us: u64,
        ledger: &Ledger,
        from: Incarnation,
        round: Round,
        node: Node,
    ) -> bool {
        let (Some(open), Some(holder)) = (ledger.round(round), ledger.members.get(&from)) else {
            return false;
        };
        let Some(doubts) = open.doubts.get(&node) else { return false };
        // It may have been out of line, and be in line now.
        let Some(own) = doubts.get(&holder.process()) else { return false };
        // A worker that has answered nothing is not waited for without end.
        let is_over = open.doubted_us[&node] + self.answer_timeout_us_min <= now_us;
        let can_be_asked = |other: &Holder| {
            !doubts.contains_key(&other.process()) && (other.has_answered(open.run) || !is_over)
        };
        let contradicts = |other: &Holder| {
            let doubt = doubts.get(&other.process());
            doubt
                .is_some_and(|doubt| matches!(doubt.verdict, Verdict::OutOfLine { .. }) && !doubt.agrees(own))
        };
        let is_elsewhere = |other: &Holder| other.identity.is_elsewhere(&own.by);
        let doubts_elsewhere =
            |other: &Holder| is_elsewhere(other) && (can_be_asked(other) || contradicts(other));
        let agrees = |doubt: &&Doubt| doubt.by.process != own.by.process && doubt.agrees(own);
        let mut agreeing = doubts.values().filter(agrees);
        let is_agreed = agreeing.clone().next().is_some();
        agreeing.any(|doubt| doubt.by.is_elsewhere(&own.by))
            || is_agreed && !ledger.members.values().any(doubts_elsewhere)
            || !ledger.members.values().any(can_be_asked)
    }
}

impl Invariant for NumbersAreConfirmed {
    fn saw(&mut self, now_us: u64, ledger: &Ledger, observation: &Observation<'_>) -> Result<(), String> {
        match observation {
            Observation::Acted(Action::Accept { from, round, node }) => {
                self.is_confirmed = self.is_confirmed(now_us, ledger, *from, *round, *node);
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
