//! Server-sent events: everything once, then what is new, twice a second.
//!
//! One task renders an update for all readers. A reader that has not taken the last few gets everything anew.
//! Without readers nothing is rendered.

use super::Shared;
use axum::body::{Body, Bytes};
use futures_util::stream::unfold;
use host::clock::wall_seconds;
use serde::Serialize;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Receiver, Sender, channel};
use tokio::time::{MissedTickBehavior, interval};

/// Time between two updates.
const EVERY: Duration = Duration::from_millis(500);
/// Updates that a reader may lag behind.
const LAG: usize = 8;

/// The last event of a run that is over.
const END: &[u8] = b"event: end\ndata: {}\n\n";

/// Everything, rendered for all who ask in the same moment.
#[derive(Debug, Default)]
struct Rendered {
    bytes: Option<Bytes>,
}

/// All readers of the stream.
#[derive(Clone)]
pub(super) struct Readers {
    shared: Arc<Shared>,
    /// Events for all readers; none after the last one.
    updates: Sender<Option<Bytes>>,
    rendered: Arc<Mutex<Rendered>>,
    /// Whether the last update was sent.
    is_over: Arc<AtomicBool>,
}

impl Readers {
    /// No readers yet. Their updates are sent by [`tick`](Self::tick).
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, updates: channel(LAG).0, rendered: Arc::default(), is_over: Arc::default() }
    }

    /// Whether somebody reads.
    pub(super) fn are_there(&self) -> bool {
        self.updates.receiver_count() > 0
    }

    /// The body of a new reader's answer.
    pub(super) fn body(&self) -> Body {
        if self.is_over.load(Ordering::SeqCst) {
            return Body::from([&self.snapshot(), END].concat());
        }
        // From now on it misses nothing: what it gets twice is cut off by the page.
        let updates = self.updates.subscribe();
        let first = self.snapshot();
        let state = (Some(first), updates, self.clone());
        Body::from_stream(unfold(state, |(first, mut updates, readers)| async move {
            let bytes = match first {
                Some(first) => first,
                None => next(&mut updates, &readers).await?,
            };
            Some((Ok::<_, Infallible>(bytes), (None, updates, readers)))
        }))
    }

    /// Everything as one event. Rendered once between two updates, whoever asks.
    fn snapshot(&self) -> Bytes {
        let mut rendered = self.rendered.lock().unwrap_or_else(PoisonError::into_inner);
        let render = || event("snapshot", &self.shared.lock().snapshot(wall_seconds()));
        rendered.bytes.get_or_insert_with(render).clone()
    }

    /// Sends updates until the runtime ends.
    pub(super) async fn tick(self) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.send_new();
        }
    }

    /// Sends what is new to all readers. It is forgotten where there is none, so that it does not grow.
    fn send_new(&self) {
        let update = self.shared.lock().take_update(wall_seconds());
        self.rendered.lock().unwrap_or_else(PoisonError::into_inner).bytes = None;
        if !self.are_there() {
            return;
        }
        let bytes = match update {
            Some(update) => event("update", &update),
            None => self.snapshot(),
        };
        // The last reader may just have gone.
        let _ = self.updates.send(Some(bytes));
    }

    /// Sends what is new, and ends all streams.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        self.send_new();
        let end = Some(Bytes::from_static(END));
        [end, None].into_iter().for_each(|last| drop(self.updates.send(last)));
    }
}

/// The next event for a reader; `None` when there are no more.
async fn next(updates: &mut Receiver<Option<Bytes>>, readers: &Readers) -> Option<Bytes> {
    match updates.recv().await {
        Ok(update) => update,
        Err(RecvError::Lagged(_)) => {
            *updates = readers.updates.subscribe();
            Some(readers.snapshot())
        }
        Err(RecvError::Closed) => None,
    }
}

fn event(name: &str, data: &impl Serialize) -> Bytes {
    // What is shown consists of numbers, texts and lists, so it has a JSON form, which is one line.
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("event: {name}\ndata: {data}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::step_record;
    use common::event::Event;

    fn step(readers: &Readers, step: u64) {
        readers.shared.lock().apply(0.0, &Event::Step(step_record(step, 0)));
    }

    fn steps(bytes: &Bytes) -> (String, Vec<u64>) {
        let text = std::str::from_utf8(bytes).unwrap();
        let (name, data) = text.split_once("\ndata: ").unwrap();
        let json: serde_json::Value = serde_json::from_str(data).unwrap();
        (name.to_owned(), serde_json::from_value(json["curve"]["step"].clone()).unwrap())
    }

    #[tokio::test]
    async fn a_reader_gets_all_and_then_what_is_new_and_all_again_if_it_lags() {
        let readers = Readers::new(Arc::default());
        step(&readers, 0);
        readers.send_new();
        let mut updates = readers.updates.subscribe();
        assert_eq!(steps(&readers.snapshot()), ("event: snapshot".to_owned(), vec![0]));
        step(&readers, 1);
        readers.send_new();
        let update = next(&mut updates, &readers).await.unwrap();
        assert_eq!(steps(&update), ("event: update".to_owned(), vec![1]));
        for number in 2..40 {
            step(&readers, number);
            readers.send_new();
        }
        let all = next(&mut updates, &readers).await.unwrap();
        assert_eq!(steps(&all), ("event: snapshot".to_owned(), (0..40).collect()));
        readers.end();
        let rest = [next(&mut updates, &readers).await, next(&mut updates, &readers).await];
        assert_eq!(rest[1].as_deref(), Some(END));
        assert!(next(&mut updates, &readers).await.is_none());
    }
}
