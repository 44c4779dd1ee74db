//! Both protocol machines against each other on a virtual clock, under faults drawn from a seed.
//!
//! [`simulate`] runs one seed. A coordinator and its workers train a toy model (see `trainer`) over a network
//! with delays and faults, while processes die, freeze, leave and join. Then faults end, and the run must
//! finish. The promises in `invariants` are checked at every event. The coordinator's side is the real
//! cluster (`coordinator::cluster`) with the rules of `common::protocol`; the worker's is its machine in a
//! simulated driver. A [`Sabotage`] plants a mistake between them, to show that a promise would notice it.

mod coordinator;
mod event_queue;
mod faults;
mod identity;
mod invariants;
mod message;
mod network;
mod plan;
mod rules;
mod run;
mod sweep;
mod trainer;
mod training;
mod value;
mod worker;
mod world;

pub use self::invariants::Violation;
pub use self::sweep::sweep;

use self::plan::Plan;
use self::run::Run;
use std::collections::BTreeMap;

/// A mistake planted in the simulated drivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// The coordinator adds answers as they come.
    AddInArrivalOrder,
    /// A worker loses the value of a round's first leaf.
    LoseLeaf,
    /// The coordinator adds an answer twice.
    AddTwice,
    /// A worker computes a piece with whatever parameters it has.
    IgnoreVersions,
    /// The coordinator applies a step as soon as the first answer is there.
    CommitEarly,
    /// A worker sends what an earlier membership computed under its present one.
    RelabelStale,
    /// The coordinator keeps a dead member's piece.
    KeepReturned,
    /// The coordinator admits one member too many.
    Overbook,
    /// The coordinator's clock is late when it ticks.
    LateClock,
    /// The coordinator never ticks.
    NoTicks,
    /// The coordinator grants nothing to a member.
    LoseGrant,
    /// The coordinator grants to one member what it should grant to several at a time.
    Hoard,
    /// The coordinator takes an answer for another member's.
    Misattribute,
    /// The coordinator takes in whoever comes, whatever it computes.
    IgnoreNumerics,
    /// The coordinator sees one checksum in all answers.
    EqualChecksums,
    /// The coordinator audits nothing.
    SkipAudits,
    /// The coordinator applies and saves what has left the optimizer's numbers.
    SlotsUnchecked,
    /// The coordinator takes a number out of line for any other.
    IgnoreTheLine,
    /// The coordinator believes the first worker that calls a leaf not finite.
    BelieveOne,
    /// The coordinator believes two workers that call a leaf not finite, and stops for two that differ,
    /// whoever else is there.
    NoThirdOpinion,
    /// The coordinator lets a spare wait when a member has gone.
    ForgetSpares,
    /// The coordinator gives a backup task to a member that owes an answer.
    CopyToDeaf,
    /// The coordinator gives no backup task to anybody.
    LoseCopies,
    /// The coordinator never drops a member that answers nothing.
    KeepDeaf,
    /// The coordinator takes every connection for another worker's.
    ForgetInstances,
    /// The coordinator takes whoever comes under a name for the worker that had it before.
    TrustNames,
    /// The coordinator knows no keys: who claims a worker's instance is that worker.
    ForgetKeys,
    /// The coordinator takes all workers for ones of the same origin.
    ForgetOrigins,
    /// The coordinator never reads a gradient that was announced.
    LoseEntrance,
    /// The coordinator sends no parameters.
    LoseParameters,
    /// The coordinator sends no setups.
    LoseSetup,
    /// A worker computes a piece with the newest parameters of any run.
    MixRuns,
    /// A worker that begins a round forgets the pieces of all other runs.
    ForgetOtherRuns,
}

/// Statistics of one run or, added up, of many.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Number of simulated worlds.
    pub runs: u64,
    /// Number of handled events.
    pub events: u64,
    /// Virtual time in microseconds.
    pub virtual_us: u64,
    /// Highest share, in percent, of the time allowed after healing that any run used.
    pub slowest_percent: u64,
    /// Number of times that each kind of fault, and each notable reaction, really happened.
    pub counts: BTreeMap<&'static str, u64>,
}

impl Report {
    fn add(&mut self, other: Self) {
        self.runs += other.runs;
        self.events += other.events;
        self.virtual_us += other.virtual_us;
        self.slowest_percent = self.slowest_percent.max(other.slowest_percent);
        for (kind, count) in other.counts {
            *self.counts.entry(kind).or_default() += count;
        }
    }

    fn count(&mut self, kind: &'static str) {
        *self.counts.entry(kind).or_default() += 1;
    }
}

/// Runs one seed until the training is complete.
///
/// # Errors
/// The first broken promise.
pub fn simulate(seed: u64, sabotage: Option<Sabotage>) -> Result<Report, Violation> {
    Run::new(Plan::new(seed), sabotage).finish()
}
