//! How much a member gets by its speed, and what is done about one that is slow.

use super::super::member::MEASURE_HOLDS_US;
use super::*;
use std::collections::BTreeSet;

#[test]
fn a_slow_members_leaf_is_backed_up_and_the_first_answer_wins() {
    let (mut machine, _) = two_members(2);
    let actions = result(&mut machine, 1_000, 1, Node::leaf(0));
    assert_eq!(grants(&actions), []);
    let due = machine.next_deadline_us().unwrap();
    assert_eq!(due, LATE_AFTER_US_MIN);
    let actions = machine.on_event(due, Event::Tick);
    let to = Incarnation(1);
    let round = Round(0);
    let node = Node::leaf(1);
    assert_eq!(actions, [Action::Grant { to, round, node, purpose: Purpose::Backup }]);
    let actions = result(&mut machine, due + 9, 1, node);
    assert_eq!(actions, [Action::Accept { from: to, round, node }, Action::Complete(round)]);
    machine.on_event(due + 10, Event::Begin { run: RUN, round: Round(1), leaves: 2 });
    assert_eq!(result(&mut machine, due + 11, 2, node), [Action::Discard { from: Incarnation(2) }]);
}

#[test]
fn a_member_that_is_always_late_gets_less_and_is_not_waited_for_again() {
    let (mut machine, _) = two_members(2);
    result(&mut machine, 1_000, 1, Node::leaf(0));
    machine.on_event(LATE_AFTER_US_MIN, Event::Tick);
    let end_us = LATE_AFTER_US_MIN + 1_000;
    result(&mut machine, end_us, 1, Node::leaf(1));
    // The late answer never came: what is known of member 2 is how long it has taken so far.
    let actions = machine.on_event(end_us, Event::Begin { run: RUN, round: Round(1), leaves: 65 });
    let [most, last] = [0, 1].map(|index| Node { level: 6, index });
    assert_eq!(grants(&actions), [(1, most), (2, last)]);
    let from = Incarnation(1);
    let round = Round(1);
    let verdict = Verdict::Finite { checksum: 5 };
    let soon_us = end_us + 10_000;
    let actions = machine.on_event(soon_us, Event::Result { from, round, node: most, verdict });
    assert_eq!(grants(&actions), [(1, last)], "a backup task, without waiting until the other is late");
    machine.on_event(soon_us + 1_000, Event::Result { from, round, node: last, verdict });
    let actions = machine.on_event(soon_us + 1_000, Event::Begin { run: RUN, round: Round(2), leaves: 8 });
    assert_eq!(grants(&actions), [(1, Node { level: 3, index: 0 })], "the late one would be in the way");
}

#[test]
fn a_member_that_was_slow_gets_another_chance() {
    let (mut machine, _) = two_members(2);
    result(&mut machine, 1_000, 1, Node::leaf(0));
    result(&mut machine, 1_000_000, 2, Node::leaf(1));
    let share_of_2 = |machine: &mut Coordinator, now_us, round| {
        machine.on_event(now_us, Event::Heard(Incarnation(2)));
        let granted =
            grants(&machine.on_event(now_us, Event::Begin { run: RUN, round: Round(round), leaves: 8 }));
        for &(from, node) in &granted {
            let from = Incarnation(from);
            let verdict = Verdict::Finite { checksum: 5 };
            machine.on_event(now_us + 8_000, Event::Result { from, round: Round(round), node, verdict });
        }
        granted.into_iter().filter(|&(to, _)| to == 2).map(|(_, node)| 1 << node.level).sum::<u32>()
    };
    assert_eq!(share_of_2(&mut machine, 1_000_000, 1), 0);
    assert_eq!(share_of_2(&mut machine, 1_000_000 + MEASURE_HOLDS_US, 2), 4);
}

