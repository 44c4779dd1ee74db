//! Entry points for bytes from peers, files and flags, each as one function of any bytes.
//!
//! Each returns whether the bytes were accepted. Its promise is that it returns at all: no panic, no hang, no
//! allocation beyond what the format allows. [`seeds`] has valid bytes for each. The property tests and the
//! fuzz targets, which include this file, are two ways of finding bytes to try.

use crate::tables;
use common::checkpoint::{Checkpoint, Manifest, Position, Versioned};
use common::data::digits::{PIXELS, SPEC};
use common::data::idx;
use common::data::samples::Samples;
use common::data::spec::DataSpec;
use common::ids::{Epoch, Incarnation, Instance, ParamsId, Rank, Round, SetupId, Step};
use common::model::architecture::Architecture;
use common::model::params::Layout;
use common::reduce::precision::Precision;
use common::reduce::tree::{Node, Tree};
use common::selftest::{NumericsDigest, PROMISED};
use common::train::metrics::Totals;
use common::train::objective::{ClassWeights, Objective};
use common::train::pseudo::Guess;
use coordinator::dataset::{self, DatasetChoice, Emnist, ImageSize, Named, PictureOptions};
use coordinator::first_values::FirstValues;
use coordinator::observe::console::Console;
use coordinator::training_flags::TrainingFlags;
use prost::Message;
use proto::inbound::{CoordinatorDecoder, WorkerDecoder};
use proto::message::{
    Answer, AnswerBody, CoordinatorMessage, Hello, Piece, Sharing, Task, Welcome, WorkerMessage,
};
use proto::outbound;
use proto::parameters::EncodedParameters;
use proto::setup::{Setup, Setups};
use proto::values::{Buffers, Values};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

/// A function that parses bytes and returns whether they are accepted.
pub type EntryPoint = fn(&[u8]) -> bool;

/// All entry points, by name.
pub const ENTRY_POINTS: [(&str, EntryPoint); 15] = [
    ("worker_wire", worker_wire),
    ("coordinator_wire", coordinator_wire),
    ("idx", idx),
    ("dataset", dataset),
    ("emnist", emnist),
    ("qmnist", qmnist),
    ("csv", csv),
    ("npz", npz),
    ("picture", picture),
    ("checkpoint", checkpoint),
    ("config", config),
    ("architecture", architecture),
    ("safetensors", safetensors),
    ("pytorch", pytorch),
    ("keras", keras),
];

/// Network of the files in `tests/it/first_values`.
const LAYERS: &str = "conv(3,3) batchnorm relu maxpool(2) conv(4,2,bias=false) relu flatten batchnorm dense(4) relu layernorm dense";
/// Images for that network.
const OF_FIRST_VALUES: DataSpec = match DataSpec::new(8, 7, 3, 3) {
    Ok(spec) => spec,
    Err(_) => panic!("sizes in range"),
};

/// The smallest possible model.
fn setup() -> Setup {
    let model = Architecture::parse(SPEC, "mlp(1)").expect("a network that fits the digits");
    Setup::plain(SetupId(0), model)
}

fn layout() -> Layout {
    setup().model.layout().clone()
}

/// A worker's messages, each after its length.
#[must_use]
pub fn worker_wire(mut bytes: &[u8]) -> bool {
    let setups = Setups::default();
    setups.insert(&setup());
    let mut decoder = WorkerDecoder::new(setups, Buffers::default());
    while !bytes.is_empty() {
        let Ok(message) = proto::wire::FromWorker::decode_length_delimited(&mut bytes) else { return false };
        if decoder.decode(message).is_err() {
            return false;
        }
    }
    true
}

/// A coordinator's messages, each after its length.
#[must_use]
pub fn coordinator_wire(mut bytes: &[u8]) -> bool {
    let mut decoder = CoordinatorDecoder::default();
    while !bytes.is_empty() {
        let message = proto::wire::FromCoordinator::decode_length_delimited(&mut bytes);
        let Ok(message) = message else { return false };
        if decoder.decode(message).is_err() {
            return false;
        }
    }
    true
}

