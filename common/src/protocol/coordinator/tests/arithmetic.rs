//! Which arithmetic a run is held to.

use super::*;

// The two differ in what the tensor library computes.
const RUN: NumericsDigest = NumericsDigest(7);
const OTHER: NumericsDigest = NumericsDigest(8);

fn differs(by: SettledBy) -> OtherArithmetic {
    OtherArithmetic { run: Settled { digest: RUN, by }, own: OTHER }
}

/// A cluster with a run that uses the tensor library.
fn library(limits: Limits) -> Coordinator {
    let mut machine = Coordinator::new(limits, Incarnation(1));
    assert_eq!(machine.on_event(0, Event::UsesLibrary), []);
    machine
}

/// A run in which "a" has answered a piece and left: nobody is there.
fn settled(limits: Limits) -> Coordinator {
    let mut machine = library(limits);
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
    assert_eq!(machine.numerics(true), Some(RUN));
}

#[test]
fn a_first_comer_that_leaves_at_once_settles_no_arithmetic() {
    let mut machine = library(LIMITS);
    join_with(&mut machine, 0, "visitor", OTHER);
    machine.on_event(0, Event::Begin { run: SetupId(0), round: Round(0), leaves: 1 });
    machine.on_event(1, Event::Leave(Incarnation(1)));
    let actions = join_with(&mut machine, 2, "a", RUN);
    assert!(matches!(actions[0], Action::Welcome { .. }), "{actions:?}");
    assert_eq!(machine.numerics(true), None);
    assert!(result(&mut machine, 3, 2, Node::leaf(0)).contains(&Action::Complete(Round(0))));
    assert_eq!(machine.numerics(true), Some(RUN));
}

#[test]
fn the_first_accepted_answer_settles_who_may_stay() {
    let mut machine = library(Limits { max: 2, ..LIMITS });
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
    let mut machine = library(LIMITS);
    assert_eq!(machine.numerics(true), None);
    machine.on_event(0, Event::HoldTo(RUN));
    let refusal = Refusal::Numerics(differs(SettledBy::Checkpoint));
    assert!(refusal.to_string().contains("the checkpoint that this run goes on from"), "{refusal}");
    assert_eq!(join_with(&mut machine, 0, "b", OTHER), [Action::Refuse { connection: 1, refusal }]);
    assert!(matches!(join_with(&mut machine, 0, "a", RUN)[0], Action::Welcome { .. }));
}

#[test]
fn a_run_that_goes_on_beside_others_settles_who_may_stay() {
    let mut machine = library(Limits { max: 2, ..LIMITS });
    for (name, numerics) in [("other", OTHER), ("a", RUN)] {
        join_with(&mut machine, 0, name, numerics);
    }
    let actions = machine.on_event(1, Event::HoldTo(RUN));
    let cause = Cause::Numerics(differs(SettledBy::Checkpoint));
    assert_eq!(actions[0], Action::Removed { member: Incarnation(1), cause, returned: Vec::new() });
    assert_eq!(machine.numerics(true), Some(RUN));
    assert_eq!(machine.on_event(2, Event::HoldTo(OTHER)), [], "the first one holds");
    assert_eq!(machine.numerics(true), Some(RUN));
}

#[test]
fn relaxed_numerics_let_a_worker_in_and_say_so() {
    let limits = Limits { numerics: Numerics::Relaxed, ..LIMITS };
    let mut machine = settled(limits);
    let actions = join_with(&mut machine, 3, "b", OTHER);
    let other = |name: &str| Action::OtherNumerics { name: name.into(), differs: differs(SettledBy::Answer) };
    assert_eq!(actions[0], other("b"));
    assert!(matches!(actions[1], Action::Welcome { .. }));
    assert_eq!(machine.numerics(true), None, "a checkpoint records none");
    let mut machine = library(limits);
    join_with(&mut machine, 0, "early", OTHER);
    join_with(&mut machine, 0, "a", RUN);
    machine.on_event(0, Event::Begin { run: SetupId(0), round: Round(0), leaves: 4 });
    assert!(result(&mut machine, 1, 2, RIGHT).contains(&other("early")));
}

/// A digest that differs from the program's own in the convolutions.
const FAULTY: NumericsDigest = NumericsDigest(1 << 32);

#[test]
fn a_first_comer_that_computes_otherwise_than_the_program_is_refused() {
    let mut machine = Coordinator::new(LIMITS, Incarnation(1));
    let run = Settled { digest: LIMITS.promised, by: SettledBy::Program };
    let refusal = Refusal::Numerics(OtherArithmetic { run, own: FAULTY });
    let text = refusal.to_string();
    assert!(
        text.starts_with("its arithmetic differs in convolutions: ") && text.contains("multiply-add"),
        "{text}"
    );
    assert_eq!(join_with(&mut machine, 0, "b", FAULTY), [Action::Refuse { connection: 1, refusal }]);
    let mut relaxed = Coordinator::new(Limits { numerics: Numerics::Relaxed, ..LIMITS }, Incarnation(1));
    let differs = OtherArithmetic { run, own: FAULTY };
    let other = Action::OtherNumerics { name: "b".into(), differs };
    assert_eq!(join_with(&mut relaxed, 0, "b", FAULTY)[0], other);
}

#[test]
fn what_the_library_computes_counts_only_where_a_run_uses_it() {
    let mut machine = Coordinator::new(Limits { max: 2, ..LIMITS }, Incarnation(1));
    join_with(&mut machine, 0, "a", RUN);
    machine.on_event(0, Event::Begin { run: SetupId(0), round: Round(0), leaves: 2 });
    result(&mut machine, 1, 1, Node { level: 1, index: 0 });
    assert!(matches!(join_with(&mut machine, 2, "b", OTHER)[0], Action::Welcome { .. }));
    assert_eq!((machine.numerics(false), machine.numerics(true)), (Some(LIMITS.promised), None));
    // Another run begins, and "b" is the first to answer.
    machine.on_event(3, Event::UsesLibrary);
    machine.on_event(3, Event::Begin { run: SetupId(1), round: Round(1), leaves: 4 });
    let node = machine
        .members()
        .find_map(|(who, member)| (who == Incarnation(2)).then(|| member.pieces().next())?);
    let Piece { round, node } = node.expect("it has a piece");
    let verdict = Verdict::Finite { checksum: 5 };
    let actions = machine.on_event(4, Event::Result { from: Incarnation(2), round, node, verdict });
    let differs = OtherArithmetic { run: Settled { digest: OTHER, by: SettledBy::Answer }, own: RUN };
    let removed = |action: &Action| matches!(action, Action::Removed { member: Incarnation(1), cause, .. } if *cause == Cause::Numerics(differs));
    assert!(actions.iter().any(removed), "{actions:?}");
    assert_eq!((machine.numerics(false), machine.numerics(true)), (Some(LIMITS.promised), Some(OTHER)));
}

#[test]
fn a_checkpoint_is_gone_on_with_where_nothing_that_its_run_uses_differs() {
    let mut machine = Coordinator::new(LIMITS, Incarnation(1));
    for uses_library in [false, true] {
        assert_eq!(machine.contradicts(RUN, uses_library), None);
        assert_eq!(machine.contradicts(FAULTY, uses_library), Some(LIMITS.promised));
    }
    machine.on_event(0, Event::HoldTo(RUN));
    assert_eq!((machine.contradicts(OTHER, false), machine.contradicts(OTHER, true)), (None, Some(RUN)));
    let relaxed = Coordinator::new(Limits { numerics: Numerics::Relaxed, ..LIMITS }, Incarnation(1));
    assert_eq!(relaxed.contradicts(FAULTY, true), None);
}
