//! What an operator chose about the cluster. Decides nothing.

use super::Audit;

/// Spares that a coordinator keeps: each holds a connection with its buffers and costs a heartbeat, and more than the
/// machines of a rack don't fall out at once.
pub const SPARES_MAX: u32 = 64;

/// A worker that was fast may be held up for seconds, by a disk that swaps or a machine that others use too: to drop it for
/// that would cost more than to wait, as others compute its pieces meanwhile.
pub const ANSWER_TIMEOUT_US_MIN: u64 = 10_000_000;

/// Whether a worker is let in whose canned gradients differ from those of the run's first answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numerics {
    /// It is refused: the bits stay independent of who computed what.
    Strict,
    /// It is let in, and said so.
    Relaxed,
}

/// What an operator chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Members that must have joined before the first piece is handed out.
    pub start: u32,
    /// Members below which no piece is handed out.
    pub min: u32,
    /// Places; a newcomer beyond them is a spare.
    pub max: u32,
    /// Spares beyond which a newcomer is refused.
    pub spares: u32,
    /// Whether all must compute alike.
    pub numerics: Numerics,
    /// What is computed a second time.
    pub audit: Audit,
    /// Silence after which a member is dropped, in microseconds.
    pub heartbeat_timeout_us: u64,
    /// How long a member that has answered nothing so far may take for each leaf before it is dropped, in microseconds.
    pub answer_timeout_us: u64,
    /// How long any other may take for an answer at least, in microseconds, however fast its answers were.
    pub answer_timeout_us_min: u64,
}
