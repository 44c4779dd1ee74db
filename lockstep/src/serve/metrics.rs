//! What is counted, and how Prometheus reads it: its text format 0.0.4.
//!
//! Labels have a fixed number of values, whatever is asked for.

use coordinator::http::connections::Watch;
use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bounds of the buckets for seconds and for inputs of a batch.
const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
const INPUTS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 64.0];

/// All counters.
#[derive(Debug, Default)]
pub struct Metrics {
    counts: Mutex<Counts>,
    connections: AtomicUsize,
}

#[derive(Debug, Default)]
struct Counts {
    requests: BTreeMap<(&'static str, u16), u64>,
    seconds: BTreeMap<&'static str, Histogram>,
    pictures: BTreeMap<&'static str, u64>,
    refusals: BTreeMap<&'static str, u64>,
    batches: Histogram,
    left_waiting: u64,
}

/// How often a value was at most each of some bounds.
#[derive(Clone, Debug, Default)]
struct Histogram {
    buckets: BTreeMap<usize, u64>,
    count: u64,
    sum: f64,
}

/// What waits at the moment.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Pictures in each lane.
    pub lanes: Vec<(&'static str, usize)>,
    /// Pieces for the model.
    pub model: usize,
}

impl Watch for Metrics {
    fn waits(&self) {
        self.counts().left_waiting += 1;
    }

    fn opened(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    fn closed(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    /// Counts an answer, and why it is none.
    pub fn request(&self, path: &'static str, status: u16, reason: Option<&'static str>, took: Duration) {
        let mut counts = self.counts();
        *counts.requests.entry((path, status)).or_default() += 1;
        counts.seconds.entry(path).or_default().add(SECONDS, took.as_secs_f64());
        if let Some(reason) = reason {
            *counts.refusals.entry(reason).or_default() += 1;
        }
    }

    /// Counts a picture that was answered, alone or as a row.
    pub fn picture(&self, kind: &'static str) {
        *self.counts().pictures.entry(kind).or_default() += 1;
    }

    /// Counts inputs that were computed together.
    pub fn batch(&self, inputs: usize) {
        self.counts().batches.add(INPUTS, inputs as f64);
    }

    /// All of it as text.
    #[must_use]
    pub fn text(&self, waiting: &Waiting) -> String {
        let counts = self.counts();
        let mut text = Text::default();
        text.head("requests_total", "counter", "Answers by path and status.");
        for ((path, status), count) in &counts.requests {
            text.line("requests_total", &format!("path=\"{path}\",status=\"{status}\""), count);
        }
        text.head("request_seconds", "histogram", "Time from a request's head to its answer.");
        for (path, seconds) in &counts.seconds {
            text.histogram("request_seconds", &format!("path=\"{path}\""), SECONDS, seconds);
        }
        text.head("pictures_total", "counter", "Pictures that were answered, alone or as a row of digits.");
        for (kind, count) in &counts.pictures {
            text.line("pictures_total", &format!("kind=\"{kind}\""), count);
        }
        text.head("errors_total", "counter", "Requests without an answer, by reason.");
        for (reason, count) in &counts.refusals {
            text.line("errors_total", &format!("reason=\"{reason}\""), count);
        }
        text.head("batch_inputs", "histogram", "Inputs that the model computed together.");
        text.histogram("batch_inputs", "", INPUTS, &counts.batches);
        text.head(
            "waiting",
            "gauge",
            "Pictures that wait, by kind, and pieces of them that wait for the model.",
        );
        for (lane, count) in &waiting.lanes {
            text.line("waiting", &format!("for=\"{lane}\""), count);
        }
        text.line("waiting", "for=\"model\"", waiting.model);
        text.head("connections", "gauge", "Open connections.");
        text.line("connections", "", self.connections.load(Ordering::Relaxed));
        text.head(
            "connections_waited_total",
            "counter",
            "Connections that waited for the end of another one.",
        );
        text.line("connections_waited_total", "", counts.left_waiting);
        text.0
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Histogram {
    fn add(&mut self, bounds: &[f64], value: f64) {
        let bucket = bounds.partition_point(|bound| *bound < value);
        *self.buckets.entry(bucket).or_default() += 1;
        self.count += 1;
        self.sum += value;
    }
}

/// Lines of the format. Writing to a string can't fail.
#[derive(Default)]
struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP lockstep_serve_{name} {help}\n# TYPE lockstep_serve_{name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: impl Display) {
        let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let _ = writeln!(self.0, "lockstep_serve_{name}{labels} {value}");
    }

    fn histogram(&mut self, name: &str, labels: &str, bounds: &[f64], values: &Histogram) {
        let comma = if labels.is_empty() { "" } else { "," };
        let mut so_far = 0;
        for (bucket, bound) in bounds.iter().enumerate() {
            so_far += values.buckets.get(&bucket).copied().unwrap_or(0);
            self.line(&format!("{name}_bucket"), &format!("{labels}{comma}le=\"{bound}\""), so_far);
        }
        self.line(&format!("{name}_bucket"), &format!("{labels}{comma}le=\"+Inf\""), values.count);
        self.line(&format!("{name}_sum"), labels, values.sum);
        self.line(&format!("{name}_count"), labels, values.count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_count_all_that_is_no_more_than_their_bound() {
        let metrics = Metrics::default();
        for inputs in [1, 5, 6, 64, 65] {
            metrics.batch(inputs);
        }
        metrics.request("/predict", 413, Some("large_body"), Duration::from_millis(3));
        metrics.opened();
        let waiting = Waiting { lanes: vec![("small", 3)], model: 2 };
        let text = metrics.text(&waiting);
        for line in [
            "lockstep_serve_batch_inputs_bucket{le=\"1\"} 1",
            "lockstep_serve_batch_inputs_bucket{le=\"5\"} 2",
            "lockstep_serve_batch_inputs_bucket{le=\"64\"} 4",
            "lockstep_serve_batch_inputs_bucket{le=\"+Inf\"} 5",
            "lockstep_serve_batch_inputs_sum 141",
            "lockstep_serve_requests_total{path=\"/predict\",status=\"413\"} 1",
            "lockstep_serve_request_seconds_bucket{path=\"/predict\",le=\"0.0025\"} 0",
            "lockstep_serve_request_seconds_bucket{path=\"/predict\",le=\"0.005\"} 1",
            "lockstep_serve_errors_total{reason=\"large_body\"} 1",
            "lockstep_serve_waiting{for=\"small\"} 3",
            "lockstep_serve_connections 1",
        ] {
            assert!(text.lines().any(|known| known == line), "{line} is not in:\n{text}");
        }
        metrics.closed();
        assert!(metrics.text(&waiting).contains("lockstep_serve_connections 0"));
    }
}
