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

/// A chart over the steps.
fn chart(title: &str, y_name: &'static str, scale: Scale, floor: Floor, series: Vec<Series>) -> Chart {
    let [title, x_name] = [title, "step"].map(str::to_owned);
    let (x_scale, x_floor) = (Scale::Linear, Floor::Zero);
    Chart { title, x_name, x_scale, x_floor, y_name, scale, floor, series }
}

/// Training, and the validations of both versions of the weights.
fn three(training: &Curve, validation: &Curve, averaged: &Curve) -> Vec<Series> {
    let [raw, smooth] = raw_and_smooth("training", training, 0);
    vec![raw, smooth, plain("validation", validation, 1), plain("validation, averaged weights", averaged, 2)]
}

/// All charts of a run.
pub(super) fn all(run: &Recorded) -> String {
    let curves = &run.results.curves;
    let loss = three(&curves.loss, &curves.validation_loss, &curves.averaged_loss);
    let accuracy = three(&curves.accuracy, &curves.validation_accuracy, &curves.averaged_accuracy);
    let rate = vec![plain("learning rate", &curves.learning_rate, 3)];
    let norm = raw_and_smooth("gradient norm", &curves.grad_norm, 4).to_vec();
    let speed = vec![plain("samples a second", &curves.samples_per_s, 5)];
    let workers = vec![plain("workers", &curves.workers, 6)];
    let charts = [
        chart("Loss", "mean cross-entropy in nats", Scale::Logarithmic, Floor::Lowest, loss),
        chart("Accuracy", "share of right answers", Scale::Linear, Floor::Cut, accuracy),
        chart("Learning rate", "learning rate", Scale::Linear, Floor::Zero, rate),
        chart("Gradient norm", "L2 norm of the mean gradient", Scale::Logarithmic, Floor::Lowest, norm),
        chart("Samples a second", "samples a second", Scale::Linear, Floor::Zero, speed),
        chart("Workers", "members", Scale::Linear, Floor::Zero, workers),
    ];
    let figures = charts.iter().enumerate().map(|(at, chart)| chart.figure(&format!("curve-{at}")));
    let figures: String = figures.collect();
    if figures.is_empty() {
        return html::paragraph("The files have no step.");
    }
    let note = match curves.loss.not_finite() {
        0 => String::new(),
        1 => html::paragraph("The loss of 1 step was not finite."),
        lost => html::paragraph(&format!("The losses of {lost} steps were not finite.")),
    };
    format!("<div class=\"charts\">\n{figures}</div>\n{note}")
}
