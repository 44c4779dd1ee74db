//! Audits: which pieces a second worker computes, and what follows where the two answers differ.
//!
//! Two answers cannot tell who is wrong, so a third worker is asked. The worker that it contradicts is
//! refused from then on, and all open rounds begin anew. Without a third worker, or where it contradicts
//! both, the run stops.

use super::opinions::{Case, Opinion, Witness};
use super::{Action, Cause, Coordinator, Member, Piece};
use crate::ids::{Incarnation, Process, Round};
use crate::reduce::tree::Node;
use crate::rng::Stream;

/// Parts in which a share is counted.
pub const SHARE_PARTS: u32 = 1_000_000;

/// The share of pieces that is audited, and the seed by which they are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Seed of the draw.
    pub seed: u64,
    /// Share in [`SHARE_PARTS`]ths: 0 for no piece, all parts for every piece.
    pub share: u32,
}

impl Audit {
    /// No piece is audited.
    pub const NONE: Self = Self { seed: 0, share: 0 };

    /// Whether this piece is audited: a function of the piece, so that no worker's timing can influence it.
    #[must_use]
    pub fn picks(self, round: Round, node: Node) -> bool {
        self.share > 0 && {
            let address = [round.0, u64::from(node.level), u64::from(node.index)];
            Stream::new(self.seed, "audit", &address).below(SHARE_PARTS) < self.share
        }
    }
}

/// Miscomputing workers that are remembered: more than the machines of a cluster that break in one run.
const MISCOMPUTERS_MAX: usize = 1024;

/// Workers that were found to miscompute, oldest first.
#[derive(Debug, Default)]
pub(super) struct Miscomputers(Vec<Process>);

impl Miscomputers {
    fn note(&mut self, who: Process) {
        if self.0.len() >= MISCOMPUTERS_MAX {
            self.0.remove(0);
        }
        self.0.push(who);
    }

    pub(super) fn has(&self, who: Process) -> bool {
        self.0.contains(&who)
    }
}

impl Coordinator {
    /// Compares an answer with the accepted ones, if the piece waits for one like it. Where two differ, a
    /// third decides which worker miscomputes. Where all three differ, none is found.
    pub(super) fn compare(&mut self, piece: Piece, opinion: Opinion, actions: &mut Vec<Action>) {
        let Some(open) = self.rounds.get_mut(&piece.round) else { return };
        let waits =
            |earlier: &Opinion| earlier.by.is_another(&opinion.by) && earlier.by.is_comparable(&opinion.by);
        let case = open.cases.0.get_mut(&piece.node).filter(|case| case.is_accepted);
        let Some(case) = case.filter(|case| case.opinions.iter().all(waits)) else { return };
        self.audit_waits = false;
        let agreeing = case.opinions.iter().position(|earlier| earlier.checksum == opinion.checksum);
        match (agreeing, &case.opinions[..]) {
            (Some(right), [_, _]) => {
                let wrong = case.opinions[1 - right].by.clone();
                let right = [case.opinions[right].by.name.clone(), opinion.by.name];
                self.miscomputed(piece, wrong, right, actions);
            }
            (Some(_), _) => drop(open.cases.0.remove(&piece.node)),
            (None, _) => case.opinions.push(opinion),
        }
    }

    /// Removes a worker that two others contradict, and voids all rounds in which it may have taken part.
    fn miscomputed(&mut self, wrong: Piece, who: Witness, right: [String; 2], actions: &mut Vec<Action>) {
        let Piece { round, node } = wrong;
        let voided = self.rounds.values_mut().filter(|open| open.wants_work());
        let voided = voided.map(|open| {
            open.is_void = true;
            open.number
        });
        let voided: Vec<Round> = voided.collect();
        self.miscomputers.note(who.process);
        self.keys.note(who.process);
        let is_it = |(_, member): &(&Incarnation, &Member)| !who.is_another(&Witness::of(member));
        let found: Vec<Incarnation> = self.members.iter().filter(is_it).map(|(&who, _)| who).collect();
        for who in found {
            self.remove(who, Cause::Miscomputed { round, node }, actions);
        }
        for round in voided {
            let worker = who.name.clone();
            let right = right.clone();
            actions.push(Action::Anew { round, wrong, worker, process: who.process, right });
        }
    }

    /// Gives up all audits of a round if no member could make one that is worth waiting for. Returns whether
    /// it did. While one audit can be made, the others wait too: their workers may still join.
    pub(super) fn give_up_audits(&mut self, now_us: u64, round: Round) -> bool {
        let Some(open) = self.rounds.get(&round) else { return false };
        let may = |case: &Case| self.has_judge(now_us, open, case);
        let in_vain = !open.cases.0.is_empty() && !open.cases.0.values().any(may);
        if in_vain && let Some(open) = self.rounds.get_mut(&round) {
            open.cases.0.clear();
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
