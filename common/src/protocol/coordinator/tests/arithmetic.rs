//! Which arithmetic a run is held to.

use super::*;

const RUN: NumericsDigest = NumericsDigest(7);
const OTHER: NumericsDigest = NumericsDigest(8);

fn differs(by: SettledBy) -> OtherArithmetic {
    OtherArithmetic { run: Settled { digest: RUN, by }, own: OTHER }
}

/// A run in which "a" has answered a piece and left: nobody is there.
fn settled(limits: Limits) -> Coordinator {
    let mut machine = Coordinator::new(limits, Incarnation(1));
    join_with(&mut machine, 0, "a", RUN);
    machine.on_event(0, Event::Begin { run: SetupId(0), round: Round(0), leaves: 1 });
    result(&mut machine, 1, 1, Node::leaf(0));
    machine.on_event(2, Event::Leave(Incarnation(1)));
    machine
}

#[test]
fn a_worker_of_other_numerics_is_refused_and_told_both() {
    let mut machine = settled(LIMITS);
    let differs = differs(SettledBy::Answer);
    let refusal = Refusal::Numerics(differs);
    let text = refusal.to_string();
    assert!(!refusal.may_retry() && text.contains(&RUN.to_string()) && text.contains(&OTHER.to_string()));
    assert!(text.contains("--numerics relaxed"), "{text}");
    assert_eq!(join_with(&mut machine, 2, "b", OTHER), [Action::Refuse { connection: 1, refusal }]);
    assert!(matches!(join_with(&mut machine, 2, "c", RUN)[0], Action::Welcome { .. }));
    assert_eq!(machine.numerics(), Some(RUN));
}

#[test]
fn a_first_comer_that_leaves_at_once_settles_no_arithmetic() {
    let mut machine = Coordinator::new(LIMITS, Incarnation(1));
    join_with(&mut machine, 0, "visitor", OTHER);
    machine.on_event(0, Event::Begin { run: SetupId(0), round: Round(0), leaves: 1 });
    machine.on_event(1, Event::Leave(Incarnation(1)));
    let actions = join_with(&mut machine, 2, "a", RUN);
    assert!(matches!(actions[0], Action::Welcome { .. }), "{actions:?}");
    assert_eq!(machine.numerics(), None);
    assert!(result(&mut machine, 3, 2, Node::leaf(0)).contains(&Action::Complete(Round(0))));
    assert_eq!(machine.numerics(), Some(RUN));
}

#[test]
fn the_first_accepted_answer_settles_who_may_stay() {
    let mut machine = Coordinator::new(Limits { max: 2, ..LIMITS }, Incarnation(1));
    for (name, numerics) in [("other", OTHER), ("a", RUN), ("other-spare", OTHER)] {
        join_with(&mut machine, 0, name, numerics);
    }
    machine.on_event(0, Event::Begin { run: SetupId(0), round: Round(0), leaves: 4 });
    let actions = result(&mut machine, 1, 2, RIGHT);
    let cause = Cause::Numerics(differs(SettledBy::Answer));
    assert!(!cause.is_offence());
    let removed =
        |member, returned| Action::Removed { member: Incarnation(member), cause: cause.clone(), returned };
    assert_eq!(
        actions[1..3],
        [removed(1, vec![Piece { round: Round(0), node: LEFT }]), removed(3, vec![])],
        "{actions:?}"
    );
    assert_eq!(grants(&actions)[0].0, 2, "its piece goes to who may stay");
    assert_eq!(result(&mut machine, 2, 1, LEFT), [Action::Discard { from: Incarnation(1) }]);
}

#[test]
fn a_run_that_goes_on_is_held_to_its_checkpoints_arithmetic() {
    let mut machine = Coordinator::new(LIMITS, Incarnation(1));
    assert_eq!(machine.numerics(), None);
    machine.on_event(0, Event::HoldTo(RUN));
    let refusal = Refusal::Numerics(differs(SettledBy::Checkpoint));
    assert!(refusal.to_string().contains("the checkpoint that this run goes on from"), "{refusal}");
    assert_eq!(join_with(&mut machine, 0, "b", OTHER), [Action::Refuse { connection: 1, refusal }]);
    assert!(matches!(join_with(&mut machine, 0, "a", RUN)[0], Action::Welcome { .. }));
}

#[test]
fn a_run_that_goes_on_beside_others_settles_who_may_stay() {
    let mut machine = Coordinator::new(Limits { max: 2, ..LIMITS }, Incarnation(1));
    for (name, numerics) in [("other", OTHER), ("a", RUN)] {
        join_with(&mut machine, 0, name, numerics);
    }
    let actions = machine.on_event(1, Event::HoldTo(RUN));
    let cause = Cause::Numerics(differs(SettledBy::Checkpoint));
    assert_eq!(actions[0], Action::Removed { member: Incarnation(1), cause, returned: Vec::new() });
    assert_eq!(machine.numerics(), Some(RUN));
    assert_eq!(machine.on_event(2, Event::HoldTo(OTHER)), [], "the first one holds");
    assert_eq!(machine.numerics(), Some(RUN));
}

#[test]
fn relaxed_numerics_let_a_worker_in_and_say_so() {
    let limits = Limits { numerics: Numerics::Relaxed, ..LIMITS };
    let mut machine = settled(limits);
    let actions = join_with(&mut machine, 3, "b", OTHER);
    let other = |name: &str| Action::OtherNumerics { name: name.into(), differs: differs(SettledBy::Answer) };
    assert_eq!(actions[0], other("b"));
    assert!(matches!(actions[1], Action::Welcome { .. }));
    assert_eq!(machine.numerics(), None, "a checkpoint records none");
    let mut machine = Coordinator::new(limits, Incarnation(1));
    join_with(&mut machine, 0, "early", OTHER);
    join_with(&mut machine, 0, "a", RUN);
    machine.on_event(0, Event::Begin { run: SetupId(0), round: Round(0), leaves: 4 });
    assert!(result(&mut machine, 1, 2, RIGHT).contains(&other("early")));
}
