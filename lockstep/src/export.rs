//! `lockstep export`: a model as a file for other programs.
//!
//! What was written is read back and checked before it gets its name: a file of weights must have the same
//! numbers, and a program or graph must compute the model's own logits. How is each format's own business.

mod c;
pub mod integers;
mod keras;
mod npz;
mod onnx;
mod program;
mod pytorch;
mod pytorch_module;
mod rust;
mod zip;

use crate::answers;
use clap::ValueEnum;
use common::checkpoint::{Model, ModelFileError};
use common::data::samples::Samples;
use common::rng::Stream;
use coordinator::first_values;
use std::fs::Permissions;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use worker::engine::network::NetworkError;

/// Permissions of a file, of which the user's mask takes some.
const FILE_MODE: u32 = 0o666;
/// Images on which a graph is compared with the model.
const CHECKED: usize = 16;
/// Largest difference of a logit that rounding explains, relative to the largest logit of the check or to 1.
const DIFFERENCE_MAX: f32 = 1e-4;

/// Format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Weights in safetensors, with network, classes and normalization in the header: the file to hand on.
    /// Every command takes it, and coordinator --init-from
    Safetensors,
    /// Weights as NumPy arrays by name
    Npz,
    /// ONNX of opset 13: from [N, channels, height, width] in 0 to 1 to logits
    Onnx,
    /// PyTorch's .pth: the state_dict of the module that coordinator --describe shows
    Pytorch,
    /// Python source of that module, with the input's shape, normalization and classes
    PytorchModule,
    /// Keras 3's .weights.h5, for a Sequential model of the same layers
    Keras,
    /// A program in one file of C99, without heap or library: from an image's bytes to logits
    C,
    /// The same in one file of Rust, which needs nothing but core
    Rust,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Bytes of the file.
    pub bytes: u64,
    /// What was checked, in words.
    pub checked: String,
}

/// Why a model can't be written.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum ExportError {
    /// There is a file that is not of this format.
    #[error("--output {}: there is a file of another kind; move it away, or name another file", .0.display())]
    Other(PathBuf),
    /// There is a file already, and this one is written anew.
    #[error("{} is there already; name a new file", .0.display())]
    Exists(PathBuf),
    /// The file system refuses.
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    /// The format can't hold the model.
    #[error("--format {format}: {why}")]
    Unsupported { format: &'static str, why: String },
    /// The network can't compute.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// What was written does not read back.
    #[error("the file that was made does not read back ({0}); nothing was written, and this is a bug")]
    ReadBack(String),
    /// What was written gives other logits.
    #[error(
        "the file that was made gives logits that differ by {difference}; nothing was written, and this is a bug"
    )]
    Differs { difference: f32 },
}

impl From<ModelFileError> for ExportError {
    fn from(error: ModelFileError) -> Self {
        Self::ReadBack(error.to_string())
    }
}

/// Writes the model to `path`, over an older file of the same format.
///
/// # Errors
/// When there is a file of another kind, it can't be written, or it does not hold what the model is.
pub fn write(model: &Model, format: Format, path: &Path) -> Result<Written, ExportError> {
    let (bytes, checked) = match format {
        Format::Safetensors => (model.encode(), check_model_file(model)?),
        Format::Npz => npz::encode(model)?,
        Format::Onnx => onnx::encode(model)?,
        Format::Pytorch => pytorch::encode(model)?,
        Format::PytorchModule => pytorch_module::encode(model)?,
        Format::Keras => keras::encode(model)?,
        Format::C => c::encode(model)?,
        Format::Rust => rust::encode(model)?,
    };
    put(&bytes, path, format.begins())?;
    Ok(Written { bytes: bytes.len() as u64, checked })
}

impl Format {
    /// Whether bytes are the beginning of a file of this format.
    fn begins(self) -> fn(&[u8]) -> bool {
        match self {
            // A length of 8 bytes, then JSON.
            Self::Safetensors => |start| start.get(8) == Some(&b'{'),
            Self::Npz => |start| start.starts_with(zip::MAGIC),
            // The first field of each ONNX file that this program writes: the version of its format.
            Self::Onnx => |start| start.starts_with(onnx::START),
            Self::Pytorch => pytorch::begins,
            Self::PytorchModule => |start| start.starts_with(pytorch_module::START),
            Self::Keras => |start| start.starts_with(keras::MAGIC),
            Self::C => |start| start.starts_with(c::START),
            Self::Rust => |start| start.starts_with(rust::START),
        }
    }
}

