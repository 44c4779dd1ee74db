mod answers;
mod arithmetic;
mod audit;
mod diverging;
mod growth;
mod identity;
mod opinions;
mod origins;
mod prefetch;
mod runs;
mod speed;

use super::scheduler::WAITING_NOTICE_US;
use super::timeouts::LATE_AFTER_US_MIN;
use super::*;
use crate::ids::{Instance, KeyId, Network, Rank};
use crate::selftest::NumericsDigest;

const RUN: SetupId = SetupId(0);

const LIMITS: Limits = Limits {
    start: 1,
    min: 1,
    max: 3,
    spares: 1,
    numerics: Numerics::Strict,
    promised: NumericsDigest(7),
    audit: Audit::NONE,
    heartbeat_timeout_us: 10_000_000,
    answer_timeout_us: 120_000_000,
    answer_timeout_us_min: 10_000_000,
    may_diverge: false,
};

fn join(machine: &mut Coordinator, now_us: u64, name: &str) -> Vec<Action> {
    join_with(machine, now_us, name, NumericsDigest(7))
}

fn join_with(machine: &mut Coordinator, now_us: u64, name: &str, numerics: NumericsDigest) -> Vec<Action> {
    join_as(machine, now_us, name, instance(name), numerics)
}

fn join_as(
    machine: &mut Coordinator,
    now_us: u64,
    name: &str,
    instance: Instance,
    numerics: NumericsDigest,
) -> Vec<Action> {
    let name = name.to_owned();
    let join = Event::Join { connection: 1, name, key: None, instance, address: None, threads: 1, numerics };
    machine.on_event(now_us, join)
}

/// The number of an address in a test.
fn network(address: &str) -> Network {
    Network(address.bytes().fold(0, |number, byte| number << 8 | u128::from(byte)))
}

/// A worker joins with a key, from an address; an empty one is none.
fn join_from(
    machine: &mut Coordinator,
    name: &str,
    instance: Instance,
    key: Option<u64>,
    address: &str,
) -> Vec<Action> {
    let join = Event::Join {
        connection: 1,
        name: name.to_owned(),
        key: key.map(KeyId),
        instance,
        address: (!address.is_empty()).then(|| network(address)),
        threads: 1,
        numerics: NumericsDigest(7),
    };
    machine.on_event(0, join)
}

/// The instance of the process that has this name in a test.
fn instance(name: &str) -> Instance {
    Instance(name.bytes().fold(1, |number, byte| number << 8 | u64::from(byte)))
}

fn result(machine: &mut Coordinator, now_us: u64, from: u64, node: Node) -> Vec<Action> {
    result_with(machine, now_us, from, node, 5)
}

fn result_with(machine: &mut Coordinator, now_us: u64, from: u64, node: Node, checksum: u32) -> Vec<Action> {
    let from = Incarnation(from);
    let verdict = Verdict::Finite { checksum };
    machine.on_event(now_us, Event::Result { from, round: Round(0), node, verdict })
}

fn answer(machine: &mut Coordinator, now_us: u64, from: u64, round: u64, node: Node) -> Vec<Action> {
    let from = Incarnation(from);
    let round = Round(round);
    let verdict = Verdict::Finite { checksum: 5 };
    machine.on_event(now_us, Event::Result { from, round, node, verdict })
}

fn begin(machine: &mut Coordinator, now_us: u64, round: u64, leaves: u32) -> Vec<(u64, Node)> {
    grants(&machine.on_event(now_us, Event::Begin { run: RUN, round: Round(round), leaves }))
}

/// Member 1 and so on, each of which has needed so long for a leaf of round 0.
fn measured(limits: Limits, leaf_us: &[u64]) -> Coordinator {
    let mut machine = Coordinator::new(limits, Incarnation(1));
    leaf_us.iter().enumerate().for_each(|(at, _)| drop(join(&mut machine, 0, &format!("worker-{at}"))));
    for ((from, node), &us) in begin(&mut machine, 0, 0, leaf_us.len() as u32).into_iter().zip(leaf_us) {
        let actions = answer(&mut machine, us, from, 0, node);
        assert!(matches!(actions[0], Action::Accept { .. }), "{actions:?}");
    }
    machine
}

fn grants(actions: &[Action]) -> Vec<(u64, Node)> {
    let pick = |a: &Action| match a {
        Action::Grant { to, node, .. } => Some((to.0, *node)),
        _ => None,
    };
    actions.iter().filter_map(pick).collect()
}

fn two_members(leaves: u32) -> (Coordinator, Vec<(u64, Node)>) {
    let mut machine = Coordinator::new(LIMITS, Incarnation(1));
    join(&mut machine, 0, "a");
    join(&mut machine, 0, "b");
    let actions = machine.on_event(0, Event::Begin { run: RUN, round: Round(0), leaves });
    (machine, grants(&actions))
}

