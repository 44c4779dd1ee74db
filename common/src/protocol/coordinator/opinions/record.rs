//! What is known of a piece on which others are asked: who has said what of it. Decides nothing.

use super::OPINIONS_MAX;
use crate::ids::Instance;
use crate::protocol::coordinator::{Member, Purpose};
use crate::reduce::tree::Node;
use crate::selftest::NumericsDigest;
use std::collections::BTreeMap;

/// Who gave an opinion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::protocol::coordinator) struct Witness {
    pub(in crate::protocol::coordinator) name: String,
    pub(in crate::protocol::coordinator) instance: Instance,
    pub(in crate::protocol::coordinator) numerics: NumericsDigest,
}

impl Witness {
    pub(in crate::protocol::coordinator) fn of(member: &Member) -> Self {
        Self { name: member.name.clone(), instance: member.instance, numerics: member.numerics }
    }

    /// Whether these are two workers.
    pub(in crate::protocol::coordinator) fn is_another(&self, than: &Self) -> bool {
        self.instance != than.instance
    }

    /// Whether the other one's bits must be the same.
    pub(in crate::protocol::coordinator) fn is_comparable(&self, with: &Self) -> bool {
        self.numerics == with.numerics
    }
}

/// What an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol::coordinator) enum Finding {
    InLine,
    OutOfLine,
    NotFinite,
}

/// What a worker has answered to a piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::protocol::coordinator) struct Opinion {
    pub(in crate::protocol::coordinator) by: Witness,
    pub(in crate::protocol::coordinator) finding: Finding,
    pub(in crate::protocol::coordinator) checksum: u32,
}

impl Opinion {
    /// Whether both have found the same, as far as can be told.
    pub(super) fn agrees(&self, with: &Self) -> bool {
        let is_same = self.checksum == with.checksum;
        is_same || self.finding == with.finding && !self.by.is_comparable(&with.by)
    }
}

/// A piece on which another worker is asked.
#[derive(Debug)]
pub(in crate::protocol::coordinator) struct Case {
    /// An answer has been added: what is asked for is an audit of it. Else the piece is kept from the queue.
    pub(in crate::protocol::coordinator) is_accepted: bool,
    /// When it was opened.
    pub(super) since_us: u64,
    /// The last of each worker's, oldest first.
    pub(in crate::protocol::coordinator) opinions: Vec<Opinion>,
}

impl Case {
    /// What a member computes it for.
    pub(super) fn purpose(&self) -> Purpose {
        if self.is_accepted { Purpose::Audit } else { Purpose::Opinion }
    }

    /// Whether a worker has given its opinion.
    pub(in crate::protocol::coordinator) fn has_asked(&self, who: &Witness) -> bool {
        self.opinions.iter().any(|opinion| !opinion.by.is_another(who))
    }

    /// Notes an opinion in place of an earlier one of the same worker; returns that.
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

/// A round's pieces on which others are asked. At most two for each leaf.
#[derive(Debug, Default)]
pub(in crate::protocol::coordinator) struct Cases(pub(in crate::protocol::coordinator) BTreeMap<Node, Case>);

impl Cases {
    /// The pieces that are kept from the queue.
    pub(in crate::protocol::coordinator) fn kept(&self) -> impl Iterator<Item = Node> {
        self.0.iter().filter(|(_, case)| !case.is_accepted).map(|(&node, _)| node)
    }

    /// Whether the piece is kept from the queue.
    pub(in crate::protocol::coordinator) fn is_kept(&self, node: Node) -> bool {
        self.0.get(&node).is_some_and(|case| !case.is_accepted)
    }
}
