//! A curve over a run's steps that stays small however long the run: neighbours are merged, with their least
//! and greatest value and their mean.

/// Most points of a curve. When there are as many, each two are merged.
pub const POINTS_MAX: usize = 2048;

/// Some neighbouring values of a curve.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Point {
    /// Last step that is in it.
    pub step: u64,
    /// Training time up to there, in seconds.
    pub seconds: f64,
    pub mean: f64,
    pub min: f64,
    pub max: f64,
    /// Number of values that were merged.
    pub values: u64,
}

/// A curve; steps ascend.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    points: Vec<Point>,
    /// Values that a point takes before the next one begins, as a power of two.
    doublings: u32,
    /// Values that were not finite.
    not_finite: u64,
}

impl Point {
    fn of(step: u64, seconds: f64, value: f64) -> Self {
        Self { step, seconds, mean: value, min: value, max: value, values: 1 }
    }

    /// The point with a later one in it.
    fn with(self, later: Self) -> Self {
        let values = self.values + later.values;
        // Weighted, so that large values can't overflow.
        let share = later.values as f64 / values as f64;
        Self {
            step: later.step,
            seconds: later.seconds,
            mean: self.mean * (1.0 - share) + later.mean * share,
            min: self.min.min(later.min),
            max: self.max.max(later.max),
            values,
        }
    }
}

impl Curve {
    /// Adds a value. One of a step that is there replaces it and all later ones, as a run does that goes
    /// back.
    pub fn push(&mut self, step: u64, seconds: f64, value: Option<f64>) {
        let Some(value) = value.filter(|value| value.is_finite()) else {
            self.not_finite += 1;
            return;
        };
        while self.points.last().is_some_and(|last| last.step >= step) {
            self.points.pop();
        }
        let new = Point::of(step, seconds, value);
        match self.points.last_mut() {
            Some(last) if last.values < 1 << self.doublings => *last = last.with(new),
            _ => self.points.push(new),
        }
        if self.points.len() >= POINTS_MAX {
            self.points = merged(&self.points, 2);
            self.doublings += 1;
        }
    }

    /// All points.
    #[must_use]
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// The curve in at most so many points.
    #[must_use]
    pub fn in_points(&self, most: usize) -> Vec<Point> {
        merged(&self.points, self.points.len().div_ceil(most.max(1)).max(1))
    }

    /// The last point.
    #[must_use]
    pub fn last(&self) -> Option<&Point> {
        self.points.last()
    }

    /// Number of values that were not finite.
    #[must_use]
    pub fn not_finite(&self) -> u64 {
        self.not_finite
    }
}

fn merged(points: &[Point], each: usize) -> Vec<Point> {
    let one = |some: &[Point]| some.iter().copied().reduce(Point::with);
    points.chunks(each).filter_map(one).collect()
}

/// An exponential moving average of the points' means, over about `span` of them.
#[must_use]
pub fn smoothed(points: &[Point], span: usize) -> Vec<f64> {
    let share = 2.0 / (span as f64 + 1.0);
    let next = |average: &mut Option<f64>, point: &Point| {
        let before = average.unwrap_or(point.mean);
        *average = Some(before + share * (point.mean - before));
        *average
    };
    points.iter().scan(None, next).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_steps_stay_few_points_and_lose_no_extreme() {
        let mut curve = Curve::default();
        for step in 0..1_000_000 {
            let value = if step == 654_321 { 77.0 } else { (step % 2) as f64 };
            curve.push(step, step as f64, Some(value));
        }
        let points = curve.points();
        assert!((POINTS_MAX / 2 - 1..POINTS_MAX).contains(&points.len()), "{}", points.len());
        assert_eq!(points.iter().map(|point| point.values).sum::<u64>(), 1_000_000);
        assert!(points.is_sorted_by(|a, b| a.step < b.step));
        assert_eq!((points[0].min, points[0].mean, points[0].max), (0.0, 0.5, 1.0));
        let greatest = points.iter().map(|point| point.max).fold(0.0, f64::max);
        assert_eq!((greatest, curve.last().unwrap().step), (77.0, 999_999));
        assert_eq!(curve.in_points(100).len(), points.len().div_ceil(points.len().div_ceil(100)));
        assert!(curve.in_points(100).len() <= 100);
    }

    #[test]
    fn a_step_that_comes_again_replaces_what_was_there() {
        let mut curve = Curve::default();
        (0..10).for_each(|step| curve.push(step, 0.0, Some(1.0)));
        curve.push(4, 0.0, Some(2.0));
        let seen: Vec<(u64, f64)> = curve.points().iter().map(|point| (point.step, point.mean)).collect();
        assert_eq!(seen, [(0, 1.0), (1, 1.0), (2, 1.0), (3, 1.0), (4, 2.0)]);
    }

    #[test]
    fn what_is_not_finite_is_counted_and_huge_values_stay_finite() {
        let mut curve = Curve::default();
        for (step, value) in [None, Some(f64::NAN), Some(f64::MAX), Some(f64::MAX)].into_iter().enumerate() {
            curve.push(step as u64, 0.0, value);
        }
        assert_eq!(curve.not_finite(), 2);
        assert!(curve.in_points(1).iter().all(|point| point.mean.is_finite()));
        assert_eq!(curve.in_points(0).len(), 1);
    }

    #[test]
    fn smoothing_follows_slowly() {
        let points: Vec<Point> = [0.0, 1.0, 1.0].iter().map(|&value| Point::of(0, 0.0, value)).collect();
        assert_eq!(smoothed(&points, 3), [0.0, 0.5, 0.75]);
        assert_eq!(smoothed(&points, 1), [0.0, 1.0, 1.0]);
    }
}
