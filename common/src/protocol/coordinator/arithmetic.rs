//! The arithmetic that all workers must have.
//!
//! 1. What workers compute is the same on every CPU: its digest is a constant of the program. With strict
//!    numerics a worker with another one is refused, even if it comes first.
//! 2. With relaxed numerics all workers are admitted, and an action names each one that differs.
//! 3. A checkpoint records the arithmetic of its answers. A run does not go on from one that was computed
//!    with another.

use super::{Coordinator, Numerics};
use crate::selftest::{NumericsDigest, Part};
use serde::{Deserialize, Serialize};

/// The difference between a worker's arithmetic and the program's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error(
    "its arithmetic differs in {}: its self-test has digest {own}, but this program's has {promised} on every x86-64 \
     CPU; start it with the same build on another machine, or the coordinator with --numerics relaxed, which goes on with \
     bits that may depend on who computed what",
    names(&self.parts())
)]
pub struct OtherArithmetic {
    /// Self-test digest of the program.
    pub promised: NumericsDigest,
    /// Self-test digest of the worker.
    pub own: NumericsDigest,
}

impl OtherArithmetic {
    /// The parts of the self-test that differ.
    #[must_use]
    pub fn parts(&self) -> Vec<Part> {
        self.promised.differing(self.own)
    }
}

fn names(parts: &[Part]) -> String {
    parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Coordinator {
    /// Digest that all accepted answers have in common, for a checkpoint to record. `None` with relaxed
    /// numerics, where each worker's may be another.
    #[must_use]
    pub fn numerics(&self) -> Option<NumericsDigest> {
        match self.limits.numerics {
            Numerics::Relaxed => None,
            Numerics::Strict => Some(self.limits.promised),
        }
    }

    /// The arithmetic that keeps a run from going on with that of its checkpoint.
    #[must_use]
    pub fn contradicts(&self, recorded: NumericsDigest) -> Option<NumericsDigest> {
        self.numerics().filter(|&promised| promised != recorded)
    }

    /// How a worker's arithmetic differs from the program's.
    pub(super) fn differs(&self, own: NumericsDigest) -> Option<OtherArithmetic> {
        let promised = self.limits.promised;
        (own != promised).then_some(OtherArithmetic { promised, own })
    }
}
