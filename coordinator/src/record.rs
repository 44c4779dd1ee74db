//! What a run's folder says of it a month later: read from its files, and shown as a page.
//!
//! [`read`] makes one [`Recorded`] of `metrics.jsonl`, of `events.jsonl` where there is one, and of the
//! newest checkpoint's manifest. [`find`] finds such folders. `report` shows a run as one file of HTML,
//! `card` as a model card; [`html`], [`chart`] and [`timeline`] are what pages are made of, for others too.
//!
//! 1. Files may be hostile. Lines are bounded, a curve keeps some thousand points, and lists are cut; what is
//!    left out is counted.
//! 2. A line that can't be read is passed over and told with file and line: the others still say something.
//! 3. Nothing here computes a metric or changes a file of the run. Text from files is escaped where it is
//!    shown.

pub mod card;
pub mod chart;
pub mod curve;
pub mod find;
pub mod history;
pub mod html;
pub(crate) mod lines;
mod metrics;
mod read;
pub mod report;
pub mod timeline;
pub mod units;
pub mod write;

pub use metrics::{Best, Curves, Evaluated, MILESTONES, Milestone, Results};
pub use read::{ReadError, read};

use crate::store::Saved;
use common::data::classes::ClassNames;
use common::event::{RunOutcome, RunRecord};
use common::model::architecture::Layers;
use history::History;
use std::path::PathBuf;

/// Most problems of files that are told one by one.
const PROBLEMS_MAX: usize = 5;

/// All that a folder says of its run.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Recorded {
    pub folder: PathBuf,
    /// Last part of the folder's path.
    pub name: String,
    /// Description of the run at its last start.
    pub run: RunRecord,
    pub results: Results,
    pub history: History,
    /// The newest checkpoint whose manifest is intact.
    pub checkpoint: Option<Saved>,
    /// File of resolved settings, if the folder has one.
    pub config_file: Option<PathBuf>,
    pub problems: Problems,
}

/// What could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// The first ones, with file and line.
    pub told: Vec<String>,
    /// Number of further ones.
    pub more: u64,
}

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum State {
    Complete,
    Stopped,
    Failed,
    /// It has not ended: it goes on now, or was killed.
    Unfinished,
}

impl State {
    /// The state in a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Unfinished => "unfinished",
        }
    }
}

impl Problems {
    fn add(&mut self, problem: String) {
        if self.told.len() < PROBLEMS_MAX { self.told.push(problem) } else { self.more += 1 }
    }
}

impl Recorded {
    /// What became of the run.
    #[must_use]
    pub fn state(&self) -> State {
        match &self.history.outcome {
            Some(RunOutcome::Complete) => State::Complete,
            Some(RunOutcome::Stopped) => State::Stopped,
            Some(RunOutcome::Failed { .. }) => State::Failed,
            None => State::Unfinished,
        }
    }

    /// Steps that are done, as far as the files say.
    #[must_use]
    pub fn steps_done(&self) -> u64 {
        let checkpoint = self.checkpoint.as_ref().map_or(0, |saved| saved.step.0);
        self.results.steps_done().max(checkpoint)
    }

    /// The value of a setting; empty where the files do not say.
    #[must_use]
    pub fn setting(&self, name: &str) -> &str {
        self.run.config.get(name).map_or("", String::as_str)
    }

    /// The network's name, or its layers.
    #[must_use]
    pub fn model(&self) -> String {
        let layers = self.setting("model");
        layers.parse::<Layers>().map_or_else(|_| layers.to_owned(), |layers| layers.short_name())
    }

    /// The optimizer's name without its constants.
    #[must_use]
    pub fn optimizer(&self) -> &str {
        self.setting("optimizer").split('(').next().unwrap_or_default()
    }

    /// Names of the classes, as far as the files have them.
    #[must_use]
    pub fn classes(&self) -> Option<ClassNames> {
        self.setting("class_names").parse().ok()
    }

    /// SHA-256 of the newest checkpoint's model; empty where there is none.
    #[must_use]
    pub fn model_sha256(&self) -> &str {
        self.checkpoint.as_ref().map_or("", |saved| &saved.model_sha256)
    }

    /// Samples that the steps have used, by the size of an epoch.
    #[must_use]
    pub fn samples_a_second(&self) -> Option<f64> {
        let seconds = self.results.seconds;
        let steps_an_epoch = self.run.steps_per_epoch.max(1) as f64;
        let samples = self.results.steps_seen as f64 / steps_an_epoch * self.run.train_samples as f64;
        (seconds > 0.0 && samples > 0.0).then(|| samples / seconds)
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
