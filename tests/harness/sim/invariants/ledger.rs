//! The invariants' own records, from events and actions alone: members, the pieces that each holds, and the
//! leaves that are done. Judges nothing.

use common::ids::{Incarnation, Instance, Round};
use common::protocol::coordinator::{Action, Event, Limits, Verdict};
use common::reduce::tree::{Node, Tree};
use common::selftest::NumericsDigest;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug)]
pub(super) struct Holder {
    pub(super) name: String,
    pub(super) instance: Instance,
    pub(super) numerics: NumericsDigest,
    pub(super) connection: u64,
    pub(super) threads: u32,
    pub(super) pieces: BTreeSet<Node>,
    /// When each piece was granted.
    granted_us: BTreeMap<Node, u64>,
    /// The answer that it owes, of any round.
    pub(super) owes: Option<Owes>,
    /// Longest time of a leaf by its answers; `None` before the first.
    pub(super) leaf_us: Option<u64>,
    /// Longest time of a leaf that may be known, including pieces that were unanswered at their round's end.
    pub(super) known_leaf_us: u64,
    /// When it gave its first answer.
    pub(super) answered_us: Option<u64>,
}

/// An answer that a member owes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owes {
    pub(super) since_us: u64,
    pub(super) round: Round,
    /// Most leaves that the member has held since.
    pub(super) leaves: u32,
}

impl Holder {
    fn new(connection: u64, name: &str, instance: Instance, threads: u32, numerics: NumericsDigest) -> Self {
        Self {
            name: name.to_owned(),
            instance,
            numerics,
            connection,
            threads,
            pieces: BTreeSet::new(),
            granted_us: BTreeMap::new(),
            owes: None,
            leaf_us: None,
            known_leaf_us: 0,
            answered_us: None,
        }
    }

    /// Notes that a leaf of `node` has taken the member until now.
    fn took(&mut self, now_us: u64, tree: Tree, node: Node) {
        let threads = u64::from(self.threads);
        let leaves = tree.leaves_below(node).len() as u64;
        let leaf_us = (now_us - self.granted_us[&node]) * threads / leaves.max(threads);
        self.known_leaf_us = self.known_leaf_us.max(leaf_us);
    }
}

/// An answer that others must confirm.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doubt {
    pub(super) verdict: Verdict,
    pub(super) numerics: NumericsDigest,
}

impl Doubt {
    /// Whether two answers agree, as far as their bits can be compared.
    pub(super) fn agrees(&self, with: &Self) -> bool {
        let is_kind = matches!(
            (self.verdict, with.verdict),
            (Verdict::OutOfLine { .. }, Verdict::OutOfLine { .. })
                | (Verdict::NonFinite { .. }, Verdict::NonFinite { .. })
        );
        self.verdict == with.verdict || is_kind && self.numerics != with.numerics
    }
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) members: BTreeMap<Incarnation, Holder>,
    pub(super) spares: BTreeMap<Incarnation, Holder>,
    /// Whether a piece has been granted.
    pub(super) started: bool,
    round: Option<(Round, Tree)>,
    done: Vec<bool>,
    /// Whether the round is to begin again.
    pub(super) is_void: bool,
    /// Doubtful answers of this round by piece: out of line, or not finite for a single leaf.
    pub(super) doubts: BTreeMap<Node, BTreeMap<Instance, Doubt>>,
    /// When each piece got its first doubtful answer.
    pub(super) doubted_us: BTreeMap<Node, u64>,
}

