//! Valid bytes for each entry point, from which others are made.

use super::{layout, setup};
use crate::tables;
use common::checkpoint::{Checkpoint, Position, Versioned};
use common::data::digits::{PIXELS, SPEC};
use common::data::idx;
use common::data::normalize::Normalization;
use common::data::samples::Samples;
use common::data::spec::DataSpec;
use common::ids::{Epoch, Incarnation, Instance, ParamsId, Rank, Round, SetupId, Step};
use common::reduce::precision::Precision;
use common::reduce::tree::{Node, Tree};
use common::selftest::{NumericsDigest, PROMISED};
use common::train::distil::{Blend, Teacher};
use common::train::metrics::Totals;
use common::train::objective::{ClassWeights, Objective};
use common::train::pseudo::Guess;
use prost::Message;
use proto::message::{
    Answer, AnswerBody, CoordinatorMessage, Hello, Piece, Sharing, Task, Usage, Welcome, WorkerMessage,
};
use proto::outbound;
use proto::parameters::EncodedParameters;
use proto::setup::Setup;
use proto::values::Values;
use std::sync::Arc;

/// Joins two parts for [`cut`].
fn joined(first: &[u8], second: &[u8]) -> Vec<u8> {
    [&(first.len() as u32).to_le_bytes(), first, second].concat()
}

/// Valid bytes for the entry point of this name.
///
/// # Panics
/// When there is no such entry point.
#[must_use]
pub fn seeds(entry_point: &str) -> Vec<Vec<u8>> {
    match entry_point {
        "worker_wire" => vec![worker_seed()],
        "coordinator_wire" => vec![coordinator_seed()],
        "idx" | "dataset" => {
            let (images, labels) = idx::encode(&samples(3));
            vec![joined(&images, &labels)]
        }
        "emnist" => {
            let (images, labels) = idx::encode(&samples(3));
            vec![joined(&images, &labels)]
        }
        "qmnist" => {
            let (images, _) = idx::encode(&samples(3));
            // Two sizes; then rows of eight numbers, of which the first is the label.
            let rows = [0x0c02, 3, 8].into_iter().chain((0..24).map(|at| at % 8 + 3));
            vec![joined(&images, &rows.flat_map(u32::to_be_bytes).collect::<Vec<u8>>())]
        }
        "csv" => [false, true].map(|header| tables::csv(&small(12), header).into_bytes()).into(),
        "npz" => vec![tables::npz(&small(3), &small(2))],
        "picture" => vec![
            include_bytes!("../../../coordinator/src/dataset/pictures/noise.jpg").to_vec(),
            include_bytes!("../../../coordinator/src/dataset/pictures/noise.png").to_vec(),
            include_bytes!("../../../coordinator/src/dataset/pictures/noise.webp").to_vec(),
        ],
        "checkpoint" => vec![checkpoint_seed()],
        "config" => {
            vec![b"batch-size = 64\nhidden = [3, 4]\nmodel = \"mlp\"\nlocal = true\nlr = 1e-3\n".to_vec()]
        }
        "architecture" => vec![
            b"conv(2,3) relu maxpool(2) gelu layernorm flatten dense(3) relu dense".to_vec(),
            b"mlp(5,6)".to_vec(),
        ],
        "safetensors" => vec![include_bytes!("../../it/first_values/half.safetensors").to_vec()],
        "pytorch" => vec![include_bytes!("../../it/first_values/torch.pth").to_vec()],
        "keras" => vec![include_bytes!("../../it/first_values/keras.weights.h5").to_vec()],
        "run_folder" => vec![run_folder_seed()],
        "token" => vec![TOKEN.as_bytes().to_vec()],
        "certificate" => vec![certificate_seed()],
        other => panic!("there is no entry point {other}"),
    }
}

/// A pin of 32 times 7, and a secret of 32 times 9.
const TOKEN: &str = "ls1_a4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4dqscijbeeqscijbeeqscijbeeqscijbeeqscijbeeqscijbeeqsckjiq";

/// A certificate with a worker's key.
fn certificate_seed() -> Vec<u8> {
    let key = TOKEN.parse().map(|token| trust::key::PrivateKey::of_worker(&token));
    let key = key.expect("a token").expect("a key");
    let certificate = trust::certificate::containing(&key, Vec::new());
    certificate.expect("a certificate").to_vec()
}

