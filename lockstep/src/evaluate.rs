//! `lockstep evaluate`: how good a model is on the test samples of a data set.
//!
//! The counts are those of a training's test: the same network computes the same bits. What a training does
//! not say comes with them: intervals ([`interval`]), calibration ([`calibration`]), the mistakes as pictures
//! ([`mistakes`]), and a comparison with another model on the same samples ([`mcnemar`]).

pub mod calibration;
pub mod interval;
pub mod mcnemar;
pub mod mistakes;

use crate::answers::{self, Answer};
use calibration::Calibration;
use common::checkpoint::Model;
use common::data::samples::Samples;
use common::data::spec::DataSpec;
use common::train::metrics::{ClassQuality, Confusion};
use coordinator::observe::table::evaluation_table;
use interval::{F1Intervals, Interval, wilson};
use mcnemar::Comparison;
use serde::Serialize;
use std::fmt::Write as _;
use std::num::NonZeroUsize;

/// A model's answer to a sample, and the sample's label.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Judged {
    pub label: u16,
    pub answer: Answer,
}

impl Judged {
    /// Whether the answer is the label.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.label == self.answer.class
    }
}

/// The form of the samples is not that of the model's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the model takes {model}, and the data set has {data}; folders of pictures are brought to the model's form with \
     --dataset \"FOLDER?image-size=HxW\" and \"FOLDER?image-size=HxW,grayscale\""
)]
#[allow(missing_docs, reason = "field names say all")]
pub struct OtherForm {
    pub model: DataSpec,
    pub data: DataSpec,
}

/// All that is measured.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Report {
    pub samples: u64,
    pub correct: u64,
    pub accuracy: f64,
    pub accuracy_interval: Interval,
    /// Mean cross-entropy, in nats.
    pub loss: f64,
    #[serde(rename = "macro")]
    pub macro_average: ClassQuality,
    pub weighted: ClassQuality,
    pub f1_intervals: F1Intervals,
    pub calibration: Calibration,
    /// Quality of each class, class 0 first.
    pub classes: Vec<OfClass>,
    pub confusion: Confusion,
    /// The comparison with another model, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<Comparison>,
}

/// Quality of a class.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "field names say all")]
pub struct OfClass {
    pub name: String,
    #[serde(flatten)]
    pub quality: ClassQuality,
    pub recall_interval: Interval,
}

/// The model's logits for all samples, `[n, classes]`.
///
/// # Errors
/// When the samples have another form than the model's input, or the tensor library fails.
pub fn logits(model: &Model, samples: &Samples, threads: NonZeroUsize) -> anyhow::Result<Vec<f32>> {
    let [wanted, data] = [model.architecture.input(), samples.spec()];
    if wanted != data {
        return Err(OtherForm { model: wanted, data }.into());
    }
    Ok(answers::logits(model, samples, threads)?)
}

/// The answers that logits stand for, beside the samples' labels.
#[must_use]
pub fn judged(logits: &[f32], samples: &Samples) -> Vec<Judged> {
    let answers = answers::answers(logits, samples.labels());
    samples.labels().iter().zip(answers).map(|(&label, answer)| Judged { label, answer }).collect()
}

impl Report {
    /// Measures a model's answers; with `other`, against those of another model.
    #[must_use]
    pub fn of(model: &Model, judged: &[Judged], other: Option<&[Judged]>) -> Self {
        let predictions = judged.iter().map(|of| (of.label, of.answer.class));
        let confusion = Confusion::of(model.architecture.input().classes(), predictions);
        let of_class = |class: usize| {
            let quality = confusion.class(class);
            let hits = confusion.get(class, class);
            let name = model.classes.get(class).to_owned();
            OfClass { name, quality, recall_interval: wilson(hits, quality.support) }
        };
        let loss_sum: f64 = judged.iter().map(|of| of.answer.loss).sum();
        Self {
            samples: confusion.samples(),
            correct: confusion.correct(),
            accuracy: confusion.accuracy(),
            accuracy_interval: wilson(confusion.correct(), confusion.samples()),
            loss: loss_sum / judged.len().max(1) as f64,
            macro_average: confusion.macro_average(),
            weighted: confusion.weighted_average(),
            f1_intervals: interval::f1(&confusion),
            calibration: Calibration::of(judged),
            classes: (0..confusion.classes()).map(of_class).collect(),
            against: other.map(|other| Comparison::of(judged, other)),
            confusion,
        }
    }

    /// The report for a person: the table of a training's test, and below it what that has not.
    #[must_use]
    pub fn text(&self, model: &Model) -> String {
        let mut text = evaluation_table("test", &self.confusion, &model.classes, self.loss);
        let percent =
            |Interval { low, high }: Interval| format!("{:.2} to {:.2} %", 100.0 * low, 100.0 * high);
        let plain = |Interval { low, high }: Interval| format!("{low:.4} to {high:.4}");
        let F1Intervals { macro_average, weighted } = self.f1_intervals;
        // Writing to a string can't fail.
        let _ = writeln!(text, "\n95 % intervals");
        let _ = writeln!(text, "accuracy            {}", percent(self.accuracy_interval));
        let _ = writeln!(text, "macro f1            {}", plain(macro_average));
        let _ = writeln!(text, "weighted f1         {}", plain(weighted));
        let Calibration { error, mean_probability, .. } = &self.calibration;
        let _ = writeln!(
            text,
            "\ncalibration error   {error:.4} (mean probability of the answers {:.2} %)",
            100.0 * mean_probability
        );
        if let Some(against) = &self.against {
            let Comparison { only_this_right, only_other_right, different_answers, p_value, .. } = against;
            let _ = writeln!(text, "\nagainst the other model, on the same samples");
            let _ = writeln!(text, "only this is right  {only_this_right}");
            let _ = writeln!(text, "only that is right  {only_other_right}");
            let _ = writeln!(text, "different answers   {different_answers}");
            let _ = writeln!(text, "McNemar's p-value   {p_value:.4}");
        }
        text
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// An answer to a sample of class 0 of two.
    pub(crate) fn judged(probability: f64, is_right: bool) -> Judged {
        let of_class = if is_right { probability } else { 1.0 - probability };
        let answer = Answer {
            class: u16::from(!is_right),
            probability,
            runner_up: u16::from(is_right),
            runner_up_probability: 1.0 - probability,
            loss: -libm::log(of_class),
        };
        Judged { label: 0, answer }
    }
}
