use super::*;

const PULSE: Pulse = Pulse { heartbeat_us: 1_000_000, timeout_us: 5_000_000 };
const TIMING: Timing =
    Timing { join_timeout_us: 5_000_000, give_up_us: 60_000_000, idle_exit_us: None, jitter_seed: 1 };
const RUN: SetupId = SetupId(0);
const ME: Incarnation = Incarnation(4);
const NODE: Node = Node { level: 1, index: 2 };

fn member() -> Worker {
    let mut worker = Worker::new(0, TIMING);
    assert_eq!(worker.on_event(0, Event::Tick), [Action::Dial]);
    assert_eq!(worker.on_event(1, Event::Welcome(ME, PULSE)), []);
    worker
}

#[test]
fn only_answers_of_this_stream_and_this_round_are_sent() {
    let mut worker = member();
    let old = Round(3);
    let new = Round(4);
    assert_eq!(worker.on_event(2, Event::Grant(RUN, old, NODE))[0], Action::Compute(ME, old, NODE));
    assert_eq!(worker.on_event(3, Event::Computed(ME, old, NODE)), [Action::Send(old, NODE)]);
    assert_eq!(worker.on_event(4, Event::Grant(RUN, new, NODE))[0], Action::Forget(old));
    assert_eq!(worker.on_event(5, Event::Computed(ME, old, NODE)), [Action::Drop(old, NODE)]);
    let stale = Event::Computed(Incarnation(3), new, NODE);
    assert_eq!(worker.on_event(6, stale), [Action::Drop(new, NODE)]);
}

#[test]
fn rounds_of_two_runs_are_computed_side_by_side() {
    let mut worker = member();
    let other = SetupId(1);
    worker.on_event(2, Event::Grant(RUN, Round(3), NODE));
    assert_eq!(
        worker.on_event(2, Event::Grant(other, Round(4), NODE)),
        [Action::Compute(ME, Round(4), NODE)]
    );
    assert_eq!(worker.on_event(3, Event::Grant(RUN, Round(5), NODE))[0], Action::Forget(Round(3)));
    let computed = |worker: &mut Worker, round| worker.on_event(4, Event::Computed(ME, round, NODE));
    assert_eq!(computed(&mut worker, Round(4)), [Action::Send(Round(4), NODE)]);
    assert_eq!(computed(&mut worker, Round(5)), [Action::Send(Round(5), NODE)]);
    assert_eq!(computed(&mut worker, Round(3)), [Action::Drop(Round(3), NODE)]);
    assert_eq!(worker.on_event(4, Event::RunOver(other)), [Action::Forget(Round(4))]);
    assert_eq!(computed(&mut worker, Round(4)), [Action::Drop(Round(4), NODE)]);
    assert_eq!(worker.on_event(4, Event::RunOver(other)), []);
    assert!(matches!(&worker.on_event(5, Event::Grant(RUN, Round(4), NODE))[..], [Action::Reset(_)]));
}

#[test]
fn heartbeats_go_out_while_a_silent_coordinator_is_given_up() {
    let mut worker = member();
    assert_eq!(worker.on_event(1_000_001, Event::Tick), [Action::Heartbeat]);
    worker.on_event(3_000_000, Event::Heard);
    let actions = worker.on_event(8_000_000, Event::Tick);
    assert!(matches!(&actions[..], [Action::Reset(why)] if why.contains("5000 ms")), "{actions:?}");
}

#[test]
fn pauses_grow_to_a_limit_and_a_lost_cause_ends() {
    let mut worker = Worker::new(0, TIMING);
    let mut now = 0;
    let mut pauses = Vec::new();
    let exit = loop {
        assert_eq!(worker.on_event(now, Event::Tick), [Action::Dial]);
        match worker.on_event(now, Event::Lost("refused".into())).remove(0) {
            Action::Exit(exit) => break exit,
            _ => pauses.push(worker.next_deadline_us().unwrap() - now),
        }
        now = worker.next_deadline_us().unwrap();
    };
    assert!(matches!(&exit, Exit::GaveUp { last, .. } if last == "refused"));
    assert!(pauses[0] <= BACKOFF_US_FIRST && pauses.iter().all(|&p| p <= BACKOFF_US_MAX));
    assert!(pauses.last() > pauses.first() && now >= TIMING.give_up_us);
}

#[test]
fn a_coordinator_that_breaks_the_rules_is_dialled_anew() {
    let mut worker = member();
    worker.on_event(2, Event::Grant(RUN, Round(4), NODE));
    assert!(matches!(&worker.on_event(3, Event::Grant(RUN, Round(3), NODE))[..], [Action::Reset(_)]));
    assert_eq!(worker.incarnation(), None);
    assert!(matches!(&member().on_event(2, Event::Welcome(ME, PULSE))[..], [Action::Reset(_)]));
}

