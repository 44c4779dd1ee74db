//! PyTorch's file of weights: what `torch.save(module.state_dict(), FILE)` writes, for the module that
//! `coordinator --describe` shows.
//!
//! A zip archive with a pickle of names and shapes, and a file of numbers for each tensor.
//! `torch.load(FILE, weights_only=True)` reads it, and `load_state_dict` takes all of it, strictly. A batch
//! norm's counter `num_batches_tracked` has the steps of the run, as a training there would have counted
//! them; it changes nothing.
//!
//! What was written is read with the reader of `coordinator --init-from`, and must have the model's bits.

use super::{ExportError, read_back, zip};
use common::checkpoint::Model;
use common::model::layer::Layer;
use common::model::params::TensorSpec;

/// End of the file's name.
const ENDING: &str = ".pth";
/// First bytes of an archive, up to the name of its first file: version, flags, time, sizes and lengths.
const NAME_AT: usize = 30;
/// The one folder of the archive, and its pickle, which is its first file.
const FOLDER: &str = "archive";
const PICKLE: &str = "archive/data.pkl";
/// The numbers of a tensor begin at a multiple of this, as PyTorch has it.
const ALIGNMENT: usize = 64;
/// Part of a batch norm that has no place in a checkpoint.
const COUNTER: &str = "num_batches_tracked";

/// Whether bytes are the beginning of such a file.
pub(super) fn begins(start: &[u8]) -> bool {
    start.starts_with(zip::MAGIC)
        && start.get(NAME_AT..).is_some_and(|name| name.starts_with(PICKLE.as_bytes()))
}

/// The archive, and what was checked.
pub(super) fn encode(model: &Model) -> Result<(Vec<u8>, String), ExportError> {
    let tensors = tensors(model);
    let mut files = vec![
        (PICKLE.to_owned(), pickle(&tensors)),
        (format!("{FOLDER}/byteorder"), b"little".to_vec()),
        (format!("{FOLDER}/version"), b"3\n".to_vec()),
    ];
    let numbers = tensors.into_iter().enumerate();
    files.extend(numbers.map(|(key, tensor)| (format!("{FOLDER}/data/{key}"), tensor.bytes)));
    let archive = zip::stored(&files, ALIGNMENT)?;
    let checked = read_back(&archive, ENDING, model)?;
    Ok((archive, checked))
}

/// An entry of the `state_dict`.
struct Tensor {
    name: String,
    shape: Vec<usize>,
    /// Class of its numbers' storage.
    storage: &'static str,
    bytes: Vec<u8>,
}

/// The entries in a module's order: by layer, first the weight.
fn tensors(model: &Model) -> Vec<Tensor> {
    let architecture = &model.architecture;
    let layout: Vec<_> = architecture.layout().iter().collect();
    let mut tensors = Vec::new();
    for (at, layer) in architecture.layers().as_slice().iter().enumerate() {
        let own = architecture.places(at).iter().map(|&place| &layout[place]);
        tensors.extend(own.clone().map(|(spec, range)| of_values(spec, &model.params[range.clone()])));
        let module = own.clone().next().and_then(|(spec, _)| spec.name.split('.').next());
        if let (Layer::BatchNorm, Some(module)) = (layer, module) {
            let steps = i64::try_from(model.origin.step).unwrap_or(i64::MAX);
            let name = format!("{module}.{COUNTER}");
            let bytes = steps.to_le_bytes().to_vec();
            tensors.push(Tensor { name, shape: Vec::new(), storage: "LongStorage", bytes });
        }
    }
    tensors
}

fn of_values(spec: &TensorSpec, values: &[f32]) -> Tensor {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Tensor { name: spec.name.clone(), shape: spec.shape.clone(), storage: "FloatStorage", bytes }
}

/// The dictionary of tensors, in version 2 of Python's pickle: each is what `torch._utils` rebuilds from a
/// storage, which is named by its key, and from offset, sizes and strides.
fn pickle(tensors: &[Tensor]) -> Vec<u8> {
    const EMPTY_DICTIONARY: &[u8] = b"ccollections\nOrderedDict\n)R";
    let mut bytes = b"\x80\x02".to_vec();
    bytes.extend(EMPTY_DICTIONARY);
    bytes.push(b'(');
    for (key, tensor) in tensors.iter().enumerate() {
        let elements: usize = tensor.shape.iter().product();
        text(&mut bytes, &tensor.name);
        bytes.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut bytes, "storage");
        bytes.extend(format!("ctorch\n{}\n", tensor.storage).as_bytes());
        text(&mut bytes, &key.to_string());
        text(&mut bytes, "cpu");
        number(&mut bytes, elements);
        bytes.extend(b"tQ");
        number(&mut bytes, 0);
        tuple(&mut bytes, &tensor.shape);
        let stride = |dimension: usize| tensor.shape[dimension + 1..].iter().product();
        let strides: Vec<usize> = (0..tensor.shape.len()).map(stride).collect();
        tuple(&mut bytes, &strides);
        // It asks for no gradient, and has no hooks.
        bytes.push(0x89);
        bytes.extend(EMPTY_DICTIONARY);
        bytes.extend(b"tR");
    }
    bytes.extend(b"u.");
    bytes
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.push(b'X');
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text.as_bytes());
}

/// A number below 2³¹, as all sizes of a network are.
fn number(bytes: &mut Vec<u8>, number: usize) {
    bytes.push(b'J');
    bytes.extend((number as u32).to_le_bytes());
}

fn tuple(bytes: &mut Vec<u8>, numbers: &[usize]) {
    bytes.push(b'(');
    for &size in numbers {
        number(bytes, size);
    }
    bytes.push(b't');
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NETWORKS, model};
    use super::*;

    #[test]
    fn every_network_reads_back_and_has_one_form() {
        for layers in NETWORKS {
            let model = model(1, layers, "unit");
            let (bytes, checked) = encode(&model).unwrap_or_else(|error| panic!("{layers}: {error}"));
            assert!(checked.contains("bit for bit") && begins(&bytes[..64]), "{checked}");
            assert!(encode(&model).unwrap() == (bytes, checked), "the same model gives the same file");
        }
    }

    #[test]
    fn other_values_are_refused() {
        let mut model = model(1, NETWORKS[0], "unit");
        let (bytes, _) = encode(&model).unwrap();
        model.params[3] = -model.params[3];
        let error = read_back(&bytes, ENDING, &model).unwrap_err();
        assert!(matches!(error, ExportError::ReadBack(_)), "{error}");
    }

    #[test]
    fn entries_have_a_modules_order_and_counters() {
        let mut model = model(1, "conv(2,3,bias=false) batchnorm flatten dense(3) batchnorm dense", "unit");
        model.origin.step = 700;
        let tensors = tensors(&model);
        let names: Vec<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        let norm = |module| PARTS.map(|part| format!("{module}.{part}"));
        const PARTS: [&str; 5] = ["weight", "bias", "running_mean", "running_var", COUNTER];
        let fc = |number| ["weight", "bias"].map(|part| format!("fc{number}.{part}"));
        let expected =
            [&["conv1.weight".to_owned()], &norm("bn1")[..], &fc(1), &norm("bn2"), &fc(2)].concat();
        assert_eq!(names, expected);
        assert_eq!((&tensors[5].shape[..], &tensors[5].bytes[..]), (&[][..], &700i64.to_le_bytes()[..]));
    }
}
