//! An axis of a chart: from where to where, and which numbers stand beside it.

/// Distances between numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Scale {
    Linear,
    /// For values above 0 alone.
    Logarithmic,
}

/// Where an axis begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Floor {
    /// At the lowest value.
    Lowest,
    /// At 0, unless it is logarithmic or values are below.
    Zero,
    /// Above the lowest twentieth: the first steps of a curve that rises steeply.
    Cut,
}

/// Numbers beside an axis, about.
const TICKS: f64 = 5.0;
/// Most of them.
const TICKS_MAX: usize = 12;
/// Share of the values, from the lowest, that an axis may leave out: one in so many.
const CUT: usize = 20;
/// Room above and below the values, as a share of their range: one in so many.
const ROOM: f64 = 25.0;

/// An axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    scale: Scale,
}

impl Axis {
    /// An axis for finite values.
    pub(super) fn of(values: impl Iterator<Item = f64>, scale: Scale, floor: Floor) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let first = if floor == Floor::Cut { values.len() / CUT } else { 0 };
        let value = |place: usize| values.get(place).copied().unwrap_or(0.0);
        let [mut low, mut high] = [value(first), value(values.len().saturating_sub(1))];
        let is_linear = scale == Scale::Linear;
        if is_linear && floor == Floor::Zero {
            low = low.min(0.0);
        }
        if low >= high {
            // One value lies in the middle.
            let room = if high == 0.0 { 1.0 } else { high.abs() / 2.0 };
            return Self { low: high - room, high: high + room, scale };
        }
        if is_linear && floor != Floor::Zero {
            let room = (high - low) / ROOM;
            low = if low >= 0.0 { (low - room).max(0.0) } else { low - room };
            high += room;
        }
        Self { low, high, scale }
    }

    pub(super) fn low(&self) -> f64 {
        self.low
    }

    pub(super) fn high(&self) -> f64 {
        self.high
    }

    /// Where a value lies, from 0 to 1; outside somewhat outside.
    pub(super) fn share(&self, value: f64) -> f64 {
        let [low, high, value] = match self.scale {
            Scale::Linear => [self.low, self.high, value],
            Scale::Logarithmic => [self.low, self.high, value].map(|value| libm::log10(value.max(1e-300))),
        };
        ((value - low) / (high - low)).clamp(-1.0, 2.0)
    }

    /// The numbers that stand beside it.
    pub(super) fn ticks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear => self.linear(),
            Scale::Logarithmic => self.logarithmic(),
        }
    }

    fn linear(&self) -> Vec<f64> {
        let rough = (self.high - self.low) / TICKS;
        let power = libm::pow(10.0, libm::floor(libm::log10(rough)));
        let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
        let step = steps.into_iter().find(|&step| step >= rough).unwrap_or(10.0 * power);
        let first = (self.low / step).ceil();
        let all = (0..TICKS_MAX).map(|at| (first + at as f64) * step);
        all.take_while(|&tick| tick <= self.high + step * 1e-9).collect()
    }

    fn logarithmic(&self) -> Vec<f64> {
        let [low, high] = [self.low, self.high].map(libm::log10);
        let factors: &[f64] = match high - low {
            ..1.2 => &[1.0, 2.0, 3.0, 5.0],
            1.2..2.5 => &[1.0, 3.0],
            _ => &[1.0],
        };
        // Of very many powers of ten only some are shown.
        let every = ((high - low) / TICKS_MAX as f64).ceil().max(1.0);
        let powers = (0..=TICKS_MAX).map(|at| low.floor() + at as f64 * every);
        let all = powers.flat_map(|power| factors.iter().map(move |factor| factor * libm::pow(10.0, power)));
        all.filter(|tick| (self.low..=self.high).contains(tick)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers_within_the_axis() {
        let ticks = |low, high, scale| Axis { low, high, scale }.ticks();
        assert_eq!(ticks(0.0, 860.0, Scale::Linear), [0.0, 200.0, 400.0, 600.0, 800.0]);
        assert_eq!(ticks(-1.0, 1.0, Scale::Linear), [-1.0, -0.5, 0.0, 0.5, 1.0]);
        assert_eq!(ticks(0.02, 9.0, Scale::Logarithmic), [0.1, 1.0]);
        assert_eq!(ticks(0.9, 6.0, Scale::Logarithmic), [1.0, 2.0, 3.0, 5.0]);
        assert!(ticks(1e-99, 1e99, Scale::Logarithmic).len() <= TICKS_MAX);
        assert!(ticks(1.0, 1.0 + f64::EPSILON, Scale::Linear).len() <= TICKS_MAX);
    }

    #[test]
    fn an_axis_begins_where_it_is_told() {
        let low = |floor| Axis::of((20..120).map(f64::from), Scale::Linear, floor).low();
        assert_eq!(
            [Floor::Lowest, Floor::Zero, Floor::Cut].map(low),
            [20.0 - 99.0 / 25.0, 0.0, 25.0 - 94.0 / 25.0]
        );
        assert_eq!(Axis::of([0.0, 1.0].into_iter(), Scale::Linear, Floor::Lowest).low(), 0.0);
        assert_eq!(Axis::of([3.0].into_iter(), Scale::Linear, Floor::Lowest).share(3.0), 0.5);
        assert_eq!(Axis::of([0.1, 1.0].into_iter(), Scale::Logarithmic, Floor::Zero).low(), 0.1);
    }
}
