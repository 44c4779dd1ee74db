//! Entry points for bytes from peers, files and flags, each as one function of any bytes.
//!
//! Each returns whether the bytes were accepted. Its promise is that it returns at all: no panic, no hang, no
//! allocation beyond what the format allows. [`seeds`] has valid bytes for each. The property tests and the
//! fuzz targets, which include this file, are two ways of finding bytes to try.

// A fuzz target has this file from elsewhere, so the path is named.
#[path = "hostile/seeds.rs"]
mod seeds;

pub use seeds::seeds;

use common::checkpoint::Manifest;
use common::data::digits::SPEC;
use common::data::idx;
use common::data::spec::DataSpec;
use common::ids::SetupId;
use common::model::architecture::Architecture;
use common::model::params::Layout;
use coordinator::dataset::{self, DatasetChoice, Emnist, ImageSize, Named, PictureOptions};
use coordinator::first_values::FirstValues;
use coordinator::observe::console::Console;
use coordinator::record::report::{Mistakes, page};
use coordinator::record::{card, read};
use coordinator::run_folder::{EVENTS_FILE, METRICS_FILE};
use coordinator::training_flags::TrainingFlags;
use prost::Message;
use proto::inbound::{CoordinatorDecoder, WorkerDecoder};
use proto::setup::{Setup, Setups};
use proto::values::Buffers;
use std::ffi::OsString;
use std::path::PathBuf;

/// A function that parses bytes and returns whether they are accepted.
pub type EntryPoint = fn(&[u8]) -> bool;

/// All entry points, by name.
pub const ENTRY_POINTS: [(&str, EntryPoint); 18] = [
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
    ("run_folder", run_folder),
    ("token", token),
    ("certificate", certificate),
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

/// The text of a token.
#[must_use]
pub fn token(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| text.parse::<trust::token::Token>().is_ok())
}

/// The certificate in which a peer presents its key.
#[must_use]
pub fn certificate(bytes: &[u8]) -> bool {
    trust::certificate::pin_in(&bytes.into()).is_ok()
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

/// The metrics and the events of a run, read and drawn. Accepted where nothing in them had to be passed over.
#[must_use]
pub fn run_folder(bytes: &[u8]) -> bool {
    let Ok(folder) = tempfile::tempdir() else { return false };
    for (name, content) in [METRICS_FILE, EVENTS_FILE].into_iter().zip(cut(bytes)) {
        if std::fs::write(folder.path().join(name), content).is_err() {
            return false;
        }
    }
    let Ok(run) = read(folder.path()) else { return false };
    let drawn = page(&run, &Mistakes::Absent(String::new())) + &card::card(&run);
    run.problems.told.is_empty() && !drawn.contains("<script")
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
///
/// # Panics
/// When a network that is taken does not say itself again.
#[must_use]
pub fn architecture(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(network) = Architecture::parse(SPEC, text) else { return false };
    let again = network.to_string();
    assert!(Architecture::parse(SPEC, &again).is_ok_and(|other| other == network), "{again}");
    true
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
