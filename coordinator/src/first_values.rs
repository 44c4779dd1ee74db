//! First values of a run that come from elsewhere: a checkpoint, or a file of another program.
//!
//! 1. A reader says which tensors there are, by name and shape, before any number is read. They must be the
//!    network's, all of them; `common::model::offered` says what that means.
//! 2. Only then the numbers are read, one tensor at a time, each as large as the network's. So memory is
//!    bounded by the network, whatever a file claims.
//! 3. Numbers of other types are rounded to f32, which is said. Those that are not finite are refused.
//!
//! `checkpoint`, `safetensors`, `pytorch` and `keras` are the readers; `pickle` is the format in a file of
//! PyTorch's, and `strided` puts numbers into the network's order.

mod checkpoint;
mod keras;
mod pickle;
mod pytorch;
mod safetensors;
mod strided;

pub use keras::{KerasError, KerasLayer};
pub use pickle::PickleError;
pub use pytorch::PytorchError;
pub use safetensors::SafetensorsError;

use crate::RunError;
use crate::store::StoreError;
use crate::training_flags::TransferFlags;
use common::data::spec::DataSpec;
use common::model::architecture::Architecture;
use common::model::element::Element;
use common::model::offered::{Misfit, Offered, assign};
use common::train::config::{ConfigError, TrainingConfig};
use common::train::init_from::{InitFrom, chosen};
use common::train::patterns::Patterns;
use host::files::FileError;
use host::printable;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Last part of the name of a counter in PyTorch's batch norm, which changes nothing there with its usual
/// momentum, and is not there with us.
const COUNTER: &str = ".num_batches_tracked";

/// The values that a run begins with, and what a person should know of them.
#[derive(Clone, Debug)]
pub struct FirstValues {
    /// One for each parameter, in layout order.
    pub values: Vec<f32>,
    /// Identity of the values, for the fingerprint of the run.
    pub init_from: InitFrom,
    /// What was left out, rounded or drawn.
    pub said: Vec<String>,
}

/// Why first values can't be had.
#[derive(Debug, thiserror::Error)]
#[error("--init-from {}: {problem}", path.display())]
pub struct FirstValuesError {
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: Box<Problem>,
}

