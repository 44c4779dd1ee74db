//! A worker that has a place in the cluster, and how long its measured speed is trusted.
//!
//! 1. A member's speed is measured for each run, because leaves of unlike networks take unlike times. It is a
//!    moving average over its answers. A piece that is unfinished at the round's end also counts, if it has
//!    taken longer than the speed so far.
//! 2. A slow member may receive no work, so its speed is not measured again. It is therefore probed: once its
//!    speed is too old to be trusted, it is forgotten, and the member counts as fast as the fastest.
//! 3. The first probe comes after [`MEASURE_HOLDS_LEAVES`] of its own leaf times, and each further one after
//!    twice as long, up to [`MEASURE_HOLDS_US`]. A short disturbance, such as a process's slow first leaf, is
//!    forgotten soon.
//! 4. A member that owes an answer is not probed.

use crate::ids::{Network, Process, Rank, Round, SetupId};
use crate::reduce::tree::Node;
use crate::selftest::NumericsDigest;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Longest time a speed estimate is trusted. A slow member that has received no work for this long, and owes
/// no answer, is probed with a piece. If it is still slow, the probe delays one step.
pub(super) const MEASURE_HOLDS_US: u64 = 5_000_000;
/// Back-off before the first probe, in the member's own leaf times; doubled after each failed probe.
const MEASURE_HOLDS_LEAVES: u64 = 10;
/// A member is slow if its leaf takes at least this many times as long as the fastest member's.
const SLOW_TIMES: u64 = 2;

/// A node of a round's reduction tree, which one worker computes.
#[allow(missing_docs, reason = "field names say all")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Piece {
    pub round: Round,
    pub node: Node,
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of round {}", self.node, self.round)
    }
}

/// A member as others may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Name of the worker, a label for people.
    pub name: String,
    /// The worker's process, across its connections.
    pub process: Process,
    /// Address from which it is connected; `None` on a Unix socket.
    pub(super) address: Option<Network>,
    /// Slot of the member, below the most members.
    pub rank: Rank,
    /// Leaves that it computes at the same time.
    pub threads: u32,
    /// Digest of the worker's self-test.
    pub(super) numerics: NumericsDigest,
    pub(super) last_heard_us: u64,
    /// Its speed in each run that has measured it.
    pub(super) speeds: BTreeMap<SetupId, Speed>,
    /// The oldest unanswered piece. The round's end does not settle it.
    pub(super) owes: Option<Owed>,
    pub(super) pieces: BTreeMap<Piece, InWork>,
    /// The piece among them that it begins when it has done the others.
    pub(super) prefetched: Option<Piece>,
    /// Pieces of open rounds that it has answered: a message that arrives twice is no offence.
    pub(super) answered: BTreeSet<Piece>,
}

/// A member's speed in one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Speed {
    /// Measured time for a leaf on one of its threads.
    pub(super) leaf_us: Option<u64>,
    measured_us: u64,
    /// Probes since the member was last not slow.
    probes: u32,
    /// Average time for a leaf by its answers alone: unlike `leaf_us` neither estimated nor forgotten. `None`
    /// before the first answer.
    pub(super) answered_leaf_us: Option<u64>,
}

/// A piece that a member computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InWork {
    pub(super) run: SetupId,
    pub(super) leaves: u32,
    /// When it was begun, as far as known.
    pub(super) began_us: u64,
}

/// An answer that a member owes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owed {
    pub(super) run: SetupId,
    /// The piece that was begun first.
    pub(super) piece: Piece,
    /// When it was begun, or when a part of any answer last arrived.
    pub(super) since_us: u64,
    /// For each run, what the member had begun when a round of it ended.
    pub(super) abandoned: BTreeMap<SetupId, Abandoned>,
    /// The time that it has for those of runs that are over.
    pub(super) ended_us: u64,
}

/// What a member had begun when its round ended, and may still compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Abandoned {
    pub(super) leaves: u32,
    /// The piece that was begun first, and when.
    piece: Piece,
    began_us: u64,
}

