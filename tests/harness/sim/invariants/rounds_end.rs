//! While nothing keeps one member from answering, a round ends within the time that this member alone would
//! need for it, whatever the others do. This also holds before faults end.
//!
//! That time is the sum of:
//!
//! 1. the member's computations, twice where answers are compared: of this round, and of those that come
//!    before it, which are all older rounds and one piece for each thread of each younger one
//! 2. the delays of their messages, and a partition
//! 3. a period for each other member that may get a backup task first
//! 4. the longest time that a member has for what it owes now, before it is dropped: once for audits and once
//!    for opinions. The member can't give these where the answer in question is its own.
//! 5. the longest wait for another member that is over, with the time that it really took. Who owes something
//!    else gets no audit before it has answered that, so a round may wait for both in turn.
//! 6. the time that gradients wait to be read

use super::ledger::{Holder, OpenRound};
use super::{Able, Invariant, Ledger, Observation};
use crate::sim::plan::{Fault, Plan};
use common::ids::{Incarnation, SetupId};
use common::protocol::coordinator::{Action, Event, Limits, PIECE_LEAVES_MAX};
use std::collections::BTreeMap;
use std::ops::Range;

/// Longest time that a gradient waits to be read while no other is.
const BUDGET_US: u64 = 5_000_000;
/// Shortest time after which a piece is late.
const LATE_US: u64 = 50_000;

pub(super) struct RoundsEnd {
    limits: Limits,
    /// Longest delay of a message.
    delay_us: u64,
    /// Whether gradients wait for the budget.
    announces: bool,
    /// Longest time that a message within a partition waits for its end.
    held_us: u64,
    /// Number of runs, and most leaves of a round.
    runs: u64,
    leaves_max: u64,
    /// When the round of each run was begun that is open.
    began_us: BTreeMap<SetupId, u64>,
    /// Time since when as many members are there as the run needs.
    enough_us: Option<u64>,
    /// Highest number of members since a round was begun.
    members: u64,
    /// The waits of each run's round for audits and opinions, once it needs some.
    waits: BTreeMap<SetupId, Waits>,
    /// Since when each member that has answered before owes an answer, as of the last event.
    owing_us: BTreeMap<Incarnation, u64>,
}

/// The waits of a round for audits and opinions, which only some members may give.
#[derive(Debug)]
struct Waits {
    /// When the round began to need such answers.
    since_us: u64,
    /// Members that owed an answer, and the times since then in which they did: each has answered, the run
    /// in question is over, or the member was dropped.
    over_us: Vec<(Incarnation, Range<u64>)>,
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
        let delay_us = u64::from(plan.delays.base_us_max + plan.delays.jitter_us_max);
        Self {
            limits: plan.limits,
            delay_us: delay_us + plan.faults.iter().map(lag).max().unwrap_or(0),
            announces: plan.announces,
            held_us: plan.faults.iter().map(held).max().unwrap_or(0),
            runs: plan.runs.len() as u64,
            leaves_max: plan.runs.iter().flat_map(|run| &run.steps).copied().max().unwrap_or(0).into(),
            began_us: BTreeMap::new(),
            enough_us: None,
            members: 0,
            waits: BTreeMap::new(),
            owing_us: BTreeMap::new(),
        }
    }

    /// Longest time that the member needs if it must compute everything, without waits that are over.
    fn allowed_us(&self, ledger: &Ledger, holder: &Holder, leaf_us: u64) -> u64 {
        let is_audited = self.limits.audit.share > 0;
        let waits_for_audits = is_audited && ledger.rounds.values().any(OpenRound::is_complete);
        let is_doubted = ledger.rounds.values().any(|open| !open.doubts.is_empty());
        let again = u64::from(is_audited || is_doubted);
        let younger = (self.runs - 1) * u64::from(PIECE_LEAVES_MAX);
        let leaves = (self.leaves_max * (self.runs - 1)).max(ledger.leaves()) + younger;
        let computations = leaves * (1 + again) + u64::from(holder.threads);
        let work_us = leaf_us * computations;
        let delays_us = self.delay_us * (2 * leaves + 8);
        // Before it, every other member may get a backup task, each a period after the one before.
        let turns = leaves.min(PIECE_LEAVES_MAX.into());
        let known_leaf_us = holder.known_leaf_us.values().max().copied().unwrap_or(0);
        let periods_us = LATE_US.max(3 * known_leaf_us * turns) * self.members * self.runs;
        // An answer that only deaf members could give waits until they are dropped, for newcomers the
        // shortest time: first an opinion and, once all leaves are done, an audit.
        let proven = ledger.members.values().filter(|other| other.is_proven());
        let drops = proven.filter_map(|other| Ledger::answer_time_us(&self.limits, other));
        let drop_us = drops.chain([self.limits.answer_timeout_us_min]).max().unwrap_or(0);
        let drops_us = drop_us * (u64::from(waits_for_audits) + u64::from(is_doubted)) * self.runs;
        let budget_us = if self.announces { BUDGET_US * leaves } else { 0 };
        work_us + delays_us + self.held_us + periods_us + drops_us + budget_us
    }

    /// Longest wait of a run's round for one other member that is over, as far as it lies after `since_us`.
    fn waited_us(&self, run: SetupId, own: Incarnation, since_us: u64) -> u64 {
        let over = self.waits.get(&run).into_iter().flat_map(|waits| &waits.over_us);
        let others = over.filter(|&&(who, _)| who != own);
        others.map(|(_, over)| over.end.saturating_sub(over.start.max(since_us))).max().unwrap_or(0)
    }

    /// Notes which rounds wait for audits or opinions, and which waits for a member have ended with this
    /// event.
    fn note_waits(&mut self, now_us: u64, ledger: &Ledger) {
        let is_audited = self.limits.audit.share > 0;
        let owing = |(&who, holder): (&Incarnation, &Holder)| {
            Some((who, holder.owes.as_ref().filter(|_| holder.is_proven())?.since_us))
        };
        let owing_us: BTreeMap<Incarnation, u64> = ledger.members.iter().filter_map(owing).collect();
        let before_us = std::mem::replace(&mut self.owing_us, owing_us);
        let is_over = |(who, since_us): &(Incarnation, u64)| self.owing_us.get(who) != Some(since_us);
        let over: Vec<(Incarnation, u64)> = before_us.into_iter().filter(is_over).collect();
        for run in self.began_us.keys() {
            let needs = |open: &&OpenRound| is_audited && open.is_complete() || !open.doubts.is_empty();
            if ledger.rounds.get(run).filter(needs).is_none() {
                continue;
            }
            let none = Waits { since_us: now_us, over_us: Vec::new() };
            let waits = self.waits.entry(*run).or_insert(none);
            let since_us = waits.since_us;
            waits.over_us.extend(over.iter().map(|&(who, owed_us)| (who, owed_us.max(since_us)..now_us)));
        }
    }

    fn forget(&mut self, run: SetupId) {
        self.began_us.remove(&run);
        self.waits.remove(&run);
    }
}

