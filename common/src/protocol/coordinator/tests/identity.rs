//! Who is who: a process by its key and its instance, whatever name it has; names are for people.

use super::*;

const DIGEST: NumericsDigest = NumericsDigest(7);

#[test]
fn a_worker_joins_once_and_takes_its_own_place_before_any_spare() {
    let mut machine = machine_without_free_places();
    join(&mut machine, 0, "d");
    let actions = join(&mut machine, 0, "b");
    let cause = Cause::Replaced;
    let returned = vec![];
    assert_eq!(actions[0], Action::Removed { member: Incarnation(2), cause, returned });
    let incarnation = Incarnation(5);
    let rank = Rank(1);
    assert_eq!(actions[1..], [Action::Welcome { connection: 1, incarnation, rank }]);
    let actions = join(&mut machine, 0, "d");
    let cause = Cause::Replaced;
    let returned = vec![];
    assert_eq!(actions[0], Action::Removed { member: Incarnation(4), cause, returned });
    assert_eq!(actions[1], Action::Spare { connection: 1, incarnation: Incarnation(6), ahead: 0 });
}

#[test]
fn a_taken_name_is_refused_for_now_and_costs_its_holder_nothing() {
    let mut machine = machine_without_free_places();
    join(&mut machine, 0, "d");
    machine.on_event(0, Event::Begin { run: RUN, round: Round(0), leaves: 4 });
    for name in ["b", "d"] {
        let refusal = Refusal::NameTaken { name: name.into() };
        assert!(refusal.may_retry() && refusal.to_string().contains("--name"));
        let actions = join_as(&mut machine, 1, name, instance("impostor"), DIGEST);
        assert_eq!(actions, [Action::Refuse { connection: 1, refusal }]);
    }
    assert_eq!(machine.members().count(), 3);
    machine.on_event(2, Event::Leave(Incarnation(2)));
    machine.on_event(2, Event::Leave(Incarnation(4)));
    let actions = join_as(&mut machine, 3, "b", instance("impostor"), DIGEST);
    assert!(matches!(actions[0], Action::Welcome { .. }), "the name is free: {actions:?}");
}

#[test]
fn two_workers_of_one_name_do_not_evict_each_other() {
    let mut machine = Coordinator::new(LIMITS, Incarnation(1));
    join(&mut machine, 0, "twin");
    let mut removed = 0;
    for second in 1..9 {
        let now_us = second * 1_000_000;
        let actions = join_as(&mut machine, now_us, "twin", Instance(second % 2 + 1), DIGEST);
        removed += actions.iter().filter(|action| matches!(action, Action::Removed { .. })).count();
        machine.on_event(now_us, Event::Heard(Incarnation(1)));
    }
    assert_eq!((removed, machine.members().count()), (0, 1));
    // A silent one does not keep the name.
    let actions = machine.on_event(8_000_000 + LIMITS.heartbeat_timeout_us, Event::Tick);
    assert!(matches!(actions[0], Action::Removed { cause: Cause::Silent { .. }, .. }));
    let actions = join_as(&mut machine, 20_000_000, "twin", Instance(2), DIGEST);
    assert!(matches!(actions[0], Action::Welcome { .. }), "{actions:?}");
}

#[test]
fn a_worker_that_is_dropped_three_times_for_bad_answers_is_refused() {
    let mut machine = Coordinator::new(LIMITS, Incarnation(1));
    let quarantined = Action::Quarantined { name: "liar".into() };
    for time in 1..=u64::from(QUARANTINE_AFTER) {
        assert!(matches!(join(&mut machine, 0, "liar")[0], Action::Welcome { .. }));
        let actions = machine.on_event(0, Event::Invalid(Incarnation(time), ProtocolError::SecondHello));
        assert_eq!(actions.contains(&quarantined), time == u64::from(QUARANTINE_AFTER));
    }
    let refusal = Refusal::Quarantined { name: "other name".into() };
    assert!(!refusal.may_retry() && refusal.to_string().contains("worker other name"));
    let actions = join_as(&mut machine, 0, "other name", instance("liar"), DIGEST);
    assert_eq!(actions, [Action::Refuse { connection: 1, refusal }]);
    assert!(matches!(join(&mut machine, 0, "honest")[0], Action::Welcome { .. }));
}

