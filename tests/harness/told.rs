//! A coordinator's events as values, read from a log in JSON, and predicates for the events that a test waits
//! for.
//!
//! Tests match events and their fields, never the text that a log shows to people.

use common::event::{Departure, Event};
use common::protocol::coordinator::Cause;

/// The event in a line of the log, if there is one.
#[must_use]
pub fn event_of(line: &str) -> Option<Event> {
    /// The part of a line that matters here.
    #[derive(serde::Deserialize)]
    struct Line {
        fields: Event,
    }

    // Most other lines are no events of a run, and some are not JSON.
    let line = line.starts_with('{').then(|| serde_json::from_str::<Line>(line));
    line.and_then(Result::ok).map(|line| line.fields)
}

/// Whether the run resumed from a checkpoint.
#[must_use]
pub fn resumed(event: &Event) -> bool {
    matches!(event, Event::RunResumed(_))
}

/// Whether a worker of that name joined.
pub fn joined(name: &str) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::WorkerJoined { worker, .. } if worker == name)
}

/// Whether any worker joined.
#[must_use]
pub fn any_joined(event: &Event) -> bool {
    matches!(event, Event::WorkerJoined { .. })
}

/// Whether a worker of that name left.
pub fn left(name: &str) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::WorkerLeft(departure) if departure.worker == name)
}

/// Whether a worker of that name was dropped.
pub fn dropped(name: &str) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::WorkerDropped { departure, .. } if departure.worker == name)
}

/// Whether any worker was dropped.
#[must_use]
pub fn any_dropped(event: &Event) -> bool {
    matches!(event, Event::WorkerDropped { .. })
}

/// Whether a worker of that name was refused.
pub fn refused(name: &str) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::WorkerRefused { worker, .. } if worker == name)
}

/// Whether any worker is late.
#[must_use]
pub fn any_late(event: &Event) -> bool {
    matches!(event, Event::WorkerLate { .. })
}

/// Whether a checkpoint could not be written.
#[must_use]
pub fn no_checkpoint(event: &Event) -> bool {
    matches!(event, Event::CheckpointFailed { .. })
}

/// Whether the run waits for workers.
#[must_use]
pub fn waiting(event: &Event) -> bool {
    matches!(event, Event::WaitingForWorkers { .. })
}

/// Reason for which a worker was dropped, and its state at that time.
///
/// # Panics
/// When the event is another.
#[must_use]
#[track_caller]
pub fn drop_of(event: Event) -> (Cause, Departure) {
    match event {
        Event::WorkerDropped { cause, departure } => (cause, departure),
        event => panic!("no worker was dropped: {event}"),
    }
}
