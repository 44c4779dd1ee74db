//! Training speed in samples per second, over the last steps and over all. Evaluations do not count as
//! training time.
//!
//! This file is pure: the time is an argument.

use std::collections::VecDeque;

/// Number of steps over which the shown speed is averaged.
const SPEED_STEPS: usize = 50;

/// Training speed in samples per second, over the last steps and over all.
#[derive(Debug, Default)]
pub(crate) struct Speed {
    /// End of each step and its number of samples; the first entry only marks the beginning.
    window: VecDeque<(u64, u64)>,
    total_us: u64,
    total_samples: u64,
}

impl Speed {
    /// Notes that a training round begins. The clock continues from the round before, unless an evaluation
    /// lies between.
    pub(crate) fn begin(&mut self, now_us: u64) {
        if self.window.is_empty() {
            self.window.push_back((now_us, 0));
        }
    }

    /// Notes that a step of `samples` samples is done.
    pub(crate) fn finish(&mut self, now_us: u64, samples: u64) {
        // Measured from the end of the step before: the time between two steps belongs to training.
        let before_us = self.window.back().map_or(now_us, |&(before_us, _)| before_us);
        self.total_us += now_us.saturating_sub(before_us);
        self.total_samples += samples;
        self.window.push_back((now_us, samples));
        if self.window.len() > SPEED_STEPS + 1 {
            self.window.pop_front();
        }
    }

    /// Notes that the following time is not training.
    pub(crate) fn pause(&mut self) {
        self.window.clear();
    }

    /// Training time so far, in seconds, and the number of samples.
    pub(crate) fn trained(&self) -> (f64, u64) {
        (self.total_us as f64 / 1e6, self.total_samples)
    }

    /// Training speed over the last steps.
    pub(crate) fn samples_per_s(&self) -> f64 {
        let (Some((first_us, _)), Some((last_us, _))) = (self.window.front(), self.window.back()) else {
            return 0.0;
        };
        let samples: u64 = self.window.iter().skip(1).map(|(_, samples)| samples).sum();
        samples as f64 * 1e6 / last_us.saturating_sub(*first_us).max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_counts_training_time_only() {
        let mut speed = Speed::default();
        for step in 0..4 {
            speed.begin(step * 1_000_000);
            speed.finish((step + 1) * 1_000_000, 100);
        }
        assert_eq!(speed.samples_per_s(), 100.0);
        speed.pause();
        speed.begin(60_000_000);
        speed.finish(60_500_000, 100);
        assert_eq!(speed.samples_per_s(), 200.0);
        assert_eq!((speed.total_us, speed.total_samples), (4_500_000, 500));
    }
}
