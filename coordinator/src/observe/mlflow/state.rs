//! `mlflow.json` in a run's folder: which of a tracker's runs is this one.
//!
//! It is written before the tracker is asked for a run, with a key that the tracker keeps as a tag. So a
//! coordinator that is killed in between finds the run again, and begins no second one.

use crate::folder;
use host::files::{FileError, Links, read_regular};
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::path::Path;

/// Name of the file.
pub(super) const STATE_FILE: &str = "mlflow.json";
/// Largest file that is read.
const BYTES_MAX: u64 = 1 << 16;
/// Longest name of a tracker's run.
const RUN_ID_CHARS_MAX: usize = 64;

/// What is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// Address of the tracker.
    pub(super) tracker: String,
    /// Fingerprint of the run.
    pub(super) fingerprint: String,
    /// Tag by which the tracker's run is found.
    pub(super) key: String,
    /// Time of step 0, in milliseconds since 1970.
    pub(super) base_ms: u64,
    /// The tracker's name for the run, once it has one.
    pub(super) run_id: Option<String>,
}

impl State {
    /// What begins now. No other run has its key, unless it has begun in the same millisecond with the same
    /// settings.
    pub(super) fn new(tracker: &str, fingerprint: &str, base_ms: u64) -> Self {
        let key = format!("{fingerprint}-{base_ms}");
        Self { tracker: tracker.to_owned(), fingerprint: fingerprint.to_owned(), key, base_ms, run_id: None }
    }

    /// What is kept in the folder for this tracker and this run, if there is such a thing.
    ///
    /// # Errors
    /// When something else than a small file has its name.
    pub(super) fn load(folder: &Path, tracker: &str, fingerprint: &str) -> Result<Option<Self>, FileError> {
        let bytes = match read_regular(&folder.join(STATE_FILE), BYTES_MAX, Links::Refused) {
            Ok(bytes) => bytes,
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(error),
        };
        let state = serde_json::from_slice::<Self>(&bytes).ok();
        Ok(state.filter(|state| {
            let is_ours = state.tracker == tracker && state.fingerprint == fingerprint;
            is_ours && state.key.starts_with(fingerprint) && state.run_id.as_deref().is_none_or(is_run_id)
        }))
    }

    /// Puts it into the folder.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(super) fn save(&self, folder: &Path) -> io::Result<()> {
        let mut new = tempfile::Builder::new().permissions(folder::permissions()).tempfile_in(folder)?;
        new.write_all(serde_json::to_string_pretty(self)?.as_bytes())?;
        new.write_all(b"\n")?;
        folder::put(new, &folder.join(STATE_FILE)).map(drop)
    }
}

/// Whether it can stand in an address as it is.
pub(super) fn is_run_id(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= RUN_ID_CHARS_MAX
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
