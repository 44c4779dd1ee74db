//! The invariants' own records, from events and actions alone: members, the pieces that each holds, and the
//! rounds of all runs. Judges nothing.

mod holder;
mod round;

pub(super) use holder::{Holder, Work};
pub(super) use round::{Doubt, OpenRound};

use crate::sim::identity::Identity;
use common::ids::{Incarnation, Round, SetupId};
use common::protocol::coordinator::{Action, Event, Limits, Piece, Verdict};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) members: BTreeMap<Incarnation, Holder>,
    pub(super) spares: BTreeMap<Incarnation, Holder>,
    /// Whether a piece has been granted.
    pub(super) started: bool,
    /// The last round of each run that goes on.
    pub(super) rounds: BTreeMap<SetupId, OpenRound>,
    /// The worker that opened each connection.
    identities: BTreeMap<u64, Identity>,
}

impl Ledger {
    /// A coordinator knows nothing of what its predecessor did; connections may reach it all the same.
    pub(super) fn of_next_life(&mut self) -> Self {
        Self { identities: std::mem::take(&mut self.identities), ..Self::default() }
    }

    pub(super) fn dialled(&mut self, connection: u64, identity: Identity) {
        self.identities.insert(connection, identity);
    }

    /// Records an event, before the actions that follow from it.
    pub(super) fn took(&mut self, now_us: u64, event: &Event) {
        match event {
            Event::Arriving(from) => {
                // A gradient that waits to be read counts as progress too.
                let holder = self.members.get_mut(from);
                holder
                    .and_then(|holder| holder.owes.as_mut())
                    .into_iter()
                    .for_each(|owes| owes.since_us = now_us);
            }
            Event::Begin { run, round, leaves } => {
                self.forget_round(now_us, *run);
                self.rounds.insert(*run, OpenRound::new(*run, *round, *leaves));
            }
            Event::End(run) => {
                self.forget_round(now_us, *run);
                self.members.values_mut().for_each(|holder| holder.forget_run(*run));
            }
            Event::Result { from, round, node, verdict } => {
                self.answered(now_us, *from, Piece { round: *round, node: *node }, *verdict);
            }
            _ => {}
        }
    }

    fn forget_round(&mut self, now_us: u64, run: SetupId) {
        if let Some(before) = self.rounds.remove(&run) {
            self.members.values_mut().for_each(|holder| holder.forget_round(now_us, before.number));
        }
    }

    fn answered(&mut self, now_us: u64, from: Incarnation, piece: Piece, verdict: Verdict) {
        let Some(holder) = self.members.get_mut(&from).filter(|holder| !holder.repeats(piece)) else {
            return;
        };
        let open = self.rounds.values_mut().find(|open| open.number == piece.round);
        if let (Some(open), Some(work)) = (open, holder.answers(now_us, piece)) {
            let leaf_us = holder.took(now_us, work);
            holder.leaf_us.insert(work.run, leaf_us);
            let is_doubt = match verdict {
                Verdict::Finite { .. } => false,
                Verdict::OutOfLine { .. } => true,
                Verdict::NonFinite { .. } => piece.node.level == 0,
            };
            if is_doubt {
                let doubt = Doubt { by: holder.identity, verdict, numerics: holder.numerics };
                open.doubts.entry(piece.node).or_default().insert(holder.process(), doubt);
                open.doubted_us.entry(piece.node).or_insert(now_us);
            }
            holder.answered_us.entry(work.run).or_insert(now_us);
        }
        holder.owes_from(now_us);
    }

