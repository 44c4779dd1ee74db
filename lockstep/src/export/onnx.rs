//! ONNX of opset 13: a graph from images to logits.
//!
//! Input `images`: f32 `[N, channels, height, width]`, pixels divided by 255, with a free N. A network with
//! `--normalize standard` has its means and deviations in the graph. Output `logits`: f32 `[N, classes]`.
//! The names of the classes, and of the network, are in the metadata.
//!
//! `graph` makes nodes of layers, `quantized` of a network in whole numbers; `proto` has the messages, and
//! `run` computes what was written, to compare it with the model.

mod graph;
mod nodes;
mod proto;
mod quantized;
mod run;

use super::{DIFFERENCE_MAX, ExportError, checked_images, checked_logits, compared};
use crate::int8::{self, Quantized};
use common::checkpoint::Model;
use graph::Graph;
use nodes::Nodes;
use prost::Message;
use proto::{
    Dimension, GraphProto, ModelProto, OperatorSetIdProto, StringStringEntryProto, TensorShapeProto,
    TensorTypeProto, TypeProto, ValueInfoProto,
};
use std::num::NonZeroUsize;

/// Version of the format, the one that belongs to opset 13.
const IR_VERSION: i64 = 7;
/// Version of the operators.
const OPSET: i64 = 13;
/// First bytes of a file that this program writes: the version of the format.
pub(super) const START: &[u8] = &[0x08, IR_VERSION as u8];
/// Name of the graph's input.
const INPUT: &str = "images";
/// Name of the graph's output.
const OUTPUT: &str = "logits";
/// Code of f32 as a tensor's type.
const FLOAT: i32 = 1;

/// Largest difference of a logit that rounding to 8 bits explains, relative to the largest logit: readers add
/// in other orders, so a value between two steps may become the one or the other.
const ROUNDING_MAX: f32 = 0.05;

/// The file, and what was checked.
pub(super) fn encode(model: &Model) -> Result<(Vec<u8>, String), ExportError> {
    let bytes = file(model, Graph::of(model)).encode_to_vec();
    let (samples, expected) = checked_logits(model)?;
    let read = ModelProto::decode(&bytes[..]).map_err(|error| ExportError::ReadBack(error.to_string()))?;
    let got = run::logits(&read, &samples).map_err(ExportError::ReadBack)?;
    Ok((bytes, compared(&expected, &got, DIFFERENCE_MAX)?))
}

/// The file of a network in whole numbers, and what was checked.
pub(super) fn encode_integers(model: &Model, network: &Quantized) -> Result<(Vec<u8>, String), ExportError> {
    let bytes = file(model, quantized::of(network)).encode_to_vec();
    let read = ModelProto::decode(&bytes[..]).map_err(|error| ExportError::ReadBack(error.to_string()))?;
    let samples = checked_images(model);
    let got = run::logits(&read, &samples).map_err(ExportError::ReadBack)?;
    let scale = network.scales.last().map_or(1.0, |scale| scale.scale);
    let steps = int8::run::logits(network, &samples, NonZeroUsize::MIN);
    let expected: Vec<f32> = steps.into_iter().map(|step| step as f32 * scale).collect();
    Ok((bytes, compared(&expected, &got, ROUNDING_MAX)?))
}

fn file(model: &Model, nodes: Nodes) -> ModelProto {
    let spec = model.architecture.input();
    let Nodes { nodes, initializers } = nodes;
    let [channels, height, width] = [spec.channels(), spec.height(), spec.width()].map(|side| side as i64);
    let graph = GraphProto {
        node: nodes,
        name: model.architecture.layers().short_name(),
        initializer: initializers,
        input: vec![value(INPUT, &[channels, height, width])],
        output: vec![value(OUTPUT, &[spec.classes() as i64])],
    };
    let entry = |key: &str, value: String| StringStringEntryProto { key: key.to_owned(), value };
    ModelProto {
        ir_version: Some(IR_VERSION),
        producer_name: "lockstep".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: Some(OPSET) }],
        metadata_props: vec![
            entry("class_names", model.classes.to_string()),
            entry("layers", model.architecture.layers().to_string()),
        ],
    }
}

/// A value with the free dimension N before these.
fn value(name: &str, sizes: &[i64]) -> ValueInfoProto {
    let batch = Dimension { dim_param: Some("N".to_owned()), ..Dimension::default() };
    let sized = |&size: &i64| Dimension { dim_value: Some(size), ..Dimension::default() };
    let shape = TensorShapeProto { dim: [batch].into_iter().chain(sizes.iter().map(sized)).collect() };
    let tensor_type = TensorTypeProto { elem_type: Some(FLOAT), shape: Some(shape) };
    ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { tensor_type: Some(tensor_type) }) }
}
