//! Which non-finite or out-of-line answers are believed, and which workers are asked.

use super::*;

pub(super) const LEAF: Node = Node { level: 0, index: 0 };
pub(super) const NAN: Verdict = Verdict::NonFinite { checksum: 77 };
const OTHER_NAN: Verdict = Verdict::NonFinite { checksum: 78 };
pub(super) const HUGE: Verdict = Verdict::OutOfLine { checksum: 88 };
pub(super) const OTHER_HUGE: Verdict = Verdict::OutOfLine { checksum: 89 };
pub(super) const FINE: Verdict = Verdict::Finite { checksum: 5 };

/// Round 0 of `leaves` leaves with these members.
fn begun(names: &[&str], leaves: u32) -> Coordinator {
    let mut machine = Coordinator::new(LIMITS, Incarnation(1));
    names.iter().for_each(|name| drop(join(&mut machine, 0, name)));
    machine.on_event(0, Event::Begin { run: RUN, round: Round(0), leaves });
    machine
}

pub(super) fn says(machine: &mut Coordinator, from: u64, node: Node, verdict: Verdict) -> Vec<Action> {
    machine.on_event(1, Event::Result { from: Incarnation(from), round: Round(0), node, verdict })
}

pub(super) fn asked(to: u64, node: Node) -> Action {
    Action::Grant { to: Incarnation(to), round: Round(0), node, purpose: Purpose::Opinion }
}

pub(super) fn stop(workers: &[&str]) -> Action {
    let workers = workers.iter().map(|&name| name.to_owned()).collect();
    Action::NonFinite { round: Round(0), leaf: 0, workers }
}

pub(super) fn stops(actions: &[Action]) -> bool {
    actions.iter().any(|action| matches!(action, Action::NonFinite { .. } | Action::Disputed { .. }))
}

pub(super) fn dropped(actions: &[Action]) -> Vec<u64> {
    let member = |action: &Action| match action {
        Action::Removed { member, cause, .. } if cause.is_offence() => Some(member.0),
        _ => None,
    };
    actions.iter().filter_map(member).collect()
}

pub(super) fn is_accepted(actions: &[Action], from: u64, node: Node) -> bool {
    actions.contains(&Action::Accept { from: Incarnation(from), round: Round(0), node })
}

#[test]
fn three_workers_must_agree_that_a_leaf_is_not_finite() {
    let mut machine = begun(&["a", "b", "c"], 1);
    let actions = says(&mut machine, 1, LEAF, NAN);
    assert_eq!((dropped(&actions), actions.last()), (vec![1], Some(&asked(2, LEAF))));
    let actions = says(&mut machine, 2, LEAF, NAN);
    assert_eq!((dropped(&actions), actions.last()), (vec![2], Some(&asked(3, LEAF))));
    let actions = says(&mut machine, 3, LEAF, NAN);
    assert!(actions.contains(&stop(&["a", "b", "c"])), "{actions:?}");
}

/// Round 0 of `leaves` leaves with these members, where runs may diverge.
fn begun_where_runs_may_diverge(names: &[&str], leaves: u32) -> Coordinator {
    let mut machine = begun(names, leaves);
    machine.limits.may_diverge = true;
    machine
}

#[test]
fn where_runs_may_diverge_nobody_is_dropped_for_what_others_agree_on() {
    let mut machine = begun_where_runs_may_diverge(&["a", "b"], 4);
    let actions = says(&mut machine, 1, LEFT, NAN);
    assert_eq!((dropped(&actions), grants(&actions)[0]), (vec![], (1, LEAF)));
    let mut machine = begun_where_runs_may_diverge(&["a", "b"], 1);
    let actions = says(&mut machine, 1, LEAF, NAN);
    assert_eq!((dropped(&actions), actions.last()), (vec![], Some(&asked(2, LEAF))));
    let actions = says(&mut machine, 2, LEAF, NAN);
    assert!(actions.contains(&stop(&["a", "b"])) && dropped(&actions).is_empty(), "{actions:?}");
    assert_eq!(machine.members().count(), 2);
    // An only worker is asked again, and need not come back for that.
    let mut machine = begun_where_runs_may_diverge(&["a"], 1);
    let actions = says(&mut machine, 1, LEAF, NAN);
    assert_eq!((dropped(&actions), actions.last()), (vec![], Some(&asked(1, LEAF))));
    assert!(says(&mut machine, 1, LEAF, NAN).contains(&stop(&["a"])));
}

