//! Which pieces are computed by a second worker, and whether the two agree.
//!
//! Who is wrong can't be told from two answers; that they differ can. Decides nothing about what follows from it. How long
//! an auditor may take is decided in `timeouts`.

use super::timeouts::Period;
use super::{Action, Coordinator, Member, Purpose};
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

    /// Whether some wait and nobody could answer any. While one is made another's worker may still come.
    pub(super) fn are_in_vain(&self, can_answer: impl Fn(&First) -> bool) -> bool {
        !self.0.is_empty() && !self.0.values().any(can_answer)
    }

    pub(super) fn give_up(&mut self) {
        self.0.clear();
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

    /// Hands out audits: each to an idle thread; where all auditors of a piece are late, to one more member that is idle.
    /// Returns when the next audit, or a piece of one who could audit, is late.
    pub(super) fn deal_audits(&mut self, now_us: u64, actions: &mut Vec<Action>) -> Option<u64> {
        if self.work.as_ref()?.audits.is_empty() {
            return None;
        }
        let members: Vec<Incarnation> = self.members.keys().copied().collect();
        let mut any = true;
        while std::mem::take(&mut any) {
            for &to in &members {
                let Some(node) = self.audit_for(now_us, &self.members[&to]) else { continue };
                self.work.as_mut()?.queue.lend(node);
                self.hand_out(now_us, to, node, Purpose::Audit, actions);
                any = true;
            }
        }
        // Then another may take it over, or nobody is waited for any more.
        let newcomers_due_us = self.newcomers_due_us().filter(|&due_us| due_us > now_us);
        newcomers_due_us.into_iter().chain(self.next_end_us(now_us)).min()
    }

    /// The piece that `to` may audit now.
    fn audit_for(&self, now_us: u64, to: &Member) -> Option<Node> {
        let fastest_us = self.fastest_leaf_us();
        if self.idle_threads(to) == 0 || self.is_late(now_us, fastest_us, to) {
            return None;
        }
        let is_open = |node: Node, first: &First| {
            let period = self.auditors(fastest_us, node, first).reduce(Period::and);
            period.is_none_or(|period| to.pieces.is_empty() && period.ends_us() <= now_us)
        };
        let may = |&(node, first): &(Node, &First)| {
            first.is_comparable(&to.name, to.numerics)
                && !to.pieces.contains_key(&node)
                && is_open(node, first)
        };
        self.work.as_ref()?.audits.iter().find(may).map(|(node, _)| node)
    }

    /// The time that each has who computes `node` for the audit of `first`.
    fn auditors(&self, fastest_us: Option<u64>, node: Node, first: &First) -> impl Iterator<Item = Period> {
        let at_work = move |member: &Member| {
            let granted_us = *member.pieces.get(&node)?;
            let is_auditor = first.is_comparable(&member.name, member.numerics);
            is_auditor.then(|| self.period(fastest_us, member, node, granted_us))
        };
        self.members.values().filter_map(at_work)
    }

    /// Whether a member's second answer is worth waiting for.
    pub(super) fn may_audit(&self, now_us: u64, first: &First, member: &Member) -> bool {
        let is_waited_for = || self.newcomers_due_us().is_none_or(|due_us| now_us < due_us);
        first.is_comparable(&member.name, member.numerics)
            && (member.answered_leaf_us.is_some() || is_waited_for())
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
