//! Answers that another worker must confirm, and which answer is believed then.
//!
//! 1. A finite answer that is in line is accepted, whatever others have answered to the piece. Where an audit
//!    is drawn, a second worker is asked afterwards whether its bits are the same (`audits`).
//! 2. The sender of a non-finite answer is dropped. A piece of several leaves is then computed leaf by leaf.
//!    Where runs may diverge it stays, until a leaf's answer is contradicted by another worker or by itself:
//!    workers that are dropped with each run that diverges may be away when the last one ends.
//! 3. An answer that is out of line is remembered, and so is a non-finite answer to a single leaf. The next
//!    worker to be asked is one that has not answered the piece yet. If there is none, workers are asked
//!    again.
//! 4. An out-of-line answer is accepted when another worker gives the same bits. Where there is only one
//!    worker, its own repetition is enough. Workers that gave other bits than the accepted ones are dropped.
//! 5. The run itself is at fault, and stops, when [`OPINIONS_NEEDED`] workers find a leaf non-finite with the
//!    same bits. Fewer are enough where no others are there; an only worker must find it twice.
//! 6. The run also stops when answers differ and nobody else can be asked: one of the workers miscomputes.
//!
//! Members that have answered nothing yet are waited for no longer than `timeouts` says. A worker is its
//! process, whatever its name and its connection. Bits of workers with different numerics cannot be compared.
//! Two such answers agree if both are out of line, or both non-finite.

mod record;

pub(super) use record::{Case, Cases, Finding, Opinion, Witness};

use super::timeouts::Period;
use super::{Action, Cause, Coordinator, Member, OpenRound, Piece, Purpose};
use crate::ids::{Incarnation, Round};
use crate::reduce::tree::Node;

/// Workers that must agree. One may be broken, and two may be broken in the same way: the third decides.
pub(super) const OPINIONS_NEEDED: usize = 3;
/// Newest opinions that are kept of one piece: five times as many as are needed to believe one.
const OPINIONS_MAX: usize = 5 * OPINIONS_NEEDED;

impl Coordinator {
    /// Judges a finite answer: accepts it or, where it is out of line, asks others.
    pub(super) fn judge(
        &mut self,
        now_us: u64,
        from: Incarnation,
        piece: Piece,
        opinion: Opinion,
        actions: &mut Vec<Action>,
    ) {
        let Piece { round, node } = piece;
        let Some(open) = self.rounds.get_mut(&round) else { return };
        if !open.queue.wants(node) {
            open.queue.give_back(node);
            actions.push(Action::Discard { from });
            self.compare(piece, opinion, actions);
            return;
        }
        let confirmed_by = self.confirmed_by(now_us, piece, &opinion);
        if opinion.finding == Finding::OutOfLine && confirmed_by.is_empty() {
            actions.push(Action::Doubted { from, round, node });
            self.keep(now_us, from, piece, opinion, actions);
            return;
        }
        let Some(open) = self.rounds.get_mut(&round) else { return };
        if opinion.finding == Finding::OutOfLine {
            actions.push(Action::Confirmed { from, round, node, by: confirmed_by });
        }
        actions.push(Action::Accept { from, round, node });
        open.queue.accept(node);
        open.queue.give_back(node);
        for (who, finding) in self.close_cases(piece, &opinion) {
            let cause = match finding {
                Finding::NotFinite => Cause::NonFinite { round, node },
                Finding::InLine | Finding::OutOfLine => Cause::OutOfLine { round, node },
            };
            self.remove(who, cause, actions);
        }
        if self.limits.audit.picks(round, node)
            && let Some(open) = self.rounds.get_mut(&round)
        {
            open.cases.0.insert(node, Case { is_accepted: true, since_us: now_us, opinions: vec![opinion] });
        }
    }

    /// Names of the workers that gave the same answer before: others, or the same worker where there is no
    /// other.
    fn confirmed_by(&self, now_us: u64, Piece { round, node }: Piece, opinion: &Opinion) -> Vec<String> {
        let Some(open) = self.rounds.get(&round) else { return Vec::new() };
        let Some(case) = open.cases.0.get(&node) else { return Vec::new() };
        let is_alone = !self.has_unasked(now_us, open, case);
        let counts =
            |other: &&Opinion| other.agrees(opinion) && (is_alone || other.by.is_another(&opinion.by));
        case.opinions.iter().filter(counts).map(|other| other.by.name.clone()).collect()
    }

