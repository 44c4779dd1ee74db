//! Audits: every piece of these runs is to be computed by two workers.

use super::*;

const ALL: Limits = Limits { audit: Audit { seed: 1, share: SHARE_PARTS }, ..LIMITS };
const LEAF: Node = Node { level: 0, index: 0 };

/// Round 0 of one leaf with these members; the first has it.
fn begun(names: &[&str]) -> Coordinator {
    let mut machine = Coordinator::new(ALL, Incarnation(1));
    names.iter().for_each(|name| drop(join(&mut machine, 0, name)));
    machine.on_event(0, Event::Begin { run: RUN, round: Round(0), leaves: 1 });
    machine
}

fn audit_by(to: u64) -> Action {
    Action::Grant { to: Incarnation(to), round: Round(0), node: LEAF, purpose: Purpose::Audit }
}

#[test]
fn a_round_is_complete_only_when_its_audits_agree() {
    let mut machine = begun(&["a", "b"]);
    let accept = Action::Accept { from: Incarnation(1), round: Round(0), node: LEAF };
    assert_eq!(result(&mut machine, 1, 1, LEAF), [accept, audit_by(2)]);
    let discard = Action::Discard { from: Incarnation(2) };
    assert_eq!(result(&mut machine, 2, 2, LEAF), [discard, Action::Complete(Round(0))]);
}

#[test]
fn two_answers_that_differ_stop_the_round_and_name_both_workers() {
    let mut machine = begun(&["a", "b"]);
    result_with(&mut machine, 1, 1, LEAF, 5);
    let actions = result_with(&mut machine, 2, 2, LEAF, 6);
    let workers = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(actions[1..], [Action::Disputed { round: Round(0), node: LEAF, workers }]);
    assert_eq!(
        machine.on_event(3, Event::Leave(Incarnation(2))).len(),
        1,
        "nothing follows but the farewell"
    );
}

fn three_answers(checksums: [u32; 3]) -> (Coordinator, Vec<Action>) {
    let mut machine = begun(&["a", "b", "c"]);
    result_with(&mut machine, 1, 1, LEAF, checksums[0]);
    let actions = result_with(&mut machine, 2, 2, LEAF, checksums[1]);
    assert_eq!(actions[1..], [audit_by(3)]);
    let actions = result_with(&mut machine, 3, 3, LEAF, checksums[2]);
    (machine, actions)
}

#[test]
fn a_third_worker_tells_who_miscomputes_and_the_round_begins_anew() {
    for (checksums, wrong, right) in [([5, 6, 5], 2, ["a", "c"]), ([6, 5, 5], 1, ["b", "c"])] {
        let (mut machine, actions) = three_answers(checksums);
        let round = Round(0);
        let node = LEAF;
        let name = ["a", "b"][wrong as usize - 1];
        let cause = Cause::Miscomputed { round, node };
        let removed = Action::Removed { member: Incarnation(wrong), cause, returned: vec![] };
        let worker = name.to_owned();
        let process = Process { key: None, instance: instance(name) };
        let right = right.map(str::to_owned);
        assert_eq!(
            actions[1..],
            [removed, Action::Anew { round, wrong: Piece { round, node }, worker, process, right }]
        );
        let refused = Action::Refuse { connection: 1, refusal: Refusal::Miscomputes };
        assert_eq!(join(&mut machine, 4, name), [refused]);
        let again = machine.on_event(5, Event::Begin { run: RUN, round: Round(1), leaves: 1 });
        assert_eq!(grants(&again).len(), 1, "{again:?}");
    }
}

#[test]
fn three_answers_that_all_differ_stop_the_round() {
    let (_, actions) = three_answers([5, 6, 7]);
    let workers = ["a", "b", "c"].map(str::to_owned).to_vec();
    assert_eq!(actions[1..], [Action::Disputed { round: Round(0), node: LEAF, workers }]);
}

#[test]
fn a_third_that_leaves_before_it_decides_stops_the_round() {
    let mut machine = begun(&["a", "b", "c"]);
    result_with(&mut machine, 1, 1, LEAF, 5);
    result_with(&mut machine, 2, 2, LEAF, 6);
    let actions = machine.on_event(3, Event::Leave(Incarnation(3)));
    assert!(matches!(actions[1..], [Action::Disputed { .. }]), "{actions:?}");
}

