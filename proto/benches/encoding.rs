//! Cost of tensors between memory and messages, on one core, without sockets and HTTP/2.
//!
//! `cargo bench --workspace --bench encoding`, on the programs' allocator. Throughput is in bytes of the
//! tensor. `answer, there and back` makes a gradient's messages and reads them again with all checks, as
//! worker and coordinator do. `as bytes` also writes each message as protobuf and parses it. The result of
//! each read is sent next, so buffers are in use as in a run.

use common::data::digits::SPEC;
use common::ids::{Incarnation, ParamsId, Round, SetupId};
use common::model::architecture::Architecture;
use common::reduce::precision::Precision;
use common::reduce::tree::Node;
use common::rng::Stream;
use common::train::metrics::Totals;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use prost::Message;
use proto::inbound::{CoordinatorDecoder, WorkerDecoder};
use proto::message::{Answer, AnswerBody, CoordinatorMessage, WorkerMessage};
use proto::outbound;
use proto::parameters::EncodedParameters;
use proto::setup::{Setup, Setups};
use proto::values::Buffers;
use proto::wire::FromWorker;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

criterion_group! {
    name = encoding;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500));
    targets = parameters, answers
}
criterion_main!(encoding);

/// Models of 93,322, 1,048,615 and 25,001,862 parameters.
fn setups() -> [Setup; 3] {
    ["cnn", "mlp(1319)", "mlp(4618,4618)"].map(|text| {
        let model = Architecture::parse(SPEC, text).expect("a network that fits the digits");
        Setup::plain(SetupId(0), model)
    })
}

fn parameters(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parameters");
    for setup in setups() {
        let values = Arc::new(values(setup.model.layout().len()));
        group.throughput(Throughput::Bytes(values.len() as u64 * 4));
        group.bench_function(BenchmarkId::new("encode", values.len()), |b| {
            b.iter(|| {
                Arc::new(EncodedParameters::new(ParamsId(1), setup.id, Arc::clone(&values)))
                    .messages()
                    .for_each(|m| drop(black_box(m)))
            });
        });
        let encoded = Arc::new(EncodedParameters::new(ParamsId(1), setup.id, Arc::clone(&values)));
        let mut decoder = CoordinatorDecoder::default();
        for wire in outbound::from_coordinator(CoordinatorMessage::Setup(Arc::new(setup.clone()))) {
            decoder.decode(wire).expect("our own setup");
        }
        let mut decode = || {
            let messages = Arc::clone(&encoded).messages();
            let mut read = messages.filter_map(|wire| decoder.decode(wire).expect("our own parameters"));
            read.next().expect("a whole tensor")
        };
        group.bench_function(BenchmarkId::new("decode", values.len()), |b| b.iter(&mut decode));
        assert!(matches!(decode(), CoordinatorMessage::Parameters { values: read, .. } if *read == **values));
    }
    group.finish();
}

fn answers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("answer, there and back");
    for setup in setups() {
        let elements = setup.model.layout().len();
        let values = values(elements);
        let mut answer = answer(values.clone());
        group.throughput(Throughput::Bytes(elements as u64 * 4));
        let setups = Setups::default();
        setups.insert(&setup);
        let mut decoder = WorkerDecoder::new(setups, Buffers::default());
        group.bench_function(BenchmarkId::new("as messages", elements), |b| {
            b.iter(|| send(&mut answer, &mut decoder, |wire| wire));
        });
        group.bench_function(BenchmarkId::new("as bytes", elements), |b| {
            b.iter(|| {
                send(&mut answer, &mut decoder, |wire| {
                    let bytes = bytes::Bytes::from(wire.encode_to_vec());
                    FromWorker::decode(bytes).expect("our own message")
                });
            });
        });
        assert!(matches!(&answer.body, AnswerBody::Gradient(read) if **read == *values), "it has changed");
    }
    group.finish();
}

/// Sends `answer` and puts the received one in its place.
fn send(answer: &mut Answer, decoder: &mut WorkerDecoder, carry: impl Fn(FromWorker) -> FromWorker) {
    let body = std::mem::replace(&mut answer.body, AnswerBody::Gradient(Vec::new().into()));
    let sent = Answer { body, ..answer.clone() };
    for wire in outbound::from_worker(WorkerMessage::Answer(sent), |_, _| None) {
        if let Some(WorkerMessage::Answer(read)) = decoder.decode(carry(wire)).expect("our own answer") {
            *answer = read.answer;
        }
    }
}

fn answer(gradient: Vec<f32>) -> Answer {
    Answer {
        incarnation: Incarnation(1),
        setup: SetupId(0),
        round: Round(1),
        node: Node::leaf(0),
        totals: Totals { samples: 32, correct: 3, loss_sum: 70.0 },
        body: AnswerBody::Gradient(gradient.into()),
        precision: Precision::F32,
    }
}

/// Random values in `[-1, 1)`.
fn values(size: usize) -> Vec<f32> {
    let mut stream = Stream::new(1, "encoding bench", &[]);
    (0..size).map(|_| stream.between(-1.0, 1.0)).collect()
}