    /// Remembers an out-of-line answer, and keeps its piece from the queue.
    fn keep(
        &mut self,
        now_us: u64,
        from: Incarnation,
        piece: Piece,
        opinion: Opinion,
        actions: &mut Vec<Action>,
    ) {
        let Piece { round, node } = piece;
        let checksum = opinion.checksum;
        let contradicts =
            |earlier: Opinion| earlier.finding == Finding::OutOfLine && earlier.checksum != checksum;
        if self.note(now_us, piece, opinion).is_some_and(contradicts) {
            // The machine computed two results from equal numbers: at least one is wrong.
            self.remove(from, Cause::OutOfLine { round, node }, actions);
        }
    }

    /// Notes an opinion on a piece without an accepted answer. Returns what the same worker has answered
    /// before. The case keeps the leaves that the member held in the queue.
    fn note(&mut self, now_us: u64, Piece { round, node }: Piece, opinion: Opinion) -> Option<Opinion> {
        let open = self.rounds.get_mut(&round)?;
        if open.cases.is_kept(node) {
            open.queue.give_back(node);
        }
        let case = open.cases.0.entry(node).or_insert(Case {
            is_accepted: false,
            since_us: now_us,
            opinions: Vec::new(),
        });
        case.note(opinion)
    }

    /// Closes the cases that an accepted answer to a piece settles. Returns the members that gave it another
    /// answer, and what that was.
    fn close_cases(
        &mut self,
        Piece { round, node }: Piece,
        accepted: &Opinion,
    ) -> Vec<(Incarnation, Finding)> {
        let may_diverge = self.limits.may_diverge;
        let Some(open) = self.rounds.get_mut(&round) else { return Vec::new() };
        let is_over = |node: &Node, case: &mut Case| !case.is_accepted && !open.queue.wants(*node);
        let over: Vec<(Node, Case)> = open.cases.0.extract_if(.., is_over).collect();
        over.iter().for_each(|&(node, _)| open.queue.give_back(node));
        let of_node =
            over.into_iter().filter(|&(other, _)| other == node).flat_map(|(_, case)| case.opinions);
        let is_wrong = |opinion: &Opinion| {
            let is_comparable = opinion.by.is_comparable(&accepted.by);
            // Otherwise who found a number that is not finite was dropped for it.
            let is_doubtful =
                opinion.finding == Finding::OutOfLine || may_diverge && opinion.finding == Finding::NotFinite;
            is_doubtful && is_comparable && opinion.checksum != accepted.checksum
        };
        let wrong: Vec<Opinion> = of_node.filter(is_wrong).collect();
        let gave = |member: &Member| {
            let own = wrong.iter().find(|opinion| !opinion.by.is_another(&Witness::of(member)));
            own.map(|opinion| opinion.finding)
        };
        self.members.iter().filter_map(|(&who, member)| Some((who, gave(member)?))).collect()
    }

    /// Judges a non-finite answer: drops its sender, asks others, or stops the run.
    pub(super) fn not_finite(
        &mut self,
        now_us: u64,
        from: Incarnation,
        piece: Piece,
        opinion: Opinion,
        actions: &mut Vec<Action>,
    ) {
        let Piece { round, node } = piece;
        let Some(open) = self.rounds.get_mut(&round) else { return };
        let mut is_contradicted = false;
        actions.push(Action::Discard { from });
        if node.level > 0 {
            if open.cases.is_kept(node) {
                open.cases.0.remove(&node);
                open.queue.give_back(node);
            }
            open.queue.part(node);
            open.queue.give_back(node);
        } else if open.queue.wants(node) {
            let earlier = self.note(now_us, piece, opinion.clone());
            let repeats = earlier.as_ref() == Some(&opinion);
            is_contradicted = earlier.is_some_and(|earlier| !earlier.agrees(&opinion));
            if let Some(workers) = self.agreed(now_us, from, piece, &opinion, repeats) {
                actions.push(Action::NonFinite { round, leaf: node.index, workers });
                return;
            }
        } else {
            // Another has found it finite.
            is_contradicted = true;
            open.queue.give_back(node);
        }
        if is_contradicted || !self.limits.may_diverge {
            self.remove(from, Cause::NonFinite { round, node }, actions);
        }
    }

