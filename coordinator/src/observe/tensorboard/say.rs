//! What is said in a TensorBoard file, under which tags: events of a run as records, without a file.
//!
//! ```text
//! train/loss, accuracy, learning_rate, grad_norm, samples_per_s, workers     each step
//! validation/loss, accuracy, macro_f1, confusion                             each validation
//! test/...                                                                   each test
//! validation/averaged/..., test/best/..., test/views/...                     other weights, and nine views
//! pseudo_labels/labelled, right                                              before an epoch
//! weights/<tensor>                                                           each checkpoint
//! run/config, and the records of the plugin hparams                          at the run's beginning
//! ```
//!
//! Numbers are those of `metrics.jsonl`, rounded to f32: TensorBoard has no larger ones for curves.

use super::proto::{
    DATA_CLASS_TENSOR, DT_FLOAT, DT_STRING, Dim, Event, Experiment, HParam, HParamInfo, HParams, Histogram,
    Image, Metadata, MetricInfo, MetricName, PluginData, Seen, SessionEnd, SessionStart, Shape, Summary,
    Tensor, Value,
};
use common::event::{Evaluation, PseudoLabelsRecord, RunOutcome, RunRecord, StepRecord};
use common::ids::Step;
use common::text::shortened;
use common::train::average::Weights;
use prost::Message;
use std::collections::BTreeMap;

/// Tag of the text with the configuration.
const CONFIG_TAG: &str = "run/config";
/// Tags by which the plugin hparams finds its records.
const EXPERIMENT_TAG: &str = "_hparams_/experiment";
const SESSION_START_TAG: &str = "_hparams_/session_start_info";
const SESSION_END_TAG: &str = "_hparams_/session_end_info";
/// Tags whose last values the plugin hparams shows, and whether they are of the training.
const METRICS: [(&str, bool); 6] = [
    ("test/accuracy", false),
    ("test/loss", false),
    ("validation/accuracy", false),
    ("validation/loss", false),
    ("train/accuracy", true),
    ("train/loss", true),
];

/// A step's number in a record.
pub(super) fn step(step: Step) -> i64 {
    i64::try_from(step.0).unwrap_or(i64::MAX)
}

/// Whether a record has what a run says once, at its beginning.
pub(super) fn is_introduction(event: &Seen) -> bool {
    tags(event).any(|tag| tag == SESSION_START_TAG)
}

/// Whether a run that goes on with `at` says again what a record has, or something else in its place.
pub(super) fn is_done_again(event: &Seen, at: Step) -> bool {
    let is_result = event.summary.is_some() && !is_introduction(event);
    is_result && (event.step >= step(at) || tags(event).any(|tag| tag == SESSION_END_TAG))
}

/// Tags of a record's values.
pub(super) fn tags(event: &Seen) -> impl Iterator<Item = &str> {
    event.summary.iter().flat_map(|summary| summary.value.iter().map(|value| value.tag.as_str()))
}

/// A record of values that belong to a step.
pub(super) fn record(at: Step, value: Vec<Value>, now: f64) -> Event {
    Event { wall_time: now, step: step(at), summary: Some(Summary { value }), ..Event::default() }
}

