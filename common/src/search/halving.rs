//! Which trials of a search go on: successive halving (Jamieson and Talwalkar 2016), decided in rungs.
//!
//! 1. A rung is a number of epochs at which trials pause. All begin; a rung is decided when each of its
//!    trials has come to it, and not before. So the decision is a function of the results, in whatever order
//!    they came.
//! 2. Of the trials of a rung the best one in `eta` goes on, at least one: more correct answers, then the
//!    lower loss, then the lower number.
//! 3. A trial that diverges does not go on. If all trials of a rung diverge, the next best of the rung before
//!    takes their place.
//! 4. The winner is the best of the last rung. A grid and a random search have one rung.
//!
//! ```
//! use common::search::halving::{Halving, Outcome, Stage};
//! use common::train::metrics::Totals;
//!
//! let halving = Halving { trials: 4, eta: 2, rungs: 2 };
//! let result = |rung: usize, trial: u32| {
//!     let correct = 10 + u64::from(trial);
//!     (rung == 0).then_some(Outcome::Validated(Totals { samples: 20, correct, loss_sum: 1.0 }))
//! };
//! assert_eq!(halving.stage(&result), Stage::Rung { rung: 1, trials: vec![2, 3], open: vec![2, 3] });
//! ```

use crate::train::metrics::Totals;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// A search that pauses its trials at rungs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Halving {
    /// Number of trials, which are numbered from 0.
    pub trials: u32,
    /// One trial in so many goes on.
    pub eta: u32,
    /// Number of rungs; the last one is the whole training.
    pub rungs: usize,
}

/// What a trial came to at a rung.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was validated there.
    Validated(Totals),
    /// Its numbers were not finite any more before.
    Diverged,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Trials are to come to a rung.
    Rung {
        /// Number of the rung, from 0.
        rung: usize,
        /// All trials of the rung, ascending.
        trials: Vec<u32>,
        /// Those that have not come to it yet, ascending.
        open: Vec<u32>,
    },
    /// The search is over.
    Chosen(
        /// The best trial; `None` if all that were left have diverged.
        Option<u32>,
    ),
}

/// A trial's place among all, by what is known so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// Number of the trial.
    pub trial: u32,
    /// The last rung at which it was validated, and that validation.
    pub reached: Option<(usize, Totals)>,
    /// Whether it has diverged since.
    pub diverged: bool,
}

impl Halving {
    /// What is to be done next. `result` is what a trial came to at a rung, once it has.
    #[must_use]
    pub fn stage(&self, result: &impl Fn(usize, u32) -> Option<Outcome>) -> Stage {
        let mut trials: Vec<u32> = (0..self.trials).collect();
        // Of the rung before, those that did not go on, the best first.
        let mut reserve = Vec::new().into_iter();
        for rung in 0..self.rungs {
            let mut ranked = loop {
                let open: Vec<u32> =
                    trials.iter().copied().filter(|&trial| result(rung, trial).is_none()).collect();
                if !open.is_empty() {
                    return Stage::Rung { rung, trials, open };
                }
                let ranked = ranked(&trials, |trial| result(rung, trial));
                match reserve.next() {
                    Some(next) if ranked.is_empty() => insert(&mut trials, next),
                    _ => break ranked,
                }
            };
            if ranked.is_empty() || rung + 1 == self.rungs {
                return Stage::Chosen(ranked.first().copied());
            }
            reserve = ranked.split_off(self.go_on(trials.len()).min(ranked.len())).into_iter();
            trials = ranked;
            trials.sort_unstable();
        }
        Stage::Chosen(None)
    }

    /// How many of so many trials of a rung go on.
    #[must_use]
    pub fn go_on(&self, trials: usize) -> usize {
        (trials / self.eta.max(1) as usize).max(1)
    }

    /// All trials, the best first: those that came further before the others, those that diverged last.
    #[must_use]
    pub fn standings(&self, result: &impl Fn(usize, u32) -> Option<Outcome>) -> Vec<Standing> {
        let standing = |trial| {
            let mut standing = Standing { trial, reached: None, diverged: false };
            for rung in 0..self.rungs {
                match result(rung, trial) {
                    Some(Outcome::Validated(totals)) => standing.reached = Some((rung, totals)),
                    Some(Outcome::Diverged) => standing.diverged = true,
                    None => {}
                }
            }
            standing
        };
        let mut all: Vec<Standing> = (0..self.trials).map(standing).collect();
        all.sort_by(|a, b| {
            let by_rung = |a: &(usize, Totals), b: &(usize, Totals)| b.0.cmp(&a.0).then(better(&a.1, &b.1));
            let by_reached = match (&a.reached, &b.reached) {
                (Some(a), Some(b)) => by_rung(a, b),
                (a, b) => b.is_some().cmp(&a.is_some()),
            };
            a.diverged.cmp(&b.diverged).then(by_reached).then(a.trial.cmp(&b.trial))
        });
        all
    }
}

/// Puts a trial where its number belongs.
fn insert(trials: &mut Vec<u32>, trial: u32) {
    trials.push(trial);
    trials.sort_unstable();
}

/// The trials that were validated, the best first.
fn ranked(trials: &[u32], result: impl Fn(u32) -> Option<Outcome>) -> Vec<u32> {
    let validated = |&trial: &u32| match result(trial) {
        Some(Outcome::Validated(totals)) => Some((totals, trial)),
        _ => None,
    };
    let mut ranked: Vec<(Totals, u32)> = trials.iter().filter_map(validated).collect();
    ranked.sort_by(|(a, one), (b, other)| better(a, b).then(one.cmp(other)));
    ranked.into_iter().map(|(_, trial)| trial).collect()
}

/// The better of two validations on the same samples comes first.
fn better(a: &Totals, b: &Totals) -> Ordering {
    b.correct.cmp(&a.correct).then(a.loss_sum.total_cmp(&b.loss_sum))
}

#[cfg(test)]
mod tests;
