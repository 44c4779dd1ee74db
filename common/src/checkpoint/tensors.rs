//! Flat slices as safetensors files and back: one tensor for each of the layout, under a prefix for each
//! slice; and labels, as a tensor of their own.

use crate::model::params::Layout;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

/// Why bytes are not the tensors that were expected.
#[allow(missing_docs, reason = "field names say all")]
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum TensorsError {
    /// The bytes are not a safetensors file.
    #[error("no safetensors file: {0}")]
    Format(String),
    /// A tensor is not there.
    #[error("there is no tensor {0}")]
    Missing(String),
    /// A tensor has another type or shape.
    #[error("tensor {name} is {got}; it must be F32 {expected:?}")]
    Shape { name: String, got: String, expected: Vec<usize> },
    /// The labels have another type or shape.
    #[error("tensor labels is {got}; it must be U16 of one dimension")]
    Labels { got: String },
    /// The number of tensors differs.
    #[error("there are {got} tensors instead of {expected}")]
    Count { got: usize, expected: usize },
    /// A tensor holds an infinity or a NaN.
    #[error("tensor {0} is not finite")]
    NonFinite(String),
}

/// Most bytes of a tensor's entry in a file's header, without its name: type, shape and place, in JSON.
const ENTRY_BYTES_MAX: usize = 256;
/// Most bytes of a file before its first entry: the header's length, and what begins and pads it.
const START_BYTES_MAX: usize = 64;
/// Name of the tensor of labels.
const LABELS: &str = "labels";

/// Largest size of a file of such tensors, as [`Checkpoint::encode`](super::Checkpoint::encode) writes it.
#[must_use]
pub fn bytes_max(layout: &Layout, prefixes: &[&str]) -> u64 {
    let entry = |prefix: &str, name: &str| named(prefix, name).len() + ENTRY_BYTES_MAX;
    let entries = |prefix: &&str| -> usize { layout.iter().map(|(spec, _)| entry(prefix, &spec.name)).sum() };
    let header: usize = prefixes.iter().map(entries).sum();
    (START_BYTES_MAX + header + prefixes.len() * layout.len() * size_of::<f32>()) as u64
}

/// One file with the tensors of `slices`, each named `<prefix>.<tensor>`, or `<tensor>` where the prefix is
/// empty.
///
/// # Panics
/// When a slice is not as long as the layout.
pub(super) fn encode(layout: &Layout, slices: &[(&str, &[f32])]) -> Vec<u8> {
    encode_with(layout, slices, None)
}

/// The same with an entry of metadata in the header, as key and text. There is one at most, because the
/// library writes several in a random order.
pub(super) fn encode_with(
    layout: &Layout,
    slices: &[(&str, &[f32])],
    entry: Option<(&str, String)>,
) -> Vec<u8> {
    let bytes: Vec<Vec<u8>> =
        slices.iter().map(|(_, values)| values.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let mut views = Vec::new();
    for ((prefix, _), bytes) in slices.iter().zip(&bytes) {
        for (spec, range) in layout.iter() {
            let bytes = &bytes[range.start * size_of::<f32>()..range.end * size_of::<f32>()];
            let view = TensorView::new(Dtype::F32, spec.shape.clone(), bytes);
            views.push((named(prefix, &spec.name), view.expect("the slice is as long as its tensor")));
        }
    }
    let metadata = entry.map(|(key, text)| [(key.to_owned(), text)].into());
    safetensors::serialize(views, metadata).expect("tensors of known shapes can be written")
}

/// The slices of those prefixes, and nothing else, from a file.
pub(super) fn decode(file: &[u8], layout: &Layout, prefixes: &[&str]) -> Result<Vec<Vec<f32>>, TensorsError> {
    let tensors = SafeTensors::deserialize(file).map_err(|e| TensorsError::Format(e.to_string()))?;
    let expected = layout.iter().count() * prefixes.len();
    if tensors.len() != expected {
        return Err(TensorsError::Count { got: tensors.len(), expected });
    }
    let slice = |prefix: &&str| {
        let mut values = Vec::with_capacity(layout.len());
        for (spec, _) in layout.iter() {
            let name = named(prefix, &spec.name);
            let Ok(tensor) = tensors.tensor(&name) else { return Err(TensorsError::Missing(name)) };
            if tensor.dtype() != Dtype::F32 || tensor.shape() != spec.shape {
                let got = format!("{:?} {:?}", tensor.dtype(), tensor.shape());
                return Err(TensorsError::Shape { name, got, expected: spec.shape.clone() });
            }
            let (numbers, _) = tensor.data().as_chunks::<{ size_of::<f32>() }>();
            values.extend(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)));
        }
        Ok(values)
    };
    prefixes.iter().map(slice).collect()
}

/// Largest size of a file of so many labels.
#[must_use]
pub fn labels_bytes_max(labels: u32) -> u64 {
    (START_BYTES_MAX + LABELS.len() + ENTRY_BYTES_MAX) as u64 + u64::from(labels) * size_of::<u16>() as u64
}

/// A file of these labels.
pub(super) fn encode_labels(labels: &[u16]) -> Vec<u8> {
    let bytes: Vec<u8> = labels.iter().flat_map(|label| label.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::U16, vec![labels.len()], &bytes).expect("two bytes for each label");
    safetensors::serialize([(LABELS, view)], None).expect("a tensor of known shape can be written")
}

/// The labels of a file that has nothing else.
pub(super) fn decode_labels(file: &[u8]) -> Result<Vec<u16>, TensorsError> {
    let tensors = SafeTensors::deserialize(file).map_err(|e| TensorsError::Format(e.to_string()))?;
    if tensors.len() != 1 {
        return Err(TensorsError::Count { got: tensors.len(), expected: 1 });
    }
    let tensor = tensors.tensor(LABELS).map_err(|_| TensorsError::Missing(LABELS.to_owned()))?;
    if tensor.dtype() != Dtype::U16 || tensor.shape().len() != 1 {
        return Err(TensorsError::Labels { got: format!("{:?} {:?}", tensor.dtype(), tensor.shape()) });
    }
    let (labels, _) = tensor.data().as_chunks::<{ size_of::<u16>() }>();
    Ok(labels.iter().map(|bytes| u16::from_le_bytes(*bytes)).collect())
}

/// Checks that no number in a file is infinite or a NaN. Tensors of other types are [`decode`]'s to refuse.
pub(super) fn check_finite(file: &[u8]) -> Result<(), TensorsError> {
    let tensors = SafeTensors::deserialize(file).map_err(|e| TensorsError::Format(e.to_string()))?;
    for (name, tensor) in tensors.iter().filter(|(_, tensor)| tensor.dtype() == Dtype::F32) {
        let (numbers, _) = tensor.data().as_chunks::<{ size_of::<f32>() }>();
        if !numbers.iter().all(|bytes| f32::from_le_bytes(*bytes).is_finite()) {
            return Err(TensorsError::NonFinite(name.to_owned()));
        }
    }
    Ok(())
}

fn named(prefix: &str, tensor: &str) -> String {
    if prefix.is_empty() { tensor.to_owned() } else { format!("{prefix}.{tensor}") }
}