const LEFT: Node = Node { level: 1, index: 0 };
const RIGHT: Node = Node { level: 1, index: 1 };

#[test]
fn equal_members_get_equal_pieces_and_the_last_answer_completes() {
    let (mut machine, granted) = two_members(4);
    assert_eq!(granted, [(1, LEFT), (2, RIGHT)]);
    assert_eq!(
        result(&mut machine, 10, 2, RIGHT),
        [Action::Accept { from: Incarnation(2), round: Round(0), node: RIGHT }]
    );
    assert_eq!(
        result(&mut machine, 11, 1, LEFT),
        [Action::Accept { from: Incarnation(1), round: Round(0), node: LEFT }, Action::Complete(Round(0))]
    );
}

#[test]
fn a_dead_members_pieces_go_to_the_others_at_once() {
    let (mut machine, _) = two_members(4);
    result(&mut machine, 10, 1, LEFT);
    let actions = machine.on_event(20, Event::Gone(Incarnation(2), Disconnect::Closed));
    assert!(
        matches!(&actions[0], Action::Removed { returned, .. } if returned == &[Piece { round: Round(0), node: RIGHT }])
    );
    assert_eq!(grants(&actions), [(1, RIGHT)]);
}

#[test]
fn silence_past_the_deadline_drops_a_member() {
    let (mut machine, _) = two_members(4);
    machine.on_event(9_000_000, Event::Heard(Incarnation(1)));
    assert_eq!(machine.next_deadline_us(), Some(10_000_000));
    let actions = machine.on_event(10_000_000, Event::Tick);
    let cause = Cause::Silent { silent_us: 10_000_000 };
    assert_eq!(
        actions[0],
        Action::Removed {
            member: Incarnation(2),
            cause,
            returned: vec![Piece { round: Round(0), node: RIGHT }]
        }
    );
}

#[test]
fn a_late_answer_of_a_dropped_member_is_discarded() {
    let (mut machine, _) = two_members(4);
    machine.on_event(20, Event::Gone(Incarnation(2), Disconnect::Closed));
    assert_eq!(result(&mut machine, 30, 2, RIGHT), [Action::Discard { from: Incarnation(2) }]);
}

#[test]
fn an_answer_that_was_not_asked_for_drops_the_member() {
    for node in [RIGHT, Node::leaf(0), Node { level: 9, index: 9 }] {
        let (mut machine, _) = two_members(4);
        let actions = result(&mut machine, 30, 1, node);
        assert!(
            matches!(&actions[0], Action::Removed { cause: Cause::Invalid(_), .. }),
            "{node}: {actions:?}"
        );
    }
}

#[test]
fn below_the_minimum_the_run_waits_says_so_and_goes_on() {
    let limits = Limits { start: 2, min: 2, ..LIMITS };
    let mut machine = Coordinator::new(limits, Incarnation(1));
    join(&mut machine, 0, "a");
    let actions = machine.on_event(5, Event::Begin { run: RUN, round: Round(0), leaves: 4 });
    assert_eq!(actions, [Action::Waiting { live: 1, needed: 2 }]);
    machine.on_event(9_000_000, Event::Heard(Incarnation(1)));
    assert_eq!(machine.on_event(10_000_000, Event::Tick), [], "a look at who is silent");
    assert_eq!(machine.next_deadline_us(), Some(5 + WAITING_NOTICE_US));
    let actions = machine.on_event(5 + WAITING_NOTICE_US, Event::Tick);
    assert_eq!(actions, [Action::Waiting { live: 1, needed: 2 }]);
    assert_eq!(grants(&join(&mut machine, 11_000_000, "b")).len(), 2);
    let actions = machine.on_event(11_000_001, Event::Leave(Incarnation(2)));
    assert!(actions.contains(&Action::Waiting { live: 1, needed: 2 }) && grants(&actions).is_empty());
    assert!(!grants(&join(&mut machine, 12_000_000, "c")).is_empty());
}

fn machine_without_free_places() -> Coordinator {
    let mut machine = Coordinator::new(LIMITS, Incarnation(1));
    for name in ["a", "b", "c"] {
        assert!(matches!(join(&mut machine, 0, name)[0], Action::Welcome { .. }));
    }
    machine
}

#[test]
fn a_newcomer_above_the_maximum_is_a_spare_and_one_more_is_refused() {
    let mut machine = machine_without_free_places();
    let incarnation = Incarnation(4);
    assert_eq!(join(&mut machine, 0, "d"), [Action::Spare { connection: 1, incarnation, ahead: 0 }]);
    let refusal = Refusal::Full { max: 3, spares: 1 };
    assert!(refusal.may_retry());
    assert_eq!(join(&mut machine, 0, "e"), [Action::Refuse { connection: 1, refusal }]);
}