#[test]
fn a_worker_never_audits_itself_not_even_as_a_new_incarnation() {
    let mut machine = begun(&["a"]);
    let waits = [Action::AuditWaits, Action::Complete(Round(0))];
    assert_eq!(result(&mut machine, 1, 1, LEAF)[1..], waits, "it says so, and does not hang");
    machine.on_event(1, Event::Begin { run: RUN, round: Round(1), leaves: 1 });
    join(&mut machine, 2, "a");
    let from = Incarnation(2);
    let verdict = Verdict::Finite { checksum: 5 };
    let again = machine.on_event(3, Event::Result { from, round: Round(1), node: LEAF, verdict });
    assert_eq!(again[1..], [Action::Complete(Round(1))], "it says so once");
}

#[test]
fn an_audit_goes_on_with_another_while_somebody_is_left() {
    let mut machine = begun(&["a", "b", "c"]);
    assert_eq!(result(&mut machine, 1, 1, LEAF)[1], audit_by(2));
    let actions = machine.on_event(2, Event::Gone(Incarnation(2), Disconnect::Closed));
    assert_eq!(actions[1], audit_by(3));
    let actions = machine.on_event(3, Event::Gone(Incarnation(3), Disconnect::Closed));
    assert_eq!(actions[1..], [Action::AuditWaits, Action::Complete(Round(0))]);
}

#[test]
fn a_late_audit_is_made_by_another_too() {
    let mut machine = begun(&["a", "b", "c"]);
    assert_eq!(result(&mut machine, 1, 1, LEAF)[1], audit_by(2));
    let due_us = machine.next_deadline_us().unwrap();
    assert_eq!(due_us, 1 + LATE_AFTER_US_MIN);
    assert_eq!(machine.on_event(due_us, Event::Tick), [audit_by(3)]);
    let discard = Action::Discard { from: Incarnation(3) };
    assert_eq!(result(&mut machine, due_us + 1, 3, LEAF), [discard, Action::Complete(Round(0))]);
}

#[test]
fn a_backup_task_that_answers_second_is_the_audit() {
    let mut machine = begun(&["a", "b"]);
    // Nothing has been measured: the first piece is overdue after three times two seconds.
    let backed_up = machine.on_event(6_000_000, Event::Tick);
    let to = Incarnation(2);
    let round = Round(0);
    assert_eq!(backed_up, [Action::Grant { to, round, node: LEAF, purpose: Purpose::Backup }]);
    assert_eq!(result(&mut machine, 6_000_001, 2, LEAF).len(), 1);
    assert_eq!(result(&mut machine, 6_000_002, 1, LEAF)[1..], [Action::Complete(Round(0))]);
}

#[test]
fn workers_of_other_numerics_do_not_audit_each_other() {
    let mut machine = Coordinator::new(Limits { numerics: Numerics::Relaxed, ..ALL }, Incarnation(1));
    join(&mut machine, 0, "a");
    join_with(&mut machine, 0, "b", NumericsDigest(8));
    machine.on_event(0, Event::Begin { run: RUN, round: Round(0), leaves: 1 });
    let actions = result(&mut machine, 1, 1, LEAF);
    assert_eq!(actions[1..], [Action::AuditWaits, Action::Complete(Round(0))]);
}

#[test]
fn a_key_is_refused_when_three_of_its_workers_were_found_to_miscompute() {
    let mut machine = Coordinator::new(ALL, Incarnation(1));
    for (instance, name) in (1..).zip(["b", "c"]) {
        join_from(&mut machine, name, Instance(instance), Some(2), "");
    }
    for found in 0..KEY_QUARANTINE_AFTER as u64 {
        let actions = join_from(&mut machine, "broken", Instance(10 + found), Some(1), "");
        let [Action::Welcome { incarnation, .. }, ..] = actions[..] else { panic!("{actions:?}") };
        let round = Round(found);
        let mut granted = grants(&machine.on_event(0, Event::Begin { run: RUN, round, leaves: 3 }));
        while let Some((from, node)) = granted.pop() {
            let from = Incarnation(from);
            let verdict = Verdict::Finite { checksum: if from == incarnation { 6 } else { 5 } };
            granted.extend(grants(&machine.on_event(0, Event::Result { from, round, node, verdict })));
        }
    }
    let refused = [Action::Refuse { connection: 1, refusal: Refusal::KeyQuarantined }];
    assert_eq!(join_from(&mut machine, "broken", Instance(20), Some(1), ""), refused);
}