#[test]
fn where_runs_may_diverge_who_is_contradicted_is_dropped_and_shut_out_at_last() {
    let mut machine = begun_where_runs_may_diverge(&["a", "b"], 1);
    assert!(dropped(&says(&mut machine, 1, LEAF, NAN)).is_empty());
    let actions = says(&mut machine, 2, LEAF, FINE);
    assert!(is_accepted(&actions, 2, LEAF) && dropped(&actions) == [1], "{actions:?}");
    let cause = Cause::NonFinite { round: Round(0), node: LEAF };
    assert!(actions.contains(&Action::Removed { member: Incarnation(1), cause, returned: vec![] }));
    // By itself.
    let mut machine = begun_where_runs_may_diverge(&["a"], 1);
    assert!(dropped(&says(&mut machine, 1, LEAF, NAN)).is_empty());
    for again in 2..=1 + u64::from(QUARANTINE_AFTER) {
        let verdict = Verdict::NonFinite { checksum: 77 + again as u32 };
        assert_eq!(dropped(&says(&mut machine, again - 1, LEAF, verdict)), [again - 1]);
        let is_shut_out = again > u64::from(QUARANTINE_AFTER);
        let actions = join(&mut machine, 1, "a");
        assert_eq!(matches!(actions[0], Action::Refuse { .. }), is_shut_out, "{actions:?}");
    }
}

#[test]
fn a_finite_answer_wins_over_any_number_that_are_not() {
    let mut machine = begun(&["a", "b", "c"], 1);
    says(&mut machine, 1, LEAF, NAN);
    says(&mut machine, 2, LEAF, NAN);
    let actions = says(&mut machine, 3, LEAF, FINE);
    assert!(is_accepted(&actions, 3, LEAF) && actions.contains(&Action::Complete(Round(0))), "{actions:?}");
}

#[test]
fn a_leaf_that_is_done_is_no_longer_said_to_be_not_finite() {
    let mut machine = begun(&["a", "b"], 1);
    let backed_up = machine.on_event(6_000_000, Event::Tick);
    assert_eq!(grants(&backed_up), [(2, LEAF)]);
    // Where every piece is audited the round is not over.
    machine.limits.audit = Audit { seed: 1, share: SHARE_PARTS };
    assert!(is_accepted(&says(&mut machine, 1, LEAF, FINE), 1, LEAF));
    let actions = says(&mut machine, 2, LEAF, NAN);
    assert!(!stops(&actions) && dropped(&actions) == [2], "{actions:?}");
}

#[test]
fn fewer_are_enough_where_no_others_are_there() {
    let mut machine = begun(&["a", "b"], 1);
    assert!(!stops(&says(&mut machine, 1, LEAF, NAN)));
    assert!(says(&mut machine, 2, LEAF, NAN).contains(&stop(&["a", "b"])));
    // A spare counts as a worker that could be asked.
    let mut machine = begun(&["a", "b", "c", "d"], 1);
    says(&mut machine, 1, LEAF, NAN);
    machine.on_event(1, Event::Leave(Incarnation(3)));
    assert!(!stops(&says(&mut machine, 2, LEAF, NAN)), "there is d");
    assert!(says(&mut machine, 4, LEAF, NAN).contains(&stop(&["a", "b", "d"])));
}

