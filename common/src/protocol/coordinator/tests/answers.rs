//! Members that beat and do not answer: others compute what they hold, and they are dropped.

use super::*;

const MIN_US: u64 = LIMITS.answer_timeout_us_min;
const HEARTBEAT_US: u64 = LIMITS.heartbeat_timeout_us;

/// All beat until then, and the machine ticks whenever it wants to; what it does meanwhile, and when.
fn beating(machine: &mut Coordinator, until_us: u64) -> Vec<(u64, Action)> {
    let mut seen = Vec::new();
    while let Some(now_us) = machine.next_deadline_us().filter(|&at_us| at_us <= until_us) {
        let members: Vec<_> = machine.members().map(|(who, _)| who).collect();
        let beats = members.into_iter().map(Event::Heard);
        for event in beats.chain([Event::Tick]) {
            seen.extend(machine.on_event(now_us, event).into_iter().map(|action| (now_us, action)));
        }
    }
    seen.retain(|(_, action)| !matches!(action, Action::Waiting { .. }));
    seen
}

fn removals(seen: &[(u64, Action)]) -> Vec<(u64, u64)> {
    let removed = seen.iter().filter_map(|(at_us, action)| match action {
        Action::Removed { member, cause: Cause::NoAnswer { .. }, .. } => Some((*at_us, member.0)),
        _ => None,
    });
    removed.collect()
}

#[test]
fn who_beats_and_answers_nothing_is_dropped_by_name() {
    let mut machine = measured(LIMITS, &[1_000; 1]);
    assert_eq!(begin(&mut machine, 2_000, 1, 1), [(1, Node::leaf(0))]);
    let seen = beating(&mut machine, 2_000 + MIN_US);
    let cause = Cause::NoAnswer { round: Round(1), node: Node::leaf(0), waited_us: MIN_US };
    assert!(!cause.is_offence() && cause.to_string().contains("no answer to round 1 piece 0:0 for 10000 ms"));
    let removed = Action::Removed {
        member: Incarnation(1),
        cause,
        returned: vec![Piece { round: Round(1), node: Node::leaf(0) }],
    };
    assert_eq!(seen, [(2_000 + MIN_US, removed)]);
}

#[test]
fn a_slow_member_has_ten_times_what_its_own_leaves_took() {
    let mut machine = Coordinator::new(LIMITS, Incarnation(1));
    join(&mut machine, 0, "slow");
    machine.on_event(0, Event::Begin { run: RUN, round: Round(0), leaves: 1 });
    machine.on_event(HEARTBEAT_US - 1, Event::Heard(Incarnation(1)));
    result(&mut machine, HEARTBEAT_US, 1, Node::leaf(0));
    let now_us = HEARTBEAT_US;
    assert_eq!(begin(&mut machine, now_us, 1, 2), [(1, LEFT)], "two leaves of 10 s, one after the other");
    assert_eq!(removals(&beating(&mut machine, 300_000_000)), [(now_us + 10 * 2 * 10_000_000, 1)]);
}

#[test]
fn a_first_answer_has_a_longer_time_for_each_leaf() {
    for (leaves, turns) in [(1, 1), (4, 4)] {
        let mut machine = Coordinator::new(LIMITS, Incarnation(1));
        join(&mut machine, 0, "new");
        machine.on_event(0, Event::Begin { run: RUN, round: Round(0), leaves });
        let dropped_us = turns * LIMITS.answer_timeout_us;
        assert_eq!(removals(&beating(&mut machine, dropped_us)), [(dropped_us, 1)], "{leaves} leaves");
    }
}

#[test]
fn a_part_of_an_answer_counts_as_an_answer() {
    let mut machine = measured(LIMITS, &[1_000; 1]);
    begin(&mut machine, 2_000, 1, 1);
    for part in 1..=5 {
        let now_us = 2_000 + part * (MIN_US - 1);
        assert_eq!(beating(&mut machine, now_us), []);
        machine.on_event(now_us, Event::Arriving(Incarnation(1)));
    }
    let last_us = 2_000 + 5 * (MIN_US - 1);
    assert_eq!(removals(&beating(&mut machine, last_us + MIN_US)), [(last_us + MIN_US, 1)]);
}

#[test]
fn what_a_round_forgets_is_still_owed() {
    let mut machine = measured(LIMITS, &[1_000; 2]);
    let mut seen = Vec::new();
    // Member 2 beats; member 1 computes what both were given, in rounds of some 50 ms.
    for round in 1.. {
        let mut now_us = 2_000 + round * 100_000;
        if now_us > 2 * MIN_US {
            break;
        }
        seen.extend(beating(&mut machine, now_us));
        let mut todo = begin(&mut machine, now_us, round, 8);
        while let Some((to, node)) = todo.pop() {
            let actions = match to {
                1 => answer(&mut machine, now_us, 1, round, node),
                _ => continue,
            };
            todo.extend(grants(&actions));
            if todo.is_empty() && !actions.contains(&Action::Complete(Round(round))) {
                now_us = machine.next_deadline_us().unwrap();
                todo.extend(grants(&machine.on_event(now_us, Event::Tick)));
            }
        }
    }
    let removed = removals(&seen);
    assert!(matches!(removed[..], [(at_us, 2)] if at_us < MIN_US + 200_000), "{removed:?}");
}

