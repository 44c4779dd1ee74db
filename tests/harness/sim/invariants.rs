//! The promises that hold at every moment of a run, one file for each, named after the promise.
//!
//! An invariant receives each [`Observation`] and returns what is wrong. It judges by the separate
//! [`ledger`], not by the machines' state.

mod answers_are_fresh;
mod audited_pieces_agree;
mod deadlines_lie_ahead;
mod deaths_cost_their_own_pieces;
mod helpers_owe_nothing;
mod honest_workers_are_not_accused;
mod leaves_are_reduced_once;
mod ledger;
mod liars_stay_out;
mod members_answer;
mod members_are_distinct;
mod members_compute_alike;
mod members_prefetch_one_piece;
mod names_are_kept;
mod no_thread_idles_while_leaves_wait;
mod numbers_are_confirmed;
mod rounds_end;
mod spares_take_over;
mod sums_follow_the_tree;
mod the_run_ends;
mod three_opinions_stop_a_run;

use self::ledger::Ledger;
use self::the_run_ends::TheRunEnds;
use super::identity::Identity;
use super::message::Task;
use super::plan::Plan;
use super::trainer::Value;
use super::training::Checkpoint;
use common::ids::SetupId;
use common::protocol::{coordinator, worker};
use common::reduce::tree::Inserted;
use std::fmt;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Name of the promise, which is the name of its file.
    pub promise: &'static str,
    /// Description of what is wrong.
    pub what: String,
    /// Events before the violation, if the run was traced.
    pub(crate) trace: String,
}

