//! The curves of a run as charts.

use super::super::Recorded;
use super::super::chart::{Chart, Floor, Look, Place, Scale, Series};
use super::super::curve::{Curve, Point, smoothed};
use super::super::html;

/// Points of a curve in the page: more than a picture shows.
const POINTS: usize = 400;
/// Share of a curve over which it is smoothed: one in so many points.
const SPAN: usize = 60;

/// A curve of steps: pale as it is, and smoothed above it.
fn raw_and_smooth(name: &str, curve: &Curve, colour: usize) -> [Series; 2] {
    let points = curve.in_points(POINTS);
    let places = |value: &dyn Fn(usize, &Point) -> Place| {
        points.iter().enumerate().map(|(at, point)| value(at, point)).collect::<Vec<_>>()
    };
    let means = smoothed(&points, points.len() / SPAN + 1);
    let raw = places(&|_, point| {
        let range = (point.values > 1).then_some([point.min, point.max]);
        Place { x: point.step as f64, y: point.mean, range }
    });
    let smooth = places(&|at, point| Place::at(point.step as f64, means[at]));
    [
        Series { name: name.to_owned(), places: raw, look: Look::Raw, colour },
        Series { name: format!("{name}, smoothed"), places: smooth, look: Look::Line, colour },
    ]
}

/// A curve as it is.
fn plain(name: &str, curve: &Curve, colour: usize) -> Series {
    let points = curve.in_points(POINTS);
    let places = points.iter().map(|point| Place::at(point.step as f64, point.mean)).collect();
    Series { name: name.to_owned(), places, look: Look::Dots, colour }
}

/// All charts of a run.
pub(super) fn all(run: &Recorded) -> String {
    let curves = &run.results.curves;
    let chart = |title: &str, y_name, scale, floor, series: Vec<Series>| Chart {
        title: title.to_owned(),
        x_name: "step".to_owned(),
        x_scale: Scale::Linear,
        x_floor: Floor::Zero,
        y_name,
        scale,
        floor,
        series,
    };
    let with = |raw: [Series; 2], more: [Series; 2]| raw.into_iter().chain(more).collect();
    let charts = [
        chart(
            "Loss",
            "mean cross-entropy in nats",
            Scale::Logarithmic,
            Floor::Lowest,
            with(
                raw_and_smooth("training", &curves.loss, 0),
                [
                    plain("validation", &curves.validation_loss, 1),
                    plain("validation, averaged weights", &curves.averaged_loss, 2),
                ],
            ),
        ),
        chart(
            "Accuracy",
            "share of right answers",
            Scale::Linear,
            Floor::Cut,
            with(
                raw_and_smooth("training", &curves.accuracy, 0),
                [
                    plain("validation", &curves.validation_accuracy, 1),
                    plain("validation, averaged weights", &curves.averaged_accuracy, 2),
                ],
            ),
        ),
        chart(
            "Learning rate",
            "learning rate",
            Scale::Linear,
            Floor::Zero,
            vec![plain("learning rate", &curves.learning_rate, 3)],
        ),
        chart(
            "Gradient norm",
            "L2 norm of the mean gradient",
            Scale::Logarithmic,
            Floor::Lowest,
            raw_and_smooth("gradient norm", &curves.grad_norm, 4).to_vec(),
        ),
        chart(
            "Samples a second",
            "samples a second",
            Scale::Linear,
            Floor::Zero,
            vec![plain("samples a second", &curves.samples_per_s, 5)],
        ),
        chart("Workers", "members", Scale::Linear, Floor::Zero, vec![plain("workers", &curves.workers, 6)]),
    ];
    let figures = charts.iter().enumerate().map(|(at, chart)| chart.figure(&format!("curve-{at}")));
    let figures: String = figures.collect();
    if figures.is_empty() {
        return html::paragraph("The files have no step.");
    }
    let lost = curves.loss.not_finite();
    let note = match lost {
        0 => String::new(),
        1 => html::paragraph("The loss of 1 step was not finite."),
        lost => html::paragraph(&format!("The losses of {lost} steps were not finite.")),
    };
    format!("<div class=\"charts\">\n{figures}</div>\n{note}")
}
