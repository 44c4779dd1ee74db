//! What a round is for, and what workers compute for it.

use common::event::RoundKind;
use common::protocol::coordinator::AnswerKind;
use common::train::average::Weights;
use proto::message::Task;

/// Purpose of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// The next optimizer step.
    Train,
    /// A validation of these weights on the held-out samples, after an epoch.
    Validate(Weights),
    /// The test of these weights, at the end.
    Test(Weights),
    /// The same with nine views of each image.
    TestViews(Weights),
    /// What these weights take the unlabelled samples for, before an epoch.
    Guess(Weights),
}

impl Work {
    /// Kind of value that workers send for it.
    #[must_use]
    pub fn answer_kind(self) -> AnswerKind {
        match self {
            Self::Train => AnswerKind::Gradient,
            Self::Validate(_) | Self::TestViews(_) => AnswerKind::Confusion,
            Self::Test(_) | Self::Guess(_) => AnswerKind::Guesses,
        }
    }

    /// The weights that it is computed with.
    #[must_use]
    pub fn weights(self) -> Weights {
        match self {
            Self::Train => Weights::Last,
            Self::Validate(weights)
            | Self::Test(weights)
            | Self::TestViews(weights)
            | Self::Guess(weights) => weights,
        }
    }

    /// What is told of it.
    pub(crate) fn round_kind(self) -> RoundKind {
        match self {
            Self::Train => RoundKind::Train,
            Self::Validate(_) => RoundKind::Validation,
            Self::Test(_) | Self::TestViews(_) => RoundKind::Test,
            Self::Guess(_) => RoundKind::PseudoLabels,
        }
    }

    /// Computation that workers do for it.
    #[must_use]
    pub fn task(self) -> Task {
        match self {
            Self::Train => Task::Train,
            Self::Validate(_) => Task::Evaluate,
            Self::Test(_) => Task::EvaluateEach,
            Self::TestViews(_) => Task::EvaluateViews,
            Self::Guess(_) => Task::Guess,
        }
    }
}
