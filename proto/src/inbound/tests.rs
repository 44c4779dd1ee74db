mod guesses;
mod teachers;

use super::*;
use crate::message::{Answer, AnswerBody, CoordinatorMessage, Hello, Piece, Pipe, ReceivedAnswer};
use crate::message::{ReceivedMessage, Spare, Task, Usage, Welcome, WorkerMessage};
use crate::outbound;
use crate::parameters::EncodedParameters;
use crate::setup::{SETUPS_MAX, Setup, Setups};
use crate::values::Buffers;
use crate::wire::chunk::Place;
use crate::wire::from_coordinator;
use common::data::digits::SPEC;
use common::data::normalize::{Channel, Normalization};
use common::data::samples::Samples;
use common::data::spec::DataSpec;
use common::ids::{Incarnation, Instance, ParamsId, Rank, Round, SetupId, Step};
use common::model::architecture::Architecture;
use common::reduce::precision::Precision;
use common::selftest::NumericsDigest;
use common::train::distil::Blend;
use common::train::metrics::{Confusion, Totals};
use common::train::objective::{ClassWeights, Objective};
use common::train::pseudo::Guess;
use guesses::guessed;
use proptest::prelude::*;
use std::sync::Arc;
use teachers::teacher;

fn answer(body: AnswerBody) -> Answer {
    let totals = Totals { samples: 3, correct: 2, loss_sum: 0.1 };
    let node = Node { level: 1, index: 2 };
    Answer {
        incarnation: Incarnation(7),
        setup: SETUP,
        round: Round(9),
        node,
        totals,
        body,
        precision: Precision::F32,
    }
}

const SETUP: SetupId = SetupId(3);

fn setup(data: DataSpec, text: &str) -> Setup {
    let model = Architecture::parse(data, text).unwrap();
    Setup { seed: 9, ..Setup::plain(SETUP, model) }
}

fn samples(spec: DataSpec, n: usize) -> Samples {
    Samples::new(spec, vec![3; n * spec.image_bytes()], vec![1; n]).unwrap()
}

fn piece() -> Piece {
    let tree = Tree::new(7);
    let node = Node { level: 1, index: 1 };
    let leaves = vec![samples(SPEC, 3), samples(SPEC, 1)];
    let parameters = ParamsId(4);
    Piece { round: Round(5), task: Task::Train, step: Step(4), setup: SETUP, parameters, tree, node, leaves }
}

fn welcome() -> Welcome {
    Welcome {
        incarnation: Incarnation(1),
        rank: Rank(0),
        run_id: "run".into(),
        heartbeat_ms: 1000,
        timeout_ms: 5000,
    }
}

/// The setup of a network with `elements` parameters: 10, or 5 more than a multiple of 7.
fn setups(elements: usize) -> Setups {
    let data = DataSpec::new(1, 1, 1, 5).unwrap();
    let setups = Setups::default();
    let text = if elements == 10 {
        "flatten dense".to_owned()
    } else {
        // With a hidden layer of n values: 2n + 5n + 5.
        assert_eq!((elements - 5) % 7, 0, "no such network");
        format!("flatten dense({}) dense", (elements - 5) / 7)
    };
    setups.insert(&setup(data, &text));
    setups
}

fn to_coordinator(message: WorkerMessage, elements: usize) -> Result<Vec<ReceivedMessage>, WireError> {
    let mut decoder = WorkerDecoder::new(setups(elements), Buffers::default());
    outbound::from_worker(message, |_, _| None).filter_map(|m| decoder.decode(m).transpose()).collect()
}

/// The message that a received one was sent as.
fn as_sent(received: ReceivedMessage) -> WorkerMessage {
    match received {
        WorkerMessage::Hello(hello) => WorkerMessage::Hello(hello),
        WorkerMessage::Heartbeat(usage) => WorkerMessage::Heartbeat(usage),
        WorkerMessage::Answer(received) => WorkerMessage::Answer(received.answer),
        WorkerMessage::Leave => WorkerMessage::Leave,
        WorkerMessage::Sharing(step) => WorkerMessage::Sharing(step),
    }
}

fn to_worker(messages: Vec<CoordinatorMessage>) -> Result<Vec<CoordinatorMessage>, WireError> {
    let mut decoder = CoordinatorDecoder::default();
    let wire = messages.into_iter().flat_map(outbound::from_coordinator);
    wire.filter_map(|m| decoder.decode(m).transpose()).collect()
}

