//! From the coordinator's clock, which rounds are measured by, to the time of day.

/// What the coordinator's clock lacks to the time of day. The smallest difference seen is that of the event
/// that was told with the least delay.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WallOffset(Option<f64>);

impl WallOffset {
    /// Notes that what happened at `clock_us` was told of at `time`, in seconds since 1970. Returns the
    /// difference in seconds.
    pub(super) fn note(&mut self, time: f64, clock_us: u64) -> f64 {
        let now = time - clock_us as f64 / 1e6;
        let offset = self.0.map_or(now, |offset| offset.min(now));
        self.0 = Some(offset);
        offset
    }
}
