//! Which answers are believed where workers have keys and addresses, and who is asked first.

use super::opinions::{FINE, HUGE, LEAF, NAN, OTHER_HUGE, asked, dropped, is_accepted, says, stop, stops};
use super::*;

const HERE: &str = "10.0.0.1";
const THERE: &str = "10.0.0.2";

/// Round 0 of one leaf with members a, b and so on, each with its key and address.
fn begun_from(origins: &[(u64, &str)]) -> Coordinator {
    begun_with(origins, 1)
}

/// The same with so many leaves.
fn begun_with(origins: &[(u64, &str)], leaves: u32) -> Coordinator {
    let mut machine = Coordinator::new(Limits { max: 4, ..LIMITS }, Incarnation(1));
    for (&(key, address), name) in origins.iter().zip(["a", "b", "c", "d"]) {
        join_from(&mut machine, name, instance(name), Some(key), address);
    }
    machine.on_event(0, Event::Begin { run: RUN, round: Round(0), leaves });
    machine
}

#[test]
fn a_worker_of_another_origin_is_asked_first_and_two_of_one_are_not_believed_before() {
    for honest in [(2, HERE), (1, THERE)] {
        let mut machine = begun_from(&[(1, HERE), (1, HERE), honest]);
        assert_eq!(says(&mut machine, 1, LEAF, HUGE).last(), Some(&asked(3, LEAF)));
        let actions = says(&mut machine, 3, LEAF, FINE);
        assert!(is_accepted(&actions, 3, LEAF) && dropped(&actions) == [1], "{actions:?}");
        // The accomplice is asked only because the honest one is late, and is not believed.
        let mut machine = begun_from(&[(1, HERE), (1, HERE), honest]);
        says(&mut machine, 1, LEAF, HUGE);
        let late_us = 1 + LATE_AFTER_US_MIN;
        assert_eq!(machine.on_event(late_us, Event::Tick), [asked(2, LEAF)]);
        let actions = says(&mut machine, 2, LEAF, HUGE);
        assert_eq!(actions, [Action::Doubted { from: Incarnation(2), round: Round(0), node: LEAF }]);
        let actions = says(&mut machine, 3, LEAF, FINE);
        assert!(is_accepted(&actions, 3, LEAF) && dropped(&actions) == [1, 2], "{actions:?}");
    }
}

#[test]
fn two_of_one_origin_are_believed_once_nobody_else_is_there() {
    let mut machine = begun_from(&[(1, HERE), (1, HERE)]);
    assert_eq!(says(&mut machine, 1, LEAF, HUGE).last(), Some(&asked(2, LEAF)));
    assert!(is_accepted(&says(&mut machine, 2, LEAF, HUGE), 2, LEAF));
    // The one of another origin goes before it answers: their answers were discarded, so one gives it again.
    let mut machine = begun_from(&[(1, HERE), (1, HERE), (2, HERE)]);
    says(&mut machine, 1, LEAF, HUGE);
    machine.on_event(1 + LATE_AFTER_US_MIN, Event::Tick);
    assert!(!is_accepted(&says(&mut machine, 2, LEAF, HUGE), 2, LEAF));
    let actions = machine.on_event(2, Event::Gone(Incarnation(3), Disconnect::Closed));
    assert!(!stops(&actions) && grants(&actions) == [(1, LEAF)], "{actions:?}");
    let actions = says(&mut machine, 1, LEAF, HUGE);
    assert!(is_accepted(&actions, 1, LEAF) && dropped(&actions).is_empty(), "{actions:?}");
}

#[test]
fn another_origin_that_does_not_answer_is_waited_for_no_longer_than_a_newcomer() {
    let mut machine = begun_from(&[(1, HERE), (1, HERE)]);
    says(&mut machine, 1, LEAF, HUGE);
    // It takes what it is asked for, and heartbeats are all that follows.
    let silent = join_from(&mut machine, "silent", instance("silent"), Some(2), HERE);
    assert_eq!(grants(&silent), [(3, LEAF)]);
    let over_us = 1 + LIMITS.answer_timeout_us_min;
    (1..=3).for_each(|who| drop(machine.on_event(over_us - 1, Event::Heard(Incarnation(who)))));
    assert!(!is_accepted(&says(&mut machine, 2, LEAF, HUGE), 2, LEAF));
    assert!(machine.next_deadline_us().is_some_and(|due_us| due_us <= over_us));
    let actions = machine.on_event(over_us, Event::Tick);
    assert!(!stops(&actions) && grants(&actions) == [(1, LEAF)], "{actions:?}");
    let from = Incarnation(1);
    let again = machine.on_event(over_us, Event::Result { from, round: Round(0), node: LEAF, verdict: HUGE });
    assert!(is_accepted(&again, 1, LEAF), "{again:?}");
}

