//! Trains the trials of a search on a session: starts what is next while there is room, notes what it came
//! to.
//!
//! What is next is a function of the results that are noted, so a start anew goes on where the one before
//! was.

use super::error::SweepError;
use super::plan::Plan;
use super::state::{State, Tested};
use super::{Report, journal, table};
use crate::RunError;
use crate::cluster::Farewell;
use crate::net::listener::Sockets;
use crate::observe::console::Console;
use crate::run::outcome::Evaluated;
use crate::run::{Paused, Summary, prepare_on};
use crate::trials::runs::Runs;
use crate::trials::{is_divergence, settings};
use common::search::halving::{Outcome, Stage};
use host::logging::LogFormat;
use host::stop::StopRequests;
use std::sync::Arc;
use std::time::Instant;

/// A run that the search needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Job {
    /// A trial is to come to a rung.
    Reach { trial: u32, rung: usize },
    /// The winner is to be tested, for 0, or one of its repeats trained and tested.
    Test { winner: u32, repeat: u32 },
}

/// A search in progress.
pub(super) struct Runner {
    plan: Plan,
    state: State,
    console: Console,
    log_format: LogFormat,
    /// Whether no further run is to begin.
    stops: bool,
}

/// The runs that can begin now, in the order in which they do.
///
/// # Errors
/// When no trial is left that could win.
pub(super) fn open_jobs(plan: &Plan, state: &State) -> Result<Vec<Job>, SweepError> {
    match plan.halving().stage(&|rung, trial| state.result(rung, trial)) {
        Stage::Rung { rung, open, .. } => {
            Ok(open.into_iter().map(|trial| Job::Reach { trial, rung }).collect())
        }
        Stage::Chosen(None) => Err(SweepError::NoWinner(plan.folder.join(table::CSV_FILE))),
        Stage::Chosen(Some(winner)) => {
            let is_open = |repeat: &u32| state.tests().iter().all(|tested| tested.repeat != *repeat);
            let repeats = (0..=plan.file.repeats).filter(is_open);
            Ok(repeats.map(|repeat| Job::Test { winner, repeat }).collect())
        }
    }
}

impl Runner {
    pub(super) fn new(plan: Plan, state: State, console: Console, log_format: LogFormat) -> Self {
        Self { plan, state, console, log_format, stops: false }
    }

    /// Trains until the search is over, or is asked to stop.
    ///
    /// # Errors
    /// When a run fails, a file can't be written, or there is no winner.
    pub(super) async fn run(
        mut self,
        sockets: Option<Sockets>,
        stop: StopRequests,
        stop_at: Option<Instant>,
    ) -> Result<Report, SweepError> {
        if let Some(sockets) = sockets {
            let Plan { cluster, data, .. } = &self.plan;
            let mut runs = Runs::open(sockets, cluster, Arc::clone(data), &self.console, self.log_format)?;
            self.introduce(&runs);
            let result = self.train(&mut runs, stop, stop_at).await;
            runs.close(match &result {
                Ok(()) if !self.stops => Farewell::Finished,
                Ok(()) => Farewell::Stopped,
                Err(_) => Farewell::Failed,
            })
            .await;
            let written = self.write_tables();
            result.and(written)?;
        } else {
            self.write_tables()?;
        }
        let is_complete = open_jobs(&self.plan, &self.state)?.is_empty();
        Ok(Report { is_complete, text: table::summary(&self.plan, &self.state, is_complete) })
    }

    fn introduce(&self, runs: &Runs<Job>) {
        self.console.line(table::planned(&self.plan).trim_end());
        runs.invite();
        if self.state.done() > 0 {
            self.console.line(&format!("going on; {} results are there already", self.state.done()));
        }
    }

