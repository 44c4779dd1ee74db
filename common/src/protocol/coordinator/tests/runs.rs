//! Several runs at once: whose piece comes first, what one run's end does to the others, and whose speed is
//! whose.

use super::*;

const OTHER: SetupId = SetupId(1);
const THIRD: SetupId = SetupId(2);

fn begin_of(machine: &mut Coordinator, now_us: u64, run: SetupId, round: u64, leaves: u32) -> Vec<Action> {
    machine.on_event(now_us, Event::Begin { run, round: Round(round), leaves })
}

/// One member with one thread.
fn one_member() -> Coordinator {
    let mut machine = Coordinator::new(LIMITS, Incarnation(1));
    join(&mut machine, 0, "a");
    machine
}

fn join_with_two_threads(machine: &mut Coordinator, name: &str) {
    let instance = instance(name);
    let name = name.to_owned();
    let numerics = NumericsDigest(7);
    let join = Event::Join { connection: 1, name, key: None, instance, address: None, threads: 2, numerics };
    machine.on_event(0, join);
}

fn rounds(actions: &[Action]) -> Vec<u64> {
    let pick = |action: &Action| match action {
        Action::Grant { round, .. } => Some(round.0),
        _ => None,
    };
    actions.iter().filter_map(pick).collect()
}

#[test]
fn the_oldest_round_comes_first_and_runs_take_turns() {
    let mut machine = one_member();
    assert_eq!(rounds(&begin_of(&mut machine, 0, RUN, 0, 1)), [0]);
    assert_eq!(rounds(&begin_of(&mut machine, 0, OTHER, 1, 1)), [] as [u64; 0], "its time is not known");
    let done = answer(&mut machine, 10, 1, 0, Node::leaf(0));
    assert!(done.contains(&Action::Complete(Round(0))), "{done:?}");
    assert_eq!(rounds(&done), [1]);
    assert_eq!(rounds(&begin_of(&mut machine, 11, RUN, 2, 1)), [] as [u64; 0]);
    let done = answer(&mut machine, 20, 1, 1, Node::leaf(0));
    assert_eq!((rounds(&done), done.contains(&Action::Complete(Round(1)))), (vec![2], true));
}

#[test]
fn threads_that_one_round_leaves_idle_go_to_the_next() {
    let mut machine = one_member();
    join(&mut machine, 0, "b");
    assert_eq!(rounds(&begin_of(&mut machine, 0, RUN, 0, 1)), [0]);
    assert_eq!(rounds(&begin_of(&mut machine, 0, OTHER, 1, 1)), [1]);
}

#[test]
fn a_run_that_ends_takes_its_pieces_with_it_and_no_others() {
    let mut machine = one_member();
    join(&mut machine, 0, "b");
    begin_of(&mut machine, 0, RUN, 0, 1);
    begin_of(&mut machine, 0, OTHER, 1, 1);
    machine.on_event(5, Event::End(RUN));
    assert_eq!(answer(&mut machine, 10, 1, 0, Node::leaf(0)), [Action::Discard { from: Incarnation(1) }]);
    assert!(answer(&mut machine, 10, 2, 1, Node::leaf(0)).contains(&Action::Complete(Round(1))));
}

#[test]
fn a_member_of_a_standing_cluster_may_idle_for_ever() {
    let mut machine = one_member();
    begin_of(&mut machine, 0, RUN, 0, 1);
    machine.on_event(5, Event::End(RUN));
    for second in 1..600 {
        let now_us = second * 1_000_000;
        machine.on_event(now_us, Event::Heard(Incarnation(1)));
        assert_eq!(machine.on_event(now_us, Event::Tick), []);
    }
}

/// A member that has answered in a third run, and answers nothing since 1,000 us: it owes a piece of `RUN`,
/// and after that one of `OTHER`, whose round the second member has completed.
fn one_that_owes_two_runs() -> Coordinator {
    let mut machine = Coordinator::new(LIMITS, Incarnation(1));
    join_with_two_threads(&mut machine, "a");
    begin_of(&mut machine, 0, THIRD, 0, 1);
    answer(&mut machine, 1_000, 1, 0, Node::leaf(0));
    assert_eq!(rounds(&begin_of(&mut machine, 1_000, RUN, 1, 1)), [1]);
    assert_eq!(rounds(&begin_of(&mut machine, 1_000, OTHER, 2, 1)), [2]);
    join(&mut machine, 1_000, "b");
    assert_eq!(rounds(&machine.on_event(6_001_000, Event::Tick)), [1]);
    assert_eq!(rounds(&answer(&mut machine, 6_002_000, 2, 1, Node::leaf(0))), [2]);
    answer(&mut machine, 6_003_000, 2, 2, Node::leaf(0));
    let next = begin_of(&mut machine, 6_003_000, OTHER, 3, 1);
    assert_eq!(grants(&next), [(2, Node::leaf(0))], "the first is slow");
    machine
}

