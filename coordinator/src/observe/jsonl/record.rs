//! The lines of `metrics.jsonl`. Those of kind `run`, `step`, `validation` and `test` keep their fields; the
//! others are events under their own names.

use common::event::{Evaluation, Event, RunRecord, StepRecord, ValidationRecord};
use common::ids::Step;
use serde::Serialize;
use serde_json::{Map, Value};

/// A line of the file; `kind` says which.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Record<'a> {
    /// One of the lines that make up a run.
    Run(RunLine<'a>),
    /// Something that happened on the way.
    Other(OtherLine),
}

/// A line that makes up a run.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum RunLine<'a> {
    /// The coordinator began to train.
    Run {
        /// Whether that is a beginning.
        event: RunEvent,
        /// The run.
        #[serde(flatten)]
        run: &'a RunRecord,
    },
    /// A step was committed.
    Step(&'a StepRecord),
    /// The model met the validation samples.
    Validation(&'a ValidationRecord),
    /// The model met the test samples.
    Test(&'a Evaluation),
}

/// Something that happened on the way.
#[derive(Clone, Debug, Serialize)]
pub struct OtherLine {
    /// The event's name.
    kind: Value,
    /// The step that it belongs to: a run that goes back to this step drops it.
    step: Value,
    /// All else that the event has.
    #[serde(flatten)]
    fields: Map<String, Value>,
}

/// Whether a run begins or goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RunEvent {
    /// From nothing.
    Start,
    /// From a checkpoint.
    Resume,
    /// From a checkpoint or from nothing, in the same process: a worker had a hand in the rest that
    /// miscomputes.
    Rollback,
}

impl<'a> Record<'a> {
    /// A run that begins or goes on.
    #[must_use]
    pub fn run(event: RunEvent, run: &'a RunRecord) -> Self {
        Self::Run(RunLine::Run { event, run })
    }

    /// A step.
    #[must_use]
    pub fn step(step: &'a StepRecord) -> Self {
        Self::Run(RunLine::Step(step))
    }

    /// A validation.
    #[must_use]
    pub fn validation(validation: &'a ValidationRecord) -> Self {
        Self::Run(RunLine::Validation(validation))
    }

    /// The test.
    #[must_use]
    pub fn test(test: &'a Evaluation) -> Self {
        Self::Run(RunLine::Test(test))
    }

    /// Any other event. One that has no step of its own belongs to `step`. `left_out` such events came before
    /// and have no line.
    #[must_use]
    pub fn other(event: &Event, step: Step, left_out: Option<u64>) -> Self {
        // An event is maps with text for keys: it has a form in JSON.
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
