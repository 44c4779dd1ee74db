//! A run's numbers, folded from the lines of `metrics.jsonl`.
//!
//! Training time is counted on over all starts of a run: a coordinator counts from its own first step, so a
//! number that is smaller than the one before begins anew.

use super::curve::Curve;
use common::event::NamedQuality;
use common::train::average::Weights;
use common::train::metrics::Confusion;
use serde::Deserialize;

/// Validation accuracies of which the time is kept.
pub const MILESTONES: [f64; 2] = [0.98, 0.99];
/// Most evaluations on the test samples that are kept: versions of the weights, with views or not.
const TESTS_MAX: usize = 8;
/// Largest count of a confusion matrix, so that no sum of them overflows.
const COUNT_MAX: u64 = 1 << 40;

/// The curves of a run.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Curves {
    pub loss: Curve,
    pub accuracy: Curve,
    pub learning_rate: Curve,
    pub grad_norm: Curve,
    pub samples_per_s: Curve,
    pub workers: Curve,
    pub validation_loss: Curve,
    pub validation_accuracy: Curve,
    /// Validations of the averaged weights.
    pub averaged_loss: Curve,
    pub averaged_accuracy: Curve,
}

/// The best validation.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Best {
    pub accuracy: f64,
    pub step: u64,
    pub weights: Weights,
}

/// The first validation with an accuracy.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Milestone {
    pub step: u64,
    /// Training time until then, without validations.
    pub seconds: f64,
}

/// An evaluation with its counts.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Evaluated {
    pub step: u64,
    pub weights: Weights,
    pub views: bool,
    /// Mean cross-entropy in nats; `None` if it was not finite.
    pub loss: Option<f64>,
    pub accuracy: f64,
    pub confusion: Confusion,
    /// Names of the classes, where the line has one for each.
    pub names: Vec<String>,
}

/// All numbers of a run.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Results {
    pub curves: Curves,
    pub best: Option<Best>,
    /// First validations with the accuracies of [`MILESTONES`].
    pub milestones: [Option<Milestone>; MILESTONES.len()],
    /// The last validation of the trained weights.
    pub validation: Option<Evaluated>,
    /// Tests of the last lines, one for each version of the weights.
    pub tests: Vec<Evaluated>,
    /// Training time over all starts, in seconds.
    pub seconds: f64,
    /// Steps that stand in the file.
    pub steps_seen: u64,
    /// Last step, if there is one.
    last_step: Option<u64>,
    /// Training time of earlier starts.
    earlier_seconds: f64,
}

/// A line of a step. A number that was not finite is `null`.
#[derive(Deserialize)]
struct StepLine {
    step: u64,
    loss: Option<f64>,
    accuracy: Option<f64>,
    learning_rate: Option<f64>,
    samples_per_s: Option<f64>,
    train_seconds: Option<f64>,
    grad_norm: Option<f64>,
    workers: Option<u64>,
}

/// A line of a validation or a test.
#[derive(Deserialize)]
struct EvaluationLine {
    step: u64,
    #[serde(default)]
    weights: Weights,
    #[serde(default)]
    views: bool,
    loss: Option<f64>,
    accuracy: Option<f64>,
    #[serde(default)]
    per_class: Vec<NamedQuality>,
    confusion: Confusion,
}

impl Results {
    /// Adds a line of kind `step`.
    pub(super) fn step(&mut self, line: &[u8]) -> Result<(), serde_json::Error> {
        let line: StepLine = serde_json::from_slice(line)?;
        let own = line.train_seconds.filter(|seconds| seconds.is_finite() && *seconds >= 0.0).unwrap_or(0.0);
        if self.earlier_seconds + own < self.seconds {
            self.earlier_seconds = self.seconds;
        }
        self.seconds = self.earlier_seconds + own;
        self.steps_seen += 1;
        self.last_step = Some(line.step);
        let curves = &mut self.curves;
        let workers = line.workers.map(|workers| workers as f64);
        for (curve, value) in [
            (&mut curves.loss, line.loss),
            (&mut curves.accuracy, line.accuracy),
            (&mut curves.learning_rate, line.learning_rate),
            (&mut curves.samples_per_s, line.samples_per_s),
            (&mut curves.workers, workers),
        ] {
            curve.push(line.step, self.seconds, value);
        }
        if line.grad_norm.is_some() {
            curves.grad_norm.push(line.step, self.seconds, line.grad_norm);
        }
        Ok(())
    }

