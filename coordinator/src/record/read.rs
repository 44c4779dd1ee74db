//! From a run's folder to what it says: which files there are, and what each line of them is.

use super::history::History;
use super::lines::{self, Line};
use super::metrics::Results;
use super::{Problems, Recorded};
use crate::run_folder::{CHECKPOINTS, CONFIG_FILE, EVENTS_FILE, METRICS_FILE};
use crate::store::{self, Saved};
use common::event::{Event, RunRecord};
use host::files::{FileError, Links, open_regular};
use host::printable;
use serde::Deserialize;
use serde_json::Value;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

/// Largest file that is read, in bytes: some tens of millions of steps.
const FILE_BYTES_MAX: u64 = 1 << 34;
/// Most characters of a message about a line.
const MESSAGE_CHARS_MAX: usize = 200;

/// Events of which the history is made. Others are of no use here, or of later programs.
const EVENTS_READ: [&str; 15] = [
    "run_started",
    "run_resumed",
    "run_rolled_back",
    "run_ended",
    "worker_joined",
    "worker_left",
    "worker_dropped",
    "worker_late",
    "worker_miscomputes",
    "miscomputed_work_kept",
    "other_numerics",
    "worker_quarantined",
    "checkpoint_written",
    "checkpoint_failed",
    "events_lost",
];

/// Name of the event of a gradient out of line.
const DOUBTED: &str = "gradient_doubted";

/// Why a folder says nothing of a run.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum ReadError {
    /// The folder has no metrics.
    #[error("{}: there is no {METRICS_FILE} in it; name the folder of a run", .0.display())]
    NoRun(PathBuf),
    /// A file can't be opened.
    #[error("cannot read {}: {source}", path.display())]
    File { path: PathBuf, source: FileError },
    /// A file can't be read on.
    #[error("cannot read {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// No line of the metrics says what the run is.
    #[error("{}: no line of kind \"run\" says which run this is{first}", path.display())]
    NoBeginning {
        path: PathBuf,
        /// The first problem with a line, if there is one.
        first: String,
    },
}

/// What every line of `metrics.jsonl` has.
#[derive(Deserialize)]
struct Metric {
    kind: String,
    step: Option<u64>,
    time: Option<f64>,
}

/// What every line of `events.jsonl` has.
#[derive(Deserialize)]
struct Told {
    event: String,
    time: Option<f64>,
}

/// Reads a run's folder. The folder may be that of a run in progress.
///
/// # Errors
/// When it is none, or its metrics can't be read.
pub fn read(folder: &Path) -> Result<Recorded, ReadError> {
    let mut problems = Problems::default();
    let events = folder.join(EVENTS_FILE);
    let told = open(&events).ok().map(|file| events_of(file, &events, &mut problems)).transpose()?;
    let told = told.filter(|history| !history.starts.is_empty());
    let path = folder.join(METRICS_FILE);
    let file = open(&path).map_err(|source| {
        let path = path.clone();
        if source.is_missing() {
            ReadError::NoRun(folder.to_owned())
        } else {
            ReadError::File { path, source }
        }
    })?;
    let mut reader = Reader { run: None, results: Results::default(), history: History::default() };
    each_line(file, &path, &mut problems, |line| reader.line(line))?;
    let Reader { run, results, mut history } = reader;
    let first = problems.told.first().map_or(String::new(), |problem| format!(" ({problem})"));
    let run = run.ok_or(ReadError::NoBeginning { path, first })?;
    history.finish();
    let history = match told {
        Some(told) => told.seen_until(history.last),
        None => history,
    };
    let checkpoint = newest(folder, &run, &mut problems);
    let config_file = Some(folder.join(CONFIG_FILE)).filter(|path| path.is_file());
    let (folder, name) = (folder.to_owned(), name_of(folder));
    Ok(Recorded { folder, name, run, results, history, checkpoint, config_file, problems })
}

fn open(path: &Path) -> Result<File, FileError> {
    open_regular(path, FILE_BYTES_MAX, Links::Refused)
}

