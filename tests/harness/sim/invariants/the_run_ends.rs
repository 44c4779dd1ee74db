//! Once faults have ended the run finishes within a bounded time. The number of events is bounded at any
//! time.

use super::{Invariant, Ledger, Observation};
use crate::sim::plan::Plan;
use crate::sim::worker::SLOWED_TIMES;

/// Most events of a run: more than any needs.
const EVENTS_MAX: u64 = 300_000;
/// Longest pause before a worker dials again, and its restart after it gave up.
const REDIAL_US: u64 = 3_500_000;

pub(super) struct TheRunEnds {
    events: u64,
    healed_us: Option<u64>,
    allowed_us: u64,
}

impl TheRunEnds {
    pub(super) fn new(plan: &Plan) -> Self {
        let leaves = plan.leaves();
        let steps = plan.runs.iter().map(|run| run.steps.len() as u64).sum::<u64>();
        // Each audit is one more computation.
        let times = if plan.limits.audit.share > 0 { 2 } else { 1 };
        // Every leaf on one thread of a slow worker, after the last leaf of a slowed one.
        let work_us = plan.leaf_us_max() * (leaves * 15 * times + SLOWED_TIMES * 2);
        let delays_us = u64::from(plan.delays.base_us_max + plan.delays.jitter_us_max);
        // Time to notice a dead member, and the place that it holds.
        let rejoin_us = 2 * plan.pulse.timeout_us + plan.join_timeout_us + 2 * REDIAL_US;
        Self {
            events: 0,
            healed_us: None,
            allowed_us: work_us + rejoin_us + (steps * 4 + leaves) * delays_us,
        }
    }

    pub(super) fn usage(&self, now_us: u64) -> (u64, u64) {
        let used_us = self.healed_us.map_or(0, |healed_us| now_us - healed_us);
        (self.events, used_us * 100 / self.allowed_us)
    }
}

impl Invariant for TheRunEnds {
    fn saw(&mut self, now_us: u64, ledger: &Ledger, observation: &Observation<'_>) -> Result<(), String> {
        match observation {
            Observation::Healed => self.healed_us = Some(now_us),
            Observation::Woke { .. } => self.events += 1,
            _ => return Ok(()),
        }
        if self.events > EVENTS_MAX {
            return Err(format!("{EVENTS_MAX} events and no end"));
        }
        match self.healed_us.filter(|healed_us| healed_us + self.allowed_us < now_us) {
            Some(_) => Err(format!("healed for {} us and no end, with {ledger:?}", self.allowed_us)),
            None => Ok(()),
        }
    }
}
