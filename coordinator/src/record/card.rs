//! A run as a model card: `README.md` with the head in YAML that Hugging Face reads.
//!
//! The figures are those of the trained weights, whose digest stands beside them. The license is the owner's
//! to choose, so the head says that it is unknown.

use super::report::introduction;
use super::units::{count, duration, percent};
use super::{Evaluated, Recorded};
use common::checkpoint::MODEL_FILE;
use host::printable;
use std::fmt::Write as _;

/// Second line of the cards, by which they are known again: a comment in YAML.
pub const MARK: &str = "---\n# Written by Lockstep; a file that begins otherwise is not replaced.\n";
/// Most classes that have a row.
const CLASSES_MAX: usize = 100;

/// The card.
#[must_use]
pub fn card(run: &Recorded) -> String {
    let name = line(&run.name);
    let mut text = head(run);
    // Writing to a string can't fail.
    let _ = write!(text, "\n# {name}\n\n{}.\n", line(&introduction(run)));
    text += &figures(run);
    if let Some((what, evaluated)) = run.results.foremost() {
        text += &classes(what, evaluated);
    }
    text += &settings(run);
    text
}

/// A text as a value of YAML: JSON's form of a text is one.
fn quoted(text: &str) -> String {
    serde_json::Value::from(printable(text).into_owned()).to_string()
}

/// Text from anywhere as Markdown: nothing in it is markup.
fn line(raw: &str) -> String {
    let mut escaped = String::with_capacity(raw.len());
    for c in printable(raw).chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '|' | '!' | '~' | '$' => escaped.extend(['\\', c]),
            c => escaped.push(c),
        }
    }
    escaped
}

fn head(run: &Recorded) -> String {
    let [name, dataset] = [&*run.name, run.setting("dataset")].map(quoted);
    let mut head = format!(
        "{MARK}license: unknown\nlibrary_name: lockstep\npipeline_tag: image-classification\ntags:\n- image-classification\n\
         - lockstep\n- safetensors\ndatasets:\n- {dataset}\nmetrics:\n- accuracy\n- f1\n"
    );
    if let Some(test) = run.results.test_of_last() {
        let f1 = test.confusion.macro_average().f1;
        let accuracy = test.accuracy;
        // Writing to a string can't fail.
        let _ = write!(
            head,
            "model-index:\n- name: {name}\n  results:\n  - task:\n      type: image-classification\n    dataset:\n      \
             name: {dataset}\n      type: {dataset}\n      split: test\n    metrics:\n    - type: accuracy\n      value: \
             {accuracy}\n    - type: f1\n      name: Macro F1\n      value: {f1}\n"
        );
    }
    head + "---\n"
}

fn figures(run: &Recorded) -> String {
    let mut rows = Vec::new();
    for test in &run.results.tests {
        rows.push((format!("test accuracy, {}", test.version()), percent(test.accuracy)));
    }
    if let Some(best) = run.results.best {
        rows.push(("best validation accuracy".to_owned(), percent(best.accuracy)));
    }
    rows.push(("state".to_owned(), run.state().name().to_owned()));
    rows.push(("steps".to_owned(), format!("{} of {}", count(run.steps_done()), count(run.run.steps_total))));
    rows.push(("training time".to_owned(), duration(run.results.seconds)));
    rows.push(("parameters".to_owned(), count(run.run.parameters)));
    rows.push(("workers, at most".to_owned(), run.history.most_workers.to_string()));
    rows.push(("faults survived".to_owned(), count(run.history.faults.total())));
    if !run.model_sha256().is_empty() {
        rows.push((format!("SHA-256 of {}", line(MODEL_FILE)), line(run.model_sha256())));
    }
    let rows = rows.iter().map(|(name, value)| format!("| {name} | {value} |\n"));
    "\n| | |\n|---|---|\n".to_owned() + &rows.collect::<String>()
}

fn classes(what: &str, evaluated: &Evaluated) -> String {
    let confusion = &evaluated.confusion;
    let mut text = format!(
        "\n## Classes\n\nOf the {what} with the {}.\n\n| class | precision | recall | F1 | samples |\n|---|---|---|---|---|\n",
        evaluated.version()
    );
    for class in 0..confusion.classes().min(CLASSES_MAX) {
        let quality = confusion.class(class);
        // Writing to a string can't fail.
        let _ = writeln!(
            text,
            "| {} | {:.4} | {:.4} | {:.4} | {} |",
            line(&evaluated.name(class)),
            quality.precision,
            quality.recall,
            quality.f1,
            quality.support
        );
    }
    if confusion.classes() > CLASSES_MAX {
        let _ = writeln!(text, "\nThe first {CLASSES_MAX} of {} classes.", confusion.classes());
    }
    text
}

fn settings(run: &Recorded) -> String {
    let is_short = |(_, value): &(&String, &String)| value.len() <= 200;
    let rows = run.run.config.iter().filter(is_short);
    let rows = rows.map(|(name, value)| format!("| {} | {} |\n", line(name), line(value)));
    "\n## Settings\n\nThe same program gives the same bytes from these settings and the same data, with any number of \
     workers.\n\n| setting | value |\n|---|---|\n"
        .to_owned()
        + &rows.collect::<String>()
}
