//! What tensors cost between memory and messages, on one core: no socket, no HTTP/2.
//!
//! `cargo bench --workspace --bench encoding`, on the programs' allocator. Throughput is in bytes of the tensor.
//! `answer, there and back` makes a gradient's messages and reads them again, as worker and coordinator do, with all
//! checks; `as bytes` also writes each message as protobuf and parses that. What was read is what is sent next, so
//! buffers are in use as in a run.

use common::ids::{Incarnation, Rank, Round};
use common::model::ModelSpec;
use common::reduce::precision::Precision;
use common::reduce::tree::Node;
use common::rng::Stream;
use common::train::metrics::Totals;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use prost::Message;
use proto::inbound::{CoordinatorDecoder, WorkerDecoder};
use proto::message::{Answer, AnswerBody, CoordinatorMessage, Inspection, Welcome, WorkerMessage};
use proto::outbound;
use proto::parameters::EncodedParameters;
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
fn models() -> [ModelSpec; 3] {
    let mlp = |hidden: &[usize]| ModelSpec::Mlp { hidden: hidden.to_vec() };
    [ModelSpec::Cnn, mlp(&[1319]), mlp(&[4618, 4618])]
}

fn parameters(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parameters");
    for model in models() {
        let values = Arc::new(values(model.layout().len()));
        group.throughput(Throughput::Bytes(values.len() as u64 * 4));
        group.bench_function(BenchmarkId::new("encode", values.len()), |b| {
            b.iter(|| {
                Arc::new(EncodedParameters::new(1, Arc::clone(&values)))
                    .messages()
                    .for_each(|m| drop(black_box(m)))
            });
        });
        let encoded = Arc::new(EncodedParameters::new(1, Arc::clone(&values)));
        let mut decoder = CoordinatorDecoder::default();
        for wire in outbound::from_coordinator(CoordinatorMessage::Welcome(welcome(&model))) {
            decoder.decode(wire).expect("our own welcome");
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
    for model in models() {
        let elements = model.layout().len();
        let values = values(elements);
        let mut answer = answer(values.clone());
        group.throughput(Throughput::Bytes(elements as u64 * 4));
        let mut decoder = WorkerDecoder::new(elements, Precision::F32, Buffers::default());
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

/// Sends `answer` and puts what was read in its place.
fn send(answer: &mut Answer, decoder: &mut WorkerDecoder, carry: impl Fn(FromWorker) -> FromWorker) {
    let body = std::mem::replace(&mut answer.body, AnswerBody::Gradient(Vec::new().into()));
    let sent = Answer { body, ..answer.clone() };
    for wire in outbound::from_worker(WorkerMessage::Answer(sent), |_, _| None) {
        if let Some(WorkerMessage::Answer(read)) = decoder.decode(carry(wire)).expect("our own answer") {
            *answer = read;
        }
    }
}

fn answer(gradient: Vec<f32>) -> Answer {
    Answer {
        incarnation: Incarnation(1),
        round: Round(1),
        node: Node::leaf(0),
        totals: Totals { samples: 32, correct: 3, loss_sum: 70.0 },
        body: AnswerBody::Gradient(gradient.into()),
        precision: Precision::F32,
        inspection: Inspection::default(),
    }
}

fn welcome(model: &ModelSpec) -> Welcome {
    Welcome {
        incarnation: Incarnation(1),
        rank: Rank(0),
        run_id: "bench".to_owned(),
        heartbeat_ms: 1000,
        timeout_ms: 5000,
        model: model.clone(),
        precision: Precision::F32,
    }
}

/// In `[-1, 1)`.
fn values(size: usize) -> Vec<f32> {
    let mut stream = Stream::new(1, "encoding bench", &[]);
    (0..size).map(|_| stream.between(-1.0, 1.0)).collect()
}
