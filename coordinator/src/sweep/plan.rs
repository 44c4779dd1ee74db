//! What a search will do: each trial's flags and configuration, and the rungs. All mistakes show here, before
//! anything is trained.
//!
//! A trial is the command line with the file's fixed flags and its own settings, parsed as any other. The
//! command line and the environment go before `[fixed]`, and what is searched must be in none of them.

use super::error::SweepError;
use super::file::{Method, SweepFile};
use super::settings::of_trials;
use crate::RunError;
use crate::dataset::Dataset;
use crate::observe::console::Console;
use crate::run::{CHECKPOINT_DIR, Resume, RunOptions, configuration, read_data};
use crate::session::ClusterOptions;
use crate::single_run::Options;
use crate::trials;
use crate::trials::command_line::CommandLine;
use crate::trials::settings::{self, Settings};
use common::search::halving::Halving;
use common::train::config::{RunConfig, TrainingConfig};
use common::train::doubts::doubts;
use host::logging::LogFormat;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use tracing::warn;

/// Most doubts that are said.
const DOUBTS_SAID: usize = 3;

/// A search that is ready to begin.
pub(super) struct Plan {
    pub(super) file: SweepFile,
    pub(super) cluster: ClusterOptions,
    pub(super) data: Arc<Dataset>,
    pub(super) trials: Vec<Trial>,
    /// Epochs at which trials pause; the last are the whole training.
    pub(super) rungs: Vec<u64>,
    /// Folder of the search.
    pub(super) folder: PathBuf,
    /// When the search stops by itself, if it is not over by then.
    pub(super) stop_at: Option<Instant>,
    pub(super) log_format: LogFormat,
}

/// One choice of settings.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    pub(super) settings: Settings,
    /// Its run, but for the folder and where it pauses.
    pub(super) options: RunOptions,
    /// Digest of its configuration.
    pub(super) fingerprint: String,
    /// Epochs of its whole training.
    pub(super) epochs: u64,
    pub(super) seed: u64,
}

impl Plan {
    /// Plans the search in `file` for a command line, and reads the data.
    ///
    /// # Errors
    /// When the file has a mistake, a trial's settings can't be used, or the data can't be had.
    pub(super) fn new(file: SweepFile, args: Vec<OsString>, console: &Console) -> Result<Self, SweepError> {
        let mistake = |problem| SweepError::Mistake { path: file.path.clone(), problem };
        let mut command_line = CommandLine::new(args).map_err(mistake)?;
        for (key, value) in &file.fixed {
            command_line.fix(key, value).map_err(|problem| mistake(format!("[fixed] {problem}")))?;
        }
        check_searched(&file, &command_line).map_err(mistake)?;
        let settings = of_trials(&file).map_err(mistake)?;
        let mut options = Vec::new();
        for (number, settings) in (0..).zip(&settings) {
            let parsed = command_line.options(settings);
            options.push(parsed.map_err(|problem| wrong(&file, number, settings, problem))?);
        }
        // All have the same flags but for those of the training.
        let Some(Options { cluster, run }) = options.first().cloned() else {
            return Err(mistake("there is no trial".to_owned()));
        };
        if run.resume != Resume::Auto {
            return Err(mistake(
                "a search goes on from its own trials; leave out --resume, or choose another --checkpoint-dir \
                 for a search that begins anew"
                    .to_owned(),
            ));
        }
        let data = read_data(&run, &run.dataset, console).map_err(RunError::from)?;
        data.note.iter().for_each(|note| console.line(note));
        let mut trials = Vec::new();
        let mut doubtful = BTreeSet::new();
        for ((number, settings), Options { run, .. }) in (0..).zip(settings).zip(options) {
            let config = configuration(&data, &run.training);
            let config = config.map_err(|problem| wrong(&file, number, &settings, problem.to_string()))?;
            if config.training().val_split == 0 {
                return Err(mistake(
                    "a search chooses by validation, and no samples are held out for it; set --val-split above 0"
                        .to_owned(),
                ));
            }
            doubtful.extend(doubts(&config, run.workers_start));
            trials.push(Trial::new(settings, run, &config));
        }
        doubtful.iter().take(DOUBTS_SAID).for_each(|doubt| warn!("is this meant? {doubt}"));
        let rungs = rungs(&file, &trials).map_err(mistake)?;
        let RunOptions { checkpoint_dir, stop_at, log_format, .. } = run;
        let folder = checkpoint_dir.unwrap_or_else(|| PathBuf::from(CHECKPOINT_DIR));
        let data = Arc::new(data);
        Ok(Self { cluster, data, trials, rungs, folder, stop_at, log_format, file })
    }