/// A run of one step, whose worker was dropped.
fn run_folder_seed() -> Vec<u8> {
    let run = r#""step":0,"run_id":"1","fingerprint":"1","config":{"lr":"0.1","model":"mlp(1)"},"steps_total":1,
        "steps_per_epoch":1,"epochs":1,"parameters":1,"train_samples":8,"validation_samples":2"#;
    let run = run.replace("\n", "");
    let evaluation = r#""step":0,"epoch":0,"loss":0.5,"accuracy":0.5,"confusion":[[1,0],[1,0]]"#;
    let metrics = [
        format!(r#"{{"kind":"run","event":"start",{run}}}"#),
        r#"{"kind":"step","step":0,"loss":null,"accuracy":1,"train_seconds":1.5,"workers":1,"time":1.7e9}"#
            .to_owned(),
        format!(r#"{{"kind":"validation",{evaluation},"best":true}}"#),
        format!(r#"{{"kind":"test",{evaluation}}}"#),
    ];
    let worker = r#""worker":"a","rank":0,"incarnation":1,"step":0,"workers":1"#;
    let events = [
        format!(r#"{{"time":1.7e9,"event":"run_started",{run}}}"#),
        format!(r#"{{"time":1.7e9,"event":"worker_joined",{worker}}}"#),
        format!(
            r#"{{"time":1.7e9,"event":"worker_dropped","cause":{{"gone":"closed"}},"pieces":[],"has_helped":true,{worker}}}"#
        ),
    ];
    let [metrics, events] = [&metrics[..], &events[..]].map(|lines| lines.join("\n") + "\n");
    joined(metrics.as_bytes(), events.as_bytes())
}

fn samples(count: usize) -> Samples {
    Samples::new(SPEC, vec![7; count * PIXELS], vec![3; count]).expect("as many images as labels")
}

/// Samples of few bytes, in two classes.
fn small(count: usize) -> Samples {
    let spec = DataSpec::new(2, 2, 1, 2).expect("sizes in range");
    let labels = (0..count).map(|index| (index % 2) as u16).collect();
    Samples::new(spec, vec![7; 4 * count], labels).expect("as many images as labels")
}

fn values() -> Values {
    Values::from((0..layout().len()).map(|i| i as f32).collect::<Vec<f32>>())
}

fn worker_seed() -> Vec<u8> {
    let answer = Answer {
        incarnation: Incarnation(5),
        setup: SetupId(0),
        round: Round(3),
        node: Node { level: 1, index: 0 },
        totals: Totals { samples: 3, correct: 2, loss_sum: 0.5 },
        body: AnswerBody::Gradient(values()),
        precision: Precision::F32,
    };
    let guesses = vec![Guess::new(9, 0.5), Guess::new(0, 1.0), Guess::default()];
    let totals = Totals { correct: 0, ..answer.totals };
    let guessed = Answer { totals, body: AnswerBody::Guesses(guesses), ..answer.clone() };
    let said = [
        WorkerMessage::Hello(Hello {
            name: "w".to_owned(),
            instance: Instance(9),
            threads: 2,
            numerics: PROMISED,
        }),
        WorkerMessage::Sharing(Sharing::Offer { descriptor: 3, token: 1 }),
        WorkerMessage::Heartbeat(Usage::default()),
        WorkerMessage::Answer(answer),
        WorkerMessage::Answer(guessed),
        WorkerMessage::Leave,
    ];
    said.into_iter()
        .flat_map(|message| outbound::from_worker(message, |_, _| None))
        .flat_map(|m| m.encode_length_delimited_to_vec())
        .collect()
}

fn coordinator_seed() -> Vec<u8> {
    let welcome = Welcome {
        incarnation: Incarnation(5),
        rank: Rank(0),
        run_id: "run".to_owned(),
        heartbeat_ms: 1000,
        timeout_ms: 5000,
    };
    let piece = Piece {
        round: Round(3),
        step: Step(3),
        task: Task::Train,
        setup: SetupId(0),
        parameters: ParamsId(4),
        tree: Tree::new(3),
        node: Node { level: 1, index: 0 },
        leaves: vec![samples(2), samples(1)],
    };
    let parameters =
        Arc::new(EncodedParameters::new(ParamsId(4), SetupId(0), Arc::new(values().to_vec()))).messages();
    let normalization = "standard(mean=0.5,deviation=0.25)".parse().expect("a channel");
    let augment = "digits erase(0.5,0.2)".parse().expect("a preset and a word");
    let objective = Objective { label_smoothing: 0.1, class_weights: ClassWeights::balanced(&[1; 10]) };
    let setup = Setup { normalization, augment, objective, rounded_weights: true, ..setup() };
    let architecture = setup.model.clone();
    let params = vec![0.5; architecture.layout().len()];
    let teacher = Teacher { architecture, params, normalization: Normalization::Unit };
    let setup = Setup { teacher: Some((Arc::new(teacher), Blend::default())), ..setup };
    let first = [CoordinatorMessage::Welcome(welcome), CoordinatorMessage::Setup(Arc::new(setup))];
    let said = first.into_iter().flat_map(outbound::from_coordinator);
    let said = said.chain(parameters).chain(outbound::from_coordinator(CoordinatorMessage::Piece(piece)));
    said.flat_map(|message| message.encode_length_delimited_to_vec()).collect()
}

fn checkpoint_seed() -> Vec<u8> {
    let position = Position {
        step: Step(4),
        epoch: Epoch(1),
        step_in_epoch: 2,
        train: Totals::default(),
        validation: None,
        averaged_validation: None,
        best: None,
        plateau: None,
    };
    let config = [("seed".to_owned(), "1".to_owned())].into();
    let numerics = Some(NumericsDigest(3));
    let params = values().to_vec();
    let slots = vec![(String::new(), values().to_vec())];
    let more = Versioned::default();
    let checkpoint = Checkpoint { position, config, numerics, params, more, labels: None, slots };
    let files = checkpoint.encode(&layout()).files;
    joined(&files[2].1, &files[0].1)
}
