//! The operator's settings for the cluster. Decides nothing.

use super::Audit;
use crate::selftest::NumericsDigest;

/// Most spares that a coordinator keeps. Each holds a connection with its buffers and costs a heartbeat. More
/// than the machines of one rack do not fail at the same time.
pub const SPARES_MAX: u32 = 64;

/// Shortest answer timeout. A fast worker may be held up for seconds, by swapping or by other programs on its
/// machine. Dropping it would cost more than waiting, because others compute its pieces meanwhile.
pub const ANSWER_TIMEOUT_US_MIN: u64 = 10_000_000;

/// How workers are treated whose self-test digest differs from the program's or the run's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numerics {
    /// They are refused: the bits stay independent of who computed what.
    Strict,
    /// They are admitted, with a warning.
    Relaxed,
}

/// The operator's settings for the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Fewest members at which the first piece is handed out.
    pub start: u32,
    /// Fewest members at which later pieces are handed out.
    pub min: u32,
    /// Most members; a newcomer beyond them is a spare.
    pub max: u32,
    /// Most spares; a newcomer beyond them is refused.
    pub spares: u32,
    /// Whether all members must have the same arithmetic.
    pub numerics: Numerics,
    /// Digest of the program's own arithmetic, without the tensor library's part.
    pub promised: NumericsDigest,
    /// Share of the pieces that a second worker computes too.
    pub audit: Audit,
    /// Silence after which a member is dropped, in microseconds.
    pub heartbeat_timeout_us: u64,
    /// Time for each leaf, in microseconds, after which a member that has answered nothing yet is dropped.
    pub answer_timeout_us: u64,
    /// Shortest time for an answer, in microseconds, that any other member has, however fast its answers
    /// were.
    pub answer_timeout_us_min: u64,
    /// Whether runs are tried that may diverge: then a non-finite answer drops its sender only when it is
    /// contradicted.
    pub may_diverge: bool,
}
