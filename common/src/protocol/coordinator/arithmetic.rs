//! The arithmetic that a run is held to, and what follows for workers with another one.
//!
//! 1. What the program's own kernels compute is the same on every CPU: its digest is a constant of the
//!    program. A worker with another one is refused, even if it comes first.
//! 2. What the tensor library computes may depend on the type of CPU. It counts from the first run on that
//!    has such layers. Then the whole digest is settled by the first accepted answer, or by the first
//!    checkpoint that such a run resumes from, and holds for all runs from then on. A hello settles nothing:
//!    its sender has computed nothing and may leave at once.
//! 3. Once it is settled and numerics are strict, a worker with another digest is refused. Members and spares
//!    with another digest are removed, which is no offence. So no answer of another digest is ever accepted
//!    afterwards.
//! 4. With relaxed numerics all workers are admitted, and an action names each one that differs.

use super::{Action, Cause, Coordinator, Numerics};
use crate::selftest::{NumericsDigest, Part};
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
    /// The program itself: its own kernels have one definition.
    Program,
    /// The first answer that was accepted.
    Answer,
    /// The checkpoint that the run goes on from.
    Checkpoint,
}

impl fmt::Display for Settled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = self.digest;
        match self.by {
            SettledBy::Program => {
                write!(f, "this program's has {digest} on every CPU with fused multiply-add")
            }
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
    "its arithmetic differs in {}: its self-test has digest {own}, but {run} ({}); start it on a machine like that, or \
     the coordinator with --numerics relaxed, which goes on with bits that may depend on who computed what",
    names(&self.parts()), .run.why_another()
)]
pub struct OtherArithmetic {
    /// The arithmetic that the run is held to.
    pub run: Settled,
    /// Self-test digest of the worker.
    pub own: NumericsDigest,
}

impl Settled {
    /// Whether a worker of that digest computes otherwise.
    fn differs(&self, own: NumericsDigest) -> bool {
        !self.parts(own).is_empty()
    }

    /// The parts of the self-test in which a worker of that digest differs.
    fn parts(&self, own: NumericsDigest) -> Vec<Part> {
        match self.by {
            SettledBy::Program => self.digest.differing(own.promised()),
            SettledBy::Answer | SettledBy::Checkpoint => self.digest.differing(own),
        }
    }

    fn why_another(&self) -> &'static str {
        match self.by {
            SettledBy::Program => "another build, or a CPU without it",
            SettledBy::Answer | SettledBy::Checkpoint => "another type of CPU, C library or build",
        }
    }
}

impl OtherArithmetic {
    /// The parts of the self-test that differ.
    #[must_use]
    pub fn parts(&self) -> Vec<Part> {
        self.run.parts(self.own)
    }
}

fn names(parts: &[Part]) -> String {
    parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Coordinator {
    /// Digest that all of a run's accepted answers have in common, for a checkpoint to record. `None` with
    /// relaxed numerics, where each worker's may be another, and before it is settled where the run uses the
    /// tensor library.
    #[must_use]
    pub fn numerics(&self, uses_library: bool) -> Option<NumericsDigest> {
        match self.limits.numerics {
            Numerics::Relaxed => None,
            Numerics::Strict if uses_library => self.settled.map(|settled| settled.digest),
            Numerics::Strict => Some(self.limits.promised),
        }
    }

    /// The arithmetic that keeps a run from going on with that of its checkpoint.
    #[must_use]
    pub fn contradicts(&self, recorded: NumericsDigest, uses_library: bool) -> Option<NumericsDigest> {
        let library = self.numerics(true).filter(|&settled| uses_library && settled != recorded);
        library.or(self.numerics(false).filter(|&promised| promised != recorded.promised()))
    }

    /// How a worker's arithmetic differs from the program's, or from what is settled.
    pub(super) fn differs(&self, own: NumericsDigest) -> Option<OtherArithmetic> {
        let program = Settled { digest: self.limits.promised, by: SettledBy::Program };
        let run = [Some(program), self.settled].into_iter().flatten().find(|run| run.differs(own))?;
        Some(OtherArithmetic { run, own })
    }

    /// Settles the arithmetic by the first accepted answer.
    pub(super) fn settle_numerics(&mut self, digest: NumericsDigest, actions: &mut Vec<Action>) {
        self.settle_by(Settled { digest, by: SettledBy::Answer }, actions);
    }

    /// Settles the arithmetic by the checkpoint that a run resumes from, which uses the tensor library.
    pub(super) fn hold_to(&mut self, digest: NumericsDigest, actions: &mut Vec<Action>) {
        self.uses_library = true;
        self.settle_by(Settled { digest, by: SettledBy::Checkpoint }, actions);
    }

    fn settle_by(&mut self, settled: Settled, actions: &mut Vec<Action>) {
        if self.settled.is_some() || !self.uses_library {
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