    /// Records an action, after the invariants have seen it.
    pub(super) fn acted(&mut self, now_us: u64, event: &Event, action: &Action) {
        match (action, event) {
            (Action::Spare { connection, incarnation, .. }, Event::Join { name, threads, numerics, .. }) => {
                let identity = self.identities[connection];
                let spare = Holder::new(*connection, name, identity, *threads, *numerics);
                self.spares.insert(*incarnation, spare);
            }
            (Action::Welcome { connection, incarnation, .. }, event) => {
                let newcomer = match event {
                    Event::Join { connection: own, name, threads, numerics, .. } if own == connection => {
                        let identity = self.identities[connection];
                        Some(Holder::new(*connection, name, identity, *threads, *numerics))
                    }
                    _ => None,
                };
                let holder = self.spares.remove(incarnation).or(newcomer);
                self.members.insert(*incarnation, holder.expect("a spare or the newcomer is welcomed"));
            }
            (Action::Removed { member, .. }, _) => {
                self.members.remove(member);
                self.spares.remove(member);
            }
            (Action::Grant { to, round, node, .. }, _) => {
                self.started = true;
                let open = self.rounds.iter().find(|(_, open)| open.number == *round);
                if let (Some((&run, open)), Some(holder)) = (open, self.members.get_mut(to)) {
                    let leaves = open.leaves_below(*node).len() as u32;
                    let work = Work { run, leaves, began_us: now_us };
                    holder.begins(now_us, Piece { round: *round, node: *node }, work);
                }
            }
            (Action::Anew { round, .. } | Action::Disputed { round, .. }, _) => {
                self.rounds.values_mut().filter(|open| open.number == *round).for_each(|open| {
                    open.is_void = true;
                });
            }
            (Action::Accept { round, node, .. }, _) => {
                self.rounds.values_mut().filter(|open| open.number == *round).for_each(|open| {
                    open.accept(*node);
                });
            }
            _ => {}
        }
    }

    /// Longest time in which a member may answer what it owes.
    pub(super) fn answer_time_us(limits: &Limits, holder: &Holder) -> Option<u64> {
        let owes = holder.owes.as_ref()?;
        let times = owes.leaves.iter().map(|(run, leaves)| {
            let turns = u64::from(leaves.div_ceil(holder.threads)).max(1);
            match holder.leaf_us.get(run) {
                None => limits.answer_timeout_us.saturating_mul(turns),
                Some(leaf_us) => (10 * turns * leaf_us).max(limits.answer_timeout_us_min),
            }
        });
        Some(times.fold(0, u64::saturating_add))
    }

    /// Leaves of all rounds that go on.
    pub(super) fn leaves(&self) -> u64 {
        self.rounds.values().map(OpenRound::leaves).sum()
    }

    /// A run's last round, by its number.
    pub(super) fn round(&self, round: Round) -> Option<&OpenRound> {
        self.rounds.values().find(|open| open.number == round)
    }

    /// The connection of a member or spare.
    pub(super) fn connection(&self, who: Incarnation) -> Option<u64> {
        let member = self.members.get(&who).map(|holder| holder.connection);
        member.or_else(|| self.spares.get(&who).map(|spare| spare.connection))
    }

    /// When the last computation of a leaf that is still out was begun; 0 if there is none.
    pub(super) fn last_granted_us(&self, open: &OpenRound, leaf: u32) -> u64 {
        let is_it =
            |piece: &Piece| piece.round == open.number && open.leaves_below(piece.node).contains(&leaf);
        let pieces = self.members.values().flat_map(|holder| &holder.pieces);
        pieces.filter(|(piece, _)| is_it(piece)).map(|(_, work)| work.began_us).max().unwrap_or(0)
    }

    /// Number of members that compute each leaf of a round.
    pub(super) fn out(&self, open: &OpenRound) -> Vec<u32> {
        let mut out = vec![0; open.leaves() as usize];
        let pieces = self.members.values().flat_map(|holder| holder.pieces.keys());
        for piece in pieces.filter(|piece| piece.round == open.number) {
            open.leaves_below(piece.node).for_each(|leaf| out[leaf as usize] += 1);
        }
        out
    }

    /// A leaf of a round that is neither done nor computed, and that the worker may compute.
    pub(super) fn waiting(&self, open: &OpenRound, who: &Holder) -> Option<u32> {
        let out = self.out(open);
        (0..open.leaves() as u32)
            .find(|&leaf| out[leaf as usize] == 0 && !open.is_done(leaf) && self.may_compute(open, who, leaf))
    }

    /// Whether a worker may compute a leaf: of a doubted one others must give their opinion first, those of
    /// origins that have given none before all.
    fn may_compute(&self, open: &OpenRound, who: &Holder, leaf: u32) -> bool {
        let doubts = open.doubts.iter().filter(|(node, _)| open.leaves_below(**node).contains(&leaf));
        doubts.map(|(_, by)| by).all(|by| {
            let has_asked = |holder: &Holder| by.contains_key(&holder.process());
            let is_first = |holder: &Holder| by.values().all(|doubt| doubt.by.is_elsewhere(&holder.identity));
            let mut members = self.members.values();
            is_first(who)
                || !self.members.values().any(is_first) && (!has_asked(who) || members.all(has_asked))
        })
    }
}
