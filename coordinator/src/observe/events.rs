//! Delivery of events from the driver to the observers. Each has a thread, and the driver never waits for
//! one.

use super::queue::{Item, Queue};
use super::{Observer, Observers};
use common::event::Event;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::warn;

/// Longest wait for observers to keep the events before a checkpoint. It is longer than a busy disk takes.
/// After it the checkpoint, which is worth more than lines about it, is written anyway.
const KEEP_GRACE: Duration = Duration::from_secs(5);
/// Longest wait for all observers together to finish at the end of the run.
const END_GRACE: Duration = Duration::from_secs(5);

/// The running observers. When it is dropped, their threads handle the queued events and end.
#[derive(Debug, Default)]
pub(crate) struct Events {
    queues: Vec<Arc<Queue>>,
    /// Queues of the observers for which checkpoints wait.
    before_checkpoints: Vec<Arc<Queue>>,
}

impl Events {
    /// Starts a thread for each observer.
    ///
    /// # Errors
    /// When a thread can't be started: its name, and the system's error.
    pub(crate) fn start(observers: Observers) -> Result<Self, (&'static str, std::io::Error)> {
        let mut events = Self::default();
        for (name, observer) in observers.0 {
            let queue = Arc::new(Queue::new(name));
            let theirs = Arc::clone(&queue);
            if observer.precedes_checkpoints() {
                events.before_checkpoints.push(Arc::clone(&queue));
            }
            events.queues.push(queue);
            let thread = std::thread::Builder::new().name(name.to_owned());
            thread.spawn(move || attend(&theirs, observer)).map_err(|source| (name, source))?;
        }
        Ok(events)
    }

    /// Queues the event for all observers, without waiting for any.
    pub(crate) fn tell(&self, event: Event) {
        let event = Arc::new(event);
        for (index, queue) in self.queues.iter().enumerate() {
            let Some(loss) = queue.push(&event) else { continue };
            let others = self.queues.iter().enumerate().filter(|&(other, _)| other != index);
            // Losses that this causes in turn are reported with a later event.
            others.for_each(|(_, other)| drop(other.push(&loss)));
        }
    }

    /// Asks the observers to keep all earlier events. [`Kept::wait`] waits for that.
    pub(crate) fn keep(&self) -> Kept {
        Kept(self.before_checkpoints.iter().map(|queue| (Arc::clone(queue), queue.mark())).collect())
    }

    /// Ends the observers' threads; one that does not end in time is abandoned.
    pub(crate) fn finish(self) {
        self.close();
        let deadline = Instant::now() + END_GRACE;
        for queue in &self.queues {
            let left = deadline.saturating_duration_since(Instant::now());
            if let Err(untold) = queue.wait_for_end(left) {
                warn!(observer = queue.name(), untold, "an observer does not end; leaving its thread behind");
            }
        }
    }

    fn close(&self) {
        self.queues.iter().for_each(|queue| queue.close());
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.close();
    }
}

/// The events before a checkpoint, on their way to where they are kept.
#[derive(Debug, Default)]
pub(crate) struct Kept(Vec<(Arc<Queue>, u64)>);

impl Kept {
    /// Waits until all are kept, at most for `KEEP_GRACE`.
    pub(crate) fn wait(&self) {
        let deadline = Instant::now() + KEEP_GRACE;
        for (queue, mark) in &self.0 {
            if queue.wait_for(*mark, deadline) {
                warn!(observer = queue.name(), "an observer is stuck; checkpoints do not wait for it");
            }
        }
    }
}

/// Body of an observer's thread.
fn attend(queue: &Queue, mut observer: Box<dyn Observer>) {
    let watched = catch_unwind(AssertUnwindSafe(|| {
        while let Some(item) = queue.next() {
            match item {
                Item::Event(event) => observer.observe(&event),
                Item::Mark(mark) => {
                    observer.keep();
                    queue.reach(mark);
                }
            }
        }
        observer.keep();
        // Dropping it may write its last output.
        drop(observer);
    }));
    queue.end();
    if watched.is_err() {
        warn!(observer = queue.name(), "an observer panicked and is told nothing more; the training goes on");
    }
}

#[cfg(test)]
mod tests;
