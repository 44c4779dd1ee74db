//! Where the time of a round went: which worker computed which piece when, and what workers use.
//!
//! All times are the coordinator's. A piece's time begins when it is queued for its worker and ends when its
//! answer has arrived, so it includes both ways over the network.

use crate::ids::{Incarnation, Round, Step};
use crate::reduce::tree::Node;
use serde::{Deserialize, Serialize};

/// A round that is complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "field names say all")]
pub struct RoundRecord {
    pub step: Step,
    pub round: Round,
    pub kind: RoundKind,
    /// When the round began, in microseconds since the coordinator's start.
    pub begun_us: u64,
    /// From the beginning until the last answer had arrived and the sum was complete, in microseconds.
    pub summed_us: u64,
    /// From the beginning until the sum had been used: after the optimizer's update, in microseconds.
    pub done_us: u64,
    /// Times of the pieces, in the order in which they were given.
    pub pieces: Vec<PieceTime>,
}

/// Purpose of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "variant names say all")]
pub enum RoundKind {
    Train,
    Validation,
    Test,
    /// Labels for unlabelled samples.
    PseudoLabels,
}

/// The time of one piece with one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "field names say all")]
pub struct PieceTime {
    pub worker: Incarnation,
    pub piece: Node,
    /// Number of its leaves.
    pub leaves: u32,
    /// Whether another worker had the piece already: a backup task.
    pub is_backup: bool,
    /// When it was queued for the worker, in microseconds from the round's beginning.
    pub given_us: u64,
    /// When its answer had arrived and was accepted, likewise; `None` if it was of no use.
    pub answered_us: Option<u64>,
}

/// A round's time in parts, in microseconds. They follow each other, and add up to the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Phases {
    /// Until the first worker had answered all that it was given.
    pub compute_us: u64,
    /// From then on until the last answer arrived: some workers wait for others.
    pub wait_us: u64,
    /// From the last answer until the sum was complete. What was added before is not counted: workers
    /// computed meanwhile.
    pub reduce_us: u64,
    /// The optimizer's update.
    pub optimizer_us: u64,
}

impl RoundRecord {
    /// The round's time in parts.
    #[must_use]
    pub fn phases(&self) -> Phases {
        let answers = || self.pieces.iter().filter_map(|piece| Some((piece.worker, piece.answered_us?)));
        let last = answers().map(|(_, at)| at).max().unwrap_or(0).min(self.summed_us);
        let last_of = |who| answers().filter(|&(worker, _)| worker == who).map(|(_, at)| at).max();
        let first = answers().filter_map(|(who, _)| last_of(who)).min().unwrap_or(last).min(last);
        Phases {
            compute_us: first,
            wait_us: last - first,
            reduce_us: self.summed_us - last,
            optimizer_us: self.done_us.saturating_sub(self.summed_us),
        }
    }
}

/// What a worker uses, as it says itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "field names say all")]
pub struct WorkerUsage {
    pub worker: String,
    pub incarnation: Incarnation,
    /// CPU time of its process since its start, in seconds.
    pub cpu_seconds: f64,
    /// Memory of its process, in bytes.
    pub resident_bytes: u64,
    /// Bytes of gradients that it has sent on this connection.
    pub received_bytes: u64,
    /// Bytes of messages that it was sent on this connection.
    pub sent_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(worker: u64, given_us: u64, answered_us: Option<u64>) -> PieceTime {
        let worker = Incarnation(worker);
        PieceTime { worker, piece: Node::leaf(0), leaves: 1, is_backup: false, given_us, answered_us }
    }

    fn record(summed_us: u64, done_us: u64, pieces: Vec<PieceTime>) -> RoundRecord {
        let kind = RoundKind::Train;
        RoundRecord { step: Step(1), round: Round(1), kind, begun_us: 5, summed_us, done_us, pieces }
    }

    #[test]
    fn the_parts_follow_the_answers_and_add_up() {
        let pieces = vec![
            piece(1, 0, Some(40)),
            piece(2, 0, Some(50)),
            piece(1, 40, Some(70)),
            piece(2, 50, Some(90)),
            piece(1, 70, None),
        ];
        let phases = record(95, 100, pieces).phases();
        assert_eq!(phases, Phases { compute_us: 70, wait_us: 20, reduce_us: 5, optimizer_us: 5 });
    }

    #[test]
    fn a_round_without_answers_is_all_reduction() {
        let phases = record(7, 9, vec![piece(1, 0, None)]).phases();
        assert_eq!(phases, Phases { compute_us: 0, wait_us: 0, reduce_us: 7, optimizer_us: 2 });
    }
}
