//! `journal.log`: the trials as a journal of Optuna, which `JournalStorage` with a `JournalFileBackend`
//! opens.
//!
//! A line of JSON for each operation: one that creates the study, and one for each trial with all that is
//! known of it. Numbers of operations, states and directions are those of Optuna 3 to 5. The times are those
//! of the beginning of time: what is written depends on the results alone.

use super::error::SweepError;
use super::file::Space;
use super::plan::{Plan, Trial};
use super::state::{State, replace};
use crate::trials::settings;
use common::search::halving::{Outcome, Stage};
use common::search::range::Range;
use serde_json::{Map, Value, json};

/// Name of the journal in the folder of the search.
const JOURNAL_FILE: &str = "journal.log";
/// Operations of the journal.
const CREATE_STUDY: u32 = 0;
const CREATE_TRIAL: u32 = 4;
/// The study's direction: the most correct answers.
const MAXIMIZE: u32 = 2;
/// States of a trial.
const RUNNING: u32 = 0;
const COMPLETE: u32 = 1;
const PRUNED: u32 = 2;
const FAIL: u32 = 3;
/// Name of the process that Optuna takes for the journal's writer.
const WRITER: &str = "lockstep";
/// Time of each entry: Optuna wants one, and the real ones would change the bytes.
const TIME: &str = "1970-01-01T00:00:00.000000+00:00";

/// Writes the journal.
///
/// # Errors
/// When the file system refuses.
pub(super) fn write(plan: &Plan, state: &State) -> Result<(), SweepError> {
    let name = plan.file.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let study = json!({
        "op_code": CREATE_STUDY, "worker_id": WRITER, "study_name": name, "directions": [MAXIMIZE],
    });
    let mut text = format!("{study}\n");
    for number in 0..plan.trials.len() as u32 {
        text += &format!("{}\n", operation(plan, state, number));
    }
    replace(&plan.folder.join(JOURNAL_FILE), text.as_bytes())
}

/// The operation that creates a trial as it is.
fn operation(plan: &Plan, state: &State, number: u32) -> Value {
    let result = |rung, trial| state.result(rung, trial);
    let Trial { settings, fingerprint, seed, .. } = &plan.trials[number as usize];
    let mut distributions = Map::new();
    let mut params = Map::new();
    for (key, value) in settings {
        let (distribution, internal) = parameter(&plan.file.search[key], value);
        // The distribution is a text of JSON within JSON.
        distributions.insert(key.clone(), distribution.to_string().into());
        params.insert(key.clone(), internal);
    }
    let mut intermediate = Map::new();
    let mut last = None;
    let mut diverged = false;
    for rung in 0..plan.rungs.len() {
        match result(rung, number) {
            Some(Outcome::Validated(totals)) => {
                let epochs = state.epochs(rung, number).unwrap_or(0);
                intermediate.insert(epochs.to_string(), totals.accuracy().into());
                last = Some((rung, totals));
            }
            Some(Outcome::Diverged) => diverged = true,
            None => {}
        }
    }
    let is_on = match plan.halving().stage(&result) {
        Stage::Rung { trials, .. } => trials.contains(&number),
        Stage::Chosen(_) => false,
    };
    let state = match last {
        _ if diverged => FAIL,
        Some((rung, _)) if rung + 1 == plan.rungs.len() => COMPLETE,
        _ if is_on => RUNNING,
        _ => PRUNED,
    };
    let is_over = state != RUNNING;
    let value = last.filter(|_| is_over && state != FAIL).map(|(_, totals)| totals.accuracy());
    let mut operation = json!({
        "op_code": CREATE_TRIAL, "worker_id": WRITER, "study_id": 0, "state": state, "value": value,
        "values": null, "datetime_start": TIME, "distributions": distributions, "params": params,
        "user_attrs": {
            "seed": seed, "fingerprint": fingerprint, "validation_loss": last.map(|(_, totals)| totals.loss()),
        },
        "system_attrs": {}, "intermediate_values": intermediate,
    });
    if is_over {
        operation["datetime_complete"] = TIME.into();
    }
    operation
}

/// A parameter's distribution, and its value as Optuna keeps it.
fn parameter(space: &Space, value: &toml::Value) -> (Value, Value) {
    match space {
        Space::Range(Range::Float { from, to, log }) => {
            let attributes = json!({ "low": from, "high": to, "log": log, "step": null });
            let value = value.as_float().unwrap_or(*from);
            (json!({ "name": "FloatDistribution", "attributes": attributes }), value.into())
        }
        Space::Range(Range::Integer { from, to, log }) => {
            let attributes = json!({ "low": from, "high": to, "log": log, "step": 1 });
            let value = value.as_integer().unwrap_or(*from);
            (json!({ "name": "IntDistribution", "attributes": attributes }), value.into())
        }
        Space::List(values) => {
            let choices: Vec<Value> = values.iter().map(choice).collect();
            let index = values.iter().position(|listed| listed == value).unwrap_or(0);
            (
                json!({ "name": "CategoricalDistribution", "attributes": { "choices": choices } }),
                (index as u64).into(),
            )
        }
    }
}

/// A listed value: Optuna takes numbers, texts and truths.
fn choice(value: &toml::Value) -> Value {
    match value {
        toml::Value::Integer(value) => (*value).into(),
        toml::Value::Float(value) if value.is_finite() => (*value).into(),
        toml::Value::Boolean(value) => (*value).into(),
        value => settings::text(value).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_as_optuna_keeps_them() {
        let (distribution, value) = parameter(
            &Space::Range(Range::Float { from: 1e-4, to: 0.5, log: true }),
            &toml::Value::Float(0.25),
        );
        let attributes = json!({ "low": 1e-4, "high": 0.5, "log": true, "step": null });
        assert_eq!(distribution, json!({ "name": "FloatDistribution", "attributes": attributes }));
        assert_eq!(value, json!(0.25));
        let (distribution, value) =
            parameter(&Space::Range(Range::Integer { from: 2, to: 9, log: false }), &toml::Value::Integer(3));
        let attributes = json!({ "low": 2, "high": 9, "log": false, "step": 1 });
        assert_eq!(distribution, json!({ "name": "IntDistribution", "attributes": attributes }));
        assert_eq!(value, json!(3));
        let hidden = toml::Value::Array(vec![64.into(), 32.into()]);
        let list = Space::List(vec!["none".into(), hidden.clone(), true.into()]);
        let (distribution, value) = parameter(&list, &hidden);
        assert_eq!(distribution["attributes"], json!({ "choices": ["none", "64,32", true] }));
        assert_eq!(value, json!(1));
    }
}
