//! First values from a file of safetensors: a header in JSON, then the numbers.
//!
//! The header is read alone, and of the rest only the tensors that are asked for. A tensor's place must lie
//! within the file and have the bytes of its shape.

use super::{Entry, Problem, Source};
use common::model::element::Element;
use common::model::offered::Offered;
use host::files::{Links, open_regular};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes before the header, which say how long it is.
const LENGTH_BYTES: u64 = 8;
/// Longest header that is read: that of tens of thousands of tensors.
const HEADER_BYTES_MAX: u64 = 4 << 20;

/// Why a file is no file of safetensors.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum SafetensorsError {
    /// The file is shorter than its header says.
    #[error(
        "it is no file of safetensors, or cut off: its header has {header} bytes, and the file {file}; get it again"
    )]
    CutOff { header: u64, file: u64 },
    /// The header is longer than is read.
    #[error(
        "its header has {0} bytes, and {HEADER_BYTES_MAX} is the most that is read; check which file it is"
    )]
    LongHeader(u64),
    /// The header is not understood.
    #[error("its header is damaged: {0}; get it again")]
    Header(String),
    /// A tensor's place is not in the file, or has another size than its shape.
    #[error("{0} does not lie in the file as its header says; get it again")]
    Place(String),
    /// The system call failed.
    #[error("cannot read it: {0}")]
    System(#[from] io::Error),
}

/// A file whose header was read.
pub(super) struct Safetensors {
    file: File,
    entries: Vec<Entry>,
    infos: Vec<TensorInfo>,
    /// Where the numbers begin.
    start: u64,
    /// Bytes of the file.
    bytes: u64,
}

/// Reads the header.
pub(super) fn open(path: &Path) -> Result<Safetensors, Problem> {
    let file = open_regular(path, u64::MAX, Links::Followed)?;
    Ok(of(file)?)
}

fn of(file: File) -> Result<Safetensors, SafetensorsError> {
    let bytes = file.metadata()?.len();
    let mut length = [0; LENGTH_BYTES as usize];
    if bytes < LENGTH_BYTES {
        return Err(SafetensorsError::CutOff { header: LENGTH_BYTES, file: bytes });
    }
    file.read_exact_at(&mut length, 0)?;
    let length = u64::from_le_bytes(length);
    if length > bytes - LENGTH_BYTES {
        return Err(SafetensorsError::CutOff { header: length, file: bytes });
    }
    if length > HEADER_BYTES_MAX {
        return Err(SafetensorsError::LongHeader(length));
    }
    let mut header = vec![0; length as usize];
    file.read_exact_at(&mut header, LENGTH_BYTES)?;
    let metadata: Metadata =
        serde_json::from_slice(&header).map_err(|error| SafetensorsError::Header(error.to_string()))?;
    let mut tensors: Vec<_> = metadata.tensors().into_iter().collect();
    tensors.sort_by(|(one, _), (other, _)| one.cmp(other));
    let entries = tensors.iter().map(|(name, info)| Entry {
        offered: Offered { name: name.clone(), shape: info.shape.clone() },
        element: element(info.dtype),
    });
    let entries = entries.collect();
    let infos = tensors.into_iter().map(|(_, info)| info.clone()).collect();
    Ok(Safetensors { file, entries, infos, start: LENGTH_BYTES + length, bytes })
}

fn element(dtype: Dtype) -> Result<Element, String> {
    match dtype {
        Dtype::F32 => Ok(Element::F32),
        Dtype::F16 => Ok(Element::F16),
        Dtype::BF16 => Ok(Element::Bf16),
        Dtype::F64 => Ok(Element::F64),
        other => Err(format!("{other:?}")),
    }
}

impl Source for Safetensors {
    fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn values(&self, at: usize) -> Result<Vec<f32>, Problem> {
        let Entry { offered, element } = &self.entries[at];
        let Ok(element) = element else { return Ok(Vec::new()) };
        let place = || SafetensorsError::Place(offered.name.clone());
        let (from, to) = self.infos[at].data_offsets;
        let expected = offered.shape.iter().product::<usize>() * element.bytes();
        let end = (to as u64).checked_add(self.start).filter(|&end| end <= self.bytes);
        if to.checked_sub(from) != Some(expected) || end.is_none() {
            return Err(place().into());
        }
        let mut bytes = vec![0; expected];
        self.file.read_exact_at(&mut bytes, self.start + from as u64).map_err(SafetensorsError::from)?;
        Ok(element.to_f32(&bytes))
    }

    fn said(&self) -> Vec<String> {
        Vec::new()
    }
}