impl Owed {
    fn new(run: SetupId, piece: Piece, since_us: u64) -> Self {
        Self { run, piece, since_us, abandoned: BTreeMap::new(), ended_us: 0 }
    }
}

impl Member {
    /// Gives the member a piece of that run, to begin now or after the pieces that it holds.
    pub(super) fn begins(&mut self, now_us: u64, run: SetupId, piece: Piece, leaves: u32) {
        self.pieces.insert(piece, InWork { run, leaves, began_us: now_us });
        self.owes.get_or_insert(Owed::new(run, piece, now_us));
    }

    /// Notes that an answer has arrived, whichever it was: the next one is waited for from now on.
    pub(super) fn has_answered(&mut self, now_us: u64) {
        let oldest = self.pieces.iter().min_by_key(|(_, work)| work.began_us);
        self.owes = oldest.map(|(&piece, work)| Owed::new(work.run, piece, now_us));
    }

    /// Notes that a part of an answer has arrived.
    pub(super) fn is_answering(&mut self, now_us: u64) {
        self.owes.iter_mut().for_each(|owed| owed.since_us = now_us);
    }

    /// Takes an answered piece from the member, or returns `None` if the member did not hold it.
    pub(super) fn answers(&mut self, now_us: u64, piece: Piece) -> Option<InWork> {
        let done = self.pieces.remove(&piece)?;
        self.answered.insert(piece);
        // Whichever piece it was, the threads are at the prefetched one now.
        if let Some(begun) = self.prefetched.take().and_then(|next| self.pieces.get_mut(&next)) {
            begun.began_us = now_us;
        }
        self.has_answered(now_us);
        Some(done)
    }

    /// Includes a finished piece in the speed estimate. `fastest_us` is the fastest member's time for a leaf.
    pub(super) fn measure(&mut self, now_us: u64, done: InWork, fastest_us: Option<u64>) {
        let measured = self.time_for_leaf_us(now_us, done);
        let speed = self.speeds.entry(done.run).or_default();
        if fastest_us.is_none_or(|fastest_us| measured < fastest_us.saturating_mul(SLOW_TIMES)) {
            speed.probes = 0;
        }
        let smooth =
            |before: Option<u64>| Some(before.map_or(measured, |before| (before * 3 + measured) / 4));
        speed.leaf_us = smooth(speed.leaf_us);
        speed.answered_leaf_us = smooth(speed.answered_leaf_us);
        speed.measured_us = now_us;
    }

    /// Ends a round of that run for this member. Unfinished pieces have taken at least until now: a member
    /// that is always late would otherwise never be known as slow. `fastest_us` is the other members' time
    /// for a leaf.
    pub(super) fn forget_round(&mut self, now_us: u64, run: SetupId, round: Round, fastest_us: Option<u64>) {
        // The prefetched piece has not been begun.
        if let Some(next) = self.prefetched.take_if(|next| next.round == round) {
            self.pieces.remove(&next);
        }
        let begun: Vec<(Piece, InWork)> =
            self.pieces.extract_if(.., |piece, _| piece.round == round).collect();
        if self.pieces.len() == 1
            && let Some(begun) = self.prefetched.take().and_then(|next| self.pieces.get_mut(&next))
        {
            begun.began_us = now_us;
        }
        if let Some(owed) = self.owes.as_mut().filter(|owed| owed.run == run || !begun.is_empty()) {
            let oldest = begun.iter().min_by_key(|(_, work)| work.began_us);
            let (piece, began_us) =
                oldest.map_or((owed.piece, owed.since_us), |(piece, work)| (*piece, work.began_us));
            let none = Abandoned { leaves: 0, piece, began_us };
            let abandoned = owed.abandoned.entry(run).or_insert(none);
            abandoned.leaves = begun.iter().map(|(_, work)| work.leaves).sum::<u32>().max(abandoned.leaves);
        }
        let longest_us = begun.iter().map(|&(_, work)| self.time_for_leaf_us(now_us, work)).max();
        let had_nothing = !self.answered.iter().any(|piece| piece.round == round);
        self.answered.retain(|piece| piece.round != round);
        let owes = self.owes.is_some();
        let speed = self.speeds.entry(run).or_default();
        // A backup task that was handed out a moment ago says nothing.
        let is_news = |&us: &u64| speed.leaf_us.or(fastest_us).is_some_and(|known_us| us > known_us);
        if let Some(us) = longest_us.filter(is_news) {
            speed.leaf_us = Some(us);
            speed.measured_us = now_us;
        } else if had_nothing && !owes && speed.is_too_old(now_us) {
            speed.leaf_us = None;
            speed.probes = speed.probes.saturating_add(1);
        }
    }

