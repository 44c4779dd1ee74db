use super::*;
use crate::outbound;
use crate::parameters::EncodedParameters;
use crate::wire::chunk::Place;
use common::data::samples::PIXELS;
use common::reduce::precision::Precision;
use proptest::prelude::*;
use std::sync::Arc;

fn answer(body: AnswerBody) -> Answer {
    let totals = Totals { samples: 3, correct: 2, loss_sum: 0.1 };
    let node = Node { level: 1, index: 2 };
    Answer {
        incarnation: Incarnation(7),
        round: Round(9),
        node,
        totals,
        body,
        precision: Precision::F32,
        inspection: Inspection::default(),
    }
}

fn samples(n: usize) -> Samples {
    Samples::new(vec![3; n * PIXELS], vec![4; n]).unwrap()
}

fn piece() -> Piece {
    let (tree, node) = (Tree::new(7), Node { level: 1, index: 1 });
    let leaves = vec![samples(3), samples(1)];
    Piece { round: Round(5), task: Task::Train, version: 4, tree, node, leaves }
}

fn welcome() -> Welcome {
    Welcome {
        incarnation: Incarnation(1),
        rank: Rank(0),
        run_id: "run".into(),
        heartbeat_ms: 1000,
        timeout_ms: 5000,
        model: ModelSpec::Mlp { hidden: vec![3] },
        precision: Precision::Bf16,
    }
}

fn to_coordinator(message: WorkerMessage, elements: usize) -> Result<Vec<WorkerMessage>, WireError> {
    let mut decoder = WorkerDecoder::new(elements, Precision::F32, Buffers::default());
    outbound::from_worker(message, |_, _| None).filter_map(|m| decoder.decode(m).transpose()).collect()
}

fn to_worker(messages: Vec<CoordinatorMessage>) -> Result<Vec<CoordinatorMessage>, WireError> {
    let mut decoder = CoordinatorDecoder::default();
    let wire = messages.into_iter().flat_map(outbound::from_coordinator);
    wire.filter_map(|m| decoder.decode(m).transpose()).collect()
}

#[test]
fn a_workers_messages_arrive_as_they_were_meant() {
    let mut confusion = Confusion::default();
    for (label, prediction) in [(1, 1), (2, 2), (3, 4)] {
        confusion.count(label, prediction);
    }
    for message in [
        WorkerMessage::Hello(Hello {
            name: "w".into(),
            instance: Instance(u64::MAX - 1),
            threads: 2,
            numerics: NumericsDigest(u64::MAX),
        }),
        WorkerMessage::Heartbeat,
        WorkerMessage::Leave,
        WorkerMessage::Sharing(Sharing::Offer { descriptor: 9, token: 1 }),
        WorkerMessage::Sharing(Sharing::Opened),
        WorkerMessage::Answer(answer(AnswerBody::Confusion(Box::new(confusion)))),
    ] {
        assert_eq!(to_coordinator(message.clone(), 9), Ok(vec![message]));
    }
    let values: Vec<f32> = (0..600_000).map(|i| i as f32).collect();
    let message = WorkerMessage::Answer(answer(AnswerBody::Gradient(values.clone().into())));
    let back = to_coordinator(message, values.len()).unwrap();
    let [WorkerMessage::Answer(Answer { body: AnswerBody::Gradient(back), .. })] = &back[..] else {
        panic!("not a gradient: {back:?}");
    };
    assert_eq!(**back, values);
}

#[test]
fn the_coordinators_messages_arrive_as_they_were_meant() {
    let values = vec![0.5; welcome().model.layout().len()].into();
    let messages = vec![
        CoordinatorMessage::Spare(Spare { ahead: 2, heartbeat_ms: 1000, timeout_ms: 5000 }),
        CoordinatorMessage::Welcome(welcome()),
        CoordinatorMessage::Parameters { version: 4, values },
        CoordinatorMessage::Heartbeat,
        CoordinatorMessage::Piece(piece()),
        CoordinatorMessage::Refused { reason: "full".into(), retry: true },
        CoordinatorMessage::Dropped("silent".into()),
        CoordinatorMessage::Finished,
        CoordinatorMessage::Sharing(Sharing::Offer { descriptor: 9, token: 1 }),
        CoordinatorMessage::Sharing(Sharing::Released),
    ];
    assert_eq!(to_worker(messages.clone()), Ok(messages));
}

#[test]
fn parameters_before_the_welcome_or_of_another_size_are_refused() {
    let parameters = CoordinatorMessage::Parameters { version: 0, values: vec![0.0; 5].into() };
    assert!(matches!(to_worker(vec![parameters.clone()]), Err(WireError::Order { .. })));
    let late = to_worker(vec![CoordinatorMessage::Welcome(welcome()), parameters]);
    assert!(matches!(late, Err(WireError::Elements { got: 5, .. })));
}

#[test]
fn a_gradient_of_another_size_or_cut_short_is_refused() {
    let message = WorkerMessage::Answer(answer(AnswerBody::Gradient(vec![1.0; 5].into())));
    assert_eq!(to_coordinator(message.clone(), 6), Err(WireError::Elements { expected: 6, got: 5 }));
    let mut decoder = WorkerDecoder::new(5, Precision::F32, Buffers::default());
    let head = outbound::from_worker(message, |_, _| None).next().unwrap();
    assert_eq!(decoder.decode(head.clone()), Ok(None));
    assert!(matches!(decoder.decode(head), Err(WireError::Order { .. })));
}

