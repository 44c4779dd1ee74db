//! The numbers of the steps, as many as a picture can show: where there are more, neighbours are merged, and
//! the mean and the extremes of each group are kept.

use common::event::{Phases, StepRecord};
use serde::Serialize;

/// Most groups of steps. When they are reached, each two become one.
pub const BUCKETS_MAX: usize = 1024;

/// One step's numbers.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Point {
    /// When it was done, in seconds since 1970.
    pub time: f64,
    pub step: u64,
    pub epoch: u64,
    pub loss: f64,
    pub accuracy: f64,
    pub learning_rate: f64,
    pub grad_norm: Option<f64>,
    pub samples_per_s: f64,
    pub workers: u32,
    /// The parts of its time, if they are known.
    pub phases: Option<Phases>,
}

/// A group of neighbouring steps.
#[derive(Clone, Debug, PartialEq)]
struct Bucket {
    first: u64,
    /// The last of them.
    last: Point,
    count: u32,
    loss: Spread,
    accuracy: Spread,
    grad_norm: Spread,
    phases: [Spread; 4],
}

/// Mean and extremes of some numbers; those that are not finite are left out.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    count: u32,
    sum: f64,
    min: f64,
    max: f64,
}

/// The steps of a run in groups of the same size.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    buckets: Vec<Bucket>,
    /// Binary logarithm of the steps of a group.
    scale: u32,
}

/// Numbers of groups or steps as columns, for a chart. A number that is missing or not finite is null.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Columns {
    /// Last step of each group.
    pub step: Vec<u64>,
    pub time: Vec<f64>,
    pub loss: Vec<f32>,
    pub loss_min: Vec<f32>,
    pub loss_max: Vec<f32>,
    pub accuracy: Vec<f32>,
    pub accuracy_min: Vec<f32>,
    pub accuracy_max: Vec<f32>,
    pub learning_rate: Vec<f32>,
    pub grad_norm: Vec<f32>,
    pub samples_per_s: Vec<f32>,
    pub workers: Vec<u32>,
    /// Milliseconds of compute, wait, reduce and optimizer.
    pub phases: [Vec<f32>; 4],
}

impl Point {
    /// The numbers of a step that was done at `time`.
    #[must_use]
    pub fn new(time: f64, record: &StepRecord, phases: Option<Phases>) -> Self {
        let StepRecord { loss, accuracy, learning_rate, samples_per_s, grad_norm, .. } = *record;
        let [step, epoch, workers] = [record.step.0, record.epoch.0, record.workers as u64];
        let workers = u32::try_from(workers).unwrap_or(u32::MAX);
        Self { time, step, epoch, loss, accuracy, learning_rate, grad_norm, samples_per_s, workers, phases }
    }
}

impl Spread {
    const NONE: Self = Self { count: 0, sum: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY };

    fn of(number: f64) -> Self {
        if number.is_finite() { Self { count: 1, sum: number, min: number, max: number } } else { Self::NONE }
    }

    fn with(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            sum: self.sum + other.sum,
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }

    fn mean(self) -> f32 {
        if self.count == 0 { f32::NAN } else { (self.sum / f64::from(self.count)) as f32 }
    }
}

impl Bucket {
    fn of(point: &Point) -> Self {
        let part = |of: fn(&Phases) -> u64| {
            point.phases.as_ref().map_or(Spread::NONE, |phases| Spread::of(of(phases) as f64 / 1e3))
        };
        Self {
            first: point.step,
            last: point.clone(),
            count: 1,
            loss: Spread::of(point.loss),
            accuracy: Spread::of(point.accuracy),
            grad_norm: point.grad_norm.map_or(Spread::NONE, Spread::of),
            phases: [
                part(|phases| phases.compute_us),
                part(|phases| phases.wait_us),
                part(|phases| phases.reduce_us),
                part(|phases| phases.optimizer_us),
            ],
        }
    }

    fn with(&self, later: &Self) -> Self {
        let mut phases = self.phases;
        phases.iter_mut().zip(later.phases).for_each(|(own, later)| *own = own.with(later));
        Self {
            first: self.first,
            last: later.last.clone(),
            count: self.count + later.count,
            loss: self.loss.with(later.loss),
            accuracy: self.accuracy.with(later.accuracy),
            grad_norm: self.grad_norm.with(later.grad_norm),
            phases,
        }
    }
}

impl Curve {
    /// Adds the next step.
    pub fn add(&mut self, point: &Point) {
        let new = Bucket::of(point);
        match self.buckets.last_mut() {
            Some(last) if last.first >> self.scale == point.step >> self.scale => *last = last.with(&new),
            _ => self.buckets.push(new),
        }
        while self.buckets.len() > BUCKETS_MAX {
            self.scale += 1;
            let merged = std::mem::take(&mut self.buckets);
            for bucket in merged {
                match self.buckets.last_mut() {
                    Some(last) if last.first >> self.scale == bucket.first >> self.scale => {
                        *last = last.with(&bucket);
                    }
                    _ => self.buckets.push(bucket),
                }
            }
        }
    }

