//! A monotonic clock for the protocol machines, in microseconds since the program began. The wall clock does
//! not affect it.

use std::time::{Duration, Instant};

/// A clock that never goes back, in microseconds from its start.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock that shows 0 now.
    #[must_use]
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// Microseconds since it was started.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// What the clock shows at an instant; 0 for one before its start.
    #[must_use]
    pub fn us_at(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.origin).as_micros()).unwrap_or(u64::MAX)
    }

    /// The instant at which the clock shows `us`.
    #[must_use]
    pub fn instant(&self, us: u64) -> Instant {
        self.origin + Duration::from_micros(us)
    }
}

/// Seconds since 1970 by the wall clock, rounded to milliseconds: for records that people read. It may jump,
/// so nothing is decided by it.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "people want the time of day")]
pub fn wall_seconds() -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_millis() as f64 / 1e3)
}