#[test]
fn where_two_of_one_origin_contradict_another_a_third_origin_decides() {
    let contradicted = || {
        let mut machine = begun_from(&[(2, HERE), (1, HERE), (1, HERE)]);
        says(&mut machine, 1, LEAF, OTHER_HUGE);
        machine
    };
    // The honest one is right that the number is large, and two liars are not believed for being two.
    let mut machine = contradicted();
    says(&mut machine, 2, LEAF, HUGE);
    let actions = says(&mut machine, 3, LEAF, HUGE);
    let workers = ["a", "b", "c"].map(str::to_owned).to_vec();
    let disputed = Action::Disputed { round: Round(0), node: LEAF, workers };
    assert!(actions.contains(&disputed) && dropped(&actions).is_empty(), "{actions:?}");
    // A third origin tells.
    let mut machine = contradicted();
    assert_eq!(grants(&join_from(&mut machine, "d", instance("d"), Some(3), HERE)), [], "b is at it");
    assert_eq!(says(&mut machine, 2, LEAF, HUGE).last(), Some(&asked(4, LEAF)), "c would be of b's origin");
    let actions = says(&mut machine, 4, LEAF, OTHER_HUGE);
    assert!(is_accepted(&actions, 4, LEAF) && dropped(&actions) == [2], "{actions:?}");
}

#[test]
fn two_of_one_origin_whose_contradictor_has_gone_are_asked_again_and_believed() {
    let mut machine = begun_from(&[(2, HERE), (1, HERE), (1, HERE)]);
    assert!(!stops(&join_from(&mut machine, "d", instance("d"), Some(3), HERE)));
    says(&mut machine, 1, LEAF, OTHER_HUGE);
    assert_eq!(says(&mut machine, 2, LEAF, HUGE).last(), Some(&asked(4, LEAF)));
    assert_eq!(machine.on_event(1 + LATE_AFTER_US_MIN, Event::Tick), [asked(3, LEAF)]);
    assert!(!is_accepted(&says(&mut machine, 3, LEAF, HUGE), 3, LEAF));
    machine.on_event(2, Event::Leave(Incarnation(1)));
    let actions = machine.on_event(2, Event::Gone(Incarnation(4), Disconnect::Closed));
    assert!(!stops(&actions) && grants(&actions) == [(2, LEAF)], "{actions:?}");
    assert!(is_accepted(&says(&mut machine, 2, LEAF, HUGE), 2, LEAF));
}

#[test]
fn three_of_one_origin_do_not_stop_a_run_while_another_can_be_asked() {
    let origins = [(1, HERE), (1, HERE), (1, HERE), (2, HERE)];
    for (verdict, is_right) in [(FINE, false), (NAN, true)] {
        let mut machine = begun_with(&origins, 4);
        (2..=4).for_each(|who| drop(says(&mut machine, who, Node::leaf(who as u32 - 1), FINE)));
        assert_eq!(says(&mut machine, 1, LEAF, NAN).last(), Some(&asked(4, LEAF)), "the other origin");
        for (late, next) in [(1, 2), (2, 3)] {
            let actions = machine.on_event(1 + late * LATE_AFTER_US_MIN, Event::Tick);
            assert_eq!(actions, [asked(next, LEAF)]);
            let actions = says(&mut machine, next, LEAF, NAN);
            assert!(!stops(&actions) && dropped(&actions) == [next], "of one origin: {actions:?}");
        }
        let actions = says(&mut machine, 4, LEAF, verdict);
        assert_eq!((stops(&actions), is_accepted(&actions, 4, LEAF)), (is_right, !is_right), "{actions:?}");
    }
    let mut machine = begun_from(&origins[..3]);
    says(&mut machine, 1, LEAF, NAN);
    says(&mut machine, 2, LEAF, NAN);
    assert!(says(&mut machine, 3, LEAF, NAN).contains(&stop(&["a", "b", "c"])), "nobody else is there");
}
