//! Keras's file of weights: what `model.save_weights("NAME.weights.h5")` of Keras 3 writes, for
//! a `Sequential` model of the same layers.
//!
//! HDF5, with a group `layers/KIND_N/vars` for each layer with variables, in the order and form of Keras's
//! numbers; `coordinator::first_values::KerasLayer` knows both. `model.load_weights` takes it where the model
//! has these layers and no others with variables, whatever they are called. Its normalisations need
//! `epsilon=1e-5`, which no file of weights has.
//!
//! A network with `residual` has no order of layers there, and is refused; so is a `groupnorm` behind a
//! flatten, whose groups would be of other values.
//!
//! What was written is read with the reader of `coordinator --init-from`, and must have the model's bits.

use super::{ExportError, read_back};
use common::checkpoint::Model;
use common::model::layer::Layer;
use coordinator::first_values::KerasLayer;
use hdf5_pure::{AttrValue, FileBuilder, GroupBuilder, LibVer};
use std::collections::BTreeMap;

/// First bytes of a file.
pub(super) const MAGIC: &[u8] = b"\x89HDF\r\n\x1a\n";
/// End of the file's name.
const ENDING: &str = ".weights.h5";

/// The file, and what was checked.
pub(super) fn encode(model: &Model) -> Result<(Vec<u8>, String), ExportError> {
    let layers = KerasLayer::all(&model.architecture);
    if model.architecture.layers().as_slice().contains(&Layer::Residual) {
        return Err(unsupported(
            "a Sequential model of Keras has no residual: export ONNX or PyTorch's file",
        ));
    }
    if let Some(layer) = layers.iter().find(|layer| layer.has_none) {
        return Err(unsupported(&format!(
            "layer {}, groupnorm behind a flatten, has groups of other values in Keras: export ONNX or PyTorch's file",
            layer.at + 1
        )));
    }
    let bytes = file(model, &layers).map_err(|error| ExportError::ReadBack(error.to_string()))?;
    let checked = read_back(&bytes, ENDING, model)?;
    Ok((bytes, checked))
}

fn unsupported(why: &str) -> ExportError {
    ExportError::Unsupported { format: "keras", why: why.to_owned() }
}

fn file(model: &Model, layers: &[KerasLayer]) -> Result<Vec<u8>, hdf5_pure::Error> {
    let mut file = FileBuilder::new();
    // What every HDF5 library since 2008 reads.
    file.with_libver_bounds(LibVer::V18, LibVer::V18);
    let mut root = file.create_group("layers");
    let mut counts = BTreeMap::<&str, usize>::new();
    for layer in layers {
        let count = counts.entry(layer.kind).or_default();
        let name = if *count == 0 { layer.kind.to_owned() } else { format!("{}_{count}", layer.kind) };
        *count += 1;
        let mut group = root.create_group(&name);
        let vars = variables(model, layer, group.create_group("vars"), &name);
        group.add_group(vars.finish());
        root.add_group(group.finish());
    }
    file.add_group(root.finish());
    // The model's own variables, of which it has none.
    let own = file.create_group("vars");
    file.add_group(own.finish());
    file.finish()
}

fn variables(model: &Model, layer: &KerasLayer, mut vars: GroupBuilder, name: &str) -> GroupBuilder {
    vars.set_attr("name", AttrValue::String(name.to_owned()));
    let layout: Vec<_> = model.architecture.layout().iter().collect();
    for (number, &place) in model.architecture.places(layer.at).iter().enumerate() {
        let (spec, range) = &layout[place];
        let (shape, values) = layer.theirs(&spec.shape, &model.params[range.clone()]);
        let shape: Vec<u64> = shape.into_iter().map(|size| size as u64).collect();
        vars.create_dataset(&number.to_string()).with_f32_data(&values).with_shape(&shape);
    }
    vars
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NETWORKS, model};
    use super::*;

    #[test]
    fn every_network_in_a_row_reads_back_and_has_one_form() {
        let more = ["conv(4,3,groups=1) groupnorm(2) layernorm gelu flatten batchnorm layernorm dense(5) \
                     layernorm dense(4) batchnorm dense"];
        let mut written = 0;
        for layers in NETWORKS.iter().chain(&more) {
            let model = model(2, layers, "unit");
            match encode(&model) {
                Ok((bytes, checked)) => {
                    assert!(checked.contains("bit for bit") && bytes.starts_with(MAGIC), "{checked}");
                    assert!(encode(&model).unwrap() == (bytes, checked), "the same model, the same file");
                    written += 1;
                }
                Err(error) => {
                    assert!(model.architecture.layers().as_slice().contains(&Layer::Residual), "{error}");
                    assert!(error.to_string().contains("Sequential"), "{error}");
                }
            }
        }
        assert_eq!(written, 4);
    }

    #[test]
    fn groups_of_other_values_are_refused() {
        let model = model(1, "flatten groupnorm(2) dense", "unit");
        let error = encode(&model).unwrap_err().to_string();
        assert!(error.contains("layer 2, groupnorm behind a flatten"), "{error}");
    }
}
