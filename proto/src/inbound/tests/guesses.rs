//! What may come as guesses of samples.

use super::*;

/// An answer with these guesses, for three samples.
pub(super) fn guessed(guesses: Vec<Guess>) -> Answer {
    let answer = answer(AnswerBody::Guesses(guesses));
    Answer { totals: Totals { correct: 0, ..answer.totals }, ..answer }
}

#[test]
fn guesses_are_one_for_each_sample_and_of_classes() {
    let received = |answer: Answer| to_coordinator(WorkerMessage::Answer(answer), 10);
    let right = vec![Guess { class: 4, confidence: 1 }; 3];
    for count in [0, 2, 4] {
        let wrong = guessed(vec![right[0]; count]);
        assert_eq!(received(wrong), Err(WireError::Guesses { samples: 3, bytes: 4 * count }));
    }
    for class in [5, u16::MAX] {
        let outside = [right[..2].to_vec(), vec![Guess { class, confidence: 1 }]].concat();
        let error = received(guessed(outside)).unwrap_err();
        assert!(matches!(error, WireError::Range { field: "class of a guess", max: 4, .. }), "{error}");
    }
    let counting = |correct| {
        let answer = guessed(right.clone());
        Answer { totals: Totals { correct, ..answer.totals }, ..answer }
    };
    assert!(received(counting(3)).is_ok());
    assert!(matches!(received(counting(4)), Err(WireError::Range { field: "correct", max: 3, .. })));
    let sent = outbound::from_worker(WorkerMessage::Answer(guessed(right.clone())), |_, _| None).next();
    let Some(wire::from_worker::Message::Answer(mut sent)) = sent.unwrap().message else { panic!("another") };
    sent.body = Some(wire::answer::Body::Guesses(wire::Guesses { guesses: vec![0; 13].into() }));
    let message = wire::FromWorker { message: Some(wire::from_worker::Message::Answer(sent)) };
    let error = WorkerDecoder::new(setups(10), Buffers::default()).decode(message).unwrap_err();
    assert_eq!(error, WireError::Guesses { samples: 3, bytes: 13 });
    let checksum =
        |guesses: &[Guess]| ReceivedAnswer { answer: guessed(guesses.to_vec()), inspection: None }.checksum();
    let [mut class, mut confidence] = [right.clone(), right.clone()];
    (class[2].class, confidence[2].confidence) = (3, 2);
    assert!(checksum(&class) != checksum(&right) && checksum(&confidence) != checksum(&right));
}
