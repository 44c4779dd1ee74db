//! The files of a run besides its checkpoints: where they are, and how they are begun.

use super::RunOptions;
use crate::RunError;
use crate::observe::Observers;
use crate::observe::jsonl::{MetricsFile, Place, UsablePlace};
use crate::run_folder::{EVENTS_FILE, METRICS_FILE};
use crate::store::Store;
use common::ids::Step;
use std::path::Path;
use tracing::warn;

/// The place of the metrics.
pub(super) fn metrics_place(options: &RunOptions, store: &Store) -> Place {
    match &options.metrics {
        Some(path) => Place::Named(path.clone()),
        None => Place::Own(folder(options, store).join(METRICS_FILE)),
    }
}

/// Adds the file of events, if there is to be one.
///
/// # Errors
/// When it can't be opened.
pub(super) fn add_event_log(
    observers: &mut Observers,
    options: &RunOptions,
    store: &Store,
) -> Result<(), RunError> {
    if !options.events && options.run_dir.is_none() {
        return Ok(());
    }
    let path = folder(options, store).join(EVENTS_FILE);
    observers.add_event_log(&path).map_err(|source| RunError::EventLog { path, source })
}

/// Opens the metrics of a run that begins, or goes on with the given step.
///
/// # Errors
/// When the file system refuses.
pub(super) fn begin_metrics(place: UsablePlace, resumed_at: Option<Step>) -> Result<MetricsFile, RunError> {
    let Some(step) = resumed_at else { return Ok(place.create()?) };
    let path = place.path().to_owned();
    let (file, found) = place.resume(step)?;
    if found.unreadable > 1 {
        warn!(path = %path.display(), lines = found.unreadable, "dropped lines that are no records");
    }
    Ok(file)
}

/// The folder of these files.
fn folder<'a>(options: &'a RunOptions, store: &'a Store) -> &'a Path {
    options.run_dir.as_deref().unwrap_or_else(|| store.root())
}
