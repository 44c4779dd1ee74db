//! 95 % intervals: how far a figure on these samples may be from the one on all images of their kind.
//!
//! A share (accuracy, recall) has Wilson's score interval (Wilson 1927), which is right for few samples and
//! for shares near 1 too. An average of F1 has none in closed form: the samples are drawn anew with
//! replacement 1,000 times, and the interval has the middle 95 % of what comes out (the percentile
//! bootstrap of Efron 1979). The draws have a fixed seed, so that the same counts give the same interval.

use common::rng::Stream;
use common::train::metrics::Confusion;
use serde::Serialize;

/// Standard deviations of a normal distribution on either side of which 5 % lie outside.
const Z: f64 = 1.959_963_984_540_054;
/// Times that the samples are drawn anew.
const RESAMPLES: usize = 1000;
/// Share of the resamples that is cut off at each end.
const TAIL: f64 = 0.025;

/// An interval; `low` is at most `high`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

/// Intervals of the averages of F1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct F1Intervals {
    /// Unweighted mean over the classes.
    #[serde(rename = "macro")]
    pub macro_average: Interval,
    /// Mean over the classes, weighted by their samples.
    pub weighted: Interval,
}

/// The interval of a share: `part` of `whole`; from 0 to 1 where there is nothing.
#[must_use]
pub fn wilson(part: u64, whole: u64) -> Interval {
    if whole == 0 {
        return Interval { low: 0.0, high: 1.0 };
    }
    let n = whole as f64;
    let share = part as f64 / n;
    let centre = share + Z * Z / (2.0 * n);
    let half = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    Interval { low: ((centre - half) / scale).max(0.0), high: ((centre + half) / scale).min(1.0) }
}

/// The intervals of the averages of F1; all 0 where nothing is counted.
#[must_use]
pub fn f1(confusion: &Confusion) -> F1Intervals {
    let classes = confusion.classes();
    // The cell of each sample, as label and prediction.
    let of_cell = |(cell, count): (u32, u64)| {
        let cell = cell as usize;
        std::iter::repeat_n([cell / classes, cell % classes], count as usize)
    };
    let samples: Vec<[usize; 2]> = confusion.sparse().flat_map(of_cell).collect();
    if samples.is_empty() {
        return F1Intervals::default();
    }
    let mut stream = Stream::new(0, "bootstrap of F1", &[]);
    let mut averages = [const { Vec::new() }; 2];
    let mut counts = vec![Counts::default(); classes];
    for _ in 0..RESAMPLES {
        counts.fill(Counts::default());
        for _ in 0..samples.len() {
            let [label, prediction] = samples[stream.below(samples.len() as u32) as usize];
            counts[label].support += 1;
            counts[prediction].predicted += 1;
            counts[label].hits += u64::from(label == prediction);
        }
        for (averages, average) in averages.iter_mut().zip(f1_averages(&counts)) {
            averages.push(average);
        }
    }
    let [macro_average, weighted] = averages.map(middle);
    F1Intervals { macro_average, weighted }
}

/// Counts of a class.
#[derive(Clone, Copy, Default)]
struct Counts {
    hits: u64,
    support: u64,
    predicted: u64,
}

/// The macro and the weighted average of F1, as [`Confusion`] defines them.
fn f1_averages(counts: &[Counts]) -> [f64; 2] {
    let [mut met, mut sum, mut samples, mut weighted] = [0.0; 4];
    for Counts { hits, support, predicted } in counts {
        let all = support + predicted;
        if all > 0 {
            let f1 = 2.0 * *hits as f64 / all as f64;
            met += 1.0;
            sum += f1;
            samples += *support as f64;
            weighted += *support as f64 * f1;
        }
    }
    [sum / met, weighted / samples]
}

/// The interval between the tails.
fn middle(mut values: Vec<f64>) -> Interval {
    values.sort_by(f64::total_cmp);
    let cut = (values.len() as f64 * TAIL) as usize;
    Interval { low: values[cut], high: values[values.len() - 1 - cut] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_close(got: Interval, low: f64, high: f64, tolerance: f64) {
        assert!((got.low - low).abs() < tolerance && (got.high - high).abs() < tolerance, "{got:?}");
    }

    #[test]
    fn wilsons_interval_follows_its_formula() {
        // statsmodels' proportion_confint(part, whole, method="wilson") is this formula; computed in Python:
        //   z=1.959963984540054; p=k/n; c=(p+z*z/2/n)/(1+z*z/n); h=z*(p*(1-p)/n+z*z/4/n/n)**.5/(1+z*z/n)
        assert_close(wilson(9918, 10_000), 0.989_833_896, 0.993_388_404, 1e-8);
        assert_close(wilson(0, 10), 0.0, 0.277_532_799, 1e-8);
        assert_close(wilson(10, 10), 0.722_467_201, 1.0, 1e-8);
        assert_eq!(wilson(0, 0), Interval { low: 0.0, high: 1.0 });
    }

    #[test]
    fn the_bootstrap_surrounds_the_figure_and_narrows_with_more_samples() {
        let of = |times| {
            let mut confusion = Confusion::new(3);
            for (label, prediction, count) in [(0, 0, 8u64), (0, 1, 2), (1, 1, 9), (1, 2, 1), (2, 2, 10)] {
                confusion.count(label, prediction, count * times);
            }
            (f1(&confusion), confusion.macro_average().f1)
        };
        let [(few, figure), (many, _)] = [of(1), of(100)];
        for of in [few, many] {
            assert!(
                of.macro_average.low < figure && figure < of.macro_average.high,
                "{of:?} around {figure}"
            );
        }
        let width = |of: F1Intervals| of.macro_average.high - of.macro_average.low;
        assert!(width(many) < width(few) / 5.0, "{few:?} {many:?}");
        assert_eq!(few, of(1).0, "the same counts give the same interval");
    }

    #[test]
    fn where_all_is_right_the_interval_is_one_point() {
        let mut confusion = Confusion::new(2);
        confusion.count(0, 0, 5);
        confusion.count(1, 1, 5);
        assert_eq!(f1(&confusion).weighted, Interval { low: 1.0, high: 1.0 });
        assert_eq!(f1(&Confusion::new(2)), F1Intervals::default());
    }
}
