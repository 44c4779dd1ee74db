//! Runs side by side as one page: the curves of all of them in the same pictures, and the table.

use super::compare::{Comparison, Line};
use coordinator::record::Recorded;
use coordinator::record::chart::{Chart, Floor, Look, Place, Scale, Series};
use coordinator::record::curve::{Curve, Point, smoothed};
use coordinator::record::html::{self, Cell};

/// Points of a curve.
const POINTS: usize = 300;
/// One in so many points is smoothed over.
const SPAN: usize = 30;
/// Most curves in a picture.
pub const CURVES_MAX: usize = 20;

/// A kind of curve: its title, its unit, how it is drawn, and where it is in a run.
struct Kind {
    title: &'static str,
    y_name: &'static str,
    x_name: &'static str,
    scale: Scale,
    floor: Floor,
    /// Whether it has a value for each step, and is smoothed.
    of_steps: bool,
    curve: fn(&Recorded) -> &Curve,
}

const KINDS: [Kind; 5] = [
    Kind {
        title: "Training loss, smoothed",
        y_name: "mean cross-entropy in nats",
        x_name: "step",
        scale: Scale::Logarithmic,
        floor: Floor::Lowest,
        of_steps: true,
        curve: |run| &run.results.curves.loss,
    },
    Kind {
        title: "Validation accuracy over steps",
        y_name: "share of right answers",
        x_name: "step",
        scale: Scale::Linear,
        floor: Floor::Lowest,
        of_steps: false,
        curve: |run| &run.results.curves.validation_accuracy,
    },
    Kind {
        title: "Validation accuracy over training time",
        y_name: "share of right answers",
        x_name: "seconds",
        scale: Scale::Linear,
        floor: Floor::Lowest,
        of_steps: false,
        curve: |run| &run.results.curves.validation_accuracy,
    },
    Kind {
        title: "Learning rate",
        y_name: "learning rate",
        x_name: "step",
        scale: Scale::Linear,
        floor: Floor::Zero,
        of_steps: false,
        curve: |run| &run.results.curves.learning_rate,
    },
    Kind {
        title: "Samples a second, smoothed",
        y_name: "samples a second",
        x_name: "step",
        scale: Scale::Linear,
        floor: Floor::Zero,
        of_steps: true,
        curve: |run| &run.results.curves.samples_per_s,
    },
];

/// The page of several runs.
#[must_use]
pub fn page(runs: &[Recorded], comparison: &Comparison) -> String {
    let names = comparison.names.join(", ");
    let shown: String = names.chars().take(200).collect();
    let head = format!("<header><h1>{} runs compared</h1></header>\n", runs.len())
        + &html::paragraph(&shown)
        + &html::paragraph(&capitalised(&comparison.bits));
    let heads: Vec<&str> = std::iter::once("").chain(comparison.names.iter().map(String::as_str)).collect();
    let table = |caption: &str, lines: &[Line]| {
        let row = |line: &Line| std::iter::once(&line.what).chain(&line.values).map(Cell::text).collect();
        html::table(caption, &heads, &lines.iter().map(row).collect::<Vec<Vec<Cell>>>())
    };
    let settings = if comparison.settings.is_empty() {
        html::paragraph("All settings are the same.")
    } else {
        table("Settings that are not the same in all runs", &comparison.settings)
    };
    let runs: Vec<(&str, &Recorded)> = comparison.names.iter().map(String::as_str).zip(runs).collect();
    let body = [
        head,
        html::section("Curves", &curves(&runs)),
        html::section("Figures", &table("Ends of the curves, quality and speed", &comparison.figures)),
        html::section("Settings", &settings),
    ];
    html::page("Runs compared - Lockstep", &body.concat())
}

/// The curves of runs with these names, all of a kind in one picture.
#[must_use]
pub fn curves(runs: &[(&str, &Recorded)]) -> String {
    let figure = |(at, kind): (usize, &Kind)| {
        let series = runs.iter().take(CURVES_MAX).enumerate();
        let series = series.map(|(colour, (name, run))| series_of(kind, name, run, colour)).collect();
        let Kind { title, x_name, y_name, scale, floor, .. } = *kind;
        let (title, x_name) = (title.to_owned(), x_name.to_owned());
        let (x_scale, x_floor) = (Scale::Linear, Floor::Zero);
        Chart { title, x_name, x_scale, x_floor, y_name, scale, floor, series }.figure(&format!("all-{at}"))
    };
    let figures: String = KINDS.iter().enumerate().map(figure).collect();
    let mut markup = format!("<div class=\"charts\">\n{figures}</div>\n");
    if runs.len() > CURVES_MAX {
        markup += &html::paragraph(&format!(
            "The curves are those of the first {CURVES_MAX} of {} runs.",
            runs.len()
        ));
    }
    markup
}

fn series_of(kind: &Kind, name: &str, run: &Recorded, colour: usize) -> Series {
    let points = (kind.curve)(run).in_points(POINTS);
    let values: Vec<f64> = if kind.of_steps {
        smoothed(&points, points.len() / SPAN + 1)
    } else {
        points.iter().map(|point| point.mean).collect()
    };
    let across = |point: &Point| if kind.x_name == "step" { point.step as f64 } else { point.seconds };
    let places = points.iter().zip(values).map(|(point, value)| Place::at(across(point), value)).collect();
    let look = if kind.of_steps { Look::Line } else { Look::Dots };
    Series { name: name.to_owned(), places, look, colour }
}

fn capitalised(sentence: &str) -> String {
    let mut letters = sentence.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).chain(['.']).collect()
}
