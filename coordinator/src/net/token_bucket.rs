//! A token bucket: a rate, and a burst.
//!
//! Its users decide what is limited, and what follows when a limit is exceeded.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Tokens that may still be taken.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    per_second: f64,
    most: f64,
    left: f64,
    filled_at: Option<Instant>,
}

impl TokenBucket {
    /// A full bucket: `most` tokens at once, and `per_second` from then on.
    pub(crate) fn new(per_second: u32, most: u32) -> Self {
        Self { per_second: per_second.into(), most: most.into(), left: most.into(), filled_at: None }
    }

    /// The same bucket with only `left` tokens to begin with.
    pub(crate) fn starting_with(self, left: u32) -> Self {
        Self { left: f64::from(left).min(self.most), ..self }
    }

    /// Takes `cost` tokens if there are as many. Returns whether it did.
    pub(crate) fn take(&mut self, now: Instant, cost: u32) -> bool {
        let since =
            self.filled_at.replace(now).map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        self.left = (self.left + since * self.per_second).min(self.most);
        let enough = self.left >= f64::from(cost);
        self.left -= if enough { cost.into() } else { 0.0 };
        enough
    }

    /// Adds earned tokens; the bucket never holds more than `most`.
    pub(crate) fn earn(&mut self, more: u32) {
        self.left = (self.left + f64::from(more)).min(self.most);
    }
}

/// A rate limit for log lines of one kind, which counts those that it leaves out.
#[derive(Debug)]
pub(crate) struct Lines {
    bucket: TokenBucket,
    left_out: u64,
}

impl Lines {
    /// A limit of `per_second` lines, and `most` at once.
    pub(crate) fn new(per_second: u32, most: u32) -> Self {
        Self { bucket: TokenBucket::new(per_second, most), left_out: 0 }
    }

    /// Calls `write` if a line may be written. `write` is told how many were left out before, if any were.
    pub(crate) fn write(&mut self, now: Instant, write: impl FnOnce(Option<u64>)) {
        if self.bucket.take(now, 1) {
            let left_out = std::mem::take(&mut self.left_out);
            write((left_out > 0).then_some(left_out));
        } else {
            self.left_out += 1;
        }
    }
}

/// Log lines that any peer can cause: [`Lines`] that all connections share.
#[derive(Debug)]
pub(crate) struct PeerLines(Mutex<Lines>);

impl PeerLines {
    /// A limit of `per_second` lines, and `most` at once.
    pub(crate) fn new(per_second: u32, most: u32) -> Self {
        Self(Mutex::new(Lines::new(per_second, most)))
    }

    /// Writes a line unless there were many recently. `write` is told how many were left out.
    pub(crate) fn note(&self, write: impl FnOnce(Option<u64>)) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(Instant::now(), write);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn so_much_at_once_and_so_much_a_second() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut bucket = TokenBucket::new(10, 5);
        assert!(bucket.take(start, 3) && !bucket.take(start, 3) && bucket.take(start, 2));
        assert!(!bucket.take(at(99), 1) && bucket.take(at(100), 1) && !bucket.take(at(150), 1));
        assert!(!bucket.take(at(10_000), 6) && bucket.take(at(10_000), 5));
    }

    #[test]
    fn one_that_starts_with_less_fills_up() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(10, 5).starting_with(2);
        assert!(!bucket.take(start, 3) && bucket.take(start, 2));
        assert!(bucket.take(start + Duration::from_millis(500), 5));
    }

    #[test]
    fn what_is_earned_is_no_more_than_the_most() {
        let now = Instant::now();
        let mut bucket = TokenBucket::new(0, 5);
        assert!(bucket.take(now, 5));
        bucket.earn(100);
        assert!(bucket.take(now, 5) && !bucket.take(now, 1));
    }

    #[test]
    fn a_line_says_how_many_were_left_out_before_it() {
        let start = Instant::now();
        let mut lines = Lines::new(1, 2);
        let mut said = Vec::new();
        for s in [0, 0, 0, 0, 0, 1, 2] {
            lines.write(start + Duration::from_secs(s), |left_out| said.push((s, left_out)));
        }
        assert_eq!(said, [(0, None), (0, None), (1, Some(3)), (2, None)]);
    }
}
