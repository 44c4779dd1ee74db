//! What the ledger knows of a member or a spare. Judges nothing.

use crate::sim::identity::Identity;
use common::ids::{Process, Round, SetupId};
use common::protocol::coordinator::Piece;
use common::selftest::NumericsDigest;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug)]
pub(in crate::sim::invariants) struct Holder {
    pub(in crate::sim::invariants) name: String,
    pub(in crate::sim::invariants) identity: Identity,
    pub(in crate::sim::invariants) numerics: NumericsDigest,
    pub(in crate::sim::invariants) connection: u64,
    pub(in crate::sim::invariants) threads: u32,
    pub(in crate::sim::invariants) pieces: BTreeMap<Piece, Work>,
    /// Pieces of open rounds that it has answered: an answer that is repeated is no progress.
    answered: BTreeSet<Piece>,
    /// The piece that it got while no thread was idle, and has not begun.
    prefetched: Option<Piece>,
    /// The answer that it owes, of any round.
    pub(in crate::sim::invariants) owes: Option<Owes>,
    /// For each run, the longest time of a leaf by its answers.
    pub(in crate::sim::invariants) leaf_us: BTreeMap<SetupId, u64>,
    /// Longest time of a leaf that may be known, including pieces that were unanswered at their round's end.
    pub(in crate::sim::invariants) known_leaf_us: BTreeMap<SetupId, u64>,
    /// When it gave its first answer in each run.
    pub(in crate::sim::invariants) answered_us: BTreeMap<SetupId, u64>,
}

/// A piece that a member computes.
#[derive(Clone, Copy, Debug)]
pub(in crate::sim::invariants) struct Work {
    pub(in crate::sim::invariants) run: SetupId,
    pub(in crate::sim::invariants) leaves: u32,
    /// When it was begun, as far as known.
    pub(in crate::sim::invariants) began_us: u64,
}

/// An answer that a member owes.
#[derive(Clone, Debug)]
pub(in crate::sim::invariants) struct Owes {
    pub(in crate::sim::invariants) since_us: u64,
    pub(in crate::sim::invariants) round: Round,
    pub(in crate::sim::invariants) run: SetupId,
    /// For each run, most leaves that the member has held since.
    pub(in crate::sim::invariants) leaves: BTreeMap<SetupId, u32>,
    /// For each run, the round of the first piece that had been begun when its round ended, and when it was.
    abandoned: BTreeMap<SetupId, (u64, Round)>,
}

impl Holder {
    pub(super) fn new(
        connection: u64,
        name: &str,
        identity: Identity,
        threads: u32,
        numerics: NumericsDigest,
    ) -> Self {
        Self {
            name: name.to_owned(),
            identity,
            numerics,
            connection,
            threads,
            pieces: BTreeMap::new(),
            answered: BTreeSet::new(),
            prefetched: None,
            owes: None,
            leaf_us: BTreeMap::new(),
            known_leaf_us: BTreeMap::new(),
            answered_us: BTreeMap::new(),
        }
    }

    /// The worker's process, whatever the coordinator takes it for.
    pub(in crate::sim::invariants) fn process(&self) -> Process {
        self.identity.process
    }

    pub(super) fn begins(&mut self, now_us: u64, piece: Piece, work: Work) {
        if self.pieces.values().map(|work| work.leaves).sum::<u32>() >= self.threads {
            self.prefetched = Some(piece);
        }
        self.pieces.insert(piece, work);
        self.answered.remove(&piece);
        let held = self.held(work.run);
        let owes = self.owes.get_or_insert(Owes {
            since_us: now_us,
            round: piece.round,
            run: work.run,
            leaves: BTreeMap::new(),
            abandoned: BTreeMap::new(),
        });
        owes.leaves.entry(work.run).and_modify(|leaves| *leaves = held.max(*leaves)).or_insert(held);
    }

    fn held(&self, run: SetupId) -> u32 {
        self.pieces.values().filter(|work| work.run == run).map(|work| work.leaves).sum()
    }

    /// Notes that a leaf of a piece has taken the member until now. Returns the longest such time in that
    /// run.
    pub(super) fn took(&mut self, now_us: u64, work: Work) -> u64 {
        let threads = u64::from(self.threads);
        let leaf_us = (now_us - work.began_us) * threads / u64::from(work.leaves).max(threads);
        let known_us = self.known_leaf_us.entry(work.run).or_default();
        *known_us = leaf_us.max(*known_us);
        *known_us
    }

    /// Takes an answered piece from the member, which begins the prefetched one, whichever piece it was.
    pub(super) fn answers(&mut self, now_us: u64, piece: Piece) -> Option<Work> {
        let work = self.pieces.remove(&piece)?;
        self.answered.insert(piece);
        self.begins_prefetched(now_us);
        Some(work)
    }

    fn begins_prefetched(&mut self, now_us: u64) {
        let begun = self.prefetched.take().and_then(|next| self.pieces.get_mut(&next));
        begun.into_iter().for_each(|work| work.began_us = now_us);
    }

    /// From now on the member owes the oldest of the answers that are left.
    pub(super) fn owes_from(&mut self, now_us: u64) {
        let oldest = self.pieces.iter().min_by_key(|(_, work)| work.began_us);
        let Some((&piece, &work)) = oldest else {
            self.owes = None;
            return;
        };
        let leaves = self.pieces.values().map(|work| (work.run, self.held(work.run))).collect();
        let abandoned = BTreeMap::new();
        self.owes = Some(Owes { since_us: now_us, round: piece.round, run: work.run, leaves, abandoned });
    }

    /// Whether it has answered that piece before, while its round is open.
    pub(super) fn repeats(&self, piece: Piece) -> bool {
        self.answered.contains(&piece)
    }

    pub(super) fn forget_round(&mut self, now_us: u64, round: Round) {
        self.answered.retain(|piece| piece.round != round);
        if let Some(next) = self.prefetched.take_if(|next| next.round == round) {
            self.pieces.remove(&next);
        }
        let forgotten = self.pieces.extract_if(.., |piece, _| piece.round == round);
        for work in forgotten.map(|(_, work)| work).collect::<Vec<_>>() {
            self.took(now_us, work);
            if let Some(owes) = &mut self.owes {
                let first = owes.abandoned.entry(work.run).or_insert((work.began_us, round));
                *first = (work.began_us, round).min(*first);
            }
        }
        if self.pieces.len() == 1 {
            self.begins_prefetched(now_us);
        }
    }

    /// Ends a run, of which nothing is owed any more. What the member owes of other runs, it still owes.
    pub(super) fn forget_run(&mut self, run: SetupId) {
        let Some(owes) = &mut self.owes else { return };
        owes.abandoned.remove(&run);
        if owes.run == run {
            let held = self.pieces.iter().map(|(piece, work)| (work.began_us, work.run, piece.round));
            let abandoned = owes.abandoned.iter().map(|(&run, &(began_us, round))| (began_us, run, round));
            match held.chain(abandoned).min() {
                Some((_, run, round)) => (owes.run, owes.round) = (run, round),
                None => self.owes = None,
            }
        }
    }

    /// Whether it has answered a piece of any run.
    pub(in crate::sim::invariants) fn is_proven(&self) -> bool {
        !self.leaf_us.is_empty()
    }

    /// Whether it has answered a piece of this run.
    pub(in crate::sim::invariants) fn has_answered(&self, run: SetupId) -> bool {
        self.leaf_us.contains_key(&run)
    }
}
