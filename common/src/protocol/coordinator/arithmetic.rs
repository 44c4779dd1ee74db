//! Which arithmetic a run is held to, and who has another.
//!
//! 1. The first answer that is accepted settles it, or the checkpoint that the run goes on from: whoever only says hello
//!    has computed nothing, and may be gone at once.
//! 2. From then on, where numerics are strict, a worker of another digest is refused, and those that are there already are
//!    removed; that is no offence. So no answer of another digest is ever accepted after.
//! 3. Where they are relaxed all are let in, and it is said of each what is lost.

use super::{Action, Cause, Coordinator, Numerics};
use crate::selftest::NumericsDigest;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The arithmetic that a run is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// Its digest.
    pub digest: NumericsDigest,
    /// What has settled it.
    pub by: SettledBy,
}

/// What has settled a run's arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettledBy {
    /// The first answer that was accepted.
    Answer,
    /// The checkpoint that the run goes on from.
    Checkpoint,
}

impl fmt::Display for Settled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = self.digest;
        match self.by {
            SettledBy::Answer => write!(f, "this run's first answer was computed with {digest}"),
            SettledBy::Checkpoint => {
                write!(f, "the checkpoint that this run goes on from was computed with {digest}")
            }
        }
    }
}

/// A worker computes other bits than its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error(
    "its arithmetic differs: its canned gradients have digest {own}, but {run} (another type of CPU, or another build); \
     start it on a machine like that, or the coordinator with --numerics relaxed, which goes on with bits that may depend \
     on who computed what"
)]
pub struct OtherArithmetic {
    /// What the run is held to.
    pub run: Settled,
    /// The worker's digest.
    pub own: NumericsDigest,
}

impl Coordinator {
    /// Holds the run to the arithmetic of the checkpoint that it goes on from, if that records one.
    #[must_use]
    pub fn resumed_with(mut self, digest: Option<NumericsDigest>) -> Self {
        self.settled = digest.map(|digest| Settled { digest, by: SettledBy::Checkpoint });
        self
    }

    /// The digest that every accepted answer had: what a checkpoint may record. `None` where none is settled, and where
    /// numerics are relaxed: there each worker's may be another.
    #[must_use]
    pub fn numerics(&self) -> Option<NumericsDigest> {
        self.settled.filter(|_| self.limits.numerics == Numerics::Strict).map(|settled| settled.digest)
    }

    /// How a worker's arithmetic differs from the run's, if that is settled.
    pub(super) fn differs(&self, own: NumericsDigest) -> Option<OtherArithmetic> {
        let run = self.settled.filter(|run| run.digest != own)?;
        Some(OtherArithmetic { run, own })
    }

    /// An answer of this arithmetic has been accepted.
    pub(super) fn settle_numerics(&mut self, digest: NumericsDigest, actions: &mut Vec<Action>) {
        if self.settled.is_some() {
            return;
        }
        self.settled = Some(Settled { digest, by: SettledBy::Answer });
        let members = self.members.iter().map(|(&who, member)| (who, &member.name, member.numerics));
        let spares = self.spares.iter().map(|(&who, spare)| (who, &spare.newcomer));
        let all = members.chain(spares.map(|(who, spare)| (who, &spare.name, spare.numerics)));
        let others = all.filter_map(|(who, name, own)| Some((who, name.clone(), self.differs(own)?)));
        for (who, name, differs) in others.collect::<Vec<_>>() {
            match self.limits.numerics {
                Numerics::Strict => self.remove(who, Cause::Numerics(differs), actions),
                Numerics::Relaxed => actions.push(Action::OtherNumerics { name, differs }),
            }
        }
    }
}
