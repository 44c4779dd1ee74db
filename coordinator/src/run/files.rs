//! The files of a run besides its checkpoints: where they are, and how they are begun.

use super::RunOptions;
use crate::RunError;
use crate::observe::Observers;
use crate::observe::history::History;
use crate::observe::jsonl::{MetricsFile, Place, UsablePlace};
use crate::observe::web::{Listener, Page};
use crate::run_folder::{EVENTS_FILE, METRICS_FILE};
use crate::store::Store;
use common::ids::Step;
use std::path::Path;
use tracing::{info, warn};

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

/// Listens where the page about the run is to be.
///
/// # Errors
/// When the address can't be listened on.
pub(super) fn open_page(address: &str) -> Result<Listener, RunError> {
    Listener::open(address).map_err(|source| RunError::Http { address: address.to_owned(), source })
}

/// The files of earlier starts of a run that goes on; none of one that begins.
pub(super) fn history(options: &RunOptions, store: &Store, is_resumed: bool) -> History {
    let earlier = |path| Some(path).filter(|_| is_resumed);
    History {
        metrics: earlier(metrics_place(options, store).path().to_owned()),
        events: earlier(folder(options, store).join(EVENTS_FILE)),
    }
}

/// Serves the page.
///
/// # Errors
/// When its thread can't be started.
pub(super) fn add_page(observers: &mut Observers, page: Page, history: &History) -> Result<(), RunError> {
    let access = page.access().clone();
    let page = page.serve(history);
    observers.add("page", page.map_err(|source| RunError::Thread { name: "http", source })?);
    info!("a page about the run is at {}", access.url());
    access.note("read it");
    Ok(())
}

/// Adds the file for TensorBoard of a run with that fingerprint, which begins or goes on with the given step,
/// if it has a folder.
pub(super) fn add_tensorboard(
    observers: &mut Observers,
    options: &RunOptions,
    fingerprint: &str,
    resumed_at: Option<Step>,
) {
    let step = resumed_at.unwrap_or(Step(0));
    options.run_dir.iter().for_each(|folder| observers.add_tensorboard(folder, fingerprint, step));
}

/// Has an MLflow tracker told of the run, if one is named. The metrics must have begun.
///
/// # Errors
/// When a thread can't be started.
pub(super) fn add_mlflow(observers: &mut Observers, options: &RunOptions) -> Result<(), RunError> {
    let (Some(tracker), Some(folder)) = (&options.mlflow, &options.run_dir) else { return Ok(()) };
    tracker.warn_of_readers("--mlflow");
    let started = observers.add_mlflow(tracker, folder);
    started.map_err(|source| RunError::Thread { name: "mlflow-send", source })
}

/// Has a collector told where the run's time goes, if one is named.
///
/// # Errors
/// When a thread can't be started.
pub(super) fn add_otlp(observers: &mut Observers, options: &RunOptions) -> Result<(), RunError> {
    let Some(collector) = &options.otlp else { return Ok(()) };
    collector.warn_of_readers("--otlp");
    let started = observers.add_otlp(collector);
    started.map_err(|source| RunError::Thread { name: "otlp-send", source })
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