#[test]
fn a_workers_messages_arrive_as_they_were_meant() {
    let mut confusion = Confusion::new(5);
    for (label, prediction) in [(1, 1), (2, 2), (3, 4)] {
        confusion.count(label, prediction, 1);
    }
    for message in [
        WorkerMessage::Hello(Hello {
            name: "w".into(),
            instance: Instance(u64::MAX - 1),
            threads: 2,
            numerics: NumericsDigest(u64::MAX),
        }),
        WorkerMessage::Heartbeat(Usage { cpu_us: 7, resident_bytes: u64::MAX }),
        WorkerMessage::Leave,
        WorkerMessage::Sharing(Sharing::Offer { descriptor: 9, token: 1 }),
        WorkerMessage::Sharing(Sharing::Opened),
        WorkerMessage::Sharing(Sharing::Switched),
        WorkerMessage::Answer(answer(AnswerBody::Confusion(Box::new(confusion)))),
        WorkerMessage::Answer(guessed(vec![Guess::new(4, 0.3), Guess::new(0, 1.0), Guess::new(2, 0.0)])),
    ] {
        let received = to_coordinator(message.clone(), 10).unwrap();
        assert_eq!(received.into_iter().map(as_sent).collect::<Vec<_>>(), [message]);
    }
    let values: Vec<f32> = (0..7 * 60_000 + 5).map(|i| i as f32).collect();
    let message = WorkerMessage::Answer(answer(AnswerBody::Gradient(values.clone().into())));
    let back = to_coordinator(message, values.len()).unwrap();
    let [WorkerMessage::Answer(ReceivedAnswer { answer, .. })] = &back[..] else {
        panic!("not an answer: {back:?}");
    };
    assert_eq!(answer.body, AnswerBody::Gradient(values.into()));
}

#[test]
fn the_coordinators_messages_arrive_as_they_were_meant() {
    let setup = setup(SPEC, "mlp(3)");
    let values = vec![0.5; setup.model.layout().len()].into();
    let channel = Channel::new(0.1 + 0.2, 1.0 / 3.0).unwrap();
    let class_weights = ClassWeights::balanced(&[3, 1, 1, 1, 1, 1, 1, 1, 1, 9]);
    let setup = Setup {
        normalization: Normalization::Standard(vec![channel]),
        augment: "rotate(10.1) mixup(0.3)".parse().unwrap(),
        objective: Objective { label_smoothing: 0.1, class_weights },
        rounded_weights: true,
        ..setup
    };
    // More values than a chunk has.
    let teacher = teacher("mlp(40)");
    assert!(teacher.params.len() > crate::tensor::CHUNK_VALUES);
    let blend = Blend { weight: 0.1 + 0.2, temperature: 2.5 };
    let distilled = Setup { teacher: Some((Arc::new(teacher), blend)), ..setup.clone() };
    let messages = vec![
        CoordinatorMessage::Spare(Spare { ahead: 2, heartbeat_ms: 1000, timeout_ms: 5000 }),
        CoordinatorMessage::Welcome(welcome()),
        CoordinatorMessage::Setup(Arc::new(setup)),
        CoordinatorMessage::Setup(Arc::new(distilled)),
        CoordinatorMessage::Parameters { id: ParamsId(4), setup: SETUP, values },
        CoordinatorMessage::Heartbeat,
        CoordinatorMessage::Piece(piece()),
        CoordinatorMessage::Piece(Piece { task: Task::Guess, ..piece() }),
        CoordinatorMessage::Forget(SETUP),
        CoordinatorMessage::Refused { reason: "full".into(), retry: true },
        CoordinatorMessage::Dropped("silent".into()),
        CoordinatorMessage::Finished,
        CoordinatorMessage::Sharing(Sharing::Offer { descriptor: 9, token: 1 }),
        CoordinatorMessage::Sharing(Sharing::Released),
        CoordinatorMessage::Sharing(Sharing::Pipes {
            reads: Pipe { descriptor: 7, inode: u64::MAX },
            writes: Pipe { descriptor: 8, inode: 3 },
        }),
        CoordinatorMessage::Sharing(Sharing::Switched),
    ];
    assert_eq!(to_worker(messages.clone()), Ok(messages));
    let unknown = WireError::Setup(SETUP);
    assert_eq!(to_worker(vec![CoordinatorMessage::Forget(SETUP)]), Err(unknown), "nobody has sent it");
}

#[test]
fn parameters_before_their_setup_or_of_another_size_are_refused() {
    let values = vec![0.0; 5].into();
    let parameters = CoordinatorMessage::Parameters { id: ParamsId(0), setup: SETUP, values };
    assert_eq!(to_worker(vec![parameters.clone()]), Err(WireError::Setup(SETUP)));
    assert_eq!(to_worker(vec![CoordinatorMessage::Piece(piece())]), Err(WireError::Setup(SETUP)));
    let late = to_worker(vec![CoordinatorMessage::Setup(Arc::new(setup(SPEC, "linear"))), parameters]);
    assert!(matches!(late, Err(WireError::Elements { got: 5, .. })));
}

