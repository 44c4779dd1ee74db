//! Teachers, whose values follow their setup.

use super::*;
use common::train::distil::Teacher;

/// A teacher whose values tell where they belong.
pub(super) fn teacher(layers: &str) -> Teacher {
    let architecture = Architecture::parse(SPEC, layers).unwrap();
    let params = (0..architecture.layout().len()).map(|at| at as f32).collect();
    let normalization = Normalization::Standard(vec![Channel::new(0.25, 0.5).unwrap()]);
    Teacher { architecture, params, normalization }
}

#[test]
fn a_teacher_that_is_not_whole_or_out_of_range_is_refused() {
    let sent = |change: &dyn Fn(&mut wire::Teacher)| {
        let teacher = Some((Arc::new(teacher("linear")), Blend::default()));
        let setup = Setup { teacher, ..setup(SPEC, "linear") };
        let mut messages: Vec<_> = outbound::setup(Arc::new(setup)).collect();
        let Some(wire::from_coordinator::Message::Setup(head)) = &mut messages[0].message else { panic!() };
        change(head.teacher.as_mut().unwrap());
        let mut decoder = CoordinatorDecoder::default();
        messages.into_iter().map(|message| decoder.decode(message)).find(|got| got != &Ok(None))
    };
    assert!(matches!(sent(&|_| ()), Some(Ok(Some(CoordinatorMessage::Setup(_))))));
    let refused = |change: &dyn Fn(&mut wire::Teacher)| sent(change).unwrap().unwrap_err();
    assert_eq!(refused(&|teacher| teacher.tensor = None), WireError::Missing("a tensor head"));
    let few = refused(&|teacher| teacher.tensor.as_mut().unwrap().elements -= 1);
    assert!(matches!(few, WireError::Elements { .. }), "{few}");
    for change in [
        |teacher: &mut wire::Teacher| teacher.weight = 1.5,
        |teacher: &mut wire::Teacher| teacher.weight = f64::NAN,
        |teacher: &mut wire::Teacher| teacher.temperature = 0.0,
    ] {
        assert!(matches!(refused(&change), WireError::Blend { .. }));
    }
    assert!(matches!(refused(&|teacher| teacher.layers = "conv(9".into()), WireError::Model(_)));
    let channels = |teacher: &mut wire::Teacher| teacher.normalization.as_mut().unwrap().mean.push(0.5);
    assert!(matches!(refused(&channels), WireError::Normalization { .. }));
}

#[test]
fn a_teachers_values_are_due_before_anything_else() {
    let setup =
        Setup { teacher: Some((Arc::new(teacher("linear")), Blend::default())), ..setup(SPEC, "linear") };
    let mut decoder = CoordinatorDecoder::default();
    let mut messages = outbound::setup(Arc::new(setup));
    assert_eq!(decoder.decode(messages.next().unwrap()), Ok(None));
    // It is not known before it is whole.
    let forget = outbound::from_coordinator(CoordinatorMessage::Forget(SETUP)).remove(0);
    let refused = decoder.decode(forget).unwrap_err();
    assert!(matches!(refused, WireError::Order { .. }), "{refused}");
}