#[test]
fn a_faster_member_gets_more() {
    let (mut machine, granted) = two_members(16);
    assert_eq!(granted.len(), 2);
    for (from, node) in granted {
        let actions = result(&mut machine, if from == 1 { 1_000 } else { 9_000 }, from, node);
        assert!(matches!(actions[0], Action::Accept { .. }));
    }
    let actions = machine.on_event(9_001, Event::Begin { run: RUN, round: Round(1), leaves: 16 });
    let sizes: Vec<u8> = grants(&actions).iter().map(|(_, node)| node.level).collect();
    assert!(sizes[0] > sizes[1], "{sizes:?}");
}

/// Member 1 needs ten times as long for a leaf as member 2.
fn slow_one_first() -> Coordinator {
    let (mut machine, granted) = two_members(2);
    assert_eq!(granted, [(1, Node::leaf(0)), (2, Node::leaf(1))]);
    result(&mut machine, 1_000, 2, Node::leaf(1));
    result(&mut machine, 10_000, 1, Node::leaf(0));
    machine
}

#[test]
fn who_would_be_waited_for_gets_nothing_whoever_came_first() {
    for (leaves, of_slow) in [(4, 0), (8, 0), (16, 1)] {
        let mut machine = slow_one_first();
        let granted = grants(&machine.on_event(10_000, Event::Begin { run: RUN, round: Round(1), leaves }));
        let of_1 = granted.iter().filter(|&&(to, _)| to == 1).map(|(_, node)| 1 << node.level).sum::<u32>();
        assert_eq!(of_1, of_slow, "{leaves} leaves: {granted:?}");
    }
}

#[test]
fn a_slow_member_gets_what_is_left_where_the_fast_one_is_late_or_gone() {
    for is_late in [false, true] {
        let mut machine = slow_one_first();
        machine.on_event(10_000, Event::Begin { run: RUN, round: Round(1), leaves: 8 });
        let due_us = machine.next_deadline_us().unwrap();
        let actions = match is_late {
            true => machine.on_event(due_us, Event::Tick),
            false => machine.on_event(11_000, Event::Gone(Incarnation(2), Disconnect::Closed)),
        };
        assert_eq!(grants(&actions).first().map(|&(to, _)| to), Some(1), "{actions:?}");
    }
}

/// Two members of one thread, in rounds of four leaves.
struct Pair {
    machine: Coordinator,
    now_us: u64,
    rounds: u64,
}

impl Pair {
    fn new() -> Self {
        let mut machine = Coordinator::new(LIMITS, Incarnation(1));
        ["a", "b"].into_iter().for_each(|name| drop(join(&mut machine, 0, name)));
        Self { machine, now_us: 0, rounds: 0 }
    }

    /// One more round, in which the members need so long for a leaf; returns how many the second one was
    /// given.
    fn round(&mut self, leaf_us: [u64; 2]) -> u64 {
        (1..=2).for_each(|who| drop(self.machine.on_event(self.now_us, Event::Heard(Incarnation(who)))));
        let round = Round(self.rounds);
        self.rounds += 1;
        let mut actions = self.machine.on_event(self.now_us, Event::Begin { run: RUN, round, leaves: 4 });
        let mut free_us = [self.now_us; 2];
        let mut due = BTreeSet::new();
        let mut given = [0, 0];
        while !actions.contains(&Action::Complete(round)) {
            for (to, node) in grants(&actions) {
                let member = to as usize - 1;
                let leaves = 1 << node.level;
                given[member] += leaves;
                free_us[member] = self.now_us.max(free_us[member]) + leaves * leaf_us[member];
                due.insert((free_us[member], to, node));
            }
            let (at_us, from, node) = *due.first().expect("somebody computes");
            let tick_us = self.machine.next_deadline_us().filter(|&tick_us| tick_us < at_us);
            self.now_us = tick_us.unwrap_or(at_us);
            let from = Incarnation(from);
            let verdict = Verdict::Finite { checksum: 5 };
            let result = Event::Result { from, round, node, verdict };
            let event = if tick_us.is_some() { Event::Tick } else { result };
            if tick_us.is_none() {
                due.pop_first();
            }
            actions = self.machine.on_event(self.now_us, event);
        }
        given[1]
    }
}