/// What is known of a run from its beginning on: its configuration as a text and as hyperparameters.
pub(super) fn introduction(run: &RunRecord, now: f64) -> Event {
    let hparams: BTreeMap<_, _> =
        run.config.iter().map(|(name, text)| (name.clone(), hparam(text))).collect();
    let hparam_infos =
        hparams.iter().map(|(name, value)| HParamInfo { name: name.clone(), r#type: kind(value) });
    let metric_infos = METRICS.map(|(tag, is_training)| MetricInfo {
        name: Some(MetricName { tag: tag.to_owned() }),
        display_name: tag.to_owned(),
        dataset_type: if is_training { 1 } else { 2 },
    });
    let experiment = Experiment {
        time_created_secs: now,
        hparam_infos: hparam_infos.collect(),
        metric_infos: metric_infos.into(),
    };
    let start = SessionStart { group_name: run.fingerprint.clone(), start_time_secs: now, hparams };
    let values = vec![
        text(CONFIG_TAG, &table(run)),
        of_hparams(EXPERIMENT_TAG, &HParams { experiment: Some(experiment), ..HParams::default() }),
        of_hparams(SESSION_START_TAG, &HParams { session_start_info: Some(start), ..HParams::default() }),
    ];
    record(Step(0), values, now)
}

/// How a run has ended, for the plugin hparams. One that was stopped has not: it may go on.
pub(super) fn ending(last: Step, outcome: &RunOutcome, now: f64) -> Option<Event> {
    let status = match outcome {
        RunOutcome::Complete => 1,
        RunOutcome::Failed { .. } => 2,
        RunOutcome::Stopped => return None,
    };
    let session_end_info = Some(SessionEnd { status, end_time_secs: now });
    let ending = of_hparams(SESSION_END_TAG, &HParams { session_end_info, ..HParams::default() });
    Some(record(last, vec![ending], now))
}

/// The numbers of a step.
pub(super) fn of_step(record: &StepRecord) -> Vec<Value> {
    let numbers = [
        ("loss", Some(record.loss)),
        ("accuracy", Some(record.accuracy)),
        ("learning_rate", Some(record.learning_rate)),
        ("grad_norm", record.grad_norm),
        ("samples_per_s", Some(record.samples_per_s)),
        ("workers", Some(record.workers as f64)),
    ];
    numbers.into_iter().filter_map(|(name, number)| Some(scalar(format!("train/{name}"), number?))).collect()
}

/// The numbers of an evaluation, and the picture of its confusion matrix if there is one.
pub(super) fn of_evaluation(what: &str, evaluation: &Evaluation, picture: Option<Image>) -> Vec<Value> {
    let prefix = prefix(what, evaluation);
    let numbers =
        [("loss", evaluation.loss), ("accuracy", evaluation.accuracy), ("macro_f1", evaluation.macro_f1)];
    let scalars = numbers.into_iter().map(|(name, number)| scalar(format!("{prefix}/{name}"), number));
    let picture = picture.map(|image| Value {
        tag: format!("{prefix}/confusion"),
        image: Some(image),
        ..Value::default()
    });
    scalars.chain(picture).collect()
}

fn prefix(what: &str, evaluation: &Evaluation) -> String {
    let weights = match evaluation.weights {
        Weights::Last => "",
        Weights::Averaged => "/averaged",
        Weights::Best => "/best",
    };
    let views = if evaluation.views { "/views" } else { "" };
    format!("{what}{weights}{views}")
}

/// The numbers of labels that were guessed.
pub(super) fn of_pseudo_labels(labels: &PseudoLabelsRecord) -> Vec<Value> {
    let numbers = [("labelled", labels.labelled), ("right", labels.right)];
    let scalar = |(name, number)| scalar(format!("pseudo_labels/{name}"), number as f64);
    numbers.map(scalar).into()
}

/// The histogram of a tensor of the model.
pub(super) fn of_tensor(name: &str, histogram: Histogram) -> Value {
    Value { tag: format!("weights/{name}"), histo: Some(histogram), ..Value::default() }
}

fn scalar(tag: String, number: f64) -> Value {
    Value { tag, simple_value: Some(number as f32), ..Value::default() }
}

/// A text in Markdown.
fn text(tag: &str, text: &str) -> Value {
    let shape = Some(Shape::default());
    let tensor = Tensor { dtype: DT_STRING, tensor_shape: shape, string_val: vec![text.as_bytes().to_vec()] };
    of_plugin(tag, "text", Vec::new(), tensor)
}

/// A record of the plugin hparams, which is in the tag's metadata. Its value is empty.
fn of_hparams(tag: &str, content: &HParams) -> Value {
    let shape = Some(Shape { dim: vec![Dim { size: 0 }] });
    let tensor = Tensor { dtype: DT_FLOAT, tensor_shape: shape, string_val: Vec::new() };
    of_plugin(tag, "hparams", content.encode_to_vec(), tensor)
}

fn of_plugin(tag: &str, plugin: &str, content: Vec<u8>, tensor: Tensor) -> Value {
    let plugin_data = Some(PluginData { plugin_name: plugin.to_owned(), content });
    let metadata = Some(Metadata { plugin_data, data_class: DATA_CLASS_TENSOR });
    Value { tag: tag.to_owned(), tensor: Some(tensor), metadata, ..Value::default() }
}

/// A setting as a hyperparameter: a number, true or false, or a text.
fn hparam(text: &str) -> HParam {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite());
    let truth = text.parse().ok();
    let is_text = number.is_none() && truth.is_none();
    HParam { number_value: number, bool_value: truth, string_value: is_text.then(|| shortened(text)) }
}

fn kind(value: &HParam) -> i32 {
    match value {
        HParam { number_value: Some(_), .. } => 3,
        HParam { bool_value: Some(_), .. } => 2,
        _ => 1,
    }
}

/// The configuration as a table in Markdown.
fn table(run: &RunRecord) -> String {
    let counts = [
        ("steps", run.steps_total),
        ("steps of an epoch", run.steps_per_epoch),
        ("parameters", run.parameters),
        ("training samples", run.train_samples),
        ("validation samples", run.validation_samples),
    ];
    let rows = run.config.iter().map(|(name, value)| format!("| {name} | {} |\n", cell(value)));
    let counts = counts.map(|(name, count)| format!("| *{name}* | {count} |\n"));
    let fingerprint = format!("| *fingerprint* | `{}` |\n", run.fingerprint);
    let head = "| setting | value |\n|---|---|\n".to_owned();
    head + &rows.chain(counts).chain([fingerprint]).collect::<String>()
}

/// The beginning of a value, as code in a cell of a table.
fn cell(value: &str) -> String {
    let short = shortened(value).replace(['`', '\n', '\r'], " ").replace('|', "\\|");
    if short.trim().is_empty() { String::new() } else { format!("`{short}`") }
}
