//! The run's numbers in the OpenMetrics format, for Prometheus.
//!
//! Who does not ask for OpenMetrics gets the older text format, which names counters otherwise.
//!
//! A registry is filled for each answer: there is one every few seconds. Names and units follow the format's
//! conventions. Labels are the names of workers, of which the view keeps a bounded number, and a fixed set of
//! reasons and phases.

use crate::observe::view::workers::Row;
use crate::observe::view::{State, View};
use common::event::Phases;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::{Registry, Unit};
use std::fmt::Write as _;
use std::sync::atomic::AtomicU64;

/// Media type of OpenMetrics, also as whoever understands it asks for it.
const OPEN_METRICS: &str = "application/openmetrics-text";
/// Media types of the answer; under another one counters would be read as of unknown type.
const CONTENT_TYPES: [&str; 2] = [
    "application/openmetrics-text; version=1.0.0; charset=utf-8",
    "text/plain; version=0.0.4; charset=utf-8",
];
/// Prefix of all names.
const PREFIX: &str = "lockstep";

type Labels = Vec<(&'static str, String)>;
type Gauges = Family<Labels, Gauge<f64, AtomicU64>>;
type Counters = Family<Labels, Counter<u64, AtomicU64>>;
type Seconds = Family<Labels, Counter<f64, AtomicU64>>;

/// Media type and text of the answer to a request with this `Accept` header.
pub(super) fn answer(view: &View, accept: &str) -> (&'static str, String) {
    let text = text(view);
    let [open, plain] = CONTENT_TYPES;
    if accept.contains(OPEN_METRICS) { (open, text) } else { (plain, to_plain(&text)) }
}

/// The older format: the total of a counter is described under its own name, and units are part of names.
fn to_plain(text: &str) -> String {
    let counters: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let mut plain = String::with_capacity(text.len());
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        let [sign, kind, name] = [words.next(), words.next(), words.next()].map(Option::unwrap_or_default);
        let is_counter = sign == "#" && counters.contains(&name);
        match (sign, kind) {
            ("#", "EOF" | "UNIT") => {}
            ("#", _) if is_counter => {
                // A string has no end.
                let _ = writeln!(plain, "# {kind} {name}_total {}", words.next().unwrap_or_default());
            }
            _ => {
                plain += line;
                plain.push('\n');
            }
        }
    }
    plain
}

/// All numbers as text.
fn text(view: &View) -> String {
    let mut registry = Registry::with_prefix(PREFIX);
    run(&mut registry, view);
    training(&mut registry, view);
    cluster(&mut registry, view);
    workers(&mut registry, view.workers.rows());
    let mut text = String::new();
    // Writing to a string can't fail.
    let _ = encode(&mut text, &registry);
    text
}

fn run(registry: &mut Registry, view: &View) {
    let Some(run) = &view.run else { return };
    let labels = [("run_id", run.run_id.clone()), ("fingerprint", run.fingerprint.clone())];
    let of_config = ["model", "optimizer", "dataset"].map(|name| {
        let value = run.config.get(name).cloned().unwrap_or_default();
        (name, value)
    });
    let info: Gauges = Family::default();
    info.get_or_create(&labels.into_iter().chain(of_config).collect()).set(1.0);
    registry.register("run_info", "The run, in labels", info);
    let states: Gauges = Family::default();
    let own = match view.state {
        State::Preparing => "preparing",
        State::Waiting => "waiting",
        State::Training => "training",
        State::Stopping => "stopping",
        State::Complete => "complete",
        State::Stopped => "stopped",
        State::Failed(_) => "failed",
    };
    for state in ["preparing", "waiting", "training", "stopping", "complete", "stopped", "failed"] {
        let is_own = f64::from(u8::from(state == own));
        states.get_or_create(&vec![("state", state.to_owned())]).set(is_own);
    }
    registry.register("run_state", "1 for the state that the run is in", states);
    gauge(registry, "run_steps", "Optimizer steps of the whole run", run.steps_total as f64);
    gauge(registry, "run_steps_done", "Optimizer steps that are done", view.steps_done as f64);
}

fn training(registry: &mut Registry, view: &View) {
    let Some(point) = &view.last else { return };
    gauge(registry, "train_loss", "Mean cross-entropy of the last step's samples, in nats", point.loss);
    gauge(registry, "train_accuracy_ratio", "Share of them that were classified correctly", point.accuracy);
    gauge(registry, "learning_rate", "Learning rate of the last step", point.learning_rate);
    if let Some(norm) = point.grad_norm {
        gauge(registry, "gradient_norm", "L2 norm of the last step's mean gradient", norm);
    }
    gauge(registry, "samples_per_second", "Training speed over the last steps", point.samples_per_s);
    if let Some(Phases { compute_us, wait_us, reduce_us, optimizer_us }) = point.phases {
        let phases: Gauges = Family::default();
        let parts =
            [("compute", compute_us), ("wait", wait_us), ("reduce", reduce_us), ("optimizer", optimizer_us)];
        for (phase, us) in parts {
            phases.get_or_create(&vec![("phase", phase.to_owned())]).set(us as f64 / 1e6);
        }
        let help = "Time of the last step by its parts, which follow each other";
        registry.register_with_unit("step_phase", help, Unit::Seconds, phases);
    }
    let [loss, accuracy]: [Gauges; 2] = Default::default();
    for evaluated in view.newest_evaluations() {
        let labels: Labels =
            vec![("data", evaluated.kind.to_owned()), ("weights", evaluated.weights.to_string())];
        loss.get_or_create(&labels).set(evaluated.loss);
        accuracy.get_or_create(&labels).set(evaluated.accuracy);
    }
    registry.register("evaluation_loss", "Mean cross-entropy of the last evaluation, in nats", loss);
    registry.register("evaluation_accuracy_ratio", "Accuracy of the last evaluation", accuracy);
}