#[test]
fn the_only_worker_is_believed_when_it_repeats_itself() {
    let mut machine = begun(&["a"], 1);
    assert!(!stops(&says(&mut machine, 1, LEAF, NAN)));
    join(&mut machine, 1, "a");
    assert!(!stops(&says(&mut machine, 2, LEAF, OTHER_NAN)), "that is another answer");
    join(&mut machine, 1, "a");
    assert!(says(&mut machine, 3, LEAF, OTHER_NAN).contains(&stop(&["a"])));
}

#[test]
fn a_worker_that_comes_back_counts_once_and_is_asked_last() {
    let mut machine = begun(&["a", "b", "c"], 1);
    says(&mut machine, 1, LEAF, NAN);
    says(&mut machine, 2, LEAF, NAN);
    for name in ["a", "b"] {
        assert_eq!(grants(&join(&mut machine, 1, name)), [], "c is at it");
    }
    let actions = machine.on_event(2, Event::Gone(Incarnation(3), Disconnect::Closed));
    assert_eq!(grants(&actions), [(4, LEAF)], "nobody else is there");
    assert_eq!(grants(&join(&mut machine, 3, "c")), [(6, LEAF)], "it has not been asked");
    let actions = says(&mut machine, 4, LEAF, NAN);
    assert!(!stops(&actions), "c has not been heard: {actions:?}");
    assert!(is_accepted(&says(&mut machine, 6, LEAF, FINE), 6, LEAF));
}

#[test]
fn what_is_not_finite_in_a_larger_piece_is_looked_for_leaf_by_leaf() {
    let (mut machine, granted) = two_members(4);
    assert_eq!(granted, [(1, LEFT), (2, RIGHT)]);
    let actions = says(&mut machine, 1, LEFT, NAN);
    assert_eq!((dropped(&actions), grants(&actions)), (vec![1], vec![(2, LEAF)]));
    assert!(is_accepted(&says(&mut machine, 2, RIGHT, FINE), 2, RIGHT));
    let actions = says(&mut machine, 2, LEAF, NAN);
    assert_eq!(dropped(&actions), [2], "that of a piece was no leaf's");
    assert_eq!(grants(&join(&mut machine, 1, "c"))[0], (3, LEAF), "the doubted one comes first");
    assert!(is_accepted(&says(&mut machine, 3, LEAF, FINE), 3, LEAF));
}

#[test]
fn an_answer_out_of_line_waits_for_another_workers() {
    let mut machine = begun(&["a", "b"], 1);
    let from = Incarnation(1);
    assert_eq!(
        says(&mut machine, 1, LEAF, HUGE),
        [Action::Doubted { from, round: Round(0), node: LEAF }, asked(2, LEAF)]
    );
    let actions = says(&mut machine, 2, LEAF, HUGE);
    let from = Incarnation(2);
    let by = vec!["a".to_owned()];
    let confirmed = Action::Confirmed { from, round: Round(0), node: LEAF, by };
    assert_eq!(
        actions,
        [confirmed, Action::Accept { from, round: Round(0), node: LEAF }, Action::Complete(Round(0))]
    );
}

#[test]
fn who_was_out_of_line_alone_is_dropped() {
    let mut machine = begun(&["a", "b"], 1);
    says(&mut machine, 1, LEAF, HUGE);
    let actions = says(&mut machine, 2, LEAF, FINE);
    assert!(is_accepted(&actions, 2, LEAF), "{actions:?}");
    let cause = Cause::OutOfLine { round: Round(0), node: LEAF };
    let removed = Action::Removed { member: Incarnation(1), cause, returned: vec![] };
    assert_eq!(actions[1..], [removed, Action::Complete(Round(0))]);
}

#[test]
fn equal_bits_are_right_even_if_the_line_has_moved() {
    let mut machine = begun(&["a", "b"], 1);
    says(&mut machine, 1, LEAF, HUGE);
    let actions = says(&mut machine, 2, LEAF, Verdict::Finite { checksum: 88 });
    assert!(is_accepted(&actions, 2, LEAF) && dropped(&actions).is_empty(), "{actions:?}");
}

