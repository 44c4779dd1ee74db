//! Which pieces are computed by a second worker, and what follows where the two differ.
//!
//! Who is wrong can't be told from two answers: a third worker is asked. Whoever it contradicts is let in no more, and the
//! round begins anew. Where no third is there, or it contradicts both, the run stops.

use super::opinions::{Case, Opinion, Witness};
use super::{Action, Cause, Coordinator, Member};
use crate::ids::{Incarnation, Instance, Round};
use crate::reduce::tree::Node;
use crate::rng::Stream;

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

/// Miscomputing workers that are remembered: more machines than a cluster has that go bad in a run.
const MISCOMPUTERS_MAX: usize = 1024;

/// Workers that were found to miscompute, oldest first.
#[derive(Debug, Default)]
pub(super) struct Miscomputers(Vec<Instance>);

impl Miscomputers {
    fn note(&mut self, who: Instance) {
        if self.0.len() >= MISCOMPUTERS_MAX {
            self.0.remove(0);
        }
        self.0.push(who);
    }

    pub(super) fn has(&self, who: Instance) -> bool {
        self.0.contains(&who)
    }
}

impl Coordinator {
    /// Compares an answer with the accepted one, if the piece waits for one like this. Where two differ a third decides who
    /// of them miscomputes; where all three differ nobody does.
    pub(super) fn compare(&mut self, node: Node, opinion: Opinion, actions: &mut Vec<Action>) {
        let Some(work) = &mut self.work else { return };
        let waits =
            |earlier: &Opinion| earlier.by.is_another(&opinion.by) && earlier.by.is_comparable(&opinion.by);
        let case = work.cases.0.get_mut(&node).filter(|case| case.is_accepted);
        let Some(case) = case.filter(|case| case.opinions.iter().all(waits)) else { return };
        self.audit_waits = false;
        let agreeing = case.opinions.iter().position(|earlier| earlier.checksum == opinion.checksum);
        match (agreeing, &case.opinions[..]) {
            (Some(right), [_, _]) => {
                let wrong = case.opinions[1 - right].by.clone();
                let right = [case.opinions[right].by.name.clone(), opinion.by.name];
                self.miscomputed(node, wrong, right, actions);
            }
            (Some(_), _) => drop(work.cases.0.remove(&node)),
            (None, _) => case.opinions.push(opinion),
        }
    }

    /// Does without a worker that two others contradict, and without what it did in this round.
    fn miscomputed(&mut self, node: Node, wrong: Witness, right: [String; 2], actions: &mut Vec<Action>) {
        let Some(work) = &mut self.work else { return };
        let round = work.round;
        work.is_void = true;
        self.miscomputers.note(wrong.instance);
        let is_it = |(_, member): &(&Incarnation, &Member)| !wrong.is_another(&Witness::of(member));
        let found: Vec<Incarnation> = self.members.iter().filter(is_it).map(|(&who, _)| who).collect();
        for who in found {
            self.remove(who, Cause::Miscomputed { round, node }, actions);
        }
        let Witness { name, instance, .. } = wrong;
        actions.push(Action::Anew { round, node, worker: name, instance, right });
    }

    /// Gives all audits up if none of those could make any that are worth waiting for; whether it did. While one is made
    /// another's worker may still come.
    pub(super) fn give_up_audits(&mut self, now_us: u64) -> bool {
        let Some(work) = &self.work else { return false };
        let may = |case: &Case| self.has_judge(now_us, case);
        let in_vain = !work.cases.0.is_empty() && !work.cases.0.values().any(may);
        if in_vain && let Some(work) = &mut self.work {
            work.cases.0.clear();
        }
        in_vain
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