/// Last part of the folder's path, also where that is written as `.`.
fn name_of(folder: &Path) -> String {
    let whole = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    whole.file_name().map_or_else(|| "run".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// The newest checkpoint of the run, in the folder or one below.
fn newest(folder: &Path, run: &RunRecord, problems: &mut Problems) -> Option<Saved> {
    let folders = [folder.join(CHECKPOINTS), folder.to_owned()];
    let found = folders.iter().find_map(|folder| store::newest_manifest_in(folder).ok().flatten());
    let (path, manifest) = found?;
    if manifest.fingerprint != run.fingerprint {
        problems.add(format!("{}: the checkpoint is of another run than the metrics", path.display()));
        return None;
    }
    Some(Saved::new(path, &manifest))
}

/// Hands each whole line to `take`, and notes what is wrong with others.
fn each_line(
    file: File,
    path: &Path,
    problems: &mut Problems,
    mut take: impl FnMut(&[u8]) -> Result<(), String>,
) -> Result<(), ReadError> {
    let done = lines::each(BufReader::new(file), |number, line| {
        let result = match line {
            Line::Whole(line) => take(line),
            Line::TooLong => Err("the line is longer than any of this program's".to_owned()),
            // A crash, or a run in progress: nothing is wrong with the file.
            Line::Torn => Ok(()),
        };
        if let Err(problem) = result {
            let problem: String = printable(&problem).chars().take(MESSAGE_CHARS_MAX).collect();
            problems.add(format!("{}:{number}: {problem}", path.display()));
        }
    });
    done.map_err(|source| ReadError::Io { path: path.to_owned(), source })
}

fn events_of(file: File, path: &Path, problems: &mut Problems) -> Result<History, ReadError> {
    let mut history = History::default();
    each_line(file, path, problems, |line| {
        let Told { event, time } = parsed(line)?;
        match event.as_str() {
            DOUBTED => history.doubt(),
            event if EVENTS_READ.contains(&event) => history.tell(sound(time), &parsed(line)?),
            _ => {}
        }
        Ok(())
    })?;
    history.finish();
    Ok(history)
}

/// A moment that a clock can show.
fn sound(time: Option<f64>) -> Option<f64> {
    time.filter(|time| (0.0..1e11).contains(time))
}

fn parsed<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(line).map_err(|error| error.to_string())
}

/// What the lines of the metrics have said so far.
struct Reader {
    run: Option<RunRecord>,
    results: Results,
    history: History,
}

impl Reader {
    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let Metric { kind, step, time } = parsed(line)?;
        let time = sound(time);
        match kind.as_str() {
            "run" => self.run(line, time)?,
            "step" => {
                self.results.step(line).map_err(|error| error.to_string())?;
                self.history.step(time, step.unwrap_or(0));
            }
            "validation" => self.results.validation(line)?,
            "test" => self.results.test(line)?,
            DOUBTED => self.history.doubt(),
            kind if EVENTS_READ.contains(&kind) => self.history.tell(time, &event_of(line)?),
            _ => {}
        }
        Ok(())
    }

    fn run(&mut self, line: &[u8], time: Option<f64>) -> Result<(), String> {
        /// How the run begins.
        #[derive(Deserialize)]
        struct Begun {
            event: String,
        }
        let run: RunRecord = parsed(line)?;
        self.run = Some(run.clone());
        let Begun { event } = parsed(line)?;
        let event = match event.as_str() {
            "start" => Event::RunStarted(run),
            "resume" => Event::RunResumed(run),
            _ => Event::RunRolledBack { from: run.step, checkpoint: None, run },
        };
        self.history.tell(time, &event);
        Ok(())
    }
}

/// The event of a line that has its name as `kind`.
fn event_of(line: &[u8]) -> Result<Event, String> {
    let mut fields: serde_json::Map<String, Value> = parsed(line)?;
    let kind = fields.remove("kind").unwrap_or_default();
    fields.insert("event".to_owned(), kind);
    serde_json::from_value(fields.into()).map_err(|error| error.to_string())
}