impl Violation {
    pub(crate) fn new(promise: &'static str, what: impl Into<String>) -> Self {
        Self { promise, what: what.into(), trace: String::new() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is broken: {}", self.promise, self.what)
    }
}

/// An event of the simulation that invariants judge.
pub(crate) enum Observation<'a> {
    /// The clock advanced to the next event. Nothing has kept these workers from answering.
    Woke { able: &'a [Able] },
    /// All faults have ended.
    Healed,
    /// A coordinator has started.
    Born,
    /// The coordinator's machine has handled an event.
    Ruled {
        event: &'a coordinator::Event,
        actions: &'a [coordinator::Action],
        machine: &'a coordinator::Coordinator,
    },
    /// The coordinator executes an action; the ledger has not recorded it yet.
    Acted(&'a coordinator::Action),
    /// A worker's machine has handled an event.
    Worked { event: &'a worker::Event, machine: &'a worker::Worker },
    /// A worker opens a connection.
    Dialled { connection: usize, name: &'a str, identity: Identity },
    /// A worker's arithmetic has broken.
    Miscomputes { name: &'a str },
    /// A worker sends a bad answer.
    Spoiled { connection: usize },
    /// An answer is about to be added, from the member on this connection and for this task's round.
    Accepted { connection: usize, value: &'a Value, task: Task },
    /// The answer has been added.
    Added(Inserted),
    /// A step of a run has been applied.
    Committed { run: SetupId, root: &'a Value, after: Checkpoint },
}

/// A worker that nothing keeps from answering.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Able {
    pub(crate) connection: usize,
    pub(crate) since_us: u64,
    /// Longest time of its leaves, of any run.
    pub(crate) leaf_us: u64,
}

/// A promise that is checked at each observation.
trait Invariant {
    fn saw(&mut self, now_us: u64, ledger: &Ledger, observation: &Observation<'_>) -> Result<(), String>;
}

/// All promises, with the ledger by which they judge.
pub(crate) struct Watch {
    ledger: Ledger,
    ends: TheRunEnds,
    promises: Vec<(&'static str, Box<dyn Invariant>)>,
}

impl Watch {
    pub(crate) fn new(plan: &Plan) -> Self {
        use self::{
            answers_are_fresh::AnswersAreFresh, audited_pieces_agree::AuditedPiecesAgree,
            deadlines_lie_ahead::DeadlinesLieAhead, deaths_cost_their_own_pieces::DeathsCostTheirOwnPieces,
            helpers_owe_nothing::HelpersOweNothing,
            honest_workers_are_not_accused::HonestWorkersAreNotAccused,
            leaves_are_reduced_once::LeavesAreReducedOnce, liars_stay_out::LiarsStayOut,
            members_answer::MembersAnswer, members_are_distinct::MembersAreDistinct,
            members_compute_alike::MembersComputeAlike, members_prefetch_one_piece::MembersPrefetchOnePiece,
            names_are_kept::NamesAreKept, no_thread_idles_while_leaves_wait::NoThreadIdlesWhileLeavesWait,
            numbers_are_confirmed::NumbersAreConfirmed, rounds_end::RoundsEnd,
            spares_take_over::SparesTakeOver, sums_follow_the_tree::SumsFollowTheTree,
            three_opinions_stop_a_run::ThreeOpinionsStopARun,
        };
        let promises: Vec<(&'static str, Box<dyn Invariant>)> = vec![
            ("deadlines_lie_ahead", Box::new(DeadlinesLieAhead)),
            ("spares_take_over", Box::new(SparesTakeOver(plan.limits))),
            ("members_are_distinct", Box::new(MembersAreDistinct { max: plan.limits.max })),
            ("honest_workers_are_not_accused", Box::new(HonestWorkersAreNotAccused::default())),
            ("liars_stay_out", Box::new(LiarsStayOut::default())),
            ("names_are_kept", Box::new(NamesAreKept::default())),
            ("members_compute_alike", Box::new(MembersComputeAlike::new(&plan.limits))),
            ("three_opinions_stop_a_run", Box::new(ThreeOpinionsStopARun::new(&plan.limits))),
            ("numbers_are_confirmed", Box::new(NumbersAreConfirmed::new(&plan.limits))),
            ("audited_pieces_agree", Box::new(AuditedPiecesAgree::new(&plan.limits))),
            ("answers_are_fresh", Box::new(AnswersAreFresh)),
            ("leaves_are_reduced_once", Box::new(LeavesAreReducedOnce { runs: plan.runs.clone() })),
            ("sums_follow_the_tree", Box::new(SumsFollowTheTree::new(&plan.runs))),
            ("deaths_cost_their_own_pieces", Box::new(DeathsCostTheirOwnPieces)),
            ("members_prefetch_one_piece", Box::new(MembersPrefetchOnePiece)),
            ("helpers_owe_nothing", Box::new(HelpersOweNothing)),
            ("members_answer", Box::new(MembersAnswer(plan.limits))),
            ("rounds_end", Box::new(RoundsEnd::new(plan))),
            ("no_thread_idles_while_leaves_wait", Box::new(NoThreadIdlesWhileLeavesWait(plan.limits))),
        ];
        Self { ledger: Ledger::default(), ends: TheRunEnds::new(plan), promises }
    }

    pub(crate) fn saw(&mut self, now_us: u64, observation: &Observation<'_>) -> Result<(), Violation> {
        match observation {
            Observation::Born => self.ledger = self.ledger.of_next_life(),
            Observation::Dialled { connection, identity, .. } => {
                self.ledger.dialled(*connection as u64, *identity);
            }
            Observation::Ruled { event, actions, .. } => {
                self.ledger.took(now_us, event);
                for action in *actions {
                    self.judge(now_us, &Observation::Acted(action))?;
                    self.ledger.acted(now_us, event, action);
                }
            }
            _ => {}
        }
        self.judge(now_us, observation)
    }

    fn judge(&mut self, now_us: u64, observation: &Observation<'_>) -> Result<(), Violation> {
        let ended = self.ends.saw(now_us, &self.ledger, observation);
        ended.map_err(|what| Violation::new("the_run_ends", what))?;
        for (promise, invariant) in &mut self.promises {
            let judged = invariant.saw(now_us, &self.ledger, observation);
            judged.map_err(|what| Violation::new(promise, what))?;
        }
        Ok(())
    }

    /// Number of events so far, and percentage of the time allowed after healing that has been used.
    pub(crate) fn usage(&self, now_us: u64) -> (u64, u64) {
        self.ends.usage(now_us)
    }
}
