//! Which pieces are computed by a second worker, and whether the two agree.
//!
//! Who is wrong can't be told from two answers; that they differ can. Decides nothing about what follows from it.

use super::{Action, Coordinator, Member};
use crate::ids::{Incarnation, Round};
use crate::numerics::NumericsDigest;
use crate::rng::Stream;
use crate::tree::Node;
use std::collections::BTreeMap;

/// Parts that a share is counted in.
pub const SHARE_PARTS: u32 = 1_000_000;

/// Which share of the pieces is audited, and from which seed they are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Of the draw.
    pub seed: u64,
    /// In [`SHARE_PARTS`]ths: 0 for none, all of them for every piece.
    pub share: u32,
}

impl Audit {
    /// No piece is audited.
    pub const NONE: Self = Self { seed: 0, share: 0 };

    /// Whether this piece is: a function of the piece, so that no worker's haste or delay has a say in it.
    #[must_use]
    pub fn picks(self, round: Round, node: Node) -> bool {
        self.share > 0 && {
            let address = [round.0, u64::from(node.level), u64::from(node.index)];
            Stream::new(self.seed, "audit", &address).below(SHARE_PARTS) < self.share
        }
    }
}

/// The answer that was added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct First {
    pub(super) name: String,
    pub(super) numerics: NumericsDigest,
    pub(super) checksum: u32,
}

impl First {
    /// Whether that worker's answer can be compared with this one: another's, and of one whose bits must be the same.
    pub(super) fn is_comparable(&self, name: &str, numerics: NumericsDigest) -> bool {
        self.name != name && self.numerics == numerics
    }
}

/// A round's pieces that wait for a second answer. At most one for each leaf.
#[derive(Debug, Default)]
pub(super) struct Audits(BTreeMap<Node, First>);

impl Audits {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Node, &First)> {
        self.0.iter().map(|(&node, first)| (node, first))
    }

    pub(super) fn wait_for(&mut self, node: Node, first: First) {
        self.0.insert(node, first);
    }

    /// The first answer to `node`, if it waits for one like this; it waits no more.
    pub(super) fn take(&mut self, node: Node, name: &str, numerics: NumericsDigest) -> Option<First> {
        let waits = self.0.get(&node).is_some_and(|first| first.is_comparable(name, numerics));
        waits.then(|| self.0.remove(&node)).flatten()
    }

    /// Gives all up if nobody could answer any; whether it did. While one is made another's worker may still come.
    pub(super) fn give_up(&mut self, can_answer: impl Fn(&First) -> bool) -> bool {
        let in_vain = !self.0.is_empty() && !self.0.values().any(can_answer);
        if in_vain {
            self.0.clear();
        }
        in_vain
    }
}

impl Coordinator {
    /// Compares a second answer with the first, if the piece waits for one like this.
    pub(super) fn compare(
        &mut self,
        node: Node,
        name: &str,
        numerics: NumericsDigest,
        checksum: u32,
        actions: &mut Vec<Action>,
    ) {
        let Some(work) = &mut self.work else { return };
        let Some(first) = work.audits.take(node, name, numerics) else { return };
        self.audit_waits = false;
        if first.checksum != checksum {
            work.disputed = true;
            let workers = [first.name, name.to_owned()];
            actions.push(Action::Disputed { round: work.round, node, workers });
        }
    }

    /// The piece that an idle thread of `to` may audit now: one that nobody audits, or whose auditor is late and alone
    /// while `to` has nothing else to do.
    pub(super) fn audit_for(&self, now_us: u64, to: &Member) -> Option<Node> {
        let audits = &self.work.as_ref()?.audits;
        let is_open = |node: Node, first: &First| {
            let mut at_work = self.auditors(node, first);
            match (at_work.next(), at_work.next()) {
                (None, _) => true,
                (Some((_, due_us)), None) => to.pieces.is_empty() && due_us <= now_us,
                _ => false,
            }
        };
        let may = |&(node, first): &(Node, &First)| {
            first.is_comparable(&to.name, to.numerics)
                && !to.pieces.contains_key(&node)
                && is_open(node, first)
        };
        audits.iter().find(may).map(|(node, _)| node)
    }

    /// When the first audit is late for which an idle member is there.
    pub(super) fn audit_overdue_us(&self) -> Option<u64> {
        let audits = &self.work.as_ref()?.audits;
        let due_us = audits.iter().filter_map(|(node, first)| {
            let mut at_work = self.auditors(node, first);
            let (Some((auditor, due_us)), None) = (at_work.next(), at_work.next()) else { return None };
            let can_help = |(&who, member): (&Incarnation, &Member)| {
                who != auditor
                    && member.pieces.is_empty()
                    && first.is_comparable(&member.name, member.numerics)
            };
            self.members.iter().any(can_help).then_some(due_us)
        });
        due_us.min()
    }

    /// Who computes `node` for the audit of `first`, and when each is late.
    fn auditors(&self, node: Node, first: &First) -> impl Iterator<Item = (Incarnation, u64)> {
        let at_work = move |(&who, member): (&Incarnation, &Member)| {
            let granted_us = *member.pieces.get(&node)?;
            first
                .is_comparable(&member.name, member.numerics)
                .then(|| (who, self.due_us(member, node, granted_us)))
        };
        self.members.iter().filter_map(at_work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_draw_is_a_function_of_seed_and_piece_and_keeps_to_its_share() {
        let picked = |seed, share| {
            let audit = Audit { seed, share };
            let nodes = (0..4).flat_map(|level| (0..500).map(move |index| Node { level, index }));
            nodes.filter(|&node| audit.picks(Round(3), node)).collect::<Vec<_>>()
        };
        assert_eq!(picked(1, 100_000), picked(1, 100_000));
        assert_ne!(picked(1, 100_000), picked(2, 100_000));
        assert!((150..250).contains(&picked(1, 100_000).len()), "{}", picked(1, 100_000).len());
        assert_eq!((picked(1, 0).len(), picked(1, SHARE_PARTS).len()), (0, 2000));
    }
}
