//! `sweep.json`: what a search is, and what its trials came to.
//!
//! It is replaced as a whole with each result, so a crash leaves the one before. A result that a crash has
//! cost is had again from the trial's checkpoint, with the same numbers. A file of another search is refused.

use super::error::SweepError;
use super::plan::Plan;
use crate::folder;
use crate::trials::settings;
use common::search::halving::Outcome;
use host::files::{Links, is_unsupported, open_directory, read_regular};
use host::printable;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Name of the state's file in the folder of the search.
const STATE_FILE: &str = "sweep.json";
/// Raised when older programs can't read it.
const FORMAT_VERSION: u32 = 1;
/// Largest file that is read: many times what the most trials need.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Prefix of a file that is being written.
const TEMPORARY_PREFIX: &str = ".writing-";

/// Content of the state's file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    format_version: u32,
    /// Name of the file that says what is searched, and the digest of what it says.
    file: String,
    file_sha256: String,
    dataset: String,
    dataset_sha256: String,
    rungs: Vec<u64>,
    trials: Vec<Planned>,
    results: Vec<Come>,
    tests: Vec<Tested>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Planned {
    settings: BTreeMap<String, String>,
    fingerprint: String,
}

/// What a trial came to at a rung.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Come {
    trial: u32,
    rung: usize,
    epochs: u64,
    outcome: Outcome,
}

/// What the winner came to on the test samples, with one of its seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tested {
    /// 0 for the winner itself.
    pub(super) repeat: u32,
    pub(super) seed: u64,
    pub(super) outcome: Outcome,
}

/// The state of a search, on disk.
#[derive(Debug)]
pub(super) struct State {
    path: PathBuf,
    content: Content,
    /// Where each result is.
    places: BTreeMap<(usize, u32), usize>,
}

impl State {
    /// The state that the plan's folder has, or a new one.
    ///
    /// # Errors
    /// When the folder has one that is damaged, or of another search.
    pub(super) fn find(plan: &Plan) -> Result<Self, SweepError> {
        let path = plan.folder.join(STATE_FILE);
        let new = Content::of(plan);
        let content = match read_regular(&path, FILE_BYTES_MAX, Links::Refused) {
            Err(error) if error.is_missing() => new,
            Err(error) => return Err(SweepError::State { path, problem: error.to_string() }),
            Ok(bytes) => {
                let damaged = |problem| SweepError::State { path: path.clone(), problem };
                let found: Content =
                    serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
                if let Some(what) = found.differs_from(&new) {
                    return Err(SweepError::Other { path, what });
                }
                found.check(plan.file.repeats).map_err(damaged)?;
                found
            }
        };
        let places = content.results.iter().enumerate().map(|(at, come)| ((come.rung, come.trial), at));
        let places = places.collect();
        Ok(Self { path, content, places })
    }

    /// What a trial came to at a rung.
    pub(super) fn result(&self, rung: usize, trial: u32) -> Option<Outcome> {
        self.places.get(&(rung, trial)).map(|&at| self.content.results[at].outcome)
    }

    /// Whole epochs that a trial had done at a rung.
    pub(super) fn epochs(&self, rung: usize, trial: u32) -> Option<u64> {
        self.places.get(&(rung, trial)).map(|&at| self.content.results[at].epochs)
    }

    /// Number of results and tests.
    pub(super) fn done(&self) -> usize {
        self.content.results.len() + self.content.tests.len()
    }

    /// The tests, in the order of their seeds.
    pub(super) fn tests(&self) -> &[Tested] {
        &self.content.tests
    }

    /// Notes what a trial came to.
    ///
    /// # Errors
    /// When it can't be written.
    pub(super) fn came(
        &mut self,
        trial: u32,
        rung: usize,
        epochs: u64,
        outcome: Outcome,
    ) -> Result<(), SweepError> {
        self.content.results.push(Come { trial, rung, epochs, outcome });
        // The file does not tell who was fast.
        self.content.results.sort_by_key(|come| (come.rung, come.trial));
        let places = self.content.results.iter().enumerate();
        self.places = places.map(|(at, come)| ((come.rung, come.trial), at)).collect();
        self.write()
    }

