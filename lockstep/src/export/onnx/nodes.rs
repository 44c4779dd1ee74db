//! Nodes and tensors of a graph, as they are added to it.

use super::proto::{AttributeProto, NodeProto, TensorProto};
use super::{FLOAT, OUTPUT};
use common::model::activation::Activation;

/// Codes of a tensor's type.
pub(super) const UINT8: i32 = 2;
pub(super) const INT8: i32 = 3;
pub(super) const INT64: i32 = 7;
/// Codes of an attribute's type.
const OF_FLOAT: i32 = 1;
const OF_INT: i32 = 2;
const OF_INTS: i32 = 7;

/// Nodes in the order in which they are computed, and the tensors that they name.
#[derive(Default)]
pub(super) struct Nodes {
    pub(super) nodes: Vec<NodeProto>,
    pub(super) initializers: Vec<TensorProto>,
}

impl Nodes {
    /// Adds a node, and returns the name of its output.
    pub(super) fn node(&mut self, op_type: &str, inputs: &[&str], attribute: Vec<AttributeProto>) -> String {
        let output = format!("{}{}", op_type.to_lowercase(), self.nodes.len());
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.clone()],
            name: output.clone(),
            op_type: op_type.to_owned(),
            attribute,
        });
        output
    }

    /// Adds the nodes of an activation, and returns the name of its output.
    pub(super) fn activation(&mut self, activation: Activation, x: &str) -> String {
        match activation {
            Activation::Relu => self.node("Relu", &[x], Vec::new()),
            Activation::LeakyRelu { slope } => self.node("LeakyRelu", &[x], vec![float("alpha", slope)]),
            Activation::Tanh => self.node("Tanh", &[x], Vec::new()),
            Activation::Sigmoid => self.node("Sigmoid", &[x], Vec::new()),
            Activation::Silu => {
                let gate = self.node("Sigmoid", &[x], Vec::new());
                self.node("Mul", &[x, &gate], Vec::new())
            }
            // x / 2 (1 + erf(x / sqrt(2))).
            Activation::Gelu => {
                let [root, one, half] =
                    [std::f32::consts::SQRT_2, 1.0, 0.5].map(|value| self.constant(value));
                let scaled = self.node("Div", &[x, &root], Vec::new());
                let error = self.node("Erf", &[&scaled], Vec::new());
                let sum = self.node("Add", &[&error, &one], Vec::new());
                let product = self.node("Mul", &[x, &sum], Vec::new());
                self.node("Mul", &[&product, &half], Vec::new())
            }
        }
    }

    /// Calls the value of that name the output.
    pub(super) fn named_output(&mut self, x: &str) {
        let names = self.nodes.iter_mut().flat_map(|node| node.output.iter_mut().chain(&mut node.input));
        names.filter(|name| *name == x).for_each(|name| OUTPUT.clone_into(name));
    }

    /// Adds a tensor, and returns its name.
    pub(super) fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) -> String {
        self.initializers.push(TensorProto {
            dims: shape.iter().map(|&size| size as i64).collect(),
            data_type: Some(FLOAT),
            name: name.to_owned(),
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        });
        name.to_owned()
    }

    /// Adds a tensor of bytes, of type [`UINT8`] or [`INT8`], and returns its name.
    pub(super) fn bytes(&mut self, name: String, data_type: i32, shape: &[usize], values: Vec<u8>) -> String {
        self.initializers.push(TensorProto {
            dims: shape.iter().map(|&size| size as i64).collect(),
            data_type: Some(data_type),
            name: name.clone(),
            raw_data: values,
        });
        name
    }

    /// Adds a number, and returns its name.
    pub(super) fn constant(&mut self, value: f32) -> String {
        let name = format!("constant{}", self.initializers.len());
        self.floats(&name, &[], &[value])
    }

    /// Adds a shape, and returns its name.
    pub(super) fn integers(&mut self, values: &[i64]) -> String {
        let name = format!("shape{}", self.initializers.len());
        self.initializers.push(TensorProto {
            dims: vec![values.len() as i64],
            data_type: Some(INT64),
            name: name.clone(),
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        });
        name
    }
}

pub(super) fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { name: name.to_owned(), f: Some(value), r#type: Some(OF_FLOAT), ..Default::default() }
}

pub(super) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.to_owned(), i: Some(value), r#type: Some(OF_INT), ..Default::default() }
}

pub(super) fn ints(name: &str, values: &[usize]) -> AttributeProto {
    let ints = values.iter().map(|&value| value as i64).collect();
    AttributeProto { name: name.to_owned(), ints, r#type: Some(OF_INTS), ..Default::default() }
}