/// Images and labels in IDX; the first four bytes are the length of the images.
#[must_use]
pub fn idx(bytes: &[u8]) -> bool {
    let [images, labels] = cut(bytes);
    let Ok(labels) = idx::labels(labels) else { return false };
    idx::parse(images.to_vec(), labels, SPEC.classes()).is_ok()
}

/// A folder of four files, plain or in gzip, of which two pairs are equal.
#[must_use]
pub fn dataset(bytes: &[u8]) -> bool {
    let Ok(folder) = tempfile::tempdir() else { return false };
    let [images, labels] = cut(bytes);
    for half in ["train", "t10k"] {
        let write = |name, bytes| std::fs::write(folder.path().join(format!("{half}-{name}-ubyte")), bytes);
        if write("images-idx3", images).and_then(|()| write("labels-idx1", labels)).is_err() {
            return false;
        }
    }
    let choice = DatasetChoice::Folder(folder.path().to_owned());
    dataset::load(&choice, None, &Console::silent()).is_ok()
}

/// The files of EMNIST's letters, of which two pairs are equal.
#[must_use]
pub fn emnist(bytes: &[u8]) -> bool {
    let files = |half: &str| {
        [("images", "idx3"), ("labels", "idx1")]
            .map(|(kind, idx)| format!("emnist-letters-{half}-{kind}-{idx}-ubyte"))
    };
    named(bytes, Named::Emnist(Emnist::Letters), files)
}

/// The files of QMNIST, of which two pairs are equal.
#[must_use]
pub fn qmnist(bytes: &[u8]) -> bool {
    let files = |half: &str| {
        [("images", "idx3-ubyte"), ("labels", "idx2-int")]
            .map(|(kind, idx)| format!("qmnist-{half}-{kind}-{idx}"))
    };
    named(bytes, Named::Qmnist, files)
}

/// Whether images and labels in these files are that data set.
fn named(bytes: &[u8], named: Named, files: impl Fn(&str) -> [String; 2]) -> bool {
    let Ok(folder) = tempfile::tempdir() else { return false };
    let parts = cut(bytes);
    for half in ["train", "test"] {
        for (name, content) in files(half).into_iter().zip(parts) {
            if std::fs::write(folder.path().join(name), content).is_err() {
                return false;
            }
        }
    }
    dataset::load(&DatasetChoice::Named(named), Some(folder.path()), &Console::silent()).is_ok()
}

/// A table in CSV, plain or in gzip, of which a part is the test.
#[must_use]
pub fn csv(bytes: &[u8]) -> bool {
    loads("train.csv", bytes, DatasetChoice::Kaggle)
}

/// A zip file of NumPy's arrays.
#[must_use]
pub fn npz(bytes: &[u8]) -> bool {
    loads("data.npz", bytes, DatasetChoice::Npz)
}

/// Whether a file of that name and content is a data set.
fn loads(name: &str, bytes: &[u8], choice: fn(PathBuf) -> DatasetChoice) -> bool {
    let Ok(folder) = tempfile::tempdir() else { return false };
    let path = folder.path().join(name);
    if std::fs::write(&path, bytes).is_err() {
        return false;
    }
    dataset::load(&choice(path), None, &Console::silent()).is_ok()
}

/// A folder of pictures in two classes, which all have this content.
#[must_use]
pub fn picture(bytes: &[u8]) -> bool {
    let Ok(folder) = tempfile::tempdir() else { return false };
    for path in ["a/1.jpg", "a/2.jpg", "b/1.jpg"].map(|name| folder.path().join(name)) {
        let class = path.parent().unwrap_or(folder.path());
        if std::fs::create_dir_all(class).and_then(|()| std::fs::write(&path, bytes)).is_err() {
            return false;
        }
    }
    let size = Some(ImageSize { height: 8, width: 9 });
    let options = PictureOptions { size, ..PictureOptions::default() };
    let choice = DatasetChoice::in_folder(folder.path(), options);
    dataset::load(&choice, None, &Console::silent()).is_ok()
}

