//! The output of a run. The driver emits each [`Event`] once. Everything that shows or keeps events is an
//! [`Observer`] in a file of its own: `log` writes log lines, `reporter` shows progress to a person at a
//! terminal, `metrics` writes a file for scripts, `event_log` one of what happened when, `tensorboard` one
//! for TensorBoard, and `mlflow` tells a tracker. [`table`] formats the summary. Nothing here computes a
//! metric.
//!
//! To add an observer: a file that implements [`Observer`], and its line in `Observers::of_program`.
//!
//! 1. An observer can't hold a run up: each has a thread of its own behind a bounded queue (`queue`). What
//!    does not fit is left out, counted, and told as [`Event::EventsLost`] as soon as there is room.
//! 2. It can't fail a run: one that panics is removed with a warning, and the others go on.
//! 3. It can't change a run: it gets events and gives nothing back.

pub mod console;
mod disturbances;
mod event_log;
pub(crate) mod events;
pub mod history;
pub mod jsonl;
mod log;
mod login;
pub(crate) mod metrics;
pub mod mlflow;
mod otlp;
pub mod progress;
mod queue;
pub(crate) mod rate;
pub(crate) mod reporter;
pub mod server;
pub(crate) mod shared;
pub mod table;
mod tensorboard;
pub mod tui;
pub mod view;
mod wall_offset;
pub mod web;

use crate::observe::console::Console;
use crate::observe::jsonl::MetricsFile;
use crate::observe::server::Server;
use common::event::Event;
use common::ids::Step;
use host::files::FileError;
use host::logging::LogFormat;
use std::io;
use std::path::Path;

/// A receiver of a run's events, on a thread of its own.
pub trait Observer: Send {
    /// Handles an event. It may block or panic: that affects this observer alone.
    fn observe(&mut self, event: &Event);

    /// Whether a checkpoint should wait until all earlier events are [kept](Self::keep).
    fn precedes_checkpoints(&self) -> bool {
        false
    }

    /// Stores all events observed so far where they are kept.
    fn keep(&mut self) {}
}

/// Observers by name, before they are started.
#[derive(Default)]
pub struct Observers(Vec<(&'static str, Box<dyn Observer>)>);

impl Observers {
    /// The observers of the program.
    pub(crate) fn of_program(console: &Console, format: LogFormat, file: MetricsFile) -> Self {
        let mut all = Self::default();
        all.add("log", log::Log::new(console.clone(), format));
        all.add("reporter", reporter::Reporter::new(console.clone()));
        all.add("metrics", metrics::Metrics::new(file));
        all.add("disturbances", disturbances::Disturbances::new(console.clone()));
        all
    }

    /// The observers of one of several runs, besides what is added.
    pub(crate) fn of_metrics(file: MetricsFile) -> Self {
        let mut all = Self::default();
        all.add("metrics", metrics::Metrics::new(file));
        all
    }

    /// Adds the file of events.
    ///
    /// # Errors
    /// When it can't be opened.
    pub(crate) fn add_event_log(&mut self, path: &Path) -> Result<(), FileError> {
        self.add("events", event_log::EventLog::open(path)?);
        Ok(())
    }

    /// Adds the file for TensorBoard in the folder of a run with that fingerprint, which goes on with `step`.
    /// One that can't be used is left out, with a warning.
    pub(crate) fn add_tensorboard(&mut self, folder: &Path, fingerprint: &str, step: Step) {
        let board = tensorboard::TensorBoard::begin(folder, fingerprint, step);
        board.into_iter().for_each(|board| self.add("tensorboard", board));
    }

    /// Has an MLflow tracker told of the run in that folder.
    ///
    /// # Errors
    /// When a thread can't be started.
    pub(crate) fn add_mlflow(&mut self, tracker: &Server, folder: &Path) -> io::Result<()> {
        self.add("mlflow", mlflow::MlFlow::start(tracker, folder)?);
        Ok(())
    }

    /// Adds spans for this collector.
    ///
    /// # Errors
    /// When a thread can't be started.
    pub(crate) fn add_otlp(&mut self, collector: &Server) -> io::Result<()> {
        self.add("otlp", otlp::Otlp::start(collector)?);
        Ok(())
    }

    /// Adds an observer; `name` is also the name of its thread.
    pub fn add(&mut self, name: &'static str, observer: impl Observer + 'static) {
        self.0.push((name, Box::new(observer)));
    }
}

#[cfg(test)]
fn step_record(step: u64, epoch: u64) -> common::event::StepRecord {
    common::event::StepRecord {
        step: common::ids::Step(step),
        epoch: common::ids::Epoch(epoch),
        loss: 0.25,
        accuracy: 0.875,
        learning_rate: 0.001,
        samples_per_s: 1234.5,
        train_seconds: 12.5,
        grad_norm: None,
        workers: 2,
        out_of_line: 0,
    }
}
