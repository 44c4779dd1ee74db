//! The arithmetic that a run is held to, and what follows for workers with another one.
//!
//! 1. The arithmetic is settled by the first accepted answer, or by the first checkpoint that a run resumes
//!    from, and holds for all runs from then on. A hello settles nothing: its sender has computed nothing and
//!    may leave at once.
//! 2. Once it is settled and numerics are strict, a worker with another digest is refused. Members and spares
//!    with another digest are removed, which is no offence. So no answer of another digest is ever accepted
//!    afterwards.
//! 3. With relaxed numerics all workers are admitted, and an action names each one that differs.

use super::{Action, Cause, Coordinator, Numerics};
use crate::selftest::NumericsDigest;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The arithmetic that a run is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// Self-test digest of that arithmetic.
    pub digest: NumericsDigest,
    /// The event that settled it.
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

/// The difference between a worker's arithmetic and its run's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error(
    "its arithmetic differs: its self-test has digest {own}, but {run} (another type of CPU, or another build); \
     start it on a machine like that, or the coordinator with --numerics relaxed, which goes on with bits that may depend \
     on who computed what"
)]
pub struct OtherArithmetic {
    /// The arithmetic that the run is held to.
    pub run: Settled,
    /// Self-test digest of the worker.
    pub own: NumericsDigest,
}

impl Coordinator {
    /// Digest that all accepted answers have in common, for a checkpoint to record. `None` before it is
    /// settled, and with relaxed numerics, where each worker's may be another.
    #[must_use]
    pub fn numerics(&self) -> Option<NumericsDigest> {
        self.settled.filter(|_| self.limits.numerics == Numerics::Strict).map(|settled| settled.digest)
    }

    /// How a worker's arithmetic differs from the run's, if that is settled.
    pub(super) fn differs(&self, own: NumericsDigest) -> Option<OtherArithmetic> {
        let run = self.settled.filter(|run| run.digest != own)?;
        Some(OtherArithmetic { run, own })
    }

    /// Settles the arithmetic by the first accepted answer.
    pub(super) fn settle_numerics(&mut self, digest: NumericsDigest, actions: &mut Vec<Action>) {
        self.settle_by(Settled { digest, by: SettledBy::Answer }, actions);
    }

    /// Settles the arithmetic by the checkpoint that a run resumes from.
    pub(super) fn hold_to(&mut self, digest: NumericsDigest, actions: &mut Vec<Action>) {
        self.settle_by(Settled { digest, by: SettledBy::Checkpoint }, actions);
    }

    fn settle_by(&mut self, settled: Settled, actions: &mut Vec<Action>) {
        if self.settled.is_some() {
            return;
        }
        self.settled = Some(settled);
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