fn check_model_file(model: &Model) -> Result<String, ExportError> {
    let read = Model::decode(&model.encode())?;
    if read == *model {
        Ok("it reads back bit for bit".to_owned())
    } else {
        Err(ExportError::ReadBack("other values".to_owned()))
    }
}

/// Writes numbers as a NumPy array, `.npy`, over an older one.
///
/// # Errors
/// When there is a file of another kind, or it can't be written.
pub fn put_array(path: &Path, shape: &[usize], values: &[f32]) -> Result<(), ExportError> {
    put(&npz::npy(shape, values), path, |start| start.starts_with(npz::MAGIC))
}

/// Reads a file of weights with the reader of `coordinator --init-from`, which knows it by the end of its
/// name, and compares the bits.
fn read_back(bytes: &[u8], ending: &str, model: &Model) -> Result<String, ExportError> {
    let failed = |source| ExportError::Write { path: std::env::temp_dir(), source };
    let mut file = tempfile::Builder::new().suffix(ending).tempfile().map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    let read = first_values::of_file(file.path(), &model.architecture);
    let values = read.map_err(|error| ExportError::ReadBack(error.problem.to_string()))?;
    let same = |(one, other): (&f32, &f32)| one.to_bits() == other.to_bits();
    if values.iter().zip(&model.params).all(same) {
        Ok("it reads back bit for bit, as coordinator --init-from reads it".to_owned())
    } else {
        Err(ExportError::ReadBack("other values".to_owned()))
    }
}

/// Images for a check.
fn checked_images(model: &Model) -> Samples {
    let spec = model.architecture.input();
    let mut stream = Stream::new(0, "images for a check", &[]);
    let pixels = (0..CHECKED * spec.image_bytes()).map(|_| stream.bits32() as u8).collect();
    Samples::new(spec, pixels, vec![0; CHECKED]).expect("each label is a class")
}

/// Images for a check, and the model's logits for them.
fn checked_logits(model: &Model) -> Result<(Samples, Vec<f32>), NetworkError> {
    let samples = checked_images(model);
    let logits = answers::logits(model, &samples, NonZeroUsize::MIN)?;
    Ok((samples, logits))
}

/// Compares logits with the model's, and says the largest difference; `limit` is relative to the largest
/// logit.
fn compared(expected: &[f32], got: &[f32], limit: f32) -> Result<String, ExportError> {
    if expected.len() != got.len() {
        return Err(ExportError::ReadBack(format!("{} logits instead of {}", got.len(), expected.len())));
    }
    let difference = expected.iter().zip(got).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let scale = expected.iter().fold(1.0, |largest: f32, value| largest.max(value.abs()));
    // A NaN is no small difference.
    if !got.iter().all(|value| value.is_finite()) || difference > limit * scale {
        return Err(ExportError::Differs { difference });
    }
    Ok(format!("computed on {CHECKED} images; the largest difference of a logit is {difference:.1e}"))
}

/// Writes a file of a name that nothing has.
///
/// # Errors
/// When something has that name, or the file can't be written.
pub fn put_new(bytes: &[u8], path: &Path) -> Result<(), ExportError> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => Err(ExportError::Exists(path.to_owned())),
        Err(_) => put(bytes, path, |_| false),
    }
}

/// Writes a file beside its place and renames it, so that there is never half of one.
pub(crate) fn put(bytes: &[u8], path: &Path, is_ours: fn(&[u8]) -> bool) -> Result<(), ExportError> {
    let failed = |source| ExportError::Write { path: path.to_owned(), source };
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => return Err(ExportError::Other(path.to_owned())),
        Ok(_) => {
            let mut start = [0; 64];
            let read = io::Read::read(&mut std::fs::File::open(path).map_err(failed)?, &mut start);
            if !is_ours(&start[..read.map_err(failed)?]) {
                return Err(ExportError::Other(path.to_owned()));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let place = path.parent().filter(|place| *place != Path::new("")).unwrap_or(Path::new("."));
    let permissions = Permissions::from_mode(FILE_MODE);
    let mut new = tempfile::Builder::new().permissions(permissions).tempfile_in(place).map_err(failed)?;
    new.write_all(bytes).map_err(failed)?;
    new.as_file().sync_all().map_err(failed)?;
    new.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