    async fn train(
        &mut self,
        runs: &mut Runs<Job>,
        mut stop: StopRequests,
        stop_at: Option<Instant>,
    ) -> Result<(), SweepError> {
        self.state.write()?;
        let time_over = async {
            match stop_at {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(time_over);
        let mut can_stop = true;
        let mut failed = None;
        loop {
            if *stop.borrow() > 0 {
                self.stop(runs);
            }
            if !self.stops
                && let Err(error) = self.start_what_is_next(runs).await
            {
                failed.get_or_insert(error);
                self.stop(runs);
            }
            tokio::select! {
                ended = runs.ended() => match ended {
                    None => return failed.map_or(Ok(()), Err),
                    Some((job, result)) => {
                        if let Err(error) = self.note(job, result) {
                            failed.get_or_insert(error);
                            self.stop(runs);
                        }
                    }
                },
                changed = stop.changed(), if can_stop => match changed {
                    Ok(()) => self.stop(runs),
                    Err(_) => can_stop = false,
                },
                () = &mut time_over, if !self.stops => {
                    self.console.line("the search's time is over (--max-time); it can go on later");
                    self.stop(runs);
                }
            }
        }
    }

    /// Asks all runs to write a checkpoint and end.
    fn stop(&mut self, runs: &Runs<Job>) {
        if !self.stops {
            self.stops = true;
            runs.stop_all();
        }
    }

    async fn start_what_is_next(&mut self, runs: &mut Runs<Job>) -> Result<(), SweepError> {
        for job in open_jobs(&self.plan, &self.state)? {
            if runs.len() >= self.plan.file.parallel as usize {
                break;
            }
            if !runs.has(job) {
                let options = match job {
                    Job::Reach { trial, rung } => self.plan.to_rung(trial, rung),
                    Job::Test { winner, repeat } => self.plan.to_test(winner, repeat),
                };
                let started = runs.start(job, move |data| prepare_on(data, &options)).await;
                started.map_err(|source| of(job, source))?;
            }
        }
        Ok(())
    }

    /// Notes what a run came to.
    fn note(&mut self, job: Job, result: Result<Summary, RunError>) -> Result<(), SweepError> {
        let before = self.stage();
        match (job, result) {
            (Job::Reach { trial, rung }, Ok(Summary { paused: Some(paused), .. })) => {
                let Paused { epochs, validation } = paused;
                let lost = || of(job, RunError::Internal("it was not validated".to_owned()));
                let outcome = Outcome::Validated(validation.ok_or_else(lost)?);
                self.state.came(trial, rung, epochs, outcome)?;
                self.say(trial, &format!("{}, {}", table::epochs(epochs), table::validated(outcome)));
            }
            (Job::Test { winner, repeat }, Ok(Summary { test: Some(test), .. })) => {
                let Evaluated { totals, .. } = test;
                let seed = self.plan.seed(winner, repeat);
                let outcome = Outcome::Validated(totals);
                self.state.tested(Tested { repeat, seed, outcome })?;
                self.say(winner, &format!("seed {seed}, test {}", table::accuracy(&totals)));
            }
            // It was asked to stop, and goes on later.
            (_, Ok(_)) => {}
            (Job::Reach { trial, rung }, Err(error)) if is_divergence(&error) => {
                self.state.came(trial, rung, 0, Outcome::Diverged)?;
                self.say(trial, &format!("diverged: {error}"));
            }
            (Job::Test { winner, repeat }, Err(error)) if is_divergence(&error) => {
                let seed = self.plan.seed(winner, repeat);
                self.state.tested(Tested { repeat, seed, outcome: Outcome::Diverged })?;
                self.say(winner, &format!("seed {seed} diverged: {error}"));
            }
            (job, Err(error)) => return Err(of(job, error)),
        }
        let after = self.stage();
        if let Some(said) = table::decided(&self.plan, &before, &after) {
            self.console.line(&said);
            self.write_tables()?;
        }
        Ok(())
    }

    fn stage(&self) -> Stage {
        self.plan.halving().stage(&|rung, trial| self.state.result(rung, trial))
    }

    fn say(&self, trial: u32, what: &str) {
        let settings = settings::line(&self.plan.trials[trial as usize].settings);
        self.console.line(&format!("trial {trial}: {what} ({settings})"));
    }

    fn write_tables(&self) -> Result<(), SweepError> {
        table::write(&self.plan, &self.state)?;
        journal::write(&self.plan, &self.state)
    }
}

fn of(job: Job, source: RunError) -> SweepError {
    let what = match job {
        Job::Reach { trial, .. } => format!("trial {trial}"),
        Job::Test { winner, repeat: 0 } => format!("the test of trial {winner}"),
        Job::Test { winner, repeat } => format!("repeat {repeat} of trial {winner}"),
    };
    SweepError::Run { what, source: Box::new(source) }
}
