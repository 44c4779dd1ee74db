//! Traces for an OpenTelemetry collector: a span for the run, one for each round with one for each piece of
//! it, and one for each checkpoint. Sent as JSON by OTLP over HTTP.
//!
//! 1. A thread of its own sends. A collector that is slow or away costs spans, which are counted, and one
//!    warning; never the run.
//! 2. A run is one trace however often the coordinator was restarted: its number is the fingerprint's
//!    beginning.
//!
//! Format: the JSON encoding of `ExportTraceServiceRequest` of the OpenTelemetry protocol, version 1.

mod spans;

use super::Observer;
use super::server::Server;
use super::wall_offset::WallOffset;
use common::event::{Event, RunOutcome, RunRecord};
use common::ids::Incarnation;
use host::clock::wall_seconds;
use serde_json::Value;
use spans::{Trace, request};
use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};
use tracing::warn;

/// Path of traces, behind the collector's address.
const PATH: &str = "/v1/traces";
/// Spans of a request: about a quarter of a megabyte.
const BATCH: usize = 1000;
/// Longest time until a span is sent.
const SEND_EVERY: Duration = Duration::from_secs(2);
/// Requests that may wait.
const WAITING_MAX: usize = 8;
/// Time for the collector's answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait at the end of a run until all is sent.
const COLLECTOR_GRACE: Duration = Duration::from_secs(2);

/// The observer that makes spans.
pub(crate) struct Otlp {
    trace: Option<Trace>,
    /// Names of the members.
    names: BTreeMap<Incarnation, String>,
    offset: WallOffset,
    spans: Vec<Value>,
    sent: Instant,
    requests: Option<SyncSender<Vec<u8>>>,
    /// Disconnected when the sender has ended.
    sender_ended: Receiver<()>,
    lost: u64,
}

impl Otlp {
    /// Starts the thread that sends to this collector.
    ///
    /// # Errors
    /// When the thread can't be started.
    pub(crate) fn start(collector: &Server) -> io::Result<Self> {
        let (requests, waiting) = sync_channel(WAITING_MAX);
        let (ends, sender_ended) = sync_channel(0);
        let collector = collector.clone();
        std::thread::Builder::new().name("otlp-send".to_owned()).spawn(move || {
            send(&collector, &waiting);
            drop::<SyncSender<()>>(ends);
        })?;
        Ok(Self {
            trace: None,
            names: BTreeMap::new(),
            offset: WallOffset::default(),
            spans: Vec::new(),
            sent: Instant::now(),
            requests: Some(requests),
            sender_ended,
            lost: 0,
        })
    }

    fn begin(&mut self, run: &RunRecord, time: f64) {
        self.trace = Some(Trace::new(run, time));
    }

    fn end(&mut self, outcome: &RunOutcome, time: f64) {
        self.spans.extend(self.trace.as_ref().map(|trace| trace.run(outcome, time)));
        self.hand_over();
    }

    /// Hands what there is to the sender. What does not fit is lost.
    fn hand_over(&mut self) {
        self.sent = Instant::now();
        let spans = std::mem::take(&mut self.spans);
        let Some(requests) = self.requests.as_ref().filter(|_| !spans.is_empty()) else { return };
        let count = spans.len() as u64;
        match requests.try_send(request(spans)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.lost += count,
        }
    }
}

impl Observer for Otlp {
    fn observe(&mut self, event: &Event) {
        let time = wall_seconds();
        match event {
            Event::RunStarted(run) | Event::RunResumed(run) => self.begin(run, time),
            Event::WorkerJoined { worker, incarnation, .. } => {
                self.names.insert(*incarnation, worker.clone());
            }
            Event::Round(round) => {
                let offset = self.offset.note(time, round.begun_us + round.done_us);
                let names = &self.names;
                self.spans.extend(self.trace.iter().flat_map(|trace| trace.round(round, offset, names)));
            }
            Event::CheckpointWritten { checkpoint, path, .. } => {
                self.spans.extend(self.trace.as_ref().map(|trace| trace.checkpoint(*checkpoint, path, time)));
            }
            Event::WorkerLeft(departure) | Event::WorkerDropped { departure, .. } => {
                self.names.remove(&departure.incarnation);
            }
            Event::RunEnded { outcome, .. } => self.end(outcome, time),
            _ => {}
        }
        if self.spans.len() >= BATCH || self.sent.elapsed() >= SEND_EVERY {
            self.hand_over();
        }
    }
}

impl Drop for Otlp {
    fn drop(&mut self) {
        self.hand_over();
        self.requests = None;
        if self.sender_ended.recv_timeout(COLLECTOR_GRACE) == Err(RecvTimeoutError::Timeout) {
            warn!("the collector of traces is slow; it does not get the last ones");
        }
        if self.lost > 0 {
            warn!(spans = self.lost, "the collector of traces was too slow; spans were left out");
        }
    }
}

/// Body of the sender's thread.
fn send(collector: &Server, requests: &Receiver<Vec<u8>>) {
    let (agent, uri) = (collector.agent(REQUEST_TIMEOUT), format!("{}{PATH}", collector.uri()));
    let mut has_failed = false;
    while let Ok(request) = requests.recv() {
        let post = collector.show_login(agent.post(&uri)).header("Content-Type", "application/json");
        let taken = post.send(&request[..]).and_then(|answer| match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(ureq::Error::StatusCode(status.as_u16())),
        });
        if let Err(error) = taken
            && !std::mem::replace(&mut has_failed, true)
        {
            warn!(uri, %error, "the collector of traces does not take them; it is asked on, without a word");
        }
    }
}

#[cfg(test)]
mod tests;
