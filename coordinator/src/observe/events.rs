//! The way from the driver to the observers: a thread for each, none of which the driver ever waits for.

use super::queue::{Item, Queue};
use super::{Observer, Observers};
use common::event::Event;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::warn;

/// For observers to keep what came before a checkpoint. Longer than a disk that is busy takes; after it the
/// checkpoint, which is worth more than lines about it, is written without.
const KEEP_GRACE: Duration = Duration::from_secs(5);
/// For all observers together to show what is left at the end of the run.
const END_GRACE: Duration = Duration::from_secs(5);

/// The observers that have been started. Dropping it lets their threads end after what is queued.
#[derive(Debug, Default)]
pub(crate) struct Events {
    queues: Vec<Arc<Queue>>,
    /// Queues of those whom checkpoints wait for.
    before_checkpoints: Vec<Arc<Queue>>,
}

impl Events {
    /// Starts a thread for each observer.
    ///
    /// # Errors
    /// When the system gives no thread: its name, and the system's answer.
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

    /// Tells all observers; never waits for one.
    pub(crate) fn tell(&self, event: Event) {
        let event = Arc::new(event);
        for (index, queue) in self.queues.iter().enumerate() {
            let Some(loss) = queue.push(&event) else { continue };
            let others = self.queues.iter().enumerate().filter(|&(other, _)| other != index);
            // Losses that this causes in turn are told with a later event.
            others.for_each(|(_, other)| drop(other.push(&loss)));
        }
    }

    /// Asks the observers to keep all that was told so far, for [`Kept::wait`] to wait for.
    pub(crate) fn keep(&self) -> Kept {
        Kept(self.before_checkpoints.iter().map(|queue| (Arc::clone(queue), queue.mark())).collect())
    }

    /// Ends the observers' threads; one that does not end in time is left behind.
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

/// What was told before a checkpoint, on its way to where it is kept.
#[derive(Debug, Default)]
pub(crate) struct Kept(Vec<(Arc<Queue>, u64)>);

impl Kept {
    /// Waits until all is kept, or for a few seconds.
    pub(crate) fn wait(&self) {
        let deadline = Instant::now() + KEEP_GRACE;
        for (queue, mark) in &self.0 {
            if queue.wait_for(*mark, deadline) {
                warn!(observer = queue.name(), "an observer is stuck; checkpoints do not wait for it");
            }
        }
    }
}

/// One observer's thread.
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
        // Its last words may come as it goes.
        drop(observer);
    }));
    queue.end();
    if watched.is_err() {
        warn!(observer = queue.name(), "an observer panicked and is told nothing more; the training goes on");
    }
}

#[cfg(test)]
mod tests;
