//! A run as one page: curves, quality, mistakes, workers, faults, settings, and how to have it again.
//!
//! What is shown is decided in the files beside; all of it follows from a [`Recorded`], so that the page of a
//! run that is long over can be made anew. Pictures of mistakes need the data set and the model, which the
//! caller may have.

mod curves;
mod mistakes;
mod quality;
mod repeat;

pub use mistakes::Mistakes;
pub use repeat::quoted;

use super::html::{self, Cell};
use super::timeline;
use super::units::{count, duration, moment, percent};
use super::{Recorded, State};
use common::event::RunOutcome;

/// Characters of a setting's value, of which names of many classes and lists of layers need more than others.
const VALUE_CHARS: usize = 2000;

/// The page of a run.
#[must_use]
pub fn page(run: &Recorded, mistakes: &Mistakes) -> String {
    let parts = [
        head(run),
        html::section("Curves", &curves::all(run)),
        html::section("Quality", &quality::all(run)),
        html::section("Worst mistakes", &mistakes.markup()),
        html::section("Workers", &workers(run)),
        html::section("Faults", &faults(run)),
        html::section("The same run again", &repeat::markup(run)),
        html::section("Settings", &settings(run)),
        problems(run),
    ];
    html::page(&format!("{} - Lockstep", run.name), &parts.concat())
}

/// Name, state, and the most important numbers.
fn head(run: &Recorded) -> String {
    let state = run.state().name();
    let [name, line] = [&run.name, &introduction(run)].map(|words| html::text(words));
    let mut markup = format!(
        "<header><h1>{name} <span class=\"state {state}\">{state}</span></h1><p class=\"soft\">{line}</p></header>\n"
    );
    if let Some(RunOutcome::Failed { problem }) = &run.history.outcome {
        markup += &html::paragraph(&format!("It failed: {problem}"));
    }
    markup += "<dl class=\"tiles\">";
    for (label, value) in tiles(run) {
        markup += &format!("<div><dt>{}</dt><dd>{}</dd></div>", html::text(label), html::text(&value));
    }
    markup + "</dl>\n"
}

/// What was trained, in a sentence.
pub(super) fn introduction(run: &Recorded) -> String {
    let begun = run.history.starts.first().and_then(|start| start.at.time);
    let begun = begun.map_or(String::new(), |time| format!(", begun {} UTC", moment(time)));
    format!(
        "{} with {} parameters on {}: {} training samples, {} for validation; {} at a learning rate of {}{begun}",
        run.model(),
        count(run.run.parameters),
        run.setting("dataset"),
        count(run.run.train_samples),
        count(run.run.validation_samples),
        run.optimizer(),
        run.setting("lr"),
    )
}

fn tiles(run: &Recorded) -> Vec<(&'static str, String)> {
    let results = &run.results;
    let mut tiles = Vec::new();
    if let Some(test) = results.test_of_last() {
        tiles.push(("test accuracy", percent(test.accuracy)));
    }
    if let Some(best) = results.best {
        tiles.push(("best validation", percent(best.accuracy)));
    }
    tiles.push(("training time", duration(results.seconds)));
    let [done, all] = [run.steps_done(), run.run.steps_total].map(count);
    tiles.push(("steps", if done == all { format!("all {all}") } else { format!("{done} of {all}") }));
    if let Some(speed) = run.samples_a_second() {
        tiles.push(("samples a second", count(speed as u64)));
    }
    tiles.push(("workers, at most", run.history.most_workers.to_string()));
    tiles.push(("faults survived", count(run.history.faults.total())));
    let digest: String = run.model_sha256().chars().take(8).collect();
    if !digest.is_empty() {
        tiles.push(("model's SHA-256", digest + "..."));
    }
    tiles
}

fn workers(run: &Recorded) -> String {
    let history = &run.history;
    let timeline = timeline::timeline(history);
    if timeline.is_empty() {
        return html::paragraph("The files name no worker.");
    }
    let mut markup = html::paragraph(&format!("{}.", timeline::summary(history))) + &timeline;
    if history.left_out > 0 {
        let left_out = count(history.left_out);
        markup += &html::paragraph(&format!("{left_out} entries were too many to be kept."));
    }
    markup
}

fn faults(run: &Recorded) -> String {
    let rows: Vec<Vec<Cell>> =
        run.history.faults.rows().into_iter().filter(|(_, times)| *times > 0).map(row).collect();
    if rows.is_empty() {
        return html::paragraph("Nothing disturbed the run.");
    }
    let survived = match run.state() {
        _ if run.history.faults.wrong_bits() > 0 => "Not all of it left the bits as they are: see below.",
        State::Complete => "The run went through all of it, and its bits are those of a run without.",
        _ => "None of it changes the bits of the run.",
    };
    html::paragraph(survived) + &html::table("What happened, and how often", &["what", "times"], &rows)
}

fn row((name, times): (&str, u64)) -> Vec<Cell> {
    vec![Cell::text(name), Cell::number(count(times))]
}

fn settings(run: &Recorded) -> String {
    let value = |value: &String| value.chars().take(VALUE_CHARS).collect::<String>();
    let rows = run.run.config.iter().map(|(name, text)| vec![Cell::text(name), Cell::Text(value(text))]);
    let rows: Vec<Vec<Cell>> = rows.collect();
    let intro =
        html::paragraph("Everything that the bits depend on, besides the program and the data itself.");
    intro + &html::table("Settings", &["setting", "value"], &rows)
}

fn problems(run: &Recorded) -> String {
    let mut lines: String = run.problems.told.iter().map(|problem| html::paragraph(problem)).collect();
    if lines.is_empty() {
        return lines;
    }
    if run.problems.more > 0 {
        lines += &html::paragraph(&format!("and {} more", count(run.problems.more)));
    }
    html::section("What could not be read", &lines)
}