    /// Forgets a step and all later ones, with the group that they begin in.
    pub fn cut(&mut self, step: u64) {
        self.buckets.retain(|bucket| bucket.last.step < step);
    }

    /// Steps a second over the last groups: the end of the curve divided by its time. `None` without two of
    /// them.
    #[must_use]
    pub fn steps_per_s(&self) -> Option<f64> {
        /// Groups that count.
        const LAST: usize = 32;

        let tail = &self.buckets[self.buckets.len().saturating_sub(LAST)..];
        let [first, .., last] = tail else { return None };
        let seconds = last.last.time - first.last.time;
        (seconds > 0.0).then(|| (last.last.step - first.last.step) as f64 / seconds)
    }

    /// All groups.
    #[must_use]
    pub fn columns(&self) -> Columns {
        let mut columns = Columns::default();
        self.buckets.iter().for_each(|bucket| columns.add(bucket));
        columns
    }
}

impl Columns {
    /// Single steps.
    #[must_use]
    pub fn of(points: &[Point]) -> Self {
        let mut columns = Self::default();
        points.iter().for_each(|point| columns.add(&Bucket::of(point)));
        columns
    }

    fn add(&mut self, bucket: &Bucket) {
        let Bucket { last, loss, accuracy, grad_norm, phases, .. } = bucket;
        let edge = |spread: &Spread, edge: f64| if spread.count == 0 { f32::NAN } else { edge as f32 };
        self.step.push(last.step);
        self.time.push(last.time);
        self.loss.push(loss.mean());
        self.loss_min.push(edge(loss, loss.min));
        self.loss_max.push(edge(loss, loss.max));
        self.accuracy.push(accuracy.mean());
        self.accuracy_min.push(edge(accuracy, accuracy.min));
        self.accuracy_max.push(edge(accuracy, accuracy.max));
        self.learning_rate.push(last.learning_rate as f32);
        self.grad_norm.push(grad_norm.mean());
        self.samples_per_s.push(last.samples_per_s as f32);
        self.workers.push(last.workers);
        self.phases.iter_mut().zip(phases).for_each(|(column, part)| column.push(part.mean()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(step: u64, loss: f64) -> Point {
        let record = StepRecord { loss, ..crate::observe::step_record(step, 0) };
        Point::new(step as f64 / 2.0, &record, None)
    }

    fn curve(steps: u64) -> Curve {
        let mut curve = Curve::default();
        (0..steps).for_each(|step| curve.add(&point(step, (step % 100) as f64)));
        curve
    }

    #[test]
    fn a_short_run_keeps_every_step() {
        let columns = curve(BUCKETS_MAX as u64).columns();
        assert_eq!(columns.step, (0..BUCKETS_MAX as u64).collect::<Vec<_>>());
        assert_eq!((columns.loss[7], columns.loss_min[7], columns.loss_max[7]), (7.0, 7.0, 7.0));
    }

    #[test]
    fn a_long_run_is_bounded_and_keeps_means_and_extremes() {
        let curve = curve(100_000);
        let columns = curve.columns();
        assert!((BUCKETS_MAX / 2..=BUCKETS_MAX).contains(&columns.step.len()), "{}", columns.step.len());
        let counted: u32 = curve.buckets.iter().map(|bucket| bucket.count).sum();
        assert_eq!(counted, 100_000);
        assert_eq!((columns.loss_min[3], columns.loss_max[3]), (0.0, 99.0));
        assert!((columns.loss[3] - 49.5).abs() < 15.0, "{}", columns.loss[3]);
        assert!((curve.steps_per_s().unwrap() - 2.0).abs() < 0.1);
    }

    #[test]
    fn what_is_repeated_is_cut_off_first() {
        let mut curve = curve(100);
        curve.cut(40);
        assert_eq!(curve.columns().step.last(), Some(&39));
        curve.add(&point(40, 5.0));
        assert_eq!(curve.columns().loss.last(), Some(&5.0));
    }

    #[test]
    fn numbers_that_are_not_finite_are_null_and_spoil_no_mean() {
        let mut curve = Curve::default();
        (0..4096).for_each(|step| curve.add(&point(step, if step == 1 { f64::NAN } else { 2.0 })));
        assert_eq!(curve.columns().loss[0], 2.0);
        let alone = Columns::of(&[point(0, f64::INFINITY)]);
        assert!(serde_json::to_string(&alone).unwrap().contains("\"loss\":[null]"));
    }
}
