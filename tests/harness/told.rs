//! What a coordinator tells of a run, as values: the events of a log in JSON, and which of them a test waits
//! for.
//!
//! Tests match events and their fields, never the words in which a log shows them to people.

use common::event::{Departure, Event};
use common::protocol::coordinator::Cause;

/// The event in a line of the log, if there is one.
#[must_use]
pub fn event_of(line: &str) -> Option<Event> {
    /// All that counts of a line here.
    #[derive(serde::Deserialize)]
    struct Line {
        fields: Event,
    }

    // Most other lines are no events of a run, and some no JSON.
    let line = line.starts_with('{').then(|| serde_json::from_str::<Line>(line));
    line.and_then(Result::ok).map(|line| line.fields)
}

/// The run goes on from a checkpoint.
#[must_use]
pub fn resumed(event: &Event) -> bool {
    matches!(event, Event::RunResumed(_))
}

/// A worker of that name joined.
pub fn joined(name: &str) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::WorkerJoined { worker, .. } if worker == name)
}

/// Any worker joined.
#[must_use]
pub fn any_joined(event: &Event) -> bool {
    matches!(event, Event::WorkerJoined { .. })
}

/// A worker of that name left.
pub fn left(name: &str) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::WorkerLeft(departure) if departure.worker == name)
}

/// A worker of that name was dropped.
pub fn dropped(name: &str) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::WorkerDropped { departure, .. } if departure.worker == name)
}

/// Any worker was dropped.
#[must_use]
pub fn any_dropped(event: &Event) -> bool {
    matches!(event, Event::WorkerDropped { .. })
}

/// A worker of that name was not let in.
pub fn refused(name: &str) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::WorkerRefused { worker, .. } if worker == name)
}

/// Any worker is late.
#[must_use]
pub fn any_late(event: &Event) -> bool {
    matches!(event, Event::WorkerLate { .. })
}

/// A checkpoint could not be written.
#[must_use]
pub fn no_checkpoint(event: &Event) -> bool {
    matches!(event, Event::CheckpointFailed { .. })
}

/// The run waits for workers.
#[must_use]
pub fn waiting(event: &Event) -> bool {
    matches!(event, Event::WaitingForWorkers { .. })
}

/// Why a worker was dropped, and with what.
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