#[test]
fn who_still_owes_an_answer_of_another_run_is_late_when_a_run_ends() {
    let mut machine = one_that_owes_two_runs();
    machine.on_event(6_003_000, Event::End(RUN));
    join(&mut machine, 6_003_000, "c");
    let late = machine.on_event(6_003_000 + LATE_AFTER_US_MIN, Event::Tick);
    assert_eq!(grants(&late), [(3, Node::leaf(0))], "a backup task for one that owes nothing");
}

#[test]
fn work_of_other_runs_keeps_its_time_when_a_run_ends() {
    let mut machine = one_that_owes_two_runs();
    let next = begin_of(&mut machine, 6_003_000, THIRD, 4, 1);
    assert_eq!(grants(&next), [(1, Node::leaf(0))]);
    machine.on_event(6_003_000, Event::End(RUN));
    // A leaf of each of the two runs that have not measured it, and one of the third.
    let due_us = 1_000 + 2 * LIMITS.answer_timeout_us + LIMITS.answer_timeout_us_min;
    for (now_us, stays) in [(due_us - 1, true), (due_us, false)] {
        machine.on_event(now_us, Event::Heard(Incarnation(1)));
        machine.on_event(now_us, Event::Tick);
        assert_eq!(machine.members().any(|(who, _)| who == Incarnation(1)), stays, "at {now_us} us");
    }
}

#[test]
fn a_slow_network_makes_nobody_slow_in_another_run() {
    let mut machine = one_member();
    join(&mut machine, 0, "b");
    // The first needs a second for a leaf of one run, the other a millisecond for one of another.
    begin_of(&mut machine, 0, RUN, 0, 1);
    begin_of(&mut machine, 0, OTHER, 1, 1);
    answer(&mut machine, 1_000, 2, 1, Node::leaf(0));
    answer(&mut machine, 1_000_000, 1, 0, Node::leaf(0));
    assert_eq!(rounds(&begin_of(&mut machine, 1_000_000, OTHER, 2, 2)), [2, 2], "both are asked");
}

#[test]
fn who_miscomputes_in_one_run_is_out_of_all_sums() {
    let audit = Audit { seed: 1, share: SHARE_PARTS };
    let mut machine = Coordinator::new(Limits { audit, ..LIMITS }, Incarnation(1));
    for name in ["a", "b", "c"] {
        join(&mut machine, 0, name);
    }
    begin_of(&mut machine, 0, RUN, 0, 1);
    begin_of(&mut machine, 0, OTHER, 1, 1);
    let says = |machine: &mut Coordinator, from, round, checksum| {
        let from = Incarnation(from);
        let verdict = Verdict::Finite { checksum };
        let node = Node::leaf(0);
        machine.on_event(10, Event::Result { from, round: Round(round), node, verdict })
    };
    // The first is wrong in its own run; the others are asked in turn.
    says(&mut machine, 1, 0, 13);
    says(&mut machine, 2, 1, 5);
    says(&mut machine, 3, 0, 5);
    let actions = says(&mut machine, 2, 0, 5);
    let anew = |action: &Action| match action {
        Action::Anew { round, wrong, .. } => Some((round.0, wrong.round.0)),
        _ => None,
    };
    assert_eq!(actions.iter().filter_map(anew).collect::<Vec<_>>(), [(0, 0), (1, 0)], "{actions:?}");
}

#[test]
#[should_panic(expected = "round 1 begins while round 0 is incomplete")]
fn a_run_has_one_round_at_a_time() {
    let mut machine = one_member();
    begin_of(&mut machine, 0, RUN, 0, 1);
    begin_of(&mut machine, 0, RUN, 1, 1);
}

/// A worker begins at once what it is sent while one of its threads is idle.
#[test]
fn nothing_is_prefetched_for_a_member_with_an_idle_thread() {
    let mut machine = Coordinator::new(LIMITS, Incarnation(1));
    join_with_two_threads(&mut machine, "slow in the first run");
    join(&mut machine, 0, "b");
    let both = [(1, LEFT), (2, RIGHT)];
    assert_eq!(begin(&mut machine, 0, 0, 3), both);
    answer(&mut machine, 10_000, 2, 0, RIGHT);
    answer(&mut machine, 1_000_000, 1, 0, LEFT);
    assert_eq!(grants(&begin_of(&mut machine, 1_000_000, OTHER, 1, 3)), both);
    both.into_iter().for_each(|(who, node)| drop(answer(&mut machine, 1_010_000, who, 1, node)));
    let one_each = [(1, Node::leaf(0)), (2, Node::leaf(1))];
    assert_eq!(grants(&begin_of(&mut machine, 1_010_000, OTHER, 2, 2)), one_each);
    assert_eq!(begin(&mut machine, 1_011_000, 3, 1), [(2, Node::leaf(0))]);
}
