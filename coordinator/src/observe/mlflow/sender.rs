//! What is sent to a tracker when. The thread that calls it is the observer's; here is no waiting.

use super::lines::{self, Metric};
use super::state::State;
use super::tracker::{Status, Tracker, TrackerError};
use crate::run_folder::METRICS_FILE;
use common::checkpoint::{MANIFEST_BYTES_MAX, MANIFEST_FILE, MODEL_FILE, Manifest};
use common::event::{RunOutcome, RunRecord};
use host::clock::wall_seconds;
use host::files::{FileError, Links, open_regular, read_regular};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tracing::{info, warn};

/// Time between two looks at the metrics.
const LOOK: Duration = Duration::from_secs(1);
/// Longest time between two questions to a tracker that is away.
const AWAY_MAX: Duration = Duration::from_secs(30);
/// Time between two passes once the run is over.
const CLOSING_LOOK: Duration = Duration::from_millis(50);
/// Most numbers of a batch, by MLflow's limits; a line has fewer than the rest.
const BATCH: usize = 900;

/// What the observer was told.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    pub(super) run: Option<RunRecord>,
    /// How often the run has rolled back in this process.
    pub(super) rollbacks: u64,
    /// Folder of the last checkpoint.
    pub(super) checkpoint: Option<PathBuf>,
    pub(super) ended: Option<RunOutcome>,
    /// Whether nothing more is told.
    pub(super) is_closing: bool,
    /// Whether nothing more is sent.
    pub(super) is_over: bool,
    /// Whether the tracker is away.
    pub(super) is_away: bool,
}

