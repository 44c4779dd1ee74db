//! Lines of `metrics.jsonl`. Those of kind `run`, `step`, `validation`, `test` and `pseudo_labels` have
//! stable fields; the others are events under their own names.

use common::event::{Evaluation, Event, Phases, PseudoLabelsRecord, RunRecord, StepRecord, ValidationRecord};
use common::ids::Step;
use serde::Serialize;
use serde_json::{Map, Value};

/// A line of the file with its time.
#[derive(Clone, Debug, Serialize)]
pub struct Timed<'a> {
    /// What happened.
    #[serde(flatten)]
    pub record: &'a Record<'a>,
    /// When the line was written, in seconds since 1970.
    pub time: f64,
    /// For a step, the parts of its time, in microseconds.
    #[serde(flatten)]
    pub phases: Option<Phases>,
}

/// A line of the file but for its time; `kind` says which.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Record<'a> {
    /// A line about the training itself.
    Run(RunLine<'a>),
    /// A line about any other event.
    Other(OtherLine),
}

/// A line about the training itself.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum RunLine<'a> {
    /// The coordinator started, resumed or rolled back the training.
    Run {
        /// Whether the run starts, resumes or rolls back.
        event: RunEvent,
        /// Description of the run, with its first step.
        #[serde(flatten)]
        run: &'a RunRecord,
    },
    /// A step was committed.
    Step(&'a StepRecord),
    /// The model was evaluated on the validation samples.
    Validation(&'a ValidationRecord),
    /// The model was evaluated on the test samples.
    Test(&'a Evaluation),
    /// Unlabelled samples have labels for the epoch that begins.
    #[serde(rename = "pseudo_labels")]
    PseudoLabels(&'a PseudoLabelsRecord),
}

/// A line about any other event.
#[derive(Clone, Debug, Serialize)]
pub struct OtherLine {
    /// Name of the event.
    kind: Value,
    /// Step that the event belongs to: a run that rolls back to this step drops it.
    step: Value,
    /// All other fields of the event.
    #[serde(flatten)]
    fields: Map<String, Value>,
}

/// Whether a run starts, resumes or rolls back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RunEvent {
    /// Start without a checkpoint.
    Start,
    /// Resumption from a checkpoint.
    Resume,
    /// Rollback to a checkpoint or to the beginning, in the same process, because a worker that miscomputes
    /// had contributed to the later steps.
    Rollback,
}

impl<'a> Record<'a> {
    /// The line of a run that starts, resumes or rolls back.
    #[must_use]
    pub fn run(event: RunEvent, run: &'a RunRecord) -> Self {
        Self::Run(RunLine::Run { event, run })
    }

    /// The line of a committed step.
    #[must_use]
    pub fn step(step: &'a StepRecord) -> Self {
        Self::Run(RunLine::Step(step))
    }

    /// The line of a validation.
    #[must_use]
    pub fn validation(validation: &'a ValidationRecord) -> Self {
        Self::Run(RunLine::Validation(validation))
    }

    /// The line of the test.
    #[must_use]
    pub fn test(test: &'a Evaluation) -> Self {
        Self::Run(RunLine::Test(test))
    }

    /// The line of labels that unlabelled samples have got.
    #[must_use]
    pub fn pseudo_labels(labels: &'a PseudoLabelsRecord) -> Self {
        Self::Run(RunLine::PseudoLabels(labels))
    }

    /// The line of any other event. An event without a step of its own belongs to `step`. `left_out` is the
    /// number of such events before it that have no line.
    #[must_use]
    pub fn other(event: &Event, step: Step, left_out: Option<u64>) -> Self {
        // An event consists of maps with text keys, so it has a JSON form.
        let mut fields = match serde_json::to_value(event) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        if let Some(left_out) = left_out {
            fields.insert("left_out".to_owned(), left_out.into());
        }
        let kind = fields.remove("event").unwrap_or_default();
        let step = fields.remove("step").unwrap_or_else(|| step.0.into());
        Self::Other(OtherLine { kind, step, fields })
    }
}