#[test]
fn a_backup_task_never_goes_to_who_owes_an_answer() {
    let mut machine = measured(LIMITS, &[1_000; 3]);
    assert_eq!(begin(&mut machine, 2_000, 1, 3).len(), 3);
    // Members 2 and 3 answer nothing; member 1 computes all.
    answer(&mut machine, 3_000, 1, 1, Node::leaf(0));
    let late_us = 2_000 + LATE_AFTER_US_MIN;
    assert_eq!(grants(&machine.on_event(late_us, Event::Tick)), [(1, Node::leaf(1))]);
    // The last of three leaves is all that is below this node.
    assert_eq!(grants(&answer(&mut machine, late_us, 1, 1, Node::leaf(1))), [(1, RIGHT)]);
    answer(&mut machine, late_us, 1, 1, RIGHT);
    // Now 2 and 3 are idle, and 1 does not answer: nobody is left to ask.
    assert_eq!(begin(&mut machine, late_us, 2, 1), [(1, Node::leaf(0))]);
    let given = beating(&mut machine, 9_000_000);
    assert!(given.iter().all(|(_, action)| !matches!(action, Action::Grant { .. })), "{given:?}");
    // One of them answers, late as it is.
    assert_eq!(grants(&answer(&mut machine, 9_000_000, 2, 1, Node::leaf(1))), [(2, Node::leaf(0))]);
}

#[test]
fn one_more_backup_task_goes_out_for_each_further_period() {
    let mut machine = measured(Limits { max: 4, ..LIMITS }, &[1_000; 4]);
    assert_eq!(begin(&mut machine, 2_000, 1, 1), [(1, Node::leaf(0))]);
    let seen = beating(&mut machine, 2_000 + 4 * LATE_AFTER_US_MIN);
    let backups = seen.iter().flat_map(|(at_us, action)| {
        grants(std::slice::from_ref(action)).into_iter().map(|(to, _)| (*at_us, to))
    });
    let backups: Vec<_> = backups.collect();
    let expected: Vec<_> = (1..=3).map(|at| (2_000 + at * LATE_AFTER_US_MIN, at + 1)).collect();
    assert_eq!(backups, expected);
}

#[test]
fn nobody_leaves_a_leaf_to_a_fast_member_that_does_not_answer() {
    for leaves in 1..=16 {
        let mut machine = Coordinator::new(Limits { max: 8, ..LIMITS }, Incarnation(1));
        (0..8).for_each(|at| drop(join(&mut machine, 0, &format!("worker-{at}"))));
        for (from, node) in begin(&mut machine, 0, 0, 8) {
            result(&mut machine, if from == 1 { 5_000 } else { 30_000 }, from, node);
        }
        let mut now_us = 30_000;
        let mut is_complete = false;
        let mut todo = begin(&mut machine, now_us, 1, leaves);
        while !is_complete && now_us < MIN_US {
            let actions = match todo.iter().position(|&(to, _)| to != 1) {
                Some(at) => {
                    let (to, node) = todo.remove(at);
                    now_us += 30_000 << node.level;
                    answer(&mut machine, now_us, to, 1, node)
                }
                None => {
                    now_us = machine.next_deadline_us().unwrap().max(now_us);
                    machine.on_event(now_us, Event::Tick)
                }
            };
            is_complete = actions.contains(&Action::Complete(Round(1)));
            todo.extend(grants(&actions));
        }
        assert!(is_complete, "{leaves} leaves");
    }
}

#[test]
fn who_owes_an_answer_is_not_probed_again() {
    let mut machine = measured(LIMITS, &[1_000; 2]);
    begin(&mut machine, 2_000, 1, 2);
    let late_us = 2_000 + LATE_AFTER_US_MIN;
    answer(&mut machine, 3_000, 1, 1, Node::leaf(0));
    machine.on_event(late_us, Event::Tick);
    answer(&mut machine, late_us + 1_000, 1, 1, Node::leaf(1));
    let is_given = |machine: &mut Coordinator, round: u64| {
        let now_us = late_us + 2_000 + round * 1_000_000;
        (1..=2).for_each(|who| drop(machine.on_event(now_us, Event::Heard(Incarnation(who)))));
        let given = begin(machine, now_us, round, 4);
        for &(to, node) in given.iter().filter(|&&(to, _)| to == 1) {
            answer(machine, now_us + 4_000, to, round, node);
        }
        given.iter().any(|&(to, _)| to == 2)
    };
    assert!((2..9).all(|round| !is_given(&mut machine, round)));
    // An answer that is of no use any more shows all the same that it works.
    answer(&mut machine, late_us + 8_900_000, 2, 1, Node::leaf(1));
    assert!(is_given(&mut machine, 9));
}

#[test]
fn an_audit_waits_not_long_for_who_never_answered() {
    let audit = Audit { seed: 1, share: SHARE_PARTS };
    let mut machine = measured(Limits { audit, ..LIMITS }, &[1_000; 1]);
    join(&mut machine, 1_500, "new");
    assert_eq!(begin(&mut machine, 2_000, 1, 1), [(1, Node::leaf(0))]);
    assert_eq!(grants(&answer(&mut machine, 3_000, 1, 1, Node::leaf(0))), [(2, Node::leaf(0))]);
    let given_up_us = 3_000 + MIN_US;
    assert_eq!(beating(&mut machine, given_up_us), [(given_up_us, Action::Complete(Round(1)))]);
}
