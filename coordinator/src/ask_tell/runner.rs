//! Trains the trials that are told: begins and stops their runs, and tells what they came to.

use super::input::Numbered;
use super::line::{Answer, Done, How, Wish};
use super::output::Output;
use super::report::Report;
use super::{AskTellError, Trials};
use crate::RunError;
use crate::cluster::Farewell;
use crate::dataset::Dataset;
use crate::observe::console::Console;
use crate::run::{Paused, PreparedRun, RunOptions, Summary, configuration, prepare_on};
use crate::trials::runs::Runs;
use crate::trials::settings::{self, Settings};
use crate::trials::{folder_of, is_divergence};
use common::train::metrics::Totals;
use host::stop::StopRequests;
use proto::setup::SETUPS_MAX;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

/// Interval between two looks at whether the program outside reads.
const LOOK: Duration = Duration::from_millis(500);
/// Interval between two looks at whether it has read all, at the end.
const LAST_LOOK: Duration = Duration::from_millis(5);

/// A search in progress.
pub(super) struct Runner {
    trials: Trials,
    runs: Runs<u32>,
    console: Console,
    output: Output,
    /// Whether no further trial is to begin.
    stops: bool,
}

impl Runner {
    pub(super) fn new(trials: Trials, runs: Runs<u32>, console: Console, output: Output) -> Self {
        Self { trials, runs, console, output, stops: false }
    }

    /// Trains until the lines end and all trials have, or is asked to stop. Returns whether it was not.
    ///
    /// # Errors
    /// When the output is not read, or the cluster fails.
    pub(super) async fn run(
        mut self,
        lines: mpsc::Receiver<Numbered>,
        stop: StopRequests,
        stop_at: Option<Instant>,
    ) -> Result<bool, AskTellError> {
        self.console.line("trials are told on standard input, and answered on standard output");
        self.runs.invite();
        let trained = self.train(lines, stop, stop_at).await;
        let result = match trained {
            Ok(()) => self.tell_all().await,
            Err(error) => Err(error),
        };
        let last = match &result {
            Ok(()) if !self.stops => Farewell::Finished,
            Ok(()) => Farewell::Stopped,
            Err(_) => Farewell::Failed,
        };
        self.runs.close(last).await;
        result.map(|()| !self.stops)
    }