/// A manifest, and one file for all tensor files.
#[must_use]
pub fn checkpoint(bytes: &[u8]) -> bool {
    let [manifest, tensors] = cut(bytes);
    let Ok(manifest) = Manifest::parse(manifest) else { return false };
    let more = manifest.more_files().map(|file| (file, tensors.to_vec())).collect();
    let verified = manifest.verify(tensors.to_vec(), tensors.to_vec(), more);
    verified.is_ok_and(|verified| verified.decode(&layout(), &[""]).is_ok())
}

/// A TOML file of flags.
#[must_use]
pub fn config(bytes: &[u8]) -> bool {
    let Ok(file) = tempfile::NamedTempFile::new() else { return false };
    if std::fs::write(file.path(), bytes).is_err() {
        return false;
    }
    let args: [OsString; 3] = ["coordinator".into(), "--config".into(), file.path().into()];
    let flags = host::args::try_parse::<coordinator::cli::Flags>(args.to_vec());
    flags.is_ok_and(|flags| flags.options().is_ok())
}

/// The text of a network.
#[must_use]
pub fn architecture(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    Architecture::parse(SPEC, text).is_ok()
}

/// First values in safetensors.
#[must_use]
pub fn safetensors(bytes: &[u8]) -> bool {
    begins("first.safetensors", bytes)
}

/// First values in a file of PyTorch's.
#[must_use]
pub fn pytorch(bytes: &[u8]) -> bool {
    begins("first.pth", bytes)
}

/// First values in a file of Keras's.
#[must_use]
pub fn keras(bytes: &[u8]) -> bool {
    begins("first.weights.h5", bytes)
}

/// Whether a file of that name and content has the first values of a network.
fn begins(name: &str, bytes: &[u8]) -> bool {
    let Ok(folder) = tempfile::tempdir() else { return false };
    let path = folder.path().join(name);
    if std::fs::write(&path, bytes).is_err() {
        return false;
    }
    let mut flags = TrainingFlags { model: LAYERS.parse().ok(), ..TrainingFlags::default() };
    flags.transfer.init_from = Some(path);
    let Ok(training) = flags.resolve(None) else { return false };
    FirstValues::of(&flags.transfer, &training, OF_FIRST_VALUES).is_ok()
}

/// Cuts bytes into two parts; the first four bytes are the length of the first part.
fn cut(bytes: &[u8]) -> [&[u8]; 2] {
    let Some((length, rest)) = bytes.split_first_chunk() else { return [bytes, &[]] };
    let length = (u32::from_le_bytes(*length) as usize).min(rest.len());
    let (first, second) = rest.split_at(length);
    [first, second]
}

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
            include_bytes!("../../coordinator/src/dataset/pictures/noise.jpg").to_vec(),
            include_bytes!("../../coordinator/src/dataset/pictures/noise.png").to_vec(),
            include_bytes!("../../coordinator/src/dataset/pictures/noise.webp").to_vec(),
        ],
        "checkpoint" => vec![checkpoint_seed()],
        "config" => {
            vec![b"batch-size = 64\nhidden = [3, 4]\nmodel = \"mlp\"\nlocal = true\nlr = 1e-3\n".to_vec()]
        }
        "architecture" => vec![
            b"conv(2,3) relu maxpool(2) gelu layernorm flatten dense(3) relu dense".to_vec(),
            b"mlp(5,6)".to_vec(),
        ],
        "safetensors" => vec![include_bytes!("../it/first_values/half.safetensors").to_vec()],
        "pytorch" => vec![include_bytes!("../it/first_values/torch.pth").to_vec()],
        "keras" => vec![include_bytes!("../it/first_values/keras.weights.h5").to_vec()],
        other => panic!("there is no entry point {other}"),
    }
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
        WorkerMessage::Heartbeat,
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
    let setup = Setup { normalization, augment, objective, ..setup() };
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