    /// How it is decided which trials go on.
    pub(super) fn halving(&self) -> Halving {
        Halving { trials: self.trials.len() as u32, eta: self.file.eta, rungs: self.rungs.len() }
    }

    /// The run that brings a trial to a rung.
    pub(super) fn to_rung(&self, trial: u32, rung: usize) -> RunOptions {
        let Trial { options, epochs, .. } = &self.trials[trial as usize];
        let is_last = rung + 1 == self.rungs.len();
        let pause_after = Some(if is_last { *epochs } else { self.rungs[rung] });
        RunOptions { checkpoint_dir: Some(self.trial_folder(trial)), pause_after, ..options.clone() }
    }

    /// The run that tests the winner, for 0, or trains it again with another seed and tests it.
    pub(super) fn to_test(&self, winner: u32, repeat: u32) -> RunOptions {
        let Trial { options, .. } = &self.trials[winner as usize];
        let mut options = options.clone();
        let seed = self.seed(winner, repeat);
        options.checkpoint_dir = Some(match repeat {
            0 => self.trial_folder(winner),
            _ => self.folder.join("repeats").join(format!("seed-{seed}")),
        });
        options.training.seed = Some(seed);
        options
    }

    /// Seed of the winner, for 0, or of one of its repeats.
    pub(super) fn seed(&self, winner: u32, repeat: u32) -> u64 {
        self.trials[winner as usize].seed.wrapping_add(repeat.into())
    }

    /// Folder of a trial's checkpoints.
    pub(super) fn trial_folder(&self, trial: u32) -> PathBuf {
        trials::folder_of(&self.folder, trial)
    }
}

impl Trial {
    fn new(settings: Settings, mut options: RunOptions, config: &RunConfig) -> Self {
        // The search as a whole stops then.
        options.stop_at = None;
        let training = config.training();
        let TrainingConfig { epochs, seed, .. } = *training;
        Self { settings, options, fingerprint: config.fingerprint(), epochs, seed }
    }
}

fn wrong(file: &SweepFile, trial: u32, settings: &Settings, problem: String) -> SweepError {
    SweepError::Trial { path: file.path.clone(), trial, settings: settings::line(settings), problem }
}

/// Checks that each searched flag is one that a search can choose.
fn check_searched(file: &SweepFile, command_line: &CommandLine) -> Result<(), String> {
    for key in file.search.keys() {
        command_line.check_free(key).map_err(|problem| format!("[search] {problem}"))?;
        let refused = |why: &str| Err(format!("[search] {key}: {why}"));
        match key.as_str() {
            "seed" => {
                return refused("a seed is no setting to choose by; repeats trains the winner with others");
            }
            "val-split" => return refused("trials are compared on the same samples; set it in [fixed]"),
            "epochs" if matches!(file.method, Method::Halving { .. }) => {
                return refused("with halving all trials have the same length; set it in [fixed]");
            }
            _ => {}
        }
    }
    Ok(())
}

/// The epochs at which trials pause; the last are the whole training.
fn rungs(file: &SweepFile, trials: &[Trial]) -> Result<Vec<u64>, String> {
    let epochs = trials.iter().map(|trial| trial.epochs).max().unwrap_or(1);
    match (&file.rungs, file.method) {
        (Some(rungs), _) => {
            if let Some(beyond) = rungs.iter().find(|&&rung| rung > epochs) {
                return Err(format!(
                    "rungs: {beyond} is beyond the {epochs} epochs of the training; raise epochs in [fixed], or lower it"
                ));
            }
            let last = Some(epochs).filter(|epochs| rungs.last() != Some(epochs));
            Ok(rungs.iter().copied().chain(last).collect())
        }
        (None, Method::Halving { trials }) => Ok(default_rungs(epochs, file.eta, trials)),
        (None, Method::Grid | Method::Random { .. }) => Ok(vec![epochs]),
    }
}

/// The whole training, and before it shares of it: each the `eta`th part of the next, in whole epochs, until
/// one trial would be left.
fn default_rungs(epochs: u64, eta: u32, trials: u32) -> Vec<u64> {
    let mut rungs = vec![epochs];
    let mut left = trials;
    while left >= eta && rungs[0] > 1 {
        rungs.insert(0, rungs[0].div_ceil(eta.into()));
        left /= eta;
    }
    rungs
}

#[cfg(test)]
mod tests;
