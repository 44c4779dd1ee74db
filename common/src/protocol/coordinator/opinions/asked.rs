//! Whom a case is handed to, and until when members that have not answered are waited for: the part of the
//! policy in `opinions` that says who is asked.

use super::super::timeouts::Period;
use super::super::{Action, Coordinator, Member, OpenRound, Piece, Purpose};
use super::{Case, Witness};
use crate::ids::{Incarnation, Round};
use crate::reduce::tree::Node;

impl Coordinator {
    /// When a case stops waiting for members that have answered nothing yet.
    pub(super) fn newcomers_until_us(&self, open: &OpenRound, case: &Case) -> u64 {
        let since_us = if case.is_accepted { open.done_us } else { Some(case.since_us) };
        since_us.map_or(u64::MAX, |us| us.saturating_add(self.limits.answer_timeout_us_min))
    }

    /// Whether a member's answer is worth waiting for.
    pub(super) fn is_worth(&self, now_us: u64, open: &OpenRound, case: &Case, member: &Member) -> bool {
        member.answered_leaf_us(open.run).is_some() || now_us < self.newcomers_until_us(open, case)
    }

    /// Whether there is a member that has not given its opinion.
    pub(super) fn has_unasked(&self, now_us: u64, open: &OpenRound, case: &Case) -> bool {
        let is_unasked = |member: &Member| {
            !case.has_asked(&Witness::of(member)) && self.is_worth(now_us, open, case, member)
        };
        self.members.values().any(is_unasked)
    }

    /// Whether there is a member of an origin that has not given its opinion, and is not late with anything.
    fn has_unasked_origin(&self, now_us: u64, open: &OpenRound, case: &Case) -> bool {
        let is_unasked = |member: &Member| {
            case.is_first_from_there(&Witness::of(member))
                && self.is_worth(now_us, open, case, member)
                && !self.is_late(now_us, member)
        };
        self.members.values().any(is_unasked)
    }

    /// Whether there is a member whose answer would be an opinion, and is worth waiting for.
    pub(in crate::protocol::coordinator) fn has_judge(
        &self,
        now_us: u64,
        open: &OpenRound,
        case: &Case,
    ) -> bool {
        let is_judge = |member: &Member| {
            self.may_judge(now_us, open, case, member) && self.is_worth(now_us, open, case, member)
        };
        self.members.values().any(is_judge)
    }

    /// Whether a member's answer would be an opinion.
    fn may_judge(&self, now_us: u64, open: &OpenRound, case: &Case, member: &Member) -> bool {
        let who = Witness::of(member);
        let is_new = !case.has_asked(&who);
        match case.is_accepted {
            true => is_new && case.opinions.iter().all(|opinion| opinion.by.is_comparable(&who)),
            false if case.is_first_from_there(&who) => true,
            false if self.has_unasked_origin(now_us, open, case) => false,
            false => is_new || !self.has_unasked(now_us, open, case),
        }
    }

    /// Hands out a round's cases of one purpose, each to a member with an idle thread. Where all that compute
    /// a case are late, one more idle member gets it.
    pub(in crate::protocol::coordinator) fn schedule_opinions(
        &mut self,
        now_us: u64,
        round: Round,
        purpose: Purpose,
        actions: &mut Vec<Action>,
    ) {
        let is_due = |open: &OpenRound| open.cases.0.values().any(|case| case.purpose() == purpose);
        if !self.rounds.get(&round).is_some_and(is_due) {
            return;
        }
        let members: Vec<Incarnation> = self.members.keys().copied().collect();
        let mut any = true;
        while std::mem::take(&mut any) {
            for &to in &members {
                let Some(open) = self.rounds.get(&round) else { return };
                let node = self.opinion_for(now_us, open, purpose, &self.members[&to]);
                let (Some(node), Some(open)) = (node, self.rounds.get_mut(&round)) else { continue };
                open.queue.lend(node);
                self.hand_out(now_us, to, Piece { round, node }, purpose, actions);
                any = true;
            }
        }
    }

    /// When a case of this round may be handed to another member: the next piece becomes late, or newcomers
    /// are waited for no longer.
    pub(in crate::protocol::coordinator) fn next_opinion_us(
        &self,
        now_us: u64,
        open: &OpenRound,
    ) -> Option<u64> {
        let is_asked = |case: &&Case| !case.is_accepted || open.queue.waiting() == 0;
        let newcomers =
            open.cases.0.values().filter(is_asked).map(|case| self.newcomers_until_us(open, case));
        let newcomers: Vec<u64> = newcomers.collect();
        let is_ahead = |&at_us: &u64| now_us < at_us && at_us < u64::MAX;
        let late = (!newcomers.is_empty()).then(|| self.next_end_us(now_us)).flatten();
        newcomers.into_iter().filter(is_ahead).chain(late).min()
    }

    /// The case that member `to` may compute now for that purpose.
    fn opinion_for(&self, now_us: u64, open: &OpenRound, purpose: Purpose, to: &Member) -> Option<Node> {
        // The round cannot do without an opinion, so a late member may give one, as it may compute other
        // leaves.
        let may_be_first = purpose == Purpose::Opinion || !self.is_late(now_us, to);
        if to.idle_threads() == 0 {
            return None;
        }
        let may_help = || to.pieces.is_empty() && !self.is_late(now_us, to);
        let is_open = |node: Node, case: &Case| {
            let period = self.judges(now_us, open, node, case).reduce(Period::and);
            period.map_or(may_be_first, |period| period.ends_us() <= now_us && may_help())
        };
        let may = |&(&node, case): &(&Node, &Case)| {
            case.purpose() == purpose
                && !to.pieces.contains_key(&Piece { round: open.number, node })
                && self.may_judge(now_us, open, case, to)
                && is_open(node, case)
        };
        open.cases.0.iter().find(may).map(|(&node, _)| node)
    }

    /// The times of the members that compute `node` for that case.
    fn judges(&self, now_us: u64, open: &OpenRound, node: Node, case: &Case) -> impl Iterator<Item = Period> {
        let piece = Piece { round: open.number, node };
        let at_work = move |member: &Member| {
            let work = *member.pieces.get(&piece)?;
            self.may_judge(now_us, open, case, member).then(|| self.period(member, piece, work))
        };
        self.members.values().filter_map(at_work)
    }
}
