//! How good the model is: evaluations, classes, and what is taken for what.

use super::super::html::{self, Cell};
use super::super::units::{count, percent};
use super::super::{Evaluated, Recorded};
use common::train::metrics::ClassQuality;

/// Most classes of which the whole matrix is shown.
const MATRIX_CLASSES_MAX: usize = 30;
/// Most classes that have a row of their own; of more the worst are shown.
const CLASSES_SHOWN: usize = 200;
/// Mistakes that are listed in place of a matrix.
const PAIRS_SHOWN: usize = 30;
/// Longest name that stands above a column of the matrix.
const HEAD_CHARS: usize = 3;

/// All about quality.
pub(super) fn all(run: &Recorded) -> String {
    let Some((what, evaluated)) = run.results.foremost() else {
        return html::paragraph("The run has been neither validated nor tested.");
    };
    let mut markup = evaluations(run);
    let of = format!("of the {what} with the {}", evaluated.version());
    markup += &classes(evaluated, &of);
    markup += &if evaluated.confusion.classes() <= MATRIX_CLASSES_MAX {
        matrix(evaluated, &of)
    } else {
        pairs(evaluated, &of)
    };
    markup
}

fn evaluations(run: &Recorded) -> String {
    let last = run.results.validation.as_ref().map(|validation| ("last validation", validation));
    let tests = run.results.tests.iter().map(|test| ("test", test));
    let row = |(what, evaluated): (&str, &Evaluated)| {
        let loss = evaluated.loss.map_or("not finite".to_owned(), |loss| format!("{loss:.4}"));
        let confusion = &evaluated.confusion;
        vec![
            Cell::text(what),
            Cell::text(evaluated.version()),
            Cell::number(percent(evaluated.accuracy)),
            Cell::number(loss),
            Cell::number(format!("{:.4}", confusion.macro_average().f1)),
            Cell::number(format!("{:.4}", confusion.weighted_average().f1)),
            Cell::number(count(confusion.samples())),
        ]
    };
    let rows: Vec<Vec<Cell>> = last.into_iter().chain(tests).map(row).collect();
    let heads = ["evaluation", "weights", "accuracy", "loss", "macro F1", "weighted F1", "samples"];
    html::table("Evaluations", &heads, &rows)
}

fn classes(evaluated: &Evaluated, of: &str) -> String {
    let confusion = &evaluated.confusion;
    let mut classes: Vec<(usize, ClassQuality)> =
        (0..confusion.classes()).map(|class| (class, confusion.class(class))).collect();
    let mut caption = format!("Classes {of}");
    if classes.len() > CLASSES_SHOWN {
        classes.sort_by(|(_, a), (_, b)| a.f1.total_cmp(&b.f1));
        classes.truncate(CLASSES_SHOWN);
        caption = format!("The {CLASSES_SHOWN} classes with the lowest F1 {of}");
    }
    let row = |(class, quality): (usize, ClassQuality)| {
        let shares =
            [quality.precision, quality.recall, quality.f1].map(|share| Cell::number(format!("{share:.4}")));
        let [precision, recall, f1] = shares;
        vec![Cell::Text(evaluated.name(class)), precision, recall, f1, Cell::number(count(quality.support))]
    };
    let rows: Vec<Vec<Cell>> = classes.into_iter().map(row).collect();
    html::table(&caption, &["class", "precision", "recall", "F1", "samples"], &rows)
}

fn matrix(evaluated: &Evaluated, of: &str) -> String {
    let confusion = &evaluated.confusion;
    let names: Vec<String> = (0..confusion.classes()).map(|class| evaluated.name(class)).collect();
    let are_short = names.iter().all(|name| name.chars().count() <= HEAD_CHARS);
    let heads: Vec<String> = std::iter::once("class".to_owned())
        .chain((0..names.len()).map(|class| if are_short { names[class].clone() } else { class.to_string() }))
        .collect();
    let row = |label: usize| {
        let counts = confusion.row(label);
        let all = counts.iter().sum::<u64>().max(1) as f64;
        let name = if are_short { names[label].clone() } else { format!("{label} {}", names[label]) };
        let cell = |(guess, &times): (usize, &u64)| {
            let number = if times == 0 { String::new() } else { count(times) };
            Cell::Shaded { number, share: times as f64 / all, is_mistake: guess != label }
        };
        std::iter::once(Cell::Text(name)).chain(counts.iter().enumerate().map(cell)).collect()
    };
    let rows: Vec<Vec<Cell>> = (0..names.len()).map(row).collect();
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    let caption = format!("Confusion matrix {of}: a row for each true class, a column for each answer");
    format!("<div class=\"matrix\">{}</div>\n", html::table(&caption, &heads, &rows))
}

fn pairs(evaluated: &Evaluated, of: &str) -> String {
    let confusion = &evaluated.confusion;
    let pair = |cell: u32| (cell as usize / confusion.classes(), cell as usize % confusion.classes());
    let mut mistakes: Vec<_> = confusion.sparse().map(|(cell, times)| (pair(cell), times)).collect();
    mistakes.retain(|((label, guess), _)| label != guess);
    mistakes.sort_by_key(|&(_, times)| std::cmp::Reverse(times));
    mistakes.truncate(PAIRS_SHOWN);
    let row = |((label, guess), times): ((usize, usize), u64)| {
        vec![Cell::Text(evaluated.name(label)), Cell::Text(evaluated.name(guess)), Cell::number(count(times))]
    };
    let rows: Vec<Vec<Cell>> = mistakes.into_iter().map(row).collect();
    html::table(&format!("Most frequent mistakes {of}"), &["class", "taken for", "times"], &rows)
}