    /// Names of the workers that agree that a leaf is not finite, if they are to be believed.
    fn agreed(
        &self,
        now_us: u64,
        from: Incarnation,
        piece: Piece,
        opinion: &Opinion,
        repeats: bool,
    ) -> Option<Vec<String>> {
        let open = self.rounds.get(&piece.round)?;
        let case = open.cases.0.get(&piece.node)?;
        let agreeing = case.opinions.iter().filter(|other| other.agrees(opinion));
        let names: Vec<String> = agreeing.map(|other| other.by.name.clone()).collect();
        let members = self.members.iter().filter(|&(&who, _)| who != from).map(|(_, member)| member);
        let members = members.map(|member| (Witness::of(member), self.is_worth(now_us, open, case, member)));
        let is_waited_for = now_us < self.newcomers_until_us(open, case);
        let spares = self.spares.values().map(|spare| (spare.newcomer.witness(), is_waited_for));
        // A worker that is there and answered otherwise, or has not been asked.
        let dissents = |(who, is_worth): (Witness, bool)| {
            let own = case.opinions.iter().find(|own| !own.by.is_another(&who));
            own.map_or(is_worth, |own| !own.agrees(opinion))
        };
        let is_enough = names.len() >= OPINIONS_NEEDED
            || (names.len() > 1 || repeats) && !members.chain(spares).any(dissents);
        is_enough.then_some(names)
    }

    /// Stops each run in which answers differ and nobody is there to decide between them.
    pub(super) fn dispute(&mut self, now_us: u64, actions: &mut Vec<Action>) {
        let stuck = |open: &OpenRound| {
            let (&node, case) = open.cases.0.iter().find(|(_, case)| self.is_stuck(now_us, open, case))?;
            let workers = case.opinions.iter().map(|opinion| opinion.by.name.clone()).collect();
            Some(Action::Disputed { round: open.number, node, workers })
        };
        let disputed: Vec<Action> =
            self.rounds.values().filter(|open| !open.is_void).filter_map(stuck).collect();
        for action in disputed {
            if let Action::Disputed { round, .. } = action {
                self.rounds.get_mut(&round).into_iter().for_each(|open| open.is_void = true);
            }
            actions.push(action);
        }
    }

    fn is_stuck(&self, now_us: u64, open: &OpenRound, case: &Case) -> bool {
        let differ =
            || case.opinions.iter().filter(|opinion| opinion.finding == Finding::OutOfLine).count() > 1;
        match case.is_accepted {
            // A third that contradicts both is no better than they are.
            true => {
                let opinions = case.opinions.len();
                opinions >= OPINIONS_NEEDED || opinions > 1 && !self.has_judge(now_us, open, case)
            }
            false => differ() && !self.has_unasked(now_us, open, case),
        }
    }

    /// When a case stops waiting for members that have answered nothing yet.
    fn newcomers_until_us(&self, open: &OpenRound, case: &Case) -> u64 {
        let since_us = if case.is_accepted { open.done_us } else { Some(case.since_us) };
        since_us.map_or(u64::MAX, |us| us.saturating_add(self.limits.answer_timeout_us_min))
    }

    /// Whether a member's answer is worth waiting for.
    fn is_worth(&self, now_us: u64, open: &OpenRound, case: &Case, member: &Member) -> bool {
        member.answered_leaf_us(open.run).is_some() || now_us < self.newcomers_until_us(open, case)
    }

    /// Whether there is a member that has not given its opinion.
    fn has_unasked(&self, now_us: u64, open: &OpenRound, case: &Case) -> bool {
        let is_unasked = |member: &Member| {
            !case.has_asked(&Witness::of(member)) && self.is_worth(now_us, open, case, member)
        };
        self.members.values().any(is_unasked)
    }

    /// Whether there is a member whose answer would be an opinion, and is worth waiting for.
    pub(super) fn has_judge(&self, now_us: u64, open: &OpenRound, case: &Case) -> bool {
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
            false => is_new || !self.has_unasked(now_us, open, case),
        }
    }

    /// Hands out a round's cases of one purpose, each to a member with an idle thread. Where all that compute
    /// a case are late, one more idle member gets it.
    pub(super) fn schedule_opinions(
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
    pub(super) fn next_opinion_us(&self, now_us: u64, open: &OpenRound) -> Option<u64> {
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