#[test]
fn a_leaf_larger_than_a_message_arrives_whole() {
    let data = DataSpec::new(256, 256, 4, 1000).unwrap();
    let leaves = vec![samples(data, 32), samples(data, 1)];
    let piece = CoordinatorMessage::Piece(Piece { leaves, ..piece() });
    let messages = vec![CoordinatorMessage::Setup(Arc::new(setup(data, "linear"))), piece];
    let largest = messages.iter().cloned().flat_map(outbound::from_coordinator);
    let largest = largest.map(|message| prost::Message::encoded_len(&message)).max();
    assert!(largest <= Some(crate::MESSAGE_BYTES_MAX), "{largest:?}");
    assert_eq!(to_worker(messages.clone()), Ok(messages));
}

#[test]
fn leaves_with_too_many_samples_or_unknown_labels_are_refused() {
    let leaf = |samples: usize, label: u32, more| wire::LeafSamples {
        pixels: vec![0; samples * SPEC.image_bytes()].into(),
        labels: vec![label; samples],
        more,
    };
    let refusal = |parts: Vec<wire::LeafSamples>| {
        let mut decoder = CoordinatorDecoder::default();
        let head = vec![
            CoordinatorMessage::Setup(Arc::new(setup(SPEC, "linear"))),
            CoordinatorMessage::Piece(piece()),
        ];
        let head = head.into_iter().flat_map(outbound::from_coordinator).take(2);
        head.for_each(|message| assert!(matches!(decoder.decode(message), Ok(Some(_) | None))));
        let parts = parts.into_iter().map(from_coordinator::Message::Leaf);
        let mut parts = parts.map(|part| wire::FromCoordinator { message: Some(part) });
        parts.find_map(|part| decoder.decode(part).err()).map(|error| error.to_string())
    };
    assert_eq!(refusal(vec![leaf(2, 9, true), leaf(2, 9, false)]), None);
    for (parts, message) in [
        (vec![leaf(1, 10, false)], "label 10 of sample 0"),
        (vec![leaf(1, 70_000, false)], "a label is 70000"),
        (vec![leaf(1000, 1, true), leaf(25, 1, false)], "samples of a leaf is 1025"),
        (vec![leaf(0, 1, false)], "without samples"),
        (vec![wire::LeafSamples { pixels: vec![0; 5].into(), ..leaf(1, 1, false) }], "need 784 bytes"),
    ] {
        let got = refusal(parts).unwrap_or_default();
        assert!(got.contains(message), "{got}");
    }
}

#[test]
fn a_gradient_of_another_size_or_cut_short_is_refused() {
    let message = WorkerMessage::Answer(answer(AnswerBody::Gradient(vec![1.0; 10].into())));
    assert_eq!(to_coordinator(message.clone(), 12), Err(WireError::Elements { expected: 12, got: 10 }));
    let mut decoder = WorkerDecoder::new(setups(10), Buffers::default());
    let head = outbound::from_worker(message, |_, _| None).next().unwrap();
    assert_eq!(decoder.decode(head.clone()), Ok(None));
    assert!(matches!(decoder.decode(head), Err(WireError::Order { .. })));
}

#[test]
fn numbers_out_of_range_are_refused() {
    let hello = |name: &str, instance, threads| {
        let instance = Instance(instance);
        let numerics = NumericsDigest::default();
        WorkerMessage::Hello(Hello { name: name.into(), instance, threads, numerics })
    };
    assert!(matches!(to_coordinator(hello("w", 1, 0), 10), Err(WireError::Range { field: "threads", .. })));
    assert!(matches!(to_coordinator(hello("w", 0, 1), 10), Err(WireError::Range { field: "instance", .. })));
    assert!(matches!(to_coordinator(hello("", 1, 1), 10), Err(WireError::Name { .. })));
    assert!(matches!(to_coordinator(hello("a\nb", 1, 1), 10), Err(WireError::Name { .. })));
    let other = wire::Hello { protocol_version: 99, ..wire::Hello::default() };
    let other = WorkerDecoder::new(setups(10), Buffers::default())
        .decode(wire::FromWorker { message: Some(wire::from_worker::Message::Hello(other)) });
    assert!(matches!(other, Err(WireError::Version { got: 99, .. })));
    let outside = Piece { node: Node { level: 0, index: 7 }, ..piece() };
    let outside = to_worker(vec![
        CoordinatorMessage::Setup(Arc::new(setup(SPEC, "linear"))),
        CoordinatorMessage::Piece(outside),
    ]);
    assert!(matches!(outside, Err(WireError::Node { leaves: 7, .. })));
    let spare = CoordinatorMessage::Spare(Spare { ahead: 0, heartbeat_ms: 0, timeout_ms: 5000 });
    assert!(matches!(to_worker(vec![spare]), Err(WireError::Range { field: "heartbeat_ms", .. })));
    let counts = answer(AnswerBody::Confusion(Box::new(Confusion::new(5))));
    assert_eq!(to_coordinator(WorkerMessage::Answer(counts), 10), Err(WireError::Counts));
    let mut wrong = Confusion::new(6);
    wrong.count(5, 5, 3);
    let counts = answer(AnswerBody::Confusion(Box::new(wrong)));
    assert!(matches!(to_coordinator(WorkerMessage::Answer(counts), 10), Err(WireError::Confusion(_))));
    let unknown = Answer { setup: SetupId(4), ..answer(AnswerBody::Confusion(Box::new(Confusion::new(5)))) };
    let unknown = to_coordinator(WorkerMessage::Answer(unknown), 10);
    assert_eq!(unknown, Err(WireError::Setup(SetupId(4))));
    let many = Setup { id: SetupId(SETUPS_MAX), ..setup(SPEC, "linear") };
    let many = to_worker(vec![CoordinatorMessage::Setup(Arc::new(many))]);
    assert!(matches!(many, Err(WireError::Range { field: "setup", .. })));
}

