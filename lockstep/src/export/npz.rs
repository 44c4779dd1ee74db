//! Weights as NumPy arrays: a zip archive with a file `NAME.npy` for each tensor (NumPy's `npy` format,
//! version 1.0), which `numpy.load` opens.

use super::{ExportError, zip};
use common::checkpoint::Model;
use common::model::params::TensorSpec;
use std::ops::Range;

/// First bytes of an array: the magic and version 1.0.
pub(super) const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";
/// The numbers begin at a multiple of this.
const ALIGNMENT: usize = 64;

/// The archive, and what was checked.
pub(super) fn encode(model: &Model) -> Result<(Vec<u8>, String), ExportError> {
    let layout = model.architecture.layout();
    let array = |(spec, range): (&TensorSpec, Range<usize>)| {
        (format!("{}.npy", spec.name), npy(&spec.shape, &model.params[range]))
    };
    let files: Vec<(String, Vec<u8>)> = layout.iter().map(array).collect();
    let count = files.len();
    let archive = zip::stored(&files, ALIGNMENT)?;
    Ok((archive, format!("{count} arrays of f32, the checkpoint's bits")))
}

/// An array in row-major order.
pub(super) fn npy(shape: &[usize], values: &[f32]) -> Vec<u8> {
    let sizes: String = shape.iter().map(|size| format!("{size},")).collect();
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({sizes}), }}");
    let start = MAGIC.len() + 2 + header.len() + 1;
    header.extend(std::iter::repeat_n(' ', start.next_multiple_of(ALIGNMENT) - start));
    header.push('\n');
    let mut bytes = MAGIC.to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}
