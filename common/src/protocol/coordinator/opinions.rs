//! Answers that another worker must confirm, and which answer is believed then.
//!
//! 1. A finite answer that is in line is accepted, whatever others have answered to the piece. Where an audit
//!    is drawn, a second worker is asked afterwards whether its bits are the same (`audits`).
//! 2. The sender of a non-finite answer is dropped. A piece of several leaves is then computed leaf by leaf.
//!    Where runs may diverge it stays, until a leaf's answer is contradicted by another worker or by itself:
//!    workers that are dropped with each run that diverges may be away when the last one ends.
//! 3. An answer that is out of line is remembered, and so is a non-finite answer to a single leaf. The next
//!    worker to be asked is one of an origin from which no answer to the piece has come, if such a one is
//!    there and not late; otherwise any that has not answered it yet. If there is none, workers are asked
//!    again.
//! 4. An out-of-line answer is accepted when a worker of another origin gives the same bits. Another worker
//!    of the same origin is enough where no member of another origin can still be asked, and none has given
//!    other out-of-line bits. Where there is only one worker, its own repetition is enough. Workers that gave
//!    other bits than the accepted ones are dropped.
//! 5. The run itself is at fault, and stops, when [`OPINIONS_NEEDED`] workers find a leaf non-finite with the
//!    same bits. If all are of one origin, members and spares of others are asked before. Fewer are enough
//!    where no others are there; an only worker must find it twice.
//! 6. The run also stops when answers differ and nobody else can be asked: one of the workers miscomputes.
//!
//! Members that have answered nothing yet are waited for no longer than `timeouts` says, of whichever origin.
//! A worker is its process, whatever its name and its connection. Its origin is its key and its address
//! together: local workers, which have neither, are all of one. Bits of workers with different numerics can't
//! be compared. Two such answers agree if both are out of line, or both non-finite.

mod asked;
mod record;

pub(super) use record::{Case, Cases, Finding, Opinion, Witness};

use super::{Action, Cause, Coordinator, Member, OpenRound, Piece};
use crate::ids::Incarnation;
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

    /// Names of the workers that gave the same answer before, if that is enough: others, or the same worker
    /// where there is no other.
    fn confirmed_by(&self, now_us: u64, Piece { round, node }: Piece, opinion: &Opinion) -> Vec<String> {
        let Some(open) = self.rounds.get(&round) else { return Vec::new() };
        let Some(case) = open.cases.0.get(&node) else { return Vec::new() };
        let is_alone = !self.has_unasked(now_us, open, case);
        let counts =
            |other: &&Opinion| other.agrees(opinion) && (is_alone || other.by.is_another(&opinion.by));
        let agreeing: Vec<&Opinion> = case.opinions.iter().filter(counts).collect();
        let is_enough = agreeing.iter().any(|other| other.by.is_elsewhere(&opinion.by))
            || !self.has_doubter_elsewhere(now_us, open, case, opinion);
        agreeing.into_iter().filter(|_| is_enough).map(|other| other.by.name.clone()).collect()
    }

    /// Whether a member of another origin can still be asked about an answer, or has given other bits that
    /// are out of line too.
    fn has_doubter_elsewhere(&self, now_us: u64, open: &OpenRound, case: &Case, opinion: &Opinion) -> bool {
        let doubts = |member: &Member| {
            let who = Witness::of(member);
            let own = case.opinions.iter().find(|own| !own.by.is_another(&who));
            who.is_elsewhere(&opinion.by)
                && own.map_or_else(
                    || self.is_worth(now_us, open, case, member),
                    |own| own.finding == Finding::OutOfLine && !own.agrees(opinion),
                )
        };
        self.members.values().any(doubts)
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
        let agreeing = || case.opinions.iter().filter(|other| other.agrees(opinion));
        let names: Vec<String> = agreeing().map(|other| other.by.name.clone()).collect();
        let are_of_one_origin = !agreeing().any(|other| other.by.is_elsewhere(&opinion.by));
        let members = self.members.iter().filter(|&(&who, _)| who != from).map(|(_, member)| member);
        let members = members.map(|member| (Witness::of(member), self.is_worth(now_us, open, case, member)));
        let is_waited_for = now_us < self.newcomers_until_us(open, case);
        let spares = self.spares.values().map(|spare| (spare.newcomer.witness(), is_waited_for));
        let others: Vec<(Witness, bool)> = members.chain(spares).collect();
        // A worker that is there and answered otherwise, or has not been asked.
        let dissents = |(who, is_worth): &(Witness, bool)| {
            let own = case.opinions.iter().find(|own| !own.by.is_another(who));
            own.map_or(*is_worth, |own| !own.agrees(opinion))
        };
        // One that answers otherwise again and again must not keep the run from being stopped.
        let can_be_asked_elsewhere = |(who, is_worth): &(Witness, bool)| {
            *is_worth && !case.has_asked(who) && who.is_elsewhere(&opinion.by)
        };
        let are_believed = || !(are_of_one_origin && others.iter().any(can_be_asked_elsewhere));
        let is_enough = names.len() >= OPINIONS_NEEDED && are_believed()
            || (names.len() > 1 || repeats) && !others.iter().any(dissents);
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
        let out_of_line = || case.opinions.iter().filter(|opinion| opinion.finding == Finding::OutOfLine);
        let differ = || out_of_line().any(|one| out_of_line().any(|other| !one.agrees(other)));
        // Two of one origin that agree are believed if one repeats itself, once all others have gone.
        let is_confirmed = |one: &Opinion| {
            out_of_line().any(|other| other.by.is_another(&one.by) && other.agrees(one))
                && !self.has_doubter_elsewhere(now_us, open, case, one)
        };
        match case.is_accepted {
            // A third that contradicts both is no better than they are.
            true => {
                let opinions = case.opinions.len();
                opinions >= OPINIONS_NEEDED || opinions > 1 && !self.has_judge(now_us, open, case)
            }
            false => differ() && !self.has_unasked(now_us, open, case) && !out_of_line().any(is_confirmed),
        }
    }
}
