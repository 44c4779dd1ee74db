//! Runs side by side: the settings in which they differ, how their curves end, how good and how fast they
//! were, and whether they came to the same bits.

use super::columns::{self, Set};
use coordinator::record::curve::Point;
use coordinator::record::units::{count, duration, percent};
use coordinator::record::{MILESTONES, Recorded};
use host::printable;
use std::collections::BTreeSet;

/// Width of the text.
const COLUMNS: usize = 100;
/// Runs that stand side by side in the text; further ones stand below.
const RUNS_A_TABLE: usize = 4;
/// Characters of a value before a column is fitted.
const VALUE_CHARS: usize = 300;
/// Points at the end of a curve over which its end is averaged: a single step says little.
const END_POINTS: usize = 20;
/// What stands where there is no value.
const NONE: &str = "-";

/// A line of the comparison: what it is, and its value for each run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Line {
    pub what: String,
    pub values: Vec<String>,
}

/// Runs side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Comparison {
    /// Names that tell the runs apart.
    pub names: Vec<String>,
    /// Settings that are not the same in all runs.
    pub settings: Vec<Line>,
    pub figures: Vec<Line>,
    /// Whether the final models have the same bits, in a sentence.
    pub bits: String,
}

impl Comparison {
    /// Compares runs.
    #[must_use]
    pub fn of(runs: &[Recorded]) -> Self {
        Self { names: names(runs), settings: settings(runs), figures: figures(runs), bits: bits(runs) }
    }

    /// The comparison for a person.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let all: Vec<usize> = (0..self.names.len()).collect();
        for shown in all.chunks(RUNS_A_TABLE) {
            let row = |what: &str, values: &[String]| {
                let values = shown.iter().map(|&run| printable(&values[run]).into_owned());
                std::iter::once(printable(what).into_owned()).chain(values).collect::<Vec<_>>()
            };
            let mut rows = vec![row("", &self.names)];
            rows.extend(self.settings.iter().map(|line| row(&line.what, &line.values)));
            rows.push(vec![String::new(); shown.len() + 1]);
            rows.extend(self.figures.iter().map(|line| row(&line.what, &line.values)));
            let mut sets = vec![Set::CutEnd; shown.len() + 1];
            sets[0] = Set::Left;
            text += &columns::lines(&sets, &rows, COLUMNS);
            text += "\n";
        }
        text + &self.bits + "\n"
    }
}

/// The folders' names, or their paths where two have the same name.
fn names(runs: &[Recorded]) -> Vec<String> {
    let distinct: BTreeSet<&str> = runs.iter().map(|run| run.name.as_str()).collect();
    let are_distinct = distinct.len() == runs.len();
    let name =
        |run: &Recorded| if are_distinct { run.name.clone() } else { run.folder.display().to_string() };
    runs.iter().map(name).collect()
}

fn settings(runs: &[Recorded]) -> Vec<Line> {
    let all: BTreeSet<&String> = runs.iter().flat_map(|run| run.run.config.keys()).collect();
    let line = |name: &String| {
        let value = |run: &Recorded| match run.run.config.get(name) {
            Some(value) => value.chars().take(VALUE_CHARS).collect(),
            None => NONE.to_owned(),
        };
        let is_same = runs.windows(2).all(|two| two[0].run.config.get(name) == two[1].run.config.get(name));
        (!is_same).then(|| Line { what: name.clone(), values: runs.iter().map(value).collect() })
    };
    all.into_iter().filter_map(line).collect()
}

fn figures(runs: &[Recorded]) -> Vec<Line> {
    let line = |what: &str, value: &dyn Fn(&Recorded) -> Option<String>| Line {
        what: what.to_owned(),
        values: runs.iter().map(|run| value(run).unwrap_or_else(|| NONE.to_owned())).collect(),
    };
    let mut lines = vec![
        line("state", &|run| Some(run.state().name().to_owned())),
        line("steps", &|run| Some(format!("{} of {}", count(run.steps_done()), count(run.run.steps_total)))),
        line("parameters", &|run| Some(count(run.run.parameters))),
        line("training loss at the end", &|run| end(run).map(|[loss, _]| format!("{loss:.4}"))),
        line("training accuracy at the end", &|run| end(run).map(|[_, accuracy]| percent(accuracy))),
        line("validation loss at the end", &|run| {
            run.results.curves.validation_loss.last().map(|point| format!("{:.4}", point.mean))
        }),
        line("validation accuracy at the end", &|run| {
            run.results.curves.validation_accuracy.last().map(|point| percent(point.mean))
        }),
        line("best validation accuracy", &|run| run.results.best.map(|best| percent(best.accuracy))),
        line("test accuracy", &|run| run.results.test_of_last().map(|test| percent(test.accuracy))),
    ];
    for (at, share) in MILESTONES.into_iter().enumerate() {
        let what = format!("time to {:.0} % validation", 100.0 * share);
        lines.push(line(&what, &|run| time_to(run, at, share)));
    }
    lines.extend([
        line("training time", &|run| Some(duration(run.results.seconds))),
        line("samples a second", &|run| run.samples_a_second().map(|speed| count(speed as u64))),
        line("workers, at most", &|run| Some(run.history.most_workers.to_string())),
        line("faults", &|run| Some(run.history.faults.total().to_string())),
        line("model's SHA-256", &|run| {
            let digest: String = run.model_sha256().chars().take(8).collect();
            (!digest.is_empty()).then_some(digest)
        }),
    ]);
    lines
}

/// Training loss and accuracy, as means over the last points.
fn end(run: &Recorded) -> Option<[f64; 2]> {
    let curves = &run.results.curves;
    let mean = |points: &[Point]| {
        let last = &points[points.len().saturating_sub(END_POINTS)..];
        (!last.is_empty()).then(|| last.iter().map(|point| point.mean).sum::<f64>() / last.len() as f64)
    };
    Some([mean(curves.loss.points())?, mean(curves.accuracy.points())?])
}

/// Training time until an accuracy: of a validation, or of the test where nothing was held out.
fn time_to(run: &Recorded, milestone: usize, share: f64) -> Option<String> {
    if run.run.validation_samples > 0 {
        let reached = run.results.milestones[milestone]?;
        return Some(format!("{}, step {}", duration(reached.seconds), count(reached.step)));
    }
    let test = run.results.test_of_last().filter(|test| test.accuracy >= share)?;
    Some(format!("{}, step {}, by the test", duration(run.results.seconds), count(test.step)))
}

fn bits(runs: &[Recorded]) -> String {
    let digests: Vec<&str> = runs.iter().map(Recorded::model_sha256).collect();
    if digests.iter().any(|digest| digest.is_empty()) {
        return "whether the final models have the same bits is not known: not every run has a checkpoint"
            .to_owned();
    }
    let step = |run: &Recorded| run.checkpoint.as_ref().map(|saved| saved.step);
    let first = digests[0];
    if digests.iter().all(|digest| *digest == first) {
        return format!("the final models have the same bits: SHA-256 {first}");
    }
    let same_step = runs.windows(2).all(|two| step(&two[0]) == step(&two[1]));
    let what = if same_step { "" } else { ", and are of different steps" };
    format!("the final models have different bits{what}")
}
