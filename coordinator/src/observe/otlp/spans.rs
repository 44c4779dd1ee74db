//! Spans in the JSON encoding of the OpenTelemetry protocol: numbers of 64 bits are texts, identifiers are
//! hexadecimal.

use common::event::{PieceTime, RoundKind, RoundRecord, RunOutcome, RunRecord};
use common::ids::{Incarnation, Step};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Digits of a trace's number.
const TRACE_DIGITS: usize = 32;
/// Kind of a span within a service.
const INTERNAL: u32 = 1;
/// Status of a span that has failed.
const ERROR: u32 = 2;

/// The trace of a run.
#[derive(Clone, Debug)]
pub(super) struct Trace {
    id: String,
    /// Number of the run's span. The numbers of others follow from it.
    root: u64,
    run_id: String,
    begun: f64,
}

impl Trace {
    /// The trace of a run that has begun, or goes on, at `time`.
    pub(super) fn new(run: &RunRecord, time: f64) -> Self {
        let digits = run.fingerprint.chars().filter(char::is_ascii_hexdigit).take(TRACE_DIGITS);
        let id = format!("{:0>TRACE_DIGITS$}", digits.collect::<String>());
        // Another one at each start of the coordinator, and never 0.
        let root = (time * 1e6) as u64 | 1 << 63;
        Self { id, root, run_id: run.run_id.clone(), begun: time }
    }

    /// The span of the run, or of this part of it.
    pub(super) fn run(&self, outcome: &RunOutcome, time: f64) -> Value {
        let attributes = vec![attribute("lockstep.run_id", self.run_id.as_str().into())];
        let mut span = self.span(self.root, None, "run", [self.begun, time], attributes);
        if let RunOutcome::Failed { problem } = outcome {
            span["status"] = json!({ "code": ERROR, "message": problem });
        }
        span
    }

    /// The span of a round, and those of its pieces. `offset` leads from the coordinator's clock to the time
    /// of day.
    pub(super) fn round<'a>(
        &'a self,
        round: &'a RoundRecord,
        offset: f64,
        names: &'a BTreeMap<Incarnation, String>,
    ) -> impl Iterator<Item = Value> + 'a {
        let at = move |us: u64| offset + (round.begun_us + us) as f64 / 1e6;
        let name = match round.kind {
            RoundKind::Train => "train",
            RoundKind::Validation => "validation",
            RoundKind::Test => "test",
            RoundKind::PseudoLabels => "pseudo_labels",
        };
        let phases = round.phases();
        let numbers = [
            ("lockstep.step", round.step.0),
            ("lockstep.compute_us", phases.compute_us),
            ("lockstep.wait_us", phases.wait_us),
            ("lockstep.reduce_us", phases.reduce_us),
            ("lockstep.optimizer_us", phases.optimizer_us),
        ];
        let attributes = numbers.map(|(key, number)| attribute(key, number.into())).to_vec();
        let own = self.child(round.round.0, 0);
        let span = self.span(own, Some(self.root), name, [at(0), at(round.done_us)], attributes);
        let pieces = (1..).zip(&round.pieces).map(move |(number, piece)| {
            let PieceTime { worker, leaves, is_backup, given_us, answered_us, .. } = *piece;
            let times = [at(given_us), at(answered_us.unwrap_or(round.summed_us))];
            let attributes = vec![
                attribute("lockstep.worker", names.get(&worker).map_or("unknown", String::as_str).into()),
                attribute("lockstep.micro_batches", leaves.into()),
                attribute("lockstep.backup", is_backup.into()),
                attribute("lockstep.used", answered_us.is_some().into()),
            ];
            self.span(self.child(round.round.0, number), Some(own), "piece", times, attributes)
        });
        std::iter::once(span).chain(pieces)
    }

    /// The span of a checkpoint that was written.
    pub(super) fn checkpoint(&self, checkpoint: Step, path: &str, time: f64) -> Value {
        let attributes =
            vec![attribute("lockstep.step", checkpoint.0.into()), attribute("lockstep.path", path.into())];
        let own = self.child(u64::MAX - checkpoint.0, 0);
        self.span(own, Some(self.root), "checkpoint", [time, time], attributes)
    }

    /// The number of the span of a round (0), or of one of its pieces. Neighbouring inputs must not give
    /// equal numbers: the step of splitmix64 (Steele, Lea and Flood 2014).
    fn child(&self, round: u64, piece: u64) -> u64 {
        let mixed = |mut bits: u64| {
            bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            bits ^ (bits >> 31)
        };
        mixed(mixed(self.root.wrapping_add(round)).wrapping_add(piece)).max(1)
    }

    fn span(
        &self,
        id: u64,
        parent: Option<u64>,
        name: &str,
        [from, to]: [f64; 2],
        attributes: Vec<Value>,
    ) -> Value {
        let nanoseconds = |seconds: f64| ((seconds.max(0.0) * 1e6).round() as u64 * 1000).to_string();
        let mut span = json!({
            "traceId": self.id,
            "spanId": format!("{id:016x}"),
            "name": name,
            "kind": INTERNAL,
            "startTimeUnixNano": nanoseconds(from),
            "endTimeUnixNano": nanoseconds(to.max(from)),
            "attributes": attributes,
        });
        if let Some(parent) = parent {
            span["parentSpanId"] = format!("{parent:016x}").into();
        }
        span
    }
}

fn attribute(key: &str, value: Value) -> Value {
    let value = match value {
        Value::Bool(value) => json!({ "boolValue": value }),
        Value::Number(value) => json!({ "intValue": value.to_string() }),
        value => json!({ "stringValue": value }),
    };
    json!({ "key": key, "value": value })
}

/// The body of a request with these spans.
pub(super) fn request(spans: Vec<Value>) -> Vec<u8> {
    let resource = json!({ "attributes": [attribute("service.name", "lockstep".into())] });
    let scope = json!({ "name": "lockstep", "version": env!("CARGO_PKG_VERSION") });
    let scope_spans = json!([{ "scope": scope, "spans": spans }]);
    json!({ "resourceSpans": [{ "resource": resource, "scopeSpans": scope_spans }] }).to_string().into_bytes()
}