#[test]
fn a_normalization_that_is_not_the_samples_is_refused() {
    let received = |mean: &[f64], deviation: &[f64]| {
        let data = DataSpec::new(2, 2, 2, 3).unwrap();
        let sent =
            outbound::from_coordinator(CoordinatorMessage::Setup(Arc::new(setup(data, "linear")))).pop();
        let Some(wire::from_coordinator::Message::Setup(mut setup)) = sent.unwrap().message else {
            panic!("another message");
        };
        let (mean, deviation) = (mean.to_vec(), deviation.to_vec());
        setup.normalization = Some(wire::Normalization { mean, deviation });
        let message = wire::FromCoordinator { message: Some(wire::from_coordinator::Message::Setup(setup)) };
        CoordinatorDecoder::default().decode(message)
    };
    assert!(received(&[0.5, 0.0], &[0.5, 1.0]).is_ok());
    for (mean, deviation) in [(&[][..], &[][..]), (&[0.5], &[0.5, 0.5]), (&[0.5; 3], &[0.5; 3])] {
        let error = received(mean, deviation);
        assert!(matches!(error, Err(WireError::Normalization { channels: 2, .. })), "{error:?}");
    }
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-300, 1.5] {
        assert!(matches!(received(&[0.5; 2], &[0.5, bad]), Err(WireError::Channel(_))), "{bad}");
    }
    for bad in [-0.1, f64::NAN, f64::NEG_INFINITY, 1.1] {
        assert!(matches!(received(&[0.5, bad], &[0.5; 2]), Err(WireError::Channel(_))), "{bad}");
    }
}

#[test]
fn answers_have_one_checksum_only_if_every_number_is_equal() {
    let received = |values: &[f32], loss_sum| {
        let values = [values, &[0.5; 10]].concat();
        let mut sent = answer(AnswerBody::Gradient(values.into()));
        sent.totals.loss_sum = loss_sum;
        match to_coordinator(WorkerMessage::Answer(sent), 12).unwrap().remove(0) {
            WorkerMessage::Answer(answer) => answer.checksum(),
            other => panic!("{other:?}"),
        }
    };
    let reference = received(&[1.0, 2.0], 0.5);
    assert_eq!(reference, received(&[1.0, 2.0], 0.5));
    assert_ne!(reference, received(&[1.0, f32::from_bits(2.0f32.to_bits() ^ 1)], 0.5));
    assert_ne!(reference, received(&[1.0, 2.0], f64::from_bits(0.5f64.to_bits() ^ 1)));
    let mut counts = [Confusion::new(5), Confusion::new(5)];
    counts[0].count(1, 2, 1);
    counts[1].count(1, 3, 1);
    let [one, other] = counts.map(|counts| {
        let answer = answer(AnswerBody::Confusion(Box::new(counts)));
        ReceivedAnswer { answer, inspection: None }.checksum()
    });
    assert_ne!(one, other);
}

#[test]
fn parameters_are_encoded_once_and_shared() {
    let encoded = Arc::new(EncodedParameters::new(ParamsId(3), SETUP, Arc::new(vec![1.0, 2.0])));
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
            let _ = WorkerDecoder::new(setups(10), Buffers::default()).decode(message);
        }
        if let Ok(message) = wire::FromCoordinator::decode(&bytes[..]) {
            let _ = CoordinatorDecoder::default().decode(message);
        }
    }

    #[test]
    fn any_sequence_of_altered_messages_is_survived(flips in proptest::collection::vec((0usize..4000, any::<u8>()), 0..6)) {
        use prost::Message;
        let setup = CoordinatorMessage::Setup(Arc::new(setup(SPEC, "mlp(3)")));
        let messages = vec![CoordinatorMessage::Welcome(welcome()), setup, CoordinatorMessage::Piece(piece())];
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
