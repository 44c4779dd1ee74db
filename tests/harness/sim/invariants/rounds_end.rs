//! While nothing keeps one member from answering, a round ends within the time that this member alone would
//! need for it, whatever the others do. This also holds before faults end.

use super::ledger::Holder;
use super::{Invariant, Ledger, Observation};
use crate::sim::plan::{Fault, Plan};
use crate::sim::worker::{SLOW_TIMES, SLOWED_TIMES};
use common::protocol::coordinator::{Action, Event, Limits, PIECE_LEAVES_MAX};

/// Longest time that a gradient waits to be read while no other is.
const BUDGET_US: u64 = 5_000_000;
/// Shortest time after which a piece is late.
const LATE_US: u64 = 50_000;

pub(super) struct RoundsEnd {
    limits: Limits,
    /// Longest time of a worker's leaf.
    leaf_us: u64,
    /// Longest delay of a message.
    delay_us: u64,
    /// Whether gradients wait for the budget.
    announces: bool,
    /// Longest time that a message within a partition waits for its end.
    held_us: u64,
    began_us: Option<u64>,
    /// Time since when as many members are there as the run needs.
    enough_us: Option<u64>,
    /// Highest number of members in this round.
    members: u64,
}

impl RoundsEnd {
    pub(super) fn new(plan: &Plan) -> Self {
        let lag = |(_, fault): &(u64, Fault)| match fault {
            Fault::Lag { by_us, .. } => *by_us,
            _ => 0,
        };
        let held = |(_, fault): &(u64, Fault)| match fault {
            Fault::Partition { for_us, .. } => *for_us,
            _ => 0,
        };
        let are_slowed = plan.faults.iter().any(|(_, fault)| matches!(fault, Fault::Slow { .. }));
        let times = if are_slowed { SLOWED_TIMES } else { SLOW_TIMES };
        let delay_us = u64::from(plan.delays.base_us_max + plan.delays.jitter_us_max);
        Self {
            limits: plan.limits,
            leaf_us: u64::from(plan.leaf_us) * times * 3 / 2,
            delay_us: delay_us + plan.faults.iter().map(lag).max().unwrap_or(0),
            announces: plan.announces,
            held_us: plan.faults.iter().map(held).max().unwrap_or(0),
            began_us: None,
            enough_us: None,
            members: 0,
        }
    }

    /// Longest time that the member needs if it must compute everything.
    fn allowed_us(&self, ledger: &Ledger, holder: &Holder) -> u64 {
        let is_audited = self.limits.audit.share > 0;
        let is_doubted = !ledger.doubts.is_empty();
        let again = u64::from(is_audited || is_doubted);
        let computations = ledger.leaves() * (1 + again) + u64::from(holder.threads);
        let work_us = self.leaf_us * computations;
        let delays_us = self.delay_us * (2 * ledger.leaves() + 8);
        // Before it, every other member may get a backup task, each a period after the one before.
        let turns = ledger.leaves().min(PIECE_LEAVES_MAX.into());
        let periods_us = LATE_US.max(3 * holder.known_leaf_us * turns) * self.members;
        // An answer that only deaf members could give waits until they are dropped, for newcomers the
        // shortest time: first an opinion, then an audit.
        let proven = ledger.members.values().filter(|other| other.leaf_us.is_some());
        let drops = proven.filter_map(|other| Ledger::answer_time_us(&self.limits, other));
        let drop_us = drops.chain([self.limits.answer_timeout_us_min]).max().unwrap_or(0);
        let drops_us = drop_us * (u64::from(is_audited) + u64::from(is_doubted));
        let budget_us = if self.announces { BUDGET_US * ledger.leaves() } else { 0 };
        work_us + delays_us + self.held_us + periods_us + drops_us + budget_us
    }
}

impl Invariant for RoundsEnd {
    fn saw(&mut self, now_us: u64, ledger: &Ledger, observation: &Observation<'_>) -> Result<(), String> {
        match observation {
            Observation::Born { .. } => (self.began_us, self.enough_us) = (None, None),
            Observation::Ruled { event, actions, .. } => {
                if let Event::Begin { .. } = event {
                    self.began_us = Some(now_us);
                    self.members = 0;
                }
                self.members = self.members.max(ledger.members.len() as u64);
                let is_end = |action: &Action| {
                    matches!(
                        action,
                        Action::Complete(_)
                            | Action::Disputed { .. }
                            | Action::NonFinite { .. }
                            | Action::Anew { .. }
                    )
                };
                if actions.iter().any(is_end) {
                    self.began_us = None;
                }
                let needed = if ledger.started { self.limits.min } else { self.limits.start };
                let has_enough = ledger.members.len() as u32 >= needed;
                self.enough_us = has_enough.then(|| self.enough_us.unwrap_or(now_us));
            }
            Observation::Woke { able } => {
                let (Some(began_us), Some(enough_us)) = (self.began_us, self.enough_us) else {
                    return Ok(());
                };
                for &(connection, able_us) in *able {
                    let mut holders = ledger.members.values();
                    let holder = holders.find(|holder| holder.connection == connection as u64);
                    let is_known = |holder: &&Holder| holder.leaf_us.is_some();
                    let holder = holder.filter(is_known);
                    let Some((holder, answered_us)) = holder.and_then(|h| Some((h, h.answered_us?))) else {
                        continue;
                    };
                    let since_us = began_us.max(enough_us).max(able_us).max(answered_us);
                    let allowed_us = self.allowed_us(ledger, holder);
                    if since_us + allowed_us < now_us {
                        let name = &holder.name;
                        return Err(format!(
                            "{name} could answer for {allowed_us} us, and the round is not complete: {ledger:?}"
                        ));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
