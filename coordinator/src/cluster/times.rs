//! When the pieces of a round were given and answered. Nothing is decided by it: it is for whoever watches.

use common::event::PieceTime;
use common::ids::Incarnation;
use common::reduce::tree::Node;

/// Most pieces of a round whose times are kept: more than a picture of them can show.
const PIECES_MAX: usize = 4096;

/// Times of a round's pieces.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoundTimes {
    /// When the round began, on the cluster's clock.
    pub begun_us: u64,
    /// The first pieces, in the order in which they were given.
    pub pieces: Vec<PieceTime>,
}

impl RoundTimes {
    pub(super) fn new(begun_us: u64) -> Self {
        Self { begun_us, pieces: Vec::new() }
    }

    /// Notes that a worker was given a piece of so many leaves.
    pub(super) fn given(
        &mut self,
        now_us: u64,
        worker: Incarnation,
        piece: Node,
        leaves: u32,
        is_backup: bool,
    ) {
        if self.pieces.len() < PIECES_MAX {
            let given_us = now_us.saturating_sub(self.begun_us);
            self.pieces.push(PieceTime { worker, piece, leaves, is_backup, given_us, answered_us: None });
        }
    }

    /// Notes that a worker's answer to a piece has arrived and was accepted.
    pub(super) fn answered(&mut self, now_us: u64, worker: Incarnation, piece: Node) {
        let is_it = |time: &&mut PieceTime| {
            (time.worker, time.piece) == (worker, piece) && time.answered_us.is_none()
        };
        if let Some(time) = self.pieces.iter_mut().rev().find(is_it) {
            time.answered_us = Some(now_us.saturating_sub(self.begun_us));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_belongs_to_the_last_time_that_its_worker_was_given_the_piece() {
        let mut times = RoundTimes::new(100);
        let [one, two] = [Incarnation(1), Incarnation(2)];
        times.given(110, one, Node::leaf(3), 1, false);
        times.given(120, two, Node::leaf(3), 1, true);
        times.answered(150, one, Node::leaf(3));
        times.answered(160, one, Node::leaf(3));
        times.answered(170, one, Node::leaf(4));
        let seen: Vec<_> = times.pieces.iter().map(|piece| (piece.given_us, piece.answered_us)).collect();
        assert_eq!(seen, [(10, Some(50)), (20, None)]);
    }

    #[test]
    fn the_number_of_pieces_is_bounded() {
        let mut times = RoundTimes::new(0);
        (0..2 * PIECES_MAX as u32).for_each(|index| {
            times.given(0, Incarnation(1), Node::leaf(index), 1, false);
        });
        assert_eq!(times.pieces.len(), PIECES_MAX);
    }
}
