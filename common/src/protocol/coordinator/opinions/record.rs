//! What workers have answered to the pieces that others must confirm. Decides nothing.

use super::OPINIONS_MAX;
use crate::ids::{Network, Process};
use crate::protocol::coordinator::{Member, Purpose};
use crate::reduce::tree::Node;
use crate::selftest::NumericsDigest;
use std::collections::BTreeMap;

/// A worker that gave an opinion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::protocol::coordinator) struct Witness {
    pub(in crate::protocol::coordinator) name: String,
    pub(in crate::protocol::coordinator) process: Process,
    pub(in crate::protocol::coordinator) address: Option<Network>,
    pub(in crate::protocol::coordinator) numerics: NumericsDigest,
}

impl Witness {
    pub(in crate::protocol::coordinator) fn of(member: &Member) -> Self {
        let Member { name, process, address, numerics, .. } = member;
        Self { name: name.clone(), process: *process, address: *address, numerics: *numerics }
    }

    /// Whether these are two workers.
    pub(in crate::protocol::coordinator) fn is_another(&self, than: &Self) -> bool {
        self.process != than.process
    }

    /// Whether the two have another key or another address. Who controls one machine and one token can start
    /// any number of workers, but all of one origin.
    pub(super) fn is_elsewhere(&self, than: &Self) -> bool {
        self.process.key != than.process.key || self.address != than.address
    }

    /// Whether the other one's bits must be the same.
    pub(in crate::protocol::coordinator) fn is_comparable(&self, with: &Self) -> bool {
        self.numerics == with.numerics
    }
}

/// The kind of a worker's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol::coordinator) enum Finding {
    InLine,
    OutOfLine,
    NotFinite,
}

/// A worker's answer to a piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::protocol::coordinator) struct Opinion {
    pub(in crate::protocol::coordinator) by: Witness,
    pub(in crate::protocol::coordinator) finding: Finding,
    pub(in crate::protocol::coordinator) checksum: u32,
}

impl Opinion {
    /// Whether both workers found the same, as far as their bits can be compared.
    pub(super) fn agrees(&self, with: &Self) -> bool {
        let is_same = self.checksum == with.checksum;
        is_same || self.finding == with.finding && !self.by.is_comparable(&with.by)
    }
}

/// A piece that another worker must confirm.
#[derive(Debug)]
pub(in crate::protocol::coordinator) struct Case {
    /// Whether an answer has been added, so that the opinion is an audit. Otherwise the piece is kept from
    /// the queue.
    pub(in crate::protocol::coordinator) is_accepted: bool,
    /// When the case was opened.
    pub(super) since_us: u64,
    /// The last opinion of each worker, oldest first.
    pub(in crate::protocol::coordinator) opinions: Vec<Opinion>,
}

impl Case {
    /// The purpose for which a member computes the piece.
    pub(super) fn purpose(&self) -> Purpose {
        if self.is_accepted { Purpose::Audit } else { Purpose::Opinion }
    }

    /// Whether a worker has given its opinion.
    pub(in crate::protocol::coordinator) fn has_asked(&self, who: &Witness) -> bool {
        self.opinions.iter().any(|opinion| !opinion.by.is_another(who))
    }

    /// Whether no worker of the same origin has given its opinion.
    pub(super) fn is_first_from_there(&self, who: &Witness) -> bool {
        self.opinions.iter().all(|opinion| opinion.by.is_elsewhere(who))
    }

    /// Notes an opinion. Returns an earlier one of the same worker, which it replaces.
    pub(super) fn note(&mut self, opinion: Opinion) -> Option<Opinion> {
        let earlier = self.opinions.iter().position(|earlier| !earlier.by.is_another(&opinion.by));
        let earlier = earlier.map(|at| self.opinions.remove(at));
        if self.opinions.len() >= OPINIONS_MAX {
            self.opinions.remove(0);
        }
        self.opinions.push(opinion);
        earlier
    }
}

/// A round's pieces that others must confirm; at most two for each leaf.
#[derive(Debug, Default)]
pub(in crate::protocol::coordinator) struct Cases(pub(in crate::protocol::coordinator) BTreeMap<Node, Case>);

impl Cases {
    /// Pieces that are kept from the queue.
    pub(in crate::protocol::coordinator) fn kept(&self) -> impl Iterator<Item = Node> {
        self.0.iter().filter(|(_, case)| !case.is_accepted).map(|(&node, _)| node)
    }

    /// Whether the piece is kept from the queue.
    pub(in crate::protocol::coordinator) fn is_kept(&self, node: Node) -> bool {
        self.0.get(&node).is_some_and(|case| !case.is_accepted)
    }
}