    async fn train(
        &mut self,
        mut lines: mpsc::Receiver<Numbered>,
        mut stop: StopRequests,
        stop_at: Option<Instant>,
    ) -> Result<(), AskTellError> {
        let time_over = async {
            match stop_at {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(time_over);
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut has_lines = true;
        let mut can_stop = true;
        let mut failed = None;
        loop {
            if *stop.borrow() > 0 {
                self.stop();
            }
            if (self.stops || !has_lines) && self.runs.len() == 0 {
                return failed.map_or(Ok(()), Err);
            }
            let result = tokio::select! {
                Some((trial, result)) = self.runs.ended() => self.note(trial, result),
                line = lines.recv(), if has_lines && !self.stops => {
                    match line {
                        Some((number, line)) => self.take(number, line).await,
                        None => has_lines = false,
                    }
                    Ok(())
                }
                changed = stop.changed(), if can_stop => {
                    can_stop = changed.is_ok();
                    Ok(())
                }
                () = &mut time_over, if !self.stops => {
                    self.console.line("the search's time is over (--max-time); its trials can go on later");
                    self.stop();
                    Ok(())
                }
                _ = looks.tick() => match self.output.error(Instant::now()) {
                    Some(error) => Err(error.into()),
                    None => Ok(()),
                },
            };
            if let Err(error) = result {
                failed.get_or_insert(error);
                self.stop();
            }
        }
    }

    /// Asks all trials to write a checkpoint and end.
    fn stop(&mut self) {
        if !self.stops {
            self.stops = true;
            self.runs.stop_all();
        }
    }

    /// Does what a line asks for, or answers why not.
    async fn take(&mut self, number: u64, line: Result<String, String>) {
        let refused = |refused| Answer::Refused { line: number, refused };
        let answer = match line.and_then(|line| Wish::parse(&line)) {
            Err(problem) => Some(refused(problem)),
            Ok(Wish::Begin { trial, .. }) if self.runs.has(trial) => {
                Some(refused(format!("trial {trial} is open; tell it again when it has ended")))
            }
            Ok(Wish::Begin { trial, settings }) => {
                let begun = self.begin(trial, settings).await;
                begun.err().map(|error| Answer::Error { trial, error, diverged: false })
            }
            Ok(Wish::Stop { trial }) if self.runs.has(trial) => {
                self.runs.stop(trial);
                None
            }
            Ok(Wish::Stop { trial }) => Some(refused(format!("trial {trial} is not open"))),
        };
        answer.iter().for_each(|answer| self.output.tell(answer));
    }

    /// # Errors
    /// When the trial can't begin: why, and what to do.
    async fn begin(&mut self, trial: u32, settings: Settings) -> Result<(), String> {
        if self.runs.len() >= SETUPS_MAX as usize {
            return Err(format!("{SETUPS_MAX} trials are open; tell it again when one has ended"));
        }
        settings.keys().try_for_each(|key| self.trials.command_line.check_free(key))?;
        let mut options = self.trials.command_line.options(&settings)?.run;
        options.checkpoint_dir = Some(folder_of(&self.trials.folder, trial));
        // The search as a whole stops then.
        options.stop_at = None;
        let report = Report { trial, output: self.output.clone() };
        let prepare = move |data: &Dataset| prepare(data, options, report);
        self.runs.start(trial, prepare).await.map_err(|error| error.to_string())?;
        self.console.line(&format!("trial {trial} begins ({})", settings::line(&settings)));
        Ok(())
    }

    /// Tells what a trial came to.
    ///
    /// # Errors
    /// When no other trial can go on either.
    fn note(&mut self, trial: u32, result: Result<Summary, RunError>) -> Result<(), AskTellError> {
        let (answer, said, failed) = match result {
            Ok(summary) => {
                let done = done(trial, &summary);
                let said = match done.done {
                    How::Complete => "is complete",
                    How::Stopped => "is stopped",
                };
                (Answer::Done(done), said.to_owned(), None)
            }
            Err(error) => {
                let diverged = is_divergence(&error);
                let text = error.to_string();
                let said = format!("{}: {text}", if diverged { "diverged" } else { "failed" });
                let answer = Answer::Error { trial, error: text, diverged };
                (answer, said, is_of_all(&error).then_some(error))
            }
        };
        self.console.line(&format!("trial {trial} {said}"));
        self.output.tell(&answer);
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Waits until all lines are read.
    ///
    /// # Errors
    /// When they are not.
    async fn tell_all(&self) -> Result<(), AskTellError> {
        loop {
            let is_idle = self.output.is_idle();
            match self.output.error(Instant::now()) {
                Some(error) => return Err(error.into()),
                None if is_idle => return Ok(()),
                None => tokio::time::sleep(LAST_LOOK).await,
            }
        }
    }
}

/// Prepares a trial's run, which ends after its last epoch and without the test.
fn prepare(data: &Dataset, mut options: RunOptions, report: Report) -> Result<PreparedRun, RunError> {
    let config = configuration(data, &options.training)?;
    if config.training().val_split == 0 {
        return Err(RunError::Flags(
            "trials are told by their validation, and no samples are held out for it; set val-split above 0"
                .to_owned(),
        ));
    }
    options.pause_after = Some(config.training().epochs);
    let mut run = prepare_on(data, &options)?;
    run.observe("report", report);
    Ok(run)
}

fn done(trial: u32, summary: &Summary) -> Done {
    let Summary { steps, paused, checkpoint, model_sha256, .. } = summary;
    let validation = paused.and_then(|Paused { validation, .. }| validation);
    Done {
        trial,
        done: if paused.is_some() { How::Complete } else { How::Stopped },
        steps: *steps,
        validation_accuracy: validation.as_ref().map(Totals::accuracy),
        validation_loss: validation.as_ref().map(Totals::loss),
        checkpoint: checkpoint.display().to_string(),
        model_sha256: model_sha256.clone(),
    }
}

/// Whether the cluster has failed, and not the trial.
fn is_of_all(error: &RunError) -> bool {
    matches!(error, RunError::NoLocalWorkers | RunError::Server { .. } | RunError::Closed)
}