/// Why nothing could be sent.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("MLflow's tracker {uri}: {source}")]
    Tracker { uri: String, source: TrackerError },
    #[error("mlflow.json: {0}")]
    State(#[source] FileError),
    #[error("cannot read the metrics for MLflow: {0}")]
    Metrics(#[source] io::Error),
}

/// The sender.
pub(super) struct Sender {
    tracker: Tracker,
    folder: PathBuf,
    /// The tracker's run, once it was found in this process.
    run: Option<TrackersRun>,
    /// Rollbacks that were followed.
    rollbacks: u64,
    /// The metrics file as it was opened last, and where to read on.
    metrics: Option<(File, u64)>,
    /// Length of the metrics file before this start of the run.
    before: u64,
    /// Whether the line that was read last is the end of this start.
    has_all: bool,
    /// While it is away: how long to wait until the next question.
    away: Option<Duration>,
    has_warned: bool,
}

/// A run of the tracker.
struct TrackersRun {
    id: String,
    base_ms: u64,
    /// The last step that it has of each number.
    latest: BTreeMap<String, u64>,
}

impl Sender {
    pub(super) fn new(tracker: Tracker, folder: &Path) -> Self {
        let before = folder.join(METRICS_FILE).symlink_metadata().map_or(0, |metadata| metadata.len());
        Self {
            tracker,
            folder: folder.to_owned(),
            run: None,
            rollbacks: 0,
            metrics: None,
            before,
            has_all: false,
            away: None,
            has_warned: false,
        }
    }

    /// Whether the tracker did not answer the last time.
    pub(super) fn is_away(&self) -> bool {
        self.away.is_some()
    }

    /// Time until the next pass.
    pub(super) fn pause(&self, told: &Told) -> Duration {
        match self.away {
            _ if told.is_closing => CLOSING_LOOK,
            Some(pause) => pause,
            None => LOOK,
        }
    }

    /// Sends what the tracker lacks. Returns whether there will be nothing more to send.
    pub(super) fn pass(&mut self, told: &Told) -> bool {
        match self.send(told) {
            Ok(is_over) => {
                if self.away.take().is_some() {
                    info!(tracker = self.tracker.uri(), "MLflow's tracker is back");
                }
                is_over
            }
            Err(problem) => {
                if !self.has_warned {
                    warn!(
                        error = %problem,
                        "MLflow has not got all; it is sent later, at the latest by a start of the same command"
                    );
                }
                self.has_warned = true;
                self.away = Some((2 * self.away.unwrap_or(LOOK / 2)).min(AWAY_MAX));
                false
            }
        }
    }

    fn send(&mut self, told: &Told) -> Result<bool, Problem> {
        let Some(run) = &told.run else { return Ok(told.is_closing) };
        if self.rollbacks < told.rollbacks {
            if !self.is_rewritten() && !told.is_closing {
                return Ok(false);
            }
            self.begin_another(run)?;
            self.rollbacks = told.rollbacks;
            self.before = 0;
        }
        self.find(run)?;
        while self.send_batch()? {}
        // What writes the metrics is another thread, and may be behind.
        if !told.is_closing || told.ended.is_some() && !self.has_all {
            return Ok(false);
        }
        self.end(told)?;
        Ok(true)
    }

    /// Finds the tracker's run, or has it begin one.
    fn find(&mut self, run: &RunRecord) -> Result<(), Problem> {
        if self.run.is_some() {
            return Ok(());
        }
        let uri = self.tracker.uri().to_owned();
        let kept = State::load(&self.folder, &uri, &run.fingerprint).map_err(Problem::State)?;
        let mut state = kept.unwrap_or_else(|| State::new(&uri, &run.fingerprint, now_ms()));
        let name = self.folder.file_name().map_or_else(|| run.run_id.clone(), |n| n.to_string_lossy().into());
        let latest = match &state.run_id {
            Some(id) => match self.tracker.latest(id) {
                Err(error) if error.is_missing() => {
                    state = State::new(&uri, &run.fingerprint, now_ms());
                    BTreeMap::new()
                }
                other => other.map_err(|source| self.asked(source))?,
            },
            None => BTreeMap::new(),
        };
        let found = if let Some(id) = state.run_id.clone() {
            TrackersRun { id, base_ms: state.base_ms, latest }
        } else {
            self.save(&state)?;
            let id =
                self.tracker.run(&state.key, &name, state.base_ms).map_err(|source| self.asked(source))?;
            state.run_id = Some(id.clone());
            self.save(&state)?;
            let latest = self.tracker.latest(&id).map_err(|source| self.asked(source))?;
            TrackersRun { id, base_ms: state.base_ms, latest }
        };
        let introduce = || {
            self.tracker.update(&found.id, Status::Running, now_ms())?;
            self.tracker.tag(&found.id, "lockstep.fingerprint", &run.fingerprint)?;
            self.tracker.log_params(&found.id, &run.config)
        };
        introduce().map_err(|source| self.asked(source))?;
        self.run = Some(found);
        self.metrics = None;
        Ok(())
    }

    /// Sends some numbers that the tracker lacks. Returns whether there may be more.
    fn send_batch(&mut self) -> Result<bool, Problem> {
        if self.is_rewritten() {
            self.metrics = None;
        }
        let (file, from) = match self.metrics.take() {
            Some(opened) => opened,
            None => match open_regular(&self.folder.join(METRICS_FILE), u64::MAX, Links::Refused) {
                Ok(file) => (file, 0),
                Err(error) if error.is_missing() => return Ok(false),
                Err(error) => return Err(Problem::Metrics(io::Error::other(error))),
            },
        };
        let Some(run) = &mut self.run else { return Ok(false) };
        let mut batch: Vec<Metric> = Vec::new();
        let mut is_end = self.has_all;
        let read = lines::read(&file, from, |line| {
            is_end = lines::is_end(line);
            let lacks = |metric: &Metric| run.latest.get(&metric.key).is_none_or(|last| *last < metric.step);
            batch.extend(lines::metrics(line).into_iter().filter(lacks));
            batch.len() >= BATCH
        });
        let at = read.map_err(Problem::Metrics)?;
        self.has_all = is_end && at > self.before;
        if !batch.is_empty() {
            let sent = self.tracker.log(&run.id, &batch, run.base_ms);
            if let Err(source) = sent {
                // It may have taken the batch, or a part of it: it is asked for what it has.
                self.run = None;
                return Err(self.asked(source));
            }
            for Metric { key, step, .. } in &batch {
                run.latest.insert(key.clone(), *step);
            }
        }
        self.metrics = Some((file, at));
        Ok(batch.len() >= BATCH)
    }

    /// Whether the metrics file is another one than was read last: a run that rolls back rewrites it.
    fn is_rewritten(&self) -> bool {
        let inode = |metadata: io::Result<std::fs::Metadata>| metadata.ok().map(|metadata| metadata.ino());
        let there = inode(self.folder.join(METRICS_FILE).symlink_metadata());
        self.metrics.as_ref().is_none_or(|(file, _)| inode(file.metadata()) != there)
    }

    /// Ends the tracker's run, whose later numbers do not hold any more, and begins another one.
    fn begin_another(&mut self, run: &RunRecord) -> Result<(), Problem> {
        let uri = self.tracker.uri().to_owned();
        let kept = State::load(&self.folder, &uri, &run.fingerprint).map_err(Problem::State)?;
        if let Some(id) = kept.and_then(|state| state.run_id) {
            let tagged = self.tracker.tag(&id, "lockstep.rolled_back", "true");
            let ended = tagged.and_then(|()| self.tracker.update(&id, Status::Killed, now_ms()));
            ended.map_err(|source| self.asked(source))?;
        }
        self.save(&State::new(&uri, &run.fingerprint, now_ms()))?;
        self.run = None;
        Ok(())
    }

    /// Says how the run has ended, and the digest of its model.
    fn end(&self, told: &Told) -> Result<(), Problem> {
        let Some(run) = &self.run else { return Ok(()) };
        let status = match &told.ended {
            Some(RunOutcome::Complete) => Status::Finished,
            Some(RunOutcome::Failed { .. }) => Status::Failed,
            Some(RunOutcome::Stopped) | None => Status::Killed,
        };
        let digest = told.checkpoint.as_deref().and_then(digest_of_model);
        let tags = [
            ("lockstep.model_sha256", digest),
            ("lockstep.checkpoint", told.checkpoint.as_ref().map(|path| path.display().to_string())),
        ];
        let end = || {
            for (key, value) in tags {
                value.map_or(Ok(()), |value| self.tracker.tag(&run.id, key, &value))?;
            }
            self.tracker.update(&run.id, status, now_ms())
        };
        end().map_err(|source| self.asked(source))
    }

    fn save(&self, state: &State) -> Result<(), Problem> {
        state.save(&self.folder).map_err(|error| Problem::State(error.into()))
    }

    fn asked(&self, source: TrackerError) -> Problem {
        Problem::Tracker { uri: self.tracker.uri().to_owned(), source }
    }
}

/// The digest of the model in a checkpoint, as its manifest has it.
fn digest_of_model(folder: &Path) -> Option<String> {
    let manifest = read_regular(&folder.join(MANIFEST_FILE), MANIFEST_BYTES_MAX, Links::Refused).ok()?;
    Some(Manifest::parse(&manifest).ok()?.files.get(MODEL_FILE)?.sha256.clone())
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    (wall_seconds() * 1e3) as u64
}
