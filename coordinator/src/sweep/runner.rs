//! Trains the trials of a search on a session: starts what is next while there is room, notes what it came
//! to.
//!
//! What is next is a function of the results that are noted, so a start anew goes on where the one before
//! was.

use super::error::SweepError;
use super::plan::Plan;
use super::state::{State, Tested};
use super::{Report, journal, settings, table};
use crate::RunError;
use crate::cluster::Farewell;
use crate::net::listener::Sockets;
use crate::observe::console::Console;
use crate::observe::reporter::invitation;
use crate::observe::shared::{SharedLog, Told};
use crate::run::in_progress::tell::to_connect_to;
use crate::run::outcome::Evaluated;
use crate::run::trainer::TrainError;
use crate::run::{Paused, PreparedRun, RunOptions, Summary, prepare_on};
use crate::session::Session;
use common::search::halving::{Outcome, Stage};
use host::logging::LogFormat;
use host::stop::StopRequests;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A run that the search needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Job {
    /// A trial is to come to a rung.
    Reach { trial: u32, rung: usize },
    /// The winner is to be tested, for 0, or one of its repeats trained and tested.
    Test { winner: u32, repeat: u32 },
}

/// What became of a job's run.
type Done = (Job, Result<Summary, RunError>);

/// A search in progress.
pub(super) struct Runner {
    plan: Arc<Plan>,
    state: State,
    console: Console,
    log_format: LogFormat,
    told: Told,
    running: JoinSet<Done>,
    jobs: BTreeSet<Job>,
    /// Asks all runs to stop.
    asks: watch::Sender<u32>,
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
        Self {
            plan: Arc::new(plan),
            state,
            console,
            log_format,
            told: Told::default(),
            running: JoinSet::new(),
            jobs: BTreeSet::new(),
            asks: watch::channel(0).0,
            stops: false,
        }
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
            let session = Session::open_on(sockets, &self.plan.cluster, &self.console)?;
            self.introduce(&session);
            let result = self.train(&session, stop, stop_at).await;
            session
                .close(match &result {
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

    fn introduce(&self, session: &Session) {
        self.console.line(table::planned(&self.plan).trim_end());
        let connect = session.address().map_or_else(Vec::new, to_connect_to);
        let address = session.address().map(|address| address.to_string());
        self.console.line(&invitation(address.as_deref(), &connect));
        if self.state.done() > 0 {
            self.console.line(&format!("going on; {} results are there already", self.state.done()));
        }
    }

    async fn train(
        &mut self,
        session: &Session,
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
                self.stop();
            }
            if !self.stops
                && let Err(error) = self.start_what_is_next(session).await
            {
                failed.get_or_insert(error);
                self.stop();
            }
            tokio::select! {
                ended = self.running.join_next() => match ended {
                    None => return failed.map_or(Ok(()), Err),
                    Some(done) => {
                        let done = done.map_err(|error| RunError::Internal(error.to_string()))?;
                        if let Err(error) = self.note(done) {
                            failed.get_or_insert(error);
                            self.stop();
                        }
                    }
                },
                changed = stop.changed(), if can_stop => match changed {
                    Ok(()) => self.stop(),
                    Err(_) => can_stop = false,
                },
                () = &mut time_over, if !self.stops => {
                    self.console.line("the search's time is over (--max-time); it can go on later");
                    self.stop();
                }
            }
        }
    }

    /// Asks all runs to write a checkpoint and end.
    fn stop(&mut self) {
        if !self.stops {
            self.stops = true;
            self.asks.send_replace(1);
        }
    }

    async fn start_what_is_next(&mut self, session: &Session) -> Result<(), SweepError> {
        for job in open_jobs(&self.plan, &self.state)? {
            if self.running.len() >= self.plan.file.parallel as usize {
                break;
            }
            if !self.jobs.contains(&job) {
                self.start(session, job).await.map_err(|source| of(job, source))?;
            }
        }
        Ok(())
    }

    async fn start(&mut self, session: &Session, job: Job) -> Result<(), RunError> {
        let options = match job {
            Job::Reach { trial, rung } => self.plan.to_rung(trial, rung),
            Job::Test { winner, repeat } => self.plan.to_test(winner, repeat),
        };
        let mut run = prepare_elsewhere(Arc::clone(&self.plan), options).await?;
        run.observe("log", SharedLog::new(self.console.clone(), self.log_format, self.told.clone()));
        let running = session.start(run, self.asks.subscribe()).await?;
        self.jobs.insert(job);
        self.running.spawn(async move { (job, running.ended().await) });
        Ok(())
    }

    /// Notes what a run came to.
    fn note(&mut self, (job, result): Done) -> Result<(), SweepError> {
        self.jobs.remove(&job);
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

/// Prepares a run on a thread that may block.
async fn prepare_elsewhere(plan: Arc<Plan>, options: RunOptions) -> Result<PreparedRun, RunError> {
    let prepared = tokio::task::spawn_blocking(move || prepare_on(&plan.data, &options));
    prepared.await.unwrap_or_else(|error| Err(RunError::Internal(error.to_string())))
}

/// Whether the settings are to blame: the same numbers come out again wherever it is computed.
fn is_divergence(error: &RunError) -> bool {
    matches!(error, RunError::Train(TrainError::NonFinite { .. }) | RunError::NonFinite { .. })
}

fn of(job: Job, source: RunError) -> SweepError {
    let what = match job {
        Job::Reach { trial, .. } => format!("trial {trial}"),
        Job::Test { winner, repeat: 0 } => format!("the test of trial {winner}"),
        Job::Test { winner, repeat } => format!("repeat {repeat} of trial {winner}"),
    };
    SweepError::Run { what, source: Box::new(source) }
}