    /// Adds a line of kind `validation`.
    pub(super) fn validation(&mut self, line: &[u8]) -> Result<(), String> {
        let found = Evaluated::parse(line)?;
        let Evaluated { step, weights, accuracy, .. } = found;
        let curves = &mut self.curves;
        let [loss, shares] = if weights.are_last() {
            [&mut curves.validation_loss, &mut curves.validation_accuracy]
        } else {
            [&mut curves.averaged_loss, &mut curves.averaged_accuracy]
        };
        loss.push(step, self.seconds, found.loss);
        shares.push(step, self.seconds, Some(accuracy));
        if self.best.is_none_or(|best| accuracy > best.accuracy) {
            self.best = Some(Best { accuracy, step, weights });
        }
        for (reached, share) in self.milestones.iter_mut().zip(MILESTONES) {
            if reached.is_none() && accuracy >= share {
                *reached = Some(Milestone { step, seconds: self.seconds });
            }
        }
        if weights.are_last() {
            self.validation = Some(found);
        }
        Ok(())
    }

    /// Adds a line of kind `test`.
    pub(super) fn test(&mut self, line: &[u8]) -> Result<(), String> {
        let found = Evaluated::parse(line)?;
        self.tests.retain(|test| (test.weights, test.views) != (found.weights, found.views));
        if self.tests.len() < TESTS_MAX {
            self.tests.push(found);
        }
        Ok(())
    }

    /// Number of steps that are done, as the lines say.
    #[must_use]
    pub fn steps_done(&self) -> u64 {
        self.last_step.map_or(0, |step| step.saturating_add(1))
    }

    /// The test of the trained weights, without views.
    #[must_use]
    pub fn test_of_last(&self) -> Option<&Evaluated> {
        self.tests.iter().find(|test| test.weights.are_last() && !test.views)
    }

    /// The evaluation that says most: the test, else the last validation; with its name.
    #[must_use]
    pub fn foremost(&self) -> Option<(&'static str, &Evaluated)> {
        let test = self.test_of_last().or(self.tests.first()).map(|test| ("test", test));
        test.or(self.validation.as_ref().map(|validation| ("validation", validation)))
    }
}

impl Evaluated {
    fn parse(line: &[u8]) -> Result<Self, String> {
        let line: EvaluationLine = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let EvaluationLine { step, weights, views, loss, confusion, .. } = line;
        if confusion.sparse().any(|(_, count)| count > COUNT_MAX) {
            return Err("a count of the confusion matrix is larger than any data set".to_owned());
        }
        let accuracy = line.accuracy.filter(|share| (0.0..=1.0).contains(share));
        let accuracy = accuracy.ok_or("the accuracy is none")?;
        let mut names: Vec<String> = line.per_class.into_iter().map(|class| class.name).collect();
        if names.len() != confusion.classes() {
            names.clear();
        }
        Ok(Self { step, weights, views, loss, accuracy, confusion, names })
    }

    /// The name of a class; its number where it has none.
    #[must_use]
    pub fn name(&self, class: usize) -> String {
        let name = self.names.get(class).filter(|name| !name.is_empty());
        name.cloned().unwrap_or_else(|| class.to_string())
    }

    /// What was evaluated, but for the trained weights without views.
    #[must_use]
    pub fn version(&self) -> String {
        let views = if self.views { ", with views" } else { "" };
        format!("{} weights{views}", self.weights)
    }
}
