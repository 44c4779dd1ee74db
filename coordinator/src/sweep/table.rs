//! A search as text: lines while it goes on, a table of its trials at the end, and the same as `trials.csv`.

use super::error::SweepError;
use super::file::Method;
use super::plan::Plan;
use super::state::{State, Tested, replace};
use crate::trials::settings;
use common::search::halving::{Outcome, Stage, Standing};
use common::train::metrics::Totals;
use std::fmt::Write as _;
use std::io;

/// The table for other programs.
pub(super) const CSV_FILE: &str = "trials.csv";

/// Text about what a search will do.
pub(super) fn planned(plan: &Plan) -> String {
    let trials = plan.trials.len();
    let method = match plan.file.method {
        Method::Grid => "a grid",
        Method::Random { .. } => "a random search",
        Method::Halving { .. } => "successive halving",
    };
    let rungs: Vec<String> = plan.rungs.iter().map(ToString::to_string).collect();
    let mut text =
        format!("{method} of {trials} trials on {}, {} at a time", plan.data.name, plan.file.parallel);
    if let [_, .., _] = rungs.as_slice() {
        let _ = write!(text, ", pausing at {} epochs", rungs.join(", "));
    }
    let _ = writeln!(text, "; then the best is tested, and trained with {} other seeds", plan.file.repeats);
    text
}

/// What is said when a rung was decided, or the winner is known.
pub(super) fn decided(plan: &Plan, before: &Stage, after: &Stage) -> Option<String> {
    let Stage::Rung { rung, .. } = before else { return None };
    let of = plan.rungs.len();
    match after {
        Stage::Rung { rung: next, trials, .. } if next > rung => {
            let on: Vec<String> = trials.iter().map(ToString::to_string).collect();
            Some(format!("rung {} of {of} is done; trials that go on: {}", rung + 1, on.join(", ")))
        }
        Stage::Chosen(Some(winner)) => {
            let settings = settings::line(&plan.trials[*winner as usize].settings);
            Some(format!("rung {of} of {of} is done; trial {winner} is the best ({settings})"))
        }
        _ => None,
    }
}

/// Text for a number of epochs.
pub(super) fn epochs(epochs: u64) -> String {
    if epochs == 1 { "1 epoch".to_owned() } else { format!("{epochs} epochs") }
}

/// Text for the outcome of a validation.
pub(super) fn validated(outcome: Outcome) -> String {
    match outcome {
        Outcome::Validated(totals) => {
            format!("validation {}, loss {:.4}", accuracy(&totals), totals.loss())
        }
        Outcome::Diverged => "diverged".to_owned(),
    }
}

/// A share of correct answers.
pub(super) fn accuracy(totals: &Totals) -> String {
    format!("{:.2} %", 100.0 * totals.accuracy())
}

/// A trial in the table.
struct Row {
    trial: u32,
    rank: Option<usize>,
    epochs: u64,
    validation: Option<Totals>,
    state: &'static str,
}

/// All trials, the best first.
fn rows(plan: &Plan, state: &State) -> Vec<Row> {
    let result = |rung, trial| state.result(rung, trial);
    let on = match plan.halving().stage(&result) {
        Stage::Rung { trials, .. } => trials,
        Stage::Chosen(winner) => winner.into_iter().collect(),
    };
    let row = |(place, standing): (usize, Standing)| {
        let Standing { trial, reached, diverged } = standing;
        let epochs = reached.and_then(|(rung, _)| state.epochs(rung, trial)).unwrap_or(0);
        let state = match reached {
            _ if diverged => "diverged",
            Some((rung, _)) if rung + 1 == plan.rungs.len() => "complete",
            _ if on.contains(&trial) => "open",
            _ => "out",
        };
        let validation = reached.map(|(_, totals)| totals);
        Row { trial, rank: reached.map(|_| place + 1), epochs, validation, state }
    };
    plan.halving().standings(&result).into_iter().enumerate().map(row).collect()
}