#[test]
fn the_oldest_spare_takes_a_place_and_its_pieces_the_moment_it_is_free() {
    let mut machine = Coordinator::new(Limits { max: 1, spares: 2, ..LIMITS }, Incarnation(1));
    for name in ["a", "b", "c"] {
        join(&mut machine, 0, name);
    }
    machine.on_event(0, Event::Begin { run: RUN, round: Round(0), leaves: 1 });
    let actions = machine.on_event(5, Event::Gone(Incarnation(1), Disconnect::Closed));
    let incarnation = Incarnation(2);
    let rank = Rank(0);
    assert_eq!(actions[1], Action::Welcome { connection: 1, incarnation, rank });
    assert_eq!(grants(&actions), [(2, Node::leaf(0))]);
    let actions = machine.on_event(6, Event::Leave(Incarnation(2)));
    assert_eq!(grants(&actions), [(3, Node::leaf(0))]);
}

#[test]
fn a_spare_is_dropped_for_silence_and_for_what_a_member_is() {
    let mut machine = machine_without_free_places();
    join(&mut machine, 0, "d");
    (1..=3).for_each(|member| drop(machine.on_event(9_000_000, Event::Heard(Incarnation(member)))));
    assert_eq!(machine.next_deadline_us(), Some(10_000_000));
    let actions = machine.on_event(10_000_000, Event::Tick);
    let cause = Cause::Silent { silent_us: 10_000_000 };
    let returned = vec![];
    assert_eq!(actions, [Action::Removed { member: Incarnation(4), cause, returned }]);
    join(&mut machine, 10_000_000, "d");
    let actions = result(&mut machine, 10_000_000, 5, Node::leaf(0));
    assert!(matches!(&actions[..], [Action::Removed { cause: Cause::Invalid(_), .. }]), "{actions:?}");
}

#[test]
fn no_thread_idles_while_a_leaf_waits() {
    let mut machine = Coordinator::new(LIMITS, Incarnation(1));
    for name in ["a", "b"] {
        machine.on_event(
            0,
            Event::Join {
                connection: 1,
                name: name.into(),
                key: None,
                instance: instance(name),
                address: None,
                threads: 4,
                numerics: NumericsDigest(7),
            },
        );
    }
    let granted = grants(&machine.on_event(0, Event::Begin { run: RUN, round: Round(0), leaves: 5 }));
    assert_eq!(granted, [(1, LEFT), (2, RIGHT), (1, Node { level: 2, index: 1 })], "pieces are aligned");
}

#[test]
fn an_answer_to_an_earlier_coordinator_never_reaches_the_next() {
    use crate::protocol::worker;
    let timing =
        worker::Timing { join_timeout_us: 1_000, give_up_us: 60_000_000, idle_exit_us: None, jitter_seed: 1 };
    let pulse = worker::Pulse { heartbeat_us: 1_000_000, timeout_us: 5_000_000 };
    let mut worker = worker::Worker::new(0, timing);
    let mut piece_of = |machine: &mut Coordinator, now_us| {
        worker.on_event(now_us, worker::Event::Tick);
        let actions = join(machine, now_us, "a");
        let Action::Welcome { incarnation, .. } = actions[0] else { panic!("{actions:?}") };
        worker.on_event(now_us, worker::Event::Welcome(incarnation, pulse));
        let granted = machine.on_event(now_us, Event::Begin { run: RUN, round: Round(0), leaves: 1 });
        assert_eq!(grants(&granted), [(incarnation.0, Node::leaf(0))]);
        worker.on_event(now_us, worker::Event::Grant(RUN, Round(0), Node::leaf(0)));
        let late = worker::Event::Computed(Incarnation(1), Round(0), Node::leaf(0));
        let sent = worker.on_event(now_us, late);
        worker.on_event(now_us, worker::Event::Lost("the coordinator died".into()));
        sent
    };
    let send = worker::Action::Send(Round(0), Node::leaf(0));
    let drop = worker::Action::Drop(Round(0), Node::leaf(0));
    assert_eq!(piece_of(&mut Coordinator::new(LIMITS, Incarnation(1)), 0), [send]);
    assert_eq!(piece_of(&mut Coordinator::new(LIMITS, Incarnation(2)), 1_000_000), [drop]);
}

#[test]
fn what_a_network_does_to_a_worker_brings_no_quarantine() {
    let mut machine = Coordinator::new(LIMITS, Incarnation(1));
    for time in 1..10 {
        assert!(matches!(join(&mut machine, 0, "unlucky")[0], Action::Welcome { .. }));
        machine.on_event(0, Event::Gone(Incarnation(time), Disconnect::Closed));
    }
}

#[test]
fn an_answer_that_arrives_twice_counts_once_and_is_no_offence() {
    let (mut machine, _) = two_members(4);
    assert!(matches!(result(&mut machine, 10, 1, LEFT)[0], Action::Accept { .. }));
    assert_eq!(result(&mut machine, 11, 1, LEFT), [Action::Discard { from: Incarnation(1) }]);
}