impl Ledger {
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
            Event::Begin { round, leaves } => {
                if let Some((_, tree)) = self.round.replace((*round, Tree::new(*leaves))) {
                    let forget = |holder: &mut Holder| {
                        std::mem::take(&mut holder.pieces)
                            .into_iter()
                            .for_each(|n| holder.took(now_us, tree, n));
                    };
                    self.members.values_mut().for_each(forget);
                }
                self.done = vec![false; *leaves as usize];
                self.doubts.clear();
                self.doubted_us.clear();
                self.is_void = false;
            }
            Event::Result { from, round, node, verdict } => {
                self.answered(now_us, *from, *round, *node, *verdict);
            }
            _ => {}
        }
    }

    fn answered(&mut self, now_us: u64, from: Incarnation, round: Round, node: Node, verdict: Verdict) {
        let (Some((current, tree)), Some(holder)) = (self.round, self.members.get_mut(&from)) else { return };
        if current == round && holder.pieces.remove(&node) {
            holder.took(now_us, tree, node);
            let is_doubt = match verdict {
                Verdict::Finite { .. } => false,
                Verdict::OutOfLine { .. } => true,
                Verdict::NonFinite { .. } => node.level == 0,
            };
            if is_doubt {
                let doubt = Doubt { verdict, numerics: holder.numerics };
                self.doubts.entry(node).or_default().insert(holder.instance, doubt);
                self.doubted_us.entry(node).or_insert(now_us);
            }
            holder.leaf_us = Some(holder.known_leaf_us);
        }
        holder.answered_us.get_or_insert(now_us);
        let leaves = holder.pieces.iter().map(|&node| tree.leaves_below(node).len() as u32).sum();
        holder.owes = (leaves > 0).then_some(Owes { since_us: now_us, round: current, leaves });
    }

    /// Records an action, after the invariants have seen it.
    pub(super) fn acted(&mut self, now_us: u64, event: &Event, action: &Action) {
        match (action, event) {
            (
                Action::Spare { connection, incarnation, .. },
                Event::Join { name, instance, threads, numerics, .. },
            ) => {
                let spare = Holder::new(*connection, name, *instance, *threads, *numerics);
                self.spares.insert(*incarnation, spare);
            }
            (Action::Welcome { connection, incarnation, .. }, event) => {
                let newcomer = match event {
                    Event::Join { connection: own, name, instance, threads, numerics }
                        if own == connection =>
                    {
                        Some(Holder::new(*connection, name, *instance, *threads, *numerics))
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
            (Action::Grant { to, node, .. }, _) => {
                self.started = true;
                if let (Some((round, tree)), Some(holder)) = (self.round, self.members.get_mut(to)) {
                    holder.pieces.insert(*node);
                    holder.granted_us.insert(*node, now_us);
                    let held = holder.pieces.iter().map(|&node| tree.leaves_below(node).len() as u32).sum();
                    let owes = holder.owes.get_or_insert(Owes { since_us: now_us, round, leaves: 0 });
                    owes.leaves = owes.leaves.max(held);
                }
            }
            (Action::Anew { .. }, _) => self.is_void = true,
            (Action::Accept { node, .. }, _) => {
                for leaf in self.leaves_below(*node) {
                    self.done[leaf as usize] = true;
                }
            }
            _ => {}
        }
    }

    /// Longest time in which a member may answer what it owes.
    pub(super) fn answer_time_us(limits: &Limits, holder: &Holder) -> Option<u64> {
        let turns = u64::from(holder.owes?.leaves.div_ceil(holder.threads));
        Some(match holder.leaf_us {
            None => limits.answer_timeout_us.saturating_mul(turns),
            Some(leaf_us) => (10 * turns * leaf_us).max(limits.answer_timeout_us_min),
        })
    }

    /// Leaves of the round in progress.
    pub(super) fn leaves(&self) -> u64 {
        self.done.len() as u64
    }

    pub(super) fn is_current(&self, round: Round) -> bool {
        self.round.is_some_and(|(current, _)| current == round)
    }

    /// The connection of a member or spare.
    pub(super) fn connection(&self, who: Incarnation) -> Option<u64> {
        let member = self.members.get(&who).map(|holder| holder.connection);
        member.or_else(|| self.spares.get(&who).map(|spare| spare.connection))
    }

    pub(super) fn leaves_below(&self, node: Node) -> std::ops::Range<u32> {
        self.round.map_or(0..0, |(_, tree)| tree.leaves_below(node))
    }

    pub(super) fn is_done(&self, leaf: u32) -> bool {
        self.done[leaf as usize]
    }

    /// Whether every leaf of the round is done.
    pub(super) fn is_complete(&self) -> bool {
        !self.done.is_empty() && self.done.iter().all(|&done| done)
    }

    /// When the last computation of a leaf that is still out was begun; 0 if there is none.
    pub(super) fn last_granted_us(&self, leaf: u32) -> u64 {
        let is_below = |node: Node| self.leaves_below(node).contains(&leaf);
        let holders = self.members.values();
        let pieces =
            holders.flat_map(|holder| holder.pieces.iter().map(|&node| (node, holder.granted_us[&node])));
        pieces.filter(|&(node, _)| is_below(node)).map(|(_, at_us)| at_us).max().unwrap_or(0)
    }

    /// Number of members that compute each leaf.
    pub(super) fn out(&self) -> Vec<u32> {
        let mut out = vec![0; self.done.len()];
        for node in self.members.values().flat_map(|holder| &holder.pieces) {
            self.leaves_below(*node).for_each(|leaf| out[leaf as usize] += 1);
        }
        out
    }

    /// A leaf that is neither done nor computed, and that the worker may compute.
    pub(super) fn waiting(&self, who: Instance) -> Option<usize> {
        self.out()
            .iter()
            .zip(&self.done)
            .enumerate()
            .position(|(leaf, (&out, &done))| out == 0 && !done && self.may_compute(who, leaf as u32))
    }

    /// Whether a worker may compute a leaf: of a doubted one others must give their opinion first.
    fn may_compute(&self, who: Instance, leaf: u32) -> bool {
        let doubts = self.doubts.iter().filter(|(node, _)| self.leaves_below(**node).contains(&leaf));
        doubts.map(|(_, by)| by).all(|by| {
            !by.contains_key(&who) || self.members.values().all(|holder| by.contains_key(&holder.instance))
        })
    }
}
