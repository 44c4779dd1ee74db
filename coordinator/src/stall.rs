//! Detection of a stall: how long a counter has not moved, by looking at it now and then. Pure.

/// A counter's last value, and how long it has not changed.
#[derive(Debug, Default)]
pub(crate) struct Stall {
    count: u64,
    looked_us: u64,
    still_us: u64,
}

impl Stall {
    /// Looks at the counter. Returns for how long it has been the same while it `is_due` to grow.
    ///
    /// The counter must be looked at every `look_us`. Where a look comes later, this process itself was held
    /// up, and that time does not count.
    pub(crate) fn look(&mut self, now_us: u64, look_us: u64, count: u64, is_due: bool) -> u64 {
        let since_us = now_us.saturating_sub(std::mem::replace(&mut self.looked_us, now_us));
        let moved = std::mem::replace(&mut self.count, count) != count;
        self.still_us = if moved || !is_due { 0 } else { self.still_us + since_us.min(2 * look_us) };
        self.still_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_looks_in_time_at_what_is_due_add_up() {
        let mut stall = Stall::default();
        assert_eq!(stall.look(1_000, 100, 7, true), 0);
        assert_eq!(stall.look(1_100, 100, 7, true), 100);
        assert_eq!(stall.look(1_250, 100, 7, true), 250);
        assert_eq!(stall.look(9_000_000, 100, 7, true), 450, "this process was held up");
        assert_eq!(stall.look(9_000_100, 100, 8, true), 0);
        assert_eq!(stall.look(9_000_200, 100, 8, true), 100);
        assert_eq!(stall.look(9_000_300, 100, 8, false), 0);
    }
}