fn cluster(registry: &mut Registry, view: &View) {
    let counts = &view.counts;
    for (name, help, count) in [
        ("steps", "Steps that this coordinator has committed", counts.steps),
        ("rounds", "Rounds that were completed: steps and evaluations", counts.rounds),
        ("backup_tasks", "Pieces that a second worker was given because the first was late", counts.backups),
        ("gradients_doubted", "Gradients out of line, computed again", counts.doubted),
        ("rollbacks", "Times that the run went back", counts.rolled_back),
        ("checkpoints", "Checkpoints that were written", counts.checkpoints),
        ("checkpoint_failures", "Checkpoints that could not be written", counts.checkpoints_failed),
        ("events_lost", "Events that an observer was too slow for", counts.events_lost),
    ] {
        registry.register(name, help, ConstCounter::new(count));
    }
    let changes: Counters = Family::default();
    let kinds = [
        ("joined", counts.joined),
        ("left", counts.left),
        ("dropped", counts.dropped),
        ("refused", counts.refused),
        ("late", counts.late),
    ];
    for (what, count) in kinds {
        changes.get_or_create(&vec![("what", what.to_owned())]).inc_by(count);
    }
    registry.register("worker_changes", "Workers that came, went or fell behind", changes);
    let present: Gauges = Family::default();
    for (state, count) in ["member", "spare"].into_iter().zip(view.workers.present()) {
        present.get_or_create(&vec![("state", state.to_owned())]).set(count as f64);
    }
    registry.register("workers", "Workers that are there", present);
}

fn workers(registry: &mut Registry, rows: &[Row]) {
    let [memory, leaf]: [Gauges; 2] = Default::default();
    let cpu: Seconds = Family::default();
    let [pieces, received, sent]: [Counters; 3] = Default::default();
    for row in rows.iter().filter(|row| row.state != "gone") {
        let labels: Labels = vec![("worker", row.name.clone())];
        memory.get_or_create(&labels).set(row.resident_bytes as f64);
        cpu.get_or_create(&labels).inc_by(row.cpu_seconds);
        pieces.get_or_create(&labels).inc_by(row.pieces);
        received.get_or_create(&labels).inc_by(row.received_bytes);
        sent.get_or_create(&labels).inc_by(row.sent_bytes);
        if let Some(leaf_ms) = row.leaf_ms {
            leaf.get_or_create(&labels).set(leaf_ms / 1e3);
        }
    }
    let mut add = |name, help, unit, metric: Gauges| registry.register_with_unit(name, help, unit, metric);
    add("worker_memory", "Memory of a worker's process", Unit::Bytes, memory);
    add("worker_leaf", "Mean time of a micro-batch, with both ways over the network", Unit::Seconds, leaf);
    registry.register_with_unit("worker_cpu", "CPU time of a worker's process", Unit::Seconds, cpu);
    registry.register("worker_pieces", "Pieces whose answers were used", pieces);
    registry.register_with_unit("worker_received", "Gradients from a worker", Unit::Bytes, received);
    registry.register_with_unit("worker_sent", "Messages to a worker", Unit::Bytes, sent);
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: f64) {
    registry.register(name, help, ConstGauge::new(value));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::step_record;
    use common::event::{Event, RunRecord};
    use common::ids::{Incarnation, Rank, Step};

    #[test]
    fn numbers_have_types_units_and_labels() {
        let mut view = View::default();
        view.apply(1.0, &Event::RunStarted(RunRecord { steps_total: 9, ..RunRecord::default() }));
        let worker = "a \"b\"\n".to_owned();
        let incarnation = Incarnation(1);
        let joined = Event::WorkerJoined { worker, rank: Rank(0), incarnation, step: Step(0), workers: 1 };
        view.apply(2.0, &joined);
        view.apply(3.0, &Event::Step(step_record(4, 0)));
        let text = text(&view);
        for line in [
            "# TYPE lockstep_train_loss gauge",
            "lockstep_train_loss 0.25",
            "lockstep_run_steps_done 5.0",
            "# TYPE lockstep_steps counter",
            "lockstep_steps_total 1",
            "lockstep_worker_changes_total{what=\"joined\"} 1",
            "# UNIT lockstep_worker_memory_bytes bytes",
            "lockstep_worker_memory_bytes{worker=\"a \\\"b\\\"\\n\"} 0.0",
            "lockstep_run_state{state=\"waiting\"} 1.0",
            "# EOF",
        ] {
            assert!(text.lines().any(|own| own == line), "{line} is not in:\n{text}");
        }
        let (kind, plain) = answer(&view, "text/plain, */*");
        assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
        let lines = ["# TYPE lockstep_steps_total counter", "lockstep_steps_total 1"];
        assert!(lines.iter().all(|line| plain.lines().any(|own| own == *line)), "{plain}");
        assert!(!plain.contains("# EOF") && !plain.contains("# UNIT"));
        let (kind, open) = answer(&view, "application/openmetrics-text;version=1.0.0,*/*");
        assert!(kind.starts_with(OPEN_METRICS) && open.ends_with("# EOF\n"), "{kind}");
    }
}