impl Invariant for RoundsEnd {
    fn saw(&mut self, now_us: u64, ledger: &Ledger, observation: &Observation<'_>) -> Result<(), String> {
        match observation {
            Observation::Born => {
                self.began_us.clear();
                self.enough_us = None;
                self.waits.clear();
                self.owing_us.clear();
            }
            Observation::Ruled { event, actions, .. } => {
                if let Event::Begin { run, .. } = event {
                    self.forget(*run);
                    self.began_us.insert(*run, now_us);
                    self.members = 0;
                }
                if let Event::End(run) = event {
                    self.forget(*run);
                }
                self.members = self.members.max(ledger.members.len() as u64);
                let ended = |action: &Action| match action {
                    Action::Complete(round)
                    | Action::Disputed { round, .. }
                    | Action::NonFinite { round, .. }
                    | Action::Anew { round, .. } => ledger.round(*round).map(|open| open.run),
                    _ => None,
                };
                actions.iter().filter_map(ended).for_each(|run| self.forget(run));
                self.note_waits(now_us, ledger);
                let needed = if ledger.started { self.limits.min } else { self.limits.start };
                let has_enough = ledger.members.len() as u32 >= needed;
                self.enough_us = has_enough.then(|| self.enough_us.unwrap_or(now_us));
            }
            Observation::Woke { able } => {
                let Some(enough_us) = self.enough_us else { return Ok(()) };
                for (run, &began_us) in &self.began_us {
                    for &Able { connection, since_us: able_us, leaf_us } in *able {
                        let mut holders = ledger.members.iter();
                        let holder = holders.find(|(_, holder)| holder.connection == connection as u64);
                        let answered_us = |holder: &Holder| holder.answered_us.get(run).copied();
                        let Some((&who, holder)) = holder else { continue };
                        let Some(answered_us) = answered_us(holder) else { continue };
                        let since_us = began_us.max(enough_us).max(able_us).max(answered_us);
                        let allowed_us =
                            self.allowed_us(ledger, holder, leaf_us) + self.waited_us(*run, who, since_us);
                        if since_us + allowed_us < now_us {
                            let name = &holder.name;
                            return Err(format!(
                                "{name} could answer for {allowed_us} us, and the round of {run} is not complete: {ledger:?}"
                            ));
                        }
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
