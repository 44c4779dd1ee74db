//! Which arithmetic workers and checkpoints must have.

use super::*;

/// A digest that differs from the program's own in the convolutions.
const FAULTY: NumericsDigest = NumericsDigest(LIMITS.promised.0 ^ 1 << 32);

#[test]
fn a_first_comer_that_computes_otherwise_than_the_program_is_refused() {
    let mut machine = Coordinator::new(LIMITS, Incarnation(1));
    let differs = OtherArithmetic { promised: LIMITS.promised, own: FAULTY };
    let refusal = Refusal::Numerics(differs);
    let text = refusal.to_string();
    assert!(!refusal.may_retry() && text.starts_with("its arithmetic differs in convolutions: "), "{text}");
    for part in ["--numerics relaxed", &FAULTY.to_string(), &LIMITS.promised.to_string()] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(join_with(&mut machine, 0, "b", FAULTY), [Action::Refuse { connection: 1, refusal }]);
    assert!(matches!(join_with(&mut machine, 0, "a", LIMITS.promised)[0], Action::Welcome { .. }));
}

#[test]
fn relaxed_numerics_let_a_worker_in_and_say_so() {
    let mut machine = Coordinator::new(Limits { numerics: Numerics::Relaxed, ..LIMITS }, Incarnation(1));
    let differs = OtherArithmetic { promised: LIMITS.promised, own: FAULTY };
    let actions = join_with(&mut machine, 0, "b", FAULTY);
    assert_eq!(actions[0], Action::OtherNumerics { name: "b".into(), differs });
    assert!(matches!(actions[1], Action::Welcome { .. }));
    assert!(matches!(join_with(&mut machine, 0, "a", LIMITS.promised)[0], Action::Welcome { .. }));
    assert_eq!(machine.numerics(), None, "a checkpoint records none");
}

#[test]
fn a_checkpoint_is_gone_on_with_where_its_arithmetic_is_the_programs() {
    let machine = Coordinator::new(LIMITS, Incarnation(1));
    assert_eq!(machine.numerics(), Some(LIMITS.promised));
    assert_eq!(machine.contradicts(LIMITS.promised), None);
    assert_eq!(machine.contradicts(FAULTY), Some(LIMITS.promised));
    let relaxed = Coordinator::new(Limits { numerics: Numerics::Relaxed, ..LIMITS }, Incarnation(1));
    assert_eq!(relaxed.contradicts(FAULTY), None);
}
