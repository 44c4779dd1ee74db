//! Values that a trial draws: a number of a range, or one of a list.
//!
//! A draw is a function of (seed, name, trial) alone, so another setting or another number of trials changes
//! none of the others. A fraction is rounded to four digits, so that what a table shows is what was trained.

use crate::rng::Stream;

/// Significant digits of a fraction, after the first one.
const DIGITS: usize = 3;

/// Numbers to draw from, both ends among them.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "field names say all")]
pub enum Range {
    Float { from: f64, to: f64, log: bool },
    Integer { from: i64, to: i64, log: bool },
}

/// A number that was drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Number {
    Float(f64),
    Integer(i64),
}

/// The stream of a trial's choice for the setting of that name.
#[must_use]
pub fn stream(seed: u64, name: &str, trial: u32) -> Stream {
    Stream::new(seed, &format!("search {name}"), &[trial.into()])
}

impl Range {
    /// Checks that both ends of the range are valid.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn validate(&self) -> Result<(), &'static str> {
        let (ordered, finite, positive, log) = match *self {
            Self::Float { from, to, log } => {
                (from < to, from.is_finite() && to.is_finite() && (to - from).is_finite(), from > 0.0, log)
            }
            Self::Integer { from, to, log } => {
                (from < to, to.checked_sub(from).is_some_and(|width| width < 1 << 53), from > 0, log)
            }
        };
        match () {
            () if !ordered => Err("from must be below to"),
            () if !finite => Err("it is too wide"),
            () if log && !positive => Err("with log = true, from must be above 0"),
            () => Ok(()),
        }
    }

    /// A number of the range; with `log` its logarithm is uniform. The range is a valid one.
    #[must_use]
    pub fn draw(&self, stream: &mut Stream) -> Number {
        let unit = unit(stream);
        match *self {
            Self::Float { from, to, log } => {
                let value = if log { log_between(from, to, unit) } else { unit.mul_add(to - from, from) };
                Number::Float(rounded(value).clamp(from, to))
            }
            Self::Integer { from, to, log } => {
                let (low, above) = (from as f64, to as f64 + 1.0);
                let value = if log { log_between(low, above, unit) } else { unit.mul_add(above - low, low) };
                Number::Integer((value.floor() as i64).clamp(from, to))
            }
        }
    }
}

/// A uniform number of `[0, 1)`, a multiple of 2^-53.
fn unit(stream: &mut Stream) -> f64 {
    let bits = u64::from(stream.bits32()) << 21 | u64::from(stream.bits32() >> 11);
    bits as f64 * (1.0 / 9_007_199_254_740_992.0)
}

fn log_between(from: f64, to: f64, unit: f64) -> f64 {
    let (low, high) = (libm::log(from), libm::log(to));
    libm::exp(unit.mul_add(high - low, low))
}

fn rounded(value: f64) -> f64 {
    format!("{value:.DIGITS$e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(range: Range) -> Vec<Number> {
        (0..2000).map(|trial| range.draw(&mut stream(7, "lr", trial))).collect()
    }

    #[test]
    fn a_draw_is_a_function_of_seed_name_and_trial() {
        let range = Range::Float { from: 1e-4, to: 1e-2, log: true };
        let draw = |seed, name, trial| range.draw(&mut stream(seed, name, trial));
        assert_eq!(draw(1, "lr", 2), draw(1, "lr", 2));
        for other in [draw(2, "lr", 2), draw(1, "momentum", 2), draw(1, "lr", 3)] {
            assert_ne!(draw(1, "lr", 2), other);
        }
        // Printed once by this very test; a change means that old searches can't be replayed.
        let first = [draw(1, "lr", 0), draw(1, "lr", 1), draw(1, "lr", 2)];
        assert_eq!(first, GOLDEN.map(Number::Float));
    }

    const GOLDEN: [f64; 3] = [0.0004686, 0.0009484, 0.001449];

    #[test]
    fn fractions_are_in_the_range_with_four_digits_and_uniform_in_their_logarithm() {
        let all = draws(Range::Float { from: 1e-4, to: 1e-2, log: true });
        let below =
            all.iter().filter(|&&number| matches!(number, Number::Float(value) if value < 1e-3)).count();
        assert!((900..1100).contains(&below), "{below}");
        for number in all {
            let Number::Float(value) = number else { panic!("{number:?}") };
            assert!((1e-4..=1e-2).contains(&value) && value.to_string().len() <= 9, "{value}");
        }
        let even = draws(Range::Float { from: -1.0, to: 3.0, log: false });
        let below =
            even.iter().filter(|&&number| matches!(number, Number::Float(value) if value < 0.0)).count();
        assert!((430..570).contains(&below), "{below}");
    }

    #[test]
    fn integers_reach_both_ends() {
        for log in [false, true] {
            let all = draws(Range::Integer { from: 1, to: 4, log });
            let count = |value| all.iter().filter(|&&number| number == Number::Integer(value)).count();
            let counts = [1, 2, 3, 4].map(count);
            assert_eq!(counts.iter().sum::<usize>(), 2000);
            assert!(counts.iter().all(|&count| count > 200), "{counts:?}");
            assert!(!log || counts[0] > 2 * counts[3], "{counts:?}");
        }
    }

    #[test]
    fn bad_ends_are_refused() {
        for (range, why) in [
            (Range::Float { from: 1.0, to: 1.0, log: false }, "below"),
            (Range::Float { from: f64::NAN, to: 1.0, log: false }, "below"),
            (Range::Float { from: 0.0, to: f64::INFINITY, log: false }, "wide"),
            (Range::Float { from: -f64::MAX, to: f64::MAX, log: false }, "wide"),
            (Range::Float { from: 0.0, to: 1.0, log: true }, "above 0"),
            (Range::Integer { from: 3, to: 2, log: false }, "below"),
            (Range::Integer { from: i64::MIN, to: i64::MAX, log: false }, "wide"),
            (Range::Integer { from: 0, to: 9, log: true }, "above 0"),
        ] {
            assert!(range.validate().is_err_and(|problem| problem.contains(why)), "{range:?}");
        }
        assert_eq!(Range::Integer { from: -3, to: 9, log: false }.validate(), Ok(()));
    }
}