    /// Ends a run for this member, whose last round has been forgotten: nothing of it is owed any more. It
    /// has `patience_us` for what it may still be computing of it. What it owes of other runs, it still owes.
    pub(super) fn forget_run(&mut self, run: SetupId, patience_us: u64) {
        self.speeds.remove(&run);
        let Some(owed) = &mut self.owes else { return };
        owed.abandoned.remove(&run);
        owed.ended_us = owed.ended_us.saturating_add(patience_us);
        if owed.run == run {
            let held = self.pieces.iter().map(|(&piece, work)| (work.began_us, work.run, piece));
            let abandoned = owed.abandoned.iter().map(|(&run, left)| (left.began_us, run, left.piece));
            match held.chain(abandoned).min() {
                Some((_, run, piece)) => (owed.run, owed.piece) = (run, piece),
                None => self.owes = None,
            }
        }
    }

    /// Its time for a leaf of that run, where that is known.
    pub(super) fn leaf_us(&self, run: SetupId) -> Option<u64> {
        self.speeds.get(&run)?.leaf_us
    }

    /// Its time for a leaf of that run by its answers alone; `None` before the first answer.
    pub(super) fn answered_leaf_us(&self, run: SetupId) -> Option<u64> {
        self.speeds.get(&run)?.answered_leaf_us
    }

    /// Time for a leaf on one thread, from a piece that has taken until now.
    fn time_for_leaf_us(&self, now_us: u64, InWork { leaves, began_us, .. }: InWork) -> u64 {
        now_us.saturating_sub(began_us) * u64::from(self.threads) / u64::from(leaves.max(self.threads))
    }

    /// The pieces of that round that the member has answered, while it is open.
    #[must_use]
    pub fn answered(&self, round: Round) -> usize {
        self.answered.iter().filter(|piece| piece.round == round).count()
    }

    /// The pieces that the member holds.
    pub fn pieces(&self) -> impl Iterator<Item = Piece> {
        self.pieces.keys().copied()
    }

    /// Leaves that it holds, of all runs.
    pub(super) fn leaves(&self) -> u32 {
        self.pieces.values().map(|work| work.leaves).sum()
    }

    /// Leaves that it holds of one round.
    pub(super) fn leaves_of(&self, round: Round) -> u32 {
        let of_round = self.pieces.iter().filter(|(piece, _)| piece.round == round);
        of_round.map(|(_, work)| work.leaves).sum()
    }

    /// Number of its threads without a leaf.
    pub(super) fn idle_threads(&self) -> u32 {
        self.threads.saturating_sub(self.leaves())
    }
}

impl Speed {
    /// Whether the time for a leaf is known, but not to be trusted any more.
    fn is_too_old(&self, now_us: u64) -> bool {
        let Some(leaf_us) = self.leaf_us else { return false };
        let leaves = MEASURE_HOLDS_LEAVES.saturating_mul(1_u64.checked_shl(self.probes).unwrap_or(u64::MAX));
        let holds_us = leaf_us.saturating_mul(leaves).min(MEASURE_HOLDS_US);
        now_us.saturating_sub(self.measured_us) >= holds_us
    }
}