/// A table of the trials.
pub(super) fn trials(plan: &Plan, state: &State) -> String {
    let mut text = "rank  trial  epochs  validation    loss  state     settings\n".to_owned();
    for Row { trial, rank, epochs, validation, state } in rows(plan, state) {
        let settings = settings::line(&plan.trials[trial as usize].settings);
        let rank = rank.map_or("-".to_owned(), |rank| rank.to_string());
        let [accuracy, loss] = validation.map_or(["-".to_owned(), "-".to_owned()], |totals| {
            [accuracy(&totals), format!("{:.4}", totals.loss())]
        });
        let _ = writeln!(
            text,
            "{rank:>4}  {trial:>5}  {epochs:>6}  {accuracy:>10}  {loss:>6}  {state:<8}  {settings}"
        );
    }
    text
}

/// The table of the trials with what the winner came to.
pub(super) fn summary(plan: &Plan, state: &State, is_complete: bool) -> String {
    let mut text = trials(plan, state) + "\n";
    if let Stage::Chosen(Some(winner)) = plan.halving().stage(&|rung, trial| state.result(rung, trial)) {
        let settings = settings::line(&plan.trials[winner as usize].settings);
        let _ = writeln!(text, "winner              trial {winner}: {settings}");
        let _ = writeln!(text, "checkpoints         {}", plan.trial_folder(winner).display());
    }
    if !is_complete {
        text += "stopped; the same command goes on from here\n";
    }
    let mut repeats = Vec::new();
    for Tested { repeat, seed, outcome } in state.tests() {
        let name = if *repeat == 0 { "test" } else { "repeat" };
        let came = match outcome {
            Outcome::Validated(totals) => format!("{}, loss {:.4}", accuracy(totals), totals.loss()),
            Outcome::Diverged => "diverged".to_owned(),
        };
        let _ = writeln!(text, "{:<18}  {came} (seed {seed})", name);
        if let Outcome::Validated(totals) = outcome
            && *repeat > 0
        {
            repeats.push(100.0 * totals.accuracy());
        }
    }
    if let Some((mean, deviation)) = spread(&repeats) {
        let _ = writeln!(
            text,
            "test of repeats     mean {mean:.2} %, standard deviation {deviation:.2} % over {} seeds",
            repeats.len()
        );
    }
    let _ = writeln!(text, "trials              {}", plan.folder.join(CSV_FILE).display());
    text
}

/// Mean and standard deviation of a sample, if it has two values or more.
fn spread(values: &[f64]) -> Option<(f64, f64)> {
    if values.len() < 2 {
        return None;
    }
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    Some((mean, (squares / (count - 1.0)).sqrt()))
}

/// Writes `trials.csv`.
///
/// # Errors
/// When the file system refuses.
pub(super) fn write(plan: &Plan, state: &State) -> Result<(), SweepError> {
    let path = plan.folder.join(CSV_FILE);
    let text = csv(plan, state);
    let text = text.map_err(|source| SweepError::Write { path: path.clone(), source })?;
    replace(&path, &text)
}

fn csv(plan: &Plan, state: &State) -> io::Result<Vec<u8>> {
    let mut out = csv::Writer::from_writer(Vec::new());
    let keys: Vec<&str> = plan.file.search.keys().map(String::as_str).collect();
    let heading = ["rank", "trial", "epochs", "validation_accuracy", "validation_loss", "state"];
    out.write_record(heading.iter().chain(&keys))?;
    for Row { trial, rank, epochs, validation, state } in rows(plan, state) {
        let number = |number: Option<f64>| number.map_or_else(String::new, |number| number.to_string());
        let mut record = vec![
            rank.map_or_else(String::new, |rank| rank.to_string()),
            trial.to_string(),
            epochs.to_string(),
            number(validation.map(|totals| totals.accuracy())),
            number(validation.map(|totals| totals.loss())),
            state.to_owned(),
        ];
        let settings = &plan.trials[trial as usize].settings;
        record.extend(keys.iter().map(|key| settings.get(*key).map_or_else(String::new, settings::text)));
        out.write_record(record)?;
    }
    out.into_inner().map_err(|error| io::Error::other(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deviation_is_that_of_a_sample() {
        let (mean, deviation) = spread(&[97.0, 98.0, 99.0]).unwrap();
        assert_eq!((mean, deviation), (98.0, 1.0));
        assert_eq!(spread(&[97.0]), None);
    }

    #[test]
    fn one_epoch_is_one() {
        assert_eq!([epochs(1), epochs(3)], ["1 epoch", "3 epochs"]);
    }
}
