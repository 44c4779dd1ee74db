//! What a round is for, and what workers compute for it.

use common::protocol::coordinator::AnswerKind;
use proto::message::Task;

/// Purpose of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// The next optimizer step.
    Train,
    /// A validation on the held-out samples, after an epoch.
    Validate,
    /// The test, at the end.
    Test,
}

impl Work {
    /// Kind of value that workers send for it.
    #[must_use]
    pub fn answer_kind(self) -> AnswerKind {
        match self {
            Self::Train => AnswerKind::Gradient,
            Self::Validate | Self::Test => AnswerKind::Confusion,
        }
    }

    /// Computation that workers do for it.
    #[must_use]
    pub fn task(self) -> Task {
        match self {
            Self::Train => Task::Train,
            Self::Validate | Self::Test => Task::Evaluate,
        }
    }
}