    /// Notes a test of the winner.
    ///
    /// # Errors
    /// When it can't be written.
    pub(super) fn tested(&mut self, tested: Tested) -> Result<(), SweepError> {
        self.content.tests.push(tested);
        self.content.tests.sort_by_key(|tested| tested.repeat);
        self.write()
    }

    /// Writes it.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(super) fn write(&self) -> Result<(), SweepError> {
        let mut text = serde_json::to_vec_pretty(&self.content).unwrap_or_default();
        text.push(b'\n');
        replace(&self.path, &text)
    }
}

impl Content {
    fn of(plan: &Plan) -> Self {
        let planned = plan.trials.iter().map(|trial| Planned {
            settings: trial
                .settings
                .iter()
                .map(|(key, value)| (key.clone(), settings::text(value)))
                .collect(),
            fingerprint: trial.fingerprint.clone(),
        });
        Self {
            format_version: FORMAT_VERSION,
            file: plan.file.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            file_sha256: plan.file.digest.clone(),
            dataset: plan.data.name.clone(),
            dataset_sha256: plan.data.digest.clone(),
            rungs: plan.rungs.clone(),
            trials: planned.collect(),
            results: Vec::new(),
            tests: Vec::new(),
        }
    }

    /// In what this saved state is not of the search `now`.
    fn differs_from(&self, now: &Self) -> Option<String> {
        let short = |digest: &str| printable(digest).chars().take(12).collect::<String>();
        if self.format_version != now.format_version {
            let version = self.format_version;
            return Some(format!("it has format version {version}, and this program reads {FORMAT_VERSION}"));
        }
        if self.file_sha256 != now.file_sha256 {
            return Some(format!(
                "it began with {} (SHA-256 of what it says {}...), and --sweep names {} ({}...)",
                printable(&self.file),
                short(&self.file_sha256),
                printable(&now.file),
                short(&now.file_sha256)
            ));
        }
        if self.dataset_sha256 != now.dataset_sha256 {
            return Some(format!(
                "it began on the data of {} (SHA-256 {}...), and now the data is {} ({}...)",
                printable(&self.dataset),
                short(&self.dataset_sha256),
                printable(&now.dataset),
                short(&now.dataset_sha256)
            ));
        }
        let differs = |(one, other): (&Planned, &Planned)| one != other;
        let first = self.trials.iter().zip(&now.trials).position(differs);
        match first {
            Some(trial) => Some(format!(
                "trial {trial} had other settings; start with the flags and variables of the first start"
            )),
            None if self.trials.len() != now.trials.len() || self.rungs != now.rungs => {
                Some("it has other trials or rungs; start with the flags of the first start".to_owned())
            }
            None => None,
        }
    }

    /// Checks that each result is one of the search, and there once.
    fn check(&self, repeats: u32) -> Result<(), String> {
        let trials = self.trials.len() as u32;
        let rungs = self.rungs.len();
        let is_known = |come: &Come| come.trial < trials && come.rung < rungs;
        let ascending = |pair: &[Come]| (pair[0].rung, pair[0].trial) < (pair[1].rung, pair[1].trial);
        if !self.results.iter().all(is_known) || !self.results.windows(2).all(ascending) {
            return Err("its results are not those of its trials".to_owned());
        }
        let tests = &self.tests;
        let ascending = tests.windows(2).all(|pair| pair[0].repeat < pair[1].repeat);
        if !ascending || tests.iter().any(|tested| tested.repeat > repeats) {
            return Err("its tests are not those of its winner".to_owned());
        }
        Ok(())
    }
}

/// Writes a file so that a crash leaves the one before or the new one.
///
/// # Errors
/// When the file system refuses.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), SweepError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let written = || -> io::Result<()> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(TEMPORARY_PREFIX).permissions(folder::permissions());
        let mut new = builder.tempfile_in(folder)?;
        new.write_all(bytes)?;
        synced(new.as_file().sync_all())?;
        folder::put(new, path)?;
        synced(open_directory(folder)?.sync_all())
    };
    written().map_err(|source| SweepError::Write { path: path.to_owned(), source })
}

/// Where the file system has no sync, there is nothing that could be done.
fn synced(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if !is_unsupported(&error) => Err(error),
        _ => Ok(()),
    }
}