#[test]
fn the_only_worker_is_asked_again_and_believed() {
    let mut machine = begun(&["a"], 4);
    let node = Node { level: 2, index: 0 };
    assert_eq!(says(&mut machine, 1, node, HUGE)[1..], [asked(1, node)], "the whole piece");
    let actions = says(&mut machine, 1, node, HUGE);
    assert!(is_accepted(&actions, 1, node) && dropped(&actions).is_empty(), "{actions:?}");
    // One that contradicts itself is not.
    let mut machine = begun(&["a"], 1);
    says(&mut machine, 1, LEAF, HUGE);
    assert_eq!(dropped(&says(&mut machine, 1, LEAF, OTHER_HUGE)), [1]);
    join(&mut machine, 1, "a");
    assert!(is_accepted(&says(&mut machine, 2, LEAF, FINE), 2, LEAF));
}

#[test]
fn who_repeats_itself_is_not_believed_where_another_can_be_asked() {
    let mut machine = begun(&["a"], 1);
    says(&mut machine, 1, LEAF, HUGE);
    assert_eq!(grants(&join(&mut machine, 1, "b")), [(2, LEAF)], "though a is at it once more");
    let actions = says(&mut machine, 1, LEAF, HUGE);
    assert_eq!(actions, [Action::Doubted { from: Incarnation(1), round: Round(0), node: LEAF }]);
    let actions = says(&mut machine, 2, LEAF, FINE);
    assert!(is_accepted(&actions, 2, LEAF) && dropped(&actions) == [1], "{actions:?}");
}

#[test]
fn a_third_decides_between_two_that_are_out_of_line() {
    let huge = |names: &[&str]| {
        let mut machine = begun(names, 1);
        says(&mut machine, 1, LEAF, HUGE);
        let actions = says(&mut machine, 2, LEAF, OTHER_HUGE);
        (machine, actions)
    };
    for (verdict, liars) in [(HUGE, vec![2]), (OTHER_HUGE, vec![1]), (FINE, vec![1, 2])] {
        let (mut machine, actions) = huge(&["a", "b", "c"]);
        assert_eq!(actions[1..], [asked(3, LEAF)]);
        let actions = says(&mut machine, 3, LEAF, verdict);
        assert!(is_accepted(&actions, 3, LEAF) && dropped(&actions) == liars, "{verdict:?}: {actions:?}");
    }
    let (_, actions) = huge(&["a", "b"]);
    let workers = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(actions[1..], [Action::Disputed { round: Round(0), node: LEAF, workers }]);
}

#[test]
fn a_late_opinion_is_asked_of_another_too() {
    let mut machine = begun(&["a", "b", "c"], 1);
    assert_eq!(says(&mut machine, 1, LEAF, HUGE)[1..], [asked(2, LEAF)]);
    let due_us = machine.next_deadline_us().unwrap();
    assert_eq!(due_us, 1 + LATE_AFTER_US_MIN);
    assert_eq!(machine.on_event(due_us, Event::Tick), [asked(3, LEAF)]);
    assert!(is_accepted(&says(&mut machine, 3, LEAF, FINE), 3, LEAF));
}

#[test]
fn other_numerics_confirm_that_a_number_is_large() {
    let mut machine = Coordinator::new(Limits { numerics: Numerics::Relaxed, ..LIMITS }, Incarnation(1));
    join(&mut machine, 0, "a");
    join_with(&mut machine, 0, "b", NumericsDigest(8));
    machine.on_event(0, Event::Begin { run: RUN, round: Round(0), leaves: 1 });
    says(&mut machine, 1, LEAF, HUGE);
    let actions = says(&mut machine, 2, LEAF, OTHER_HUGE);
    assert!(is_accepted(&actions, 2, LEAF) && dropped(&actions).is_empty(), "{actions:?}");
}
