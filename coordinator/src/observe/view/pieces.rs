//! Who computed which piece when, for the last moments: the bars of the timeline.

use super::workers::Workers;
use crate::observe::wall_offset::WallOffset;
use common::event::{PieceTime, RoundKind, RoundRecord};
use serde::Serialize;
use std::collections::VecDeque;

/// Most bars that are kept.
const BARS_MAX: usize = 4096;

/// One piece with one worker.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bar {
    /// Row of the worker.
    pub worker: u32,
    /// When the worker was given it, in seconds since 1970.
    pub from: f64,
    /// When its answer had arrived, or the round was over without it.
    pub to: f64,
    /// Number of its leaves.
    pub leaves: u32,
    /// What the round was for.
    pub kind: RoundKind,
    /// Whether another worker had the piece already.
    pub is_backup: bool,
    /// Whether the answer was used.
    pub is_used: bool,
}

/// The bars of the last rounds.
#[derive(Debug, Default)]
pub struct Pieces {
    bars: VecDeque<Bar>,
    fresh: usize,
    offset: WallOffset,
}

impl Pieces {
    /// Takes a round that was told of at `time`.
    pub fn add(&mut self, time: f64, round: &RoundRecord, workers: &Workers) {
        let seconds = |us: u64| us as f64 / 1e6;
        let offset = self.offset.note(time, round.begun_us + round.done_us);
        let at = |us: u64| ((offset + seconds(round.begun_us + us)) * 1e4).round() / 1e4;
        for piece in &round.pieces {
            let PieceTime { worker, leaves, is_backup, given_us, answered_us, .. } = *piece;
            let Some(worker) = workers.row_of(worker) else { continue };
            let [from, to] = [at(given_us), at(answered_us.unwrap_or(round.summed_us))];
            let is_used = answered_us.is_some();
            let bar = Bar { worker, from, to, leaves, kind: round.kind, is_backup, is_used };
            super::push(&mut self.bars, bar, BARS_MAX);
            self.fresh = (self.fresh + 1).min(BARS_MAX);
        }
    }

    /// All bars but those that the next [`take_fresh`](Self::take_fresh) returns.
    pub(super) fn but_fresh(&self) -> Vec<Bar> {
        self.bars.iter().take(self.bars.len() - self.fresh).cloned().collect()
    }

    /// The bars since the last call.
    pub(super) fn take_fresh(&mut self) -> Vec<Bar> {
        let fresh = std::mem::take(&mut self.fresh);
        self.bars.iter().skip(self.bars.len() - fresh).cloned().collect()
    }
}