#[test]
fn a_leaving_worker_says_goodbye_and_does_nothing_more() {
    let mut worker = member();
    assert_eq!(worker.on_event(2, Event::Leave), [Action::Goodbye, Action::Exit(Exit::Left)]);
    assert_eq!(worker.on_event(3, Event::Grant(RUN, Round(0), NODE)), []);
    assert_eq!(worker.next_deadline_us(), None);
}

#[test]
fn a_spare_beats_and_listens_like_a_member_until_it_is_one() {
    let mut worker = Worker::new(0, TIMING);
    worker.on_event(0, Event::Tick);
    assert_eq!(worker.on_event(1, Event::Spare(PULSE)), []);
    assert_eq!(worker.incarnation(), None);
    assert_eq!(worker.on_event(1_000_001, Event::Tick), [Action::Heartbeat]);
    worker.on_event(4_000_000, Event::Heard);
    assert_eq!(worker.on_event(4_000_001, Event::Welcome(ME, PULSE)), []);
    assert_eq!(worker.incarnation(), Some(ME));
    assert_eq!(worker.on_event(4_000_002, Event::Grant(RUN, Round(0), NODE)).len(), 1);
}

#[test]
fn a_spare_waits_longer_than_it_would_without_a_coordinator() {
    let mut worker = Worker::new(0, TIMING);
    worker.on_event(0, Event::Tick);
    worker.on_event(1, Event::Spare(PULSE));
    for second in 1..=2 * TIMING.give_up_us / 1_000_000 {
        assert_eq!(worker.on_event(second * 1_000_000 + 1, Event::Tick), [Action::Heartbeat]);
        worker.on_event(second * 1_000_000 + 2, Event::Heard);
    }
    let lost = worker.on_event(2 * TIMING.give_up_us + 3, Event::Lost("reset".into()));
    assert_eq!(lost, [Action::Reset("reset".into())]);
}

#[test]
fn a_leaving_spare_says_goodbye() {
    let mut worker = Worker::new(0, TIMING);
    worker.on_event(0, Event::Tick);
    worker.on_event(1, Event::Spare(PULSE));
    assert_eq!(worker.on_event(2, Event::Leave), [Action::Goodbye, Action::Exit(Exit::Left)]);
}

#[test]
fn one_without_work_leaves_in_time_wherever_it_stands() {
    let timing = Timing { idle_exit_us: Some(20_000_000), ..TIMING };
    let left =
        |actions: Vec<Action>| matches!(&actions[..], [Action::Exit(Exit::Idle { idle_us: 20_000_000 })]);

    let mut alone = Worker::new(0, timing);
    while alone.next_deadline_us() < Some(20_000_000) {
        let now_us = alone.next_deadline_us().unwrap();
        alone.on_event(now_us, Event::Tick);
    }
    assert_eq!(alone.next_deadline_us(), Some(20_000_000));
    assert!(left(alone.on_event(20_000_000, Event::Tick)));

    let mut spare = Worker::new(0, timing);
    spare.on_event(0, Event::Tick);
    spare.on_event(1, Event::Spare(PULSE));
    spare.on_event(19_999_999, Event::Heard);
    let actions = spare.on_event(20_000_000, Event::Tick);
    assert!(actions[0] == Action::Goodbye && left(actions[1..].to_vec()), "{actions:?}");
}

#[test]
fn work_that_is_given_or_done_puts_off_the_leave() {
    let timing = Timing { idle_exit_us: Some(3_000_000), ..TIMING };
    let mut worker = Worker::new(0, timing);
    worker.on_event(0, Event::Tick);
    worker.on_event(1, Event::Welcome(ME, PULSE));
    worker.on_event(2_000_000, Event::Grant(RUN, Round(1), NODE));
    // A piece that takes long is work all the time.
    for now_us in [3_000_000, 6_000_000] {
        worker.on_event(now_us, Event::Heard);
        let actions = worker.on_event(now_us, Event::Tick);
        assert!(!actions.iter().any(|action| matches!(action, Action::Exit(_))), "{actions:?}");
    }
    worker.on_event(4_000_000, Event::Computed(ME, Round(1), NODE));
    worker.on_event(6_900_000, Event::Heard);
    assert!(!worker.on_event(6_900_000, Event::Tick).iter().any(|action| matches!(action, Action::Exit(_))));
    assert_eq!(
        worker.on_event(7_000_000, Event::Tick),
        [Action::Goodbye, Action::Exit(Exit::Idle { idle_us: 3_000_000 })]
    );
}