#[test]
fn bad_answers_under_a_name_do_not_count_against_who_has_it_next() {
    let mut machine = Coordinator::new(LIMITS, Incarnation(1));
    for time in 1..=u64::from(2 * QUARANTINE_AFTER) {
        join_as(&mut machine, 0, "local-0", Instance(time), DIGEST);
        machine.on_event(0, Event::Invalid(Incarnation(time), ProtocolError::SecondHello));
    }
    let actions = join(&mut machine, 0, "local-0");
    assert!(matches!(actions[0], Action::Welcome { .. }), "{actions:?}");
}

const HERE: &str = "10.0.0.1";

#[test]
fn another_key_with_a_members_instance_replaces_nothing_and_takes_no_name() {
    let mut machine = Coordinator::new(LIMITS, Incarnation(1));
    for (key, thief) in [(Some(1), Some(2)), (Some(3), None), (None, Some(4))] {
        let victim = format!("victim of {thief:?}");
        let instance = instance(&victim);
        assert!(matches!(
            join_from(&mut machine, &victim, instance, key, HERE)[..],
            [Action::Welcome { .. }]
        ));
        let actions = join_from(&mut machine, &victim, instance, thief, HERE);
        let refusal = Refusal::NameTaken { name: victim.clone() };
        assert_eq!(actions, [Action::Refuse { connection: 1, refusal }]);
        let actions = join_from(&mut machine, "thief", instance, thief, HERE);
        assert!(matches!(actions[..], [Action::Welcome { .. } | Action::Spare { .. }]), "{actions:?}");
        let who = |name: &str| machine.members().find(|(_, member)| member.name == name).map(|(who, _)| who);
        let [victims, thiefs] = [who(&victim), who("thief")].map(Option::unwrap);
        machine.on_event(0, Event::Leave(thiefs));
        // Its own process does.
        let actions = join_from(&mut machine, &victim, instance, key, HERE);
        let replaced = Action::Removed { member: victims, cause: Cause::Replaced, returned: vec![] };
        assert!(actions.contains(&replaced), "{actions:?}");
        let who = machine.members().next().map(|(who, _)| who).unwrap();
        machine.on_event(0, Event::Leave(who));
    }
}

/// Is dropped for bad answers until it is quarantined.
fn lie(machine: &mut Coordinator, name: &str, instance: u64, key: Option<u64>) {
    for _ in 0..QUARANTINE_AFTER {
        let actions = join_from(machine, name, Instance(instance), key, HERE);
        let [Action::Welcome { incarnation, .. }] = actions[..] else { panic!("{actions:?}") };
        machine.on_event(0, Event::Invalid(incarnation, ProtocolError::SecondHello));
    }
}

#[test]
fn offences_under_another_key_do_not_count_against_who_has_the_instance() {
    let mut machine = Coordinator::new(LIMITS, Incarnation(1));
    lie(&mut machine, "liar", 5, Some(2));
    let refusal = Refusal::Quarantined { name: "liar".into() };
    let actions = join_from(&mut machine, "liar", Instance(5), Some(2), HERE);
    assert_eq!(actions, [Action::Refuse { connection: 1, refusal }]);
    for key in [Some(1), None] {
        let actions = join_from(&mut machine, &format!("{key:?}"), Instance(5), key, HERE);
        assert!(matches!(actions[..], [Action::Welcome { .. }]), "{key:?}: {actions:?}");
    }
}

#[test]
fn a_key_is_refused_when_three_of_its_workers_are() {
    let mut machine = Coordinator::new(LIMITS, Incarnation(1));
    join_from(&mut machine, "member", Instance(1), Some(1), HERE);
    for liar in 0..KEY_QUARANTINE_AFTER as u64 {
        lie(&mut machine, "liar", 10 + liar, Some(1));
        lie(&mut machine, "liar without a key", 20 + liar, None);
    }
    let refused = [Action::Refuse { connection: 1, refusal: Refusal::KeyQuarantined }];
    assert_eq!(join_from(&mut machine, "newcomer", Instance(30), Some(1), "10.0.0.2"), refused);
    assert!(!Refusal::KeyQuarantined.may_retry());
    let told = Refusal::KeyQuarantined.to_string();
    assert!(told.contains("3 workers") && told.contains("coordinator token new NAME"), "{told}");
    assert_eq!(
        machine.members().map(|(who, _)| who).collect::<Vec<_>>(),
        [Incarnation(1)],
        "who is in stays"
    );
    for key in [Some(2), None] {
        let actions = join_from(&mut machine, &format!("{key:?}"), Instance(30), key, HERE);
        assert!(matches!(actions[..], [Action::Welcome { .. }]), "{key:?}: {actions:?}");
    }
}
