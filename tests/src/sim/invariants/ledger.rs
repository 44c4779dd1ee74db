//! The invariants' own books: members, the pieces that each holds, and the leaves that are done, from events and
//! actions alone. Judges nothing.

use common::ids::{Incarnation, Round};
use common::numerics::NumericsDigest;
use common::protocol::coordinator::{Action, Event};
use common::tree::{Node, Tree};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug)]
pub(super) struct Holder {
    pub(super) name: String,
    pub(super) numerics: NumericsDigest,
    pub(super) connection: u64,
    pub(super) threads: u32,
    pub(super) pieces: BTreeSet<Node>,
}

impl Holder {
    fn new(connection: u64, name: &str, threads: u32, numerics: NumericsDigest) -> Self {
        Self { name: name.to_owned(), numerics, connection, threads, pieces: BTreeSet::new() }
    }
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) members: BTreeMap<Incarnation, Holder>,
    pub(super) spares: BTreeMap<Incarnation, Holder>,
    /// Some piece has been granted.
    pub(super) started: bool,
    round: Option<(Round, Tree)>,
    done: Vec<bool>,
}

impl Ledger {
    /// Before the actions that follow from the event.
    pub(super) fn took(&mut self, event: &Event) {
        match event {
            Event::Begin { round, leaves } => {
                self.round = Some((*round, Tree::new(*leaves)));
                self.done = vec![false; *leaves as usize];
                self.members.values_mut().for_each(|holder| holder.pieces.clear());
            }
            Event::Result { from, round, node, .. } if self.is_current(*round) => {
                if let Some(holder) = self.members.get_mut(from) {
                    holder.pieces.remove(node);
                }
            }
            _ => {}
        }
    }

    /// Once invariants have seen the action.
    pub(super) fn acted(&mut self, event: &Event, action: &Action) {
        match (action, event) {
            (Action::Spare { connection, incarnation, .. }, Event::Join { name, threads, numerics, .. }) => {
                self.spares.insert(*incarnation, Holder::new(*connection, name, *threads, *numerics));
            }
            (Action::Welcome { connection, incarnation, .. }, event) => {
                let newcomer = match event {
                    Event::Join { connection: own, name, threads, numerics, .. } if own == connection => {
                        Some(Holder::new(*connection, name, *threads, *numerics))
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
                if let Some(holder) = self.members.get_mut(to) {
                    holder.pieces.insert(*node);
                }
            }
            (Action::Accept { node, .. }, _) => {
                for leaf in self.leaves_below(*node) {
                    self.done[leaf as usize] = true;
                }
            }
            _ => {}
        }
    }

    pub(super) fn is_current(&self, round: Round) -> bool {
        self.round.is_some_and(|(current, _)| current == round)
    }

    /// On which connection a member or spare is.
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

    /// Per leaf, how many members compute it.
    pub(super) fn out(&self) -> Vec<u32> {
        let mut out = vec![0; self.done.len()];
        for node in self.members.values().flat_map(|holder| &holder.pieces) {
            self.leaves_below(*node).for_each(|leaf| out[leaf as usize] += 1);
        }
        out
    }

    /// A leaf that is not done and that nobody computes.
    pub(super) fn waiting(&self) -> Option<usize> {
        self.out().iter().zip(&self.done).position(|(&out, &done)| out == 0 && !done)
    }
}
