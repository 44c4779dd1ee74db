//! First values from a file that `torch.save` wrote: a zip file with a pickle, and a member of numbers for
//! each tensor.
//!
//! A tensor must have a storage of its own. Then a member's size is that of its tensor, which is the
//! network's, before anything of it is read. Tensors whose dimensions lie in memory in another order, as with
//! `channels_last`, are put into order.

use super::pickle::{self, Entries, PickleError, Tensor};
use super::strided::{in_order, is_dense};
use super::{Entry, Problem, Source};
use crate::dataset::{Archive, ZipError};
use common::model::offered::Offered;
use host::files::{Links, open_regular};
use host::printable;
use std::path::Path;

/// Most bytes of a file: zip's offsets have 32 bits.
const FILE_BYTES_MAX: u64 = u32::MAX as u64;
/// Longest pickle that is read: that of tens of thousands of tensors.
const PICKLE_BYTES_MAX: u64 = 4 << 20;
/// Name of the pickle, in the one folder of the zip file.
const PICKLE: &str = "/data.pkl";

/// Why a file of PyTorch's can't be read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum PytorchError {
    /// It is no zip file.
    #[error("it is no zip file as PyTorch 1.6 and newer write, or cut off; write it again with torch.save")]
    NotZip,
    /// The zip file is damaged, or not one of PyTorch's.
    #[error("its zip file can't be used: {0}")]
    Zip(ZipError),
    /// There is no pickle.
    #[error("there is no data.pkl in it; write it with torch.save(model.state_dict(), FILE)")]
    NoPickle,
    /// Numbers are not little-endian.
    #[error("its numbers are big-endian; write it on another machine")]
    BigEndian,
    /// The pickle is too long.
    #[error(
        "its pickle has {0} bytes, and {PICKLE_BYTES_MAX} is the most that is read; save model.state_dict() alone"
    )]
    LongPickle(u64),
    /// The pickle is not one of a dictionary of tensors.
    #[error(transparent)]
    Pickle(#[from] PickleError),
    /// A tensor's numbers are not there, or others are with them.
    #[error(
        "{tensor} has {expected} bytes, and its storage in the file {got}: it is a view of something else, or the file is \
         damaged; save {{k: v.clone() for k, v in model.state_dict().items()}}"
    )]
    Storage { tensor: String, expected: u64, got: u64 },
}

/// A file whose pickle was read.
pub(super) struct Pytorch {
    archive: Archive,
    folder: String,
    entries: Vec<Entry>,
    tensors: Vec<Tensor>,
    others: Vec<String>,
}

/// Reads the pickle.
pub(super) fn open(path: &Path) -> Result<Pytorch, Problem> {
    let file = open_regular(path, FILE_BYTES_MAX, Links::Followed)?;
    Ok(of(file)?)
}

fn of(file: std::fs::File) -> Result<Pytorch, PytorchError> {
    let archive = Archive::open(file)?;
    let pickle = archive.names().find(|name| name.ends_with(PICKLE) && name.matches('/').count() == 1);
    let folder = pickle.and_then(|name| name.strip_suffix(PICKLE)).ok_or(PytorchError::NoPickle)?.to_owned();
    if let Some(order) = archive.member(&format!("{folder}/byteorder")) {
        let content = archive.content(order)?;
        if content.bytes() > 16 || content.rest()? != b"little" {
            return Err(PytorchError::BigEndian);
        }
    }
    let pickle = archive.member(&format!("{folder}{PICKLE}")).ok_or(PytorchError::NoPickle)?;
    let content = archive.content(pickle)?;
    if content.bytes() > PICKLE_BYTES_MAX {
        return Err(PytorchError::LongPickle(content.bytes()));
    }
    let Entries { tensors, others } = pickle::entries(&content.rest()?)?;
    let entries = tensors.iter().map(|(name, tensor)| Entry {
        offered: Offered { name: name.clone(), shape: tensor.shape.clone() },
        element: tensor.element.clone(),
    });
    let entries = entries.collect();
    let tensors = tensors.into_iter().map(|(_, tensor)| tensor).collect();
    Ok(Pytorch { archive, folder, entries, tensors, others })
}

impl From<ZipError> for PytorchError {
    fn from(error: ZipError) -> Self {
        match error {
            ZipError::NotZip => Self::NotZip,
            other => Self::Zip(other),
        }
    }
}

impl Source for Pytorch {
    fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn values(&self, at: usize) -> Result<Vec<f32>, Problem> {
        let Tensor { key, element, shape, strides, offset } = &self.tensors[at];
        let Ok(element) = element else { return Ok(Vec::new()) };
        let expected = (shape.iter().product::<usize>() * element.bytes()) as u64;
        let storage =
            |got| PytorchError::Storage { tensor: self.entries[at].offered.name.clone(), expected, got };
        let member = self.archive.member(&format!("{}/data/{key}", self.folder)).ok_or_else(|| storage(0))?;
        let content = self.archive.content(member).map_err(PytorchError::from)?;
        if content.bytes() != expected || *offset != 0 || !is_dense(shape, strides) {
            return Err(storage(content.bytes()).into());
        }
        let bytes = content.rest().map_err(PytorchError::from)?;
        Ok(in_order(element.to_f32(&bytes), shape, strides))
    }

    fn said(&self) -> Vec<String> {
        let names: Vec<_> = self.others.iter().take(8).map(|name| printable(name).into_owned()).collect();
        let said = || {
            format!("left out, as they are no tensors: {} entries ({})", self.others.len(), names.join(", "))
        };
        (!names.is_empty()).then(said).into_iter().collect()
    }
}