#[test]
fn slowness_is_forgotten_soon_and_remembered_longer_each_time_it_stays() {
    let mut pair = Pair::new();
    let slow = [1_000, 20_000];
    let fast = [1_000, 1_000];
    assert_eq!(pair.round(slow), 2);
    let chance = |pair: &mut Pair| {
        let began_us = pair.now_us;
        while pair.round(slow) == 0 {}
        pair.now_us - began_us
    };
    let waits: Vec<u64> = (0..10).map(|_| chance(&mut pair)).collect();
    assert!(waits[0] < 300_000, "{waits:?}");
    assert!(waits[..4].is_sorted_by(|before, next| 3 * before / 2 < *next), "{waits:?}");
    let most_us = MEASURE_HOLDS_US + 100_000;
    assert!(waits.iter().all(|&wait_us| wait_us <= most_us), "{waits:?}");
    while pair.round(fast) == 0 {}
    assert!((0..100).all(|_| pair.round(fast) == 2), "it is as fast as the other");
    // One more moment counts as the first.
    pair.round(slow);
    assert!(chance(&mut pair) < 300_000);
}

/// When `who` is dropped for an answer that it owes, while everybody sends heartbeats.
fn dropped_us(machine: &mut Coordinator, mut now_us: u64, who: u64) -> u64 {
    loop {
        now_us += LIMITS.heartbeat_timeout_us / 10;
        let members: Vec<Incarnation> = machine.members().map(|(member, _)| member).collect();
        members.into_iter().for_each(|member| drop(machine.on_event(now_us, Event::Heard(member))));
        let late = |action: &Action| matches!(action, Action::Removed { member, .. } if member.0 == who);
        if machine.on_event(now_us, Event::Tick).iter().any(late) {
            return now_us;
        }
    }
}

#[test]
fn an_answer_of_a_round_that_begins_anew_tells_its_senders_speed() {
    let audit = Audit { seed: 1, share: SHARE_PARTS };
    let mut machine = Coordinator::new(Limits { max: 4, audit, ..LIMITS }, Incarnation(1));
    ["a", "b", "c", "d"].into_iter().for_each(|name| drop(join(&mut machine, 0, name)));
    assert_eq!(begin(&mut machine, 0, 0, 2), [(1, Node::leaf(0)), (2, Node::leaf(1))]);
    result_with(&mut machine, 1_000, 1, Node::leaf(0), 5);
    result_with(&mut machine, 2_000, 3, Node::leaf(0), 6);
    let actions = result_with(&mut machine, 3_000, 4, Node::leaf(0), 5);
    assert!(matches!(actions.last(), Some(Action::Anew { .. })), "{actions:?}");
    let discard = Action::Discard { from: Incarnation(2) };
    assert_eq!(result(&mut machine, 4_000, 2, Node::leaf(1)), [discard]);
    let granted = begin(&mut machine, 5_000, 1, 64);
    assert!(granted.iter().any(|&(to, _)| to == 2), "{granted:?}");
    assert!(dropped_us(&mut machine, 5_000, 2) < 2 * LIMITS.answer_timeout_us_min);
}

#[test]
fn an_answer_that_is_not_finite_tells_its_senders_speed() {
    let mut machine = Coordinator::new(Limits { may_diverge: true, ..LIMITS }, Incarnation(1));
    join(&mut machine, 0, "a");
    let from = Incarnation(1);
    let node = Node { level: 1, index: 0 };
    assert_eq!(begin(&mut machine, 0, 0, 2), [(1, node)]);
    let verdict = Verdict::NonFinite { checksum: 5 };
    let actions = machine.on_event(1_000, Event::Result { from, round: Round(0), node, verdict });
    assert!(!grants(&actions).is_empty(), "{actions:?}");
    assert!(dropped_us(&mut machine, 1_000, 1) < 2 * LIMITS.answer_timeout_us_min);
}
