//! A pause: a run that ends before its end, at the end of an epoch and without the test, and goes on later.

use super::Trainer;
use common::checkpoint::Position;

impl Trainer {
    /// Pauses the run after so many epochs, or where it ends if that is earlier: it is over then without its
    /// test, and can go on later with the bits of one that never paused.
    pub fn pause_after(&mut self, epochs: u64) {
        self.end_after(Some(epochs.saturating_mul(self.config.length().epoch)));
        self.pauses = true;
    }

    /// The run's state, if it has come to where it pauses.
    #[must_use]
    pub fn paused(&self) -> Option<&Position> {
        (self.pauses && self.next().is_none()).then_some(&self.position)
    }
}