#[test]
fn numbers_out_of_range_are_refused() {
    let hello = |name: &str, instance, threads| {
        let (instance, numerics) = (Instance(instance), NumericsDigest::default());
        WorkerMessage::Hello(Hello { name: name.into(), instance, threads, numerics })
    };
    assert!(matches!(to_coordinator(hello("w", 1, 0), 1), Err(WireError::Range { field: "threads", .. })));
    assert!(matches!(to_coordinator(hello("w", 0, 1), 1), Err(WireError::Range { field: "instance", .. })));
    assert!(matches!(to_coordinator(hello("", 1, 1), 1), Err(WireError::Name { .. })));
    assert!(matches!(to_coordinator(hello("a\nb", 1, 1), 1), Err(WireError::Name { .. })));
    let other = wire::Hello { protocol_version: 99, ..wire::Hello::default() };
    assert!(matches!(check_hello(other), Err(WireError::Version { got: 99, .. })));
    let outside = Piece { node: Node { level: 0, index: 7 }, ..piece() };
    let outside = to_worker(vec![CoordinatorMessage::Piece(outside)]);
    assert!(matches!(outside, Err(WireError::Node { leaves: 7, .. })));
    let spare = CoordinatorMessage::Spare(Spare { ahead: 0, heartbeat_ms: 0, timeout_ms: 5000 });
    assert!(matches!(to_worker(vec![spare]), Err(WireError::Range { field: "heartbeat_ms", .. })));
    let counts = answer(AnswerBody::Confusion(Box::default()));
    assert_eq!(to_coordinator(WorkerMessage::Answer(counts), 1), Err(WireError::Confusion));
}

#[test]
fn answers_have_one_checksum_only_if_every_number_is_equal() {
    let received = |values: &[f32], loss_sum| {
        let mut sent = answer(AnswerBody::Gradient(values.to_vec().into()));
        sent.totals.loss_sum = loss_sum;
        match to_coordinator(WorkerMessage::Answer(sent), values.len()).unwrap().remove(0) {
            WorkerMessage::Answer(answer) => answer.checksum(),
            other => panic!("{other:?}"),
        }
    };
    let reference = received(&[1.0, 2.0], 0.5);
    assert_eq!(reference, received(&[1.0, 2.0], 0.5));
    assert_ne!(reference, received(&[1.0, f32::from_bits(2.0f32.to_bits() ^ 1)], 0.5));
    assert_ne!(reference, received(&[1.0, 2.0], f64::from_bits(0.5f64.to_bits() ^ 1)));
    let mut counts = [Confusion::default(), Confusion::default()];
    counts[0].count(1, 2);
    counts[1].count(1, 3);
    let [one, other] = counts.map(|counts| answer(AnswerBody::Confusion(Box::new(counts))).checksum());
    assert_ne!(one, other);
}

#[test]
fn parameters_are_encoded_once_and_shared() {
    let encoded = Arc::new(EncodedParameters::new(3, Arc::new(vec![1.0, 2.0])));
    let data = || {
        let messages: Vec<_> = Arc::clone(&encoded).messages().collect();
        let Some(from_coordinator::Message::Chunk(chunk)) = messages[1].message.clone() else {
            panic!("no chunk: {messages:?}");
        };
        let Some(Place::Data(data)) = chunk.place else { panic!("no bytes") };
        data
    };
    assert_eq!(data().as_ptr(), data().as_ptr());
    let mut times = 0;
    for _ in 0..2 {
        let place = |at, bytes: &[u8]| {
            times += 1;
            Some(at + bytes.len() as u64)
        };
        let messages: Vec<_> = Arc::clone(&encoded).placed_messages(place).collect();
        let Some(from_coordinator::Message::Chunk(chunk)) = &messages[1].message else { panic!("no chunk") };
        assert_eq!(chunk.place, Some(Place::At(8)));
    }
    assert_eq!(times, 1);
}

proptest! {
    #[test]
    fn any_bytes_decode_or_are_refused_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        use prost::Message;
        if let Ok(message) = wire::FromWorker::decode(&bytes[..]) {
            let _ = WorkerDecoder::new(10, Precision::F32, Buffers::default()).decode(message);
        }
        if let Ok(message) = wire::FromCoordinator::decode(&bytes[..]) {
            let _ = CoordinatorDecoder::default().decode(message);
        }
    }

    #[test]
    fn any_sequence_of_altered_messages_is_survived(flips in proptest::collection::vec((0usize..4000, any::<u8>()), 0..6)) {
        use prost::Message;
        let messages = vec![CoordinatorMessage::Welcome(welcome()), CoordinatorMessage::Piece(piece())];
        let mut decoder = CoordinatorDecoder::default();
        for wire in messages.into_iter().flat_map(outbound::from_coordinator) {
            let mut bytes = wire.encode_to_vec();
            for &(at, value) in &flips {
                let at = at % bytes.len();
                bytes[at] ^= value;
            }
            let Ok(message) = wire::FromCoordinator::decode(&bytes[..]) else { break };
            if decoder.decode(message).is_err() {
                break;
            }
        }
    }
}