/// What is wrong with a file or folder of first values.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum Problem {
    /// The name does not say what it is.
    #[error(
        "first values are in a checkpoint's folder, or in a file whose name ends in .safetensors, .pth, .pt or \
         .weights.h5; convert others there, or give the file its usual name"
    )]
    Kind,
    /// The file can't be read.
    #[error("cannot read it: {0}")]
    Read(#[from] FileError),
    /// It is no valid checkpoint.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The folder has no valid checkpoint.
    #[error("there is no valid checkpoint in this folder; name one, or a file")]
    NoCheckpoint,
    /// The tensors are not the network's.
    #[error(
        "its tensors are not those of the network:{0}\nchoose the --model that they belong to, or name with --reset what is to be drawn"
    )]
    Misfit(Misfit),
    /// A tensor's numbers are of a type that is not read.
    #[error("{tensor} is of the type {got}; F32, F16, BF16 and F64 are read")]
    Element { tensor: String, got: String },
    /// A tensor holds an infinity or a NaN.
    #[error("{0} holds a number that is not finite in 32 bits")]
    NonFinite(String),
    /// It is no whole file of safetensors.
    #[error(transparent)]
    Safetensors(#[from] SafetensorsError),
    /// It is no file of PyTorch's that is read.
    #[error(transparent)]
    Pytorch(#[from] PytorchError),
    /// It is no file of Keras's that is read.
    #[error(transparent)]
    Keras(#[from] KerasError),
}

/// A tensor that a reader has found.
#[derive(Clone, Debug)]
struct Entry {
    offered: Offered,
    /// Type of its numbers, or the name of one that is not read.
    element: Result<Element, String>,
}

/// What a reader has found, and reads on request.
trait Source {
    /// The tensors, with the network's names and shapes where the format has others.
    fn entries(&self) -> &[Entry];
    /// The numbers of a tensor, in row-major order. It is asked for only where the shape is the network's.
    fn values(&self, at: usize) -> Result<Vec<f32>, Problem>;
    /// What was left out that is no tensor of a network.
    fn said(&self) -> Vec<String>;
}

impl FirstValues {
    /// The first values that the flags ask for, if they do.
    ///
    /// # Errors
    /// When they can't be had, or are not those of the network.
    pub fn of(
        flags: &TransferFlags,
        training: &TrainingConfig,
        spec: DataSpec,
    ) -> Result<Option<Self>, RunError> {
        let Some(path) = &flags.init_from else { return Ok(None) };
        let model = Architecture::new(spec, training.model.clone()).map_err(ConfigError::from)?;
        let reset = flags.reset.clone().unwrap_or_default();
        let drawn = chosen(&reset, model.layout()).map_err(|e| RunError::Flags(format!("--reset: {e}")))?;
        let failed = |problem| FirstValuesError { path: path.clone(), problem: Box::new(problem) };
        let source = open(path, training, &model).map_err(failed)?;
        let mut values = training.init.draw(model.layout(), training.seed);
        let mut said = source.said();
        said.extend(fill(&mut values, &*source, &model, &reset).map_err(failed)?);
        if !drawn.is_empty() {
            let names: Vec<&str> = drawn.iter().map(String::as_str).collect();
            said.push(format!("drawn nevertheless (--reset): {}", names.join(", ")));
        }
        let said = said.into_iter().map(|said| format!("--init-from {}: {said}", path.display())).collect();
        let init_from = InitFrom::new(model.layout(), &values, drawn);
        Ok(Some(Self { values, init_from, said }))
    }
}

/// The values of a file, all of the network's and no others: what `--init-from` would begin with.
///
/// # Errors
/// When it can't be read, or its tensors are not those of the network.
pub fn of_file(path: &Path, model: &Architecture) -> Result<Vec<f32>, FirstValuesError> {
    let mut values = vec![0.0; model.layout().len()];
    let filled =
        open_file(path, model).and_then(|source| fill(&mut values, &*source, model, &Patterns::default()));
    filled.map_err(|problem| FirstValuesError { path: path.to_owned(), problem: Box::new(problem) })?;
    Ok(values)
}

/// The reader for what the path names.
fn open(path: &Path, training: &TrainingConfig, model: &Architecture) -> Result<Box<dyn Source>, Problem> {
    if path.is_dir() { Ok(Box::new(checkpoint::open(path, training)?)) } else { open_file(path, model) }
}

/// The reader for a file of that name.
fn open_file(path: &Path, model: &Architecture) -> Result<Box<dyn Source>, Problem> {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let ends = |end: &str| name.ends_with(end);
    Ok(if ends(".safetensors") {
        Box::new(safetensors::open(path)?)
    } else if ends(".pth") || ends(".pt") {
        Box::new(pytorch::open(path)?)
    } else if ends(".weights.h5") {
        Box::new(keras::open(path, model)?)
    } else if path.exists() {
        return Err(Problem::Kind);
    } else {
        return Err(Problem::Read(std::io::Error::from(std::io::ErrorKind::NotFound).into()));
    })
}

/// Takes the tensors into `values`, but for those that are drawn. Returns what a person should know.
fn fill(
    values: &mut [f32],
    source: &dyn Source,
    model: &Architecture,
    reset: &Patterns,
) -> Result<Vec<String>, Problem> {
    let is_counter = |entry: &&Entry| entry.offered.name.ends_with(COUNTER);
    let counters = source.entries().iter().filter(is_counter).count();
    let places: Vec<usize> =
        (0..source.entries().len()).filter(|&at| !is_counter(&&source.entries()[at])).collect();
    let offered: Vec<Offered> = places.iter().map(|&at| source.entries()[at].offered.clone()).collect();
    let assigned = assign(model.layout(), &offered, |name| reset.choose(name)).map_err(Problem::Misfit)?;
    let mut rounded = BTreeMap::<String, usize>::new();
    for ((tensor, range), place) in model.layout().iter().zip(assigned) {
        let Some(at) = place.map(|place| places[place]) else { continue };
        let element = source.entries()[at].element.clone();
        let tensor = || tensor.name.clone();
        let element = element
            .map_err(|got| Problem::Element { tensor: tensor(), got: printable(&got).into_owned() })?;
        let read = source.values(at)?;
        if !read.iter().all(|value| value.is_finite()) {
            return Err(Problem::NonFinite(tensor()));
        }
        values[range].copy_from_slice(&read);
        if element != Element::F32 {
            *rounded.entry(element.to_string()).or_default() += 1;
        }
    }
    let mut said: Vec<String> = rounded
        .into_iter()
        .map(|(element, count)| format!("{count} tensors of {element} become F32"))
        .collect();
    if counters > 0 {
        said.push(format!("left out: {counters} tensors *{COUNTER}, which count batches"));
    }
    Ok(said)
}

#[cfg(test)]
mod tests;
