//! A network in whole numbers as a graph that every reader computes alike.
//!
//! Operators are those of floating point, between values and weights that were quantized and dequantized:
//! values as u8 with one scale, weights as i8 with one for each output channel, biases as f32. A value is
//! quantized where a step takes it, so there is nothing between a convolution, its ReLU and a maximum: a
//! maximum of rounded values is the rounded maximum. Other forms are read wrongly by some, without an error.

use super::INPUT;
use super::nodes::{INT8, Nodes, UINT8, int, ints};
use super::proto::AttributeProto;
use crate::int8::plan::{Geometry, Op, Step};
use crate::int8::quantize::{Integers, Quantized};

/// The nodes of a network.
pub(super) fn of(network: &Quantized) -> Nodes {
    let input = Value { name: INPUT.to_owned(), steps: None, is_flat: false };
    let mut graph = Graph { network, nodes: Nodes::default(), values: vec![input] };
    for (at, step) in network.plan.steps.iter().enumerate() {
        let value = graph.step(at, step);
        graph.values.push(value);
    }
    let last = network.plan.steps.len();
    let is_sum = matches!(network.plan.steps.last().map(|step| &step.op), Some(Op::Sum { .. }));
    let mut logits = if is_sum { graph.values[last].name.clone() } else { graph.rounded(last) };
    if !graph.values[last].is_flat {
        logits = graph.nodes.node("Flatten", &[&logits], vec![int("axis", 1)]);
    }
    graph.nodes.named_output(&logits);
    graph.nodes
}

/// A step's output.
struct Value {
    /// Its name before it is rounded.
    name: String,
    /// The name of its steps of 8 bits, once a step has asked for them.
    steps: Option<String>,
    /// Whether it is `[N, channels]`, in place of `[N, channels, height, width]`.
    is_flat: bool,
}

struct Graph<'a> {
    network: &'a Quantized,
    nodes: Nodes,
    values: Vec<Value>,
}

impl Graph<'_> {
    fn step(&mut self, at: usize, Step { inputs, op }: &Step<Integers>) -> Value {
        let input = inputs[0];
        let sizes = self.network.plan.values[input];
        let mut is_flat = false;
        let name = match op {
            Op::Sum { geometry, weights, .. } => {
                is_flat = geometry.kernel == sizes[1..] && geometry.groups == 1 && geometry.padding == 0;
                let x = self.rounded(input);
                if is_flat {
                    self.dense(at, weights, &x)
                } else {
                    self.convolution(at, *geometry, weights, input, &x)
                }
            }
            Op::Max(geometry) => {
                let x = self.values[input].name.clone();
                let x = self.image(&x, input);
                self.nodes.node("MaxPool", &[&x], windows(*geometry))
            }
            Op::Mean(geometry) => {
                let x = self.rounded(input);
                let x = self.image(&x, input);
                self.nodes.node("AveragePool", &[&x], windows(*geometry))
            }
            Op::Function(activation) => {
                is_flat = self.values[input].is_flat;
                let x = self.rounded(input);
                self.nodes.activation(*activation, &x)
            }
            Op::Add { .. } => {
                is_flat = inputs.iter().all(|&value| self.values[value].is_flat);
                let [first, second] = [0, 1].map(|place| {
                    let x = self.rounded(inputs[place]);
                    if is_flat { x } else { self.image(&x, inputs[place]) }
                });
                self.nodes.node("Add", &[&first, &second], Vec::new())
            }
        };
        let rectified = matches!(op, Op::Sum { relu: true, .. } | Op::Add { relu: true });
        let name = if rectified { self.nodes.node("Relu", &[&name], Vec::new()) } else { name };
        Value { name, steps: None, is_flat }
    }

    /// The name of a value as rounded to its steps. Each step that takes it has a node of its own: where two
    /// share one, OpenCV 5 fails.
    fn rounded(&mut self, value: usize) -> String {
        let [factor, zero] = ["scale", "zero"].map(|part| format!("value{value}.{part}"));
        let steps = self.values[value].steps.clone().unwrap_or_else(|| {
            let scale = self.network.scales[value];
            self.nodes.floats(&factor, &[], &[scale.scale]);
            self.nodes.bytes(zero.clone(), UINT8, &[], vec![scale.zero as u8]);
            self.nodes.node("QuantizeLinear", &[&self.values[value].name, &factor, &zero], Vec::new())
        });
        self.values[value].steps = Some(steps.clone());
        self.nodes.node("DequantizeLinear", &[&steps, &factor, &zero], Vec::new())
    }

    /// A value `x` in four dimensions.
    fn image(&mut self, x: &str, value: usize) -> String {
        if !self.values[value].is_flat {
            return x.to_owned();
        }
        let [channels, height, width] = self.network.plan.values[value].map(|size| size as i64);
        let shape = self.nodes.integers(&[0, channels, height, width]);
        self.nodes.node("Reshape", &[x, &shape], Vec::new())
    }

    fn dense(&mut self, at: usize, weights: &Integers, x: &str) -> String {
        let outputs = weights.biases.len();
        let [weight, bias] = self.weights(at, weights, &[outputs, weights.weights.len() / outputs]);
        let is_flat = self.values[self.network.plan.steps[at].inputs[0]].is_flat;
        let flat =
            if is_flat { x.to_owned() } else { self.nodes.node("Flatten", &[x], vec![int("axis", 1)]) };
        self.nodes.node("Gemm", &[&flat, &weight, &bias], vec![int("transB", 1)])
    }

    fn convolution(
        &mut self,
        at: usize,
        geometry: Geometry,
        weights: &Integers,
        input: usize,
        x: &str,
    ) -> String {
        let Geometry { kernel: [rows, columns], stride, padding, groups } = geometry;
        let outputs = weights.biases.len();
        let channels = weights.weights.len() / (outputs * rows * columns);
        let [weight, bias] = self.weights(at, weights, &[outputs, channels, rows, columns]);
        let attributes = vec![
            ints("kernel_shape", &[rows, columns]),
            ints("strides", &[stride; 2]),
            ints("pads", &[padding; 4]),
            int("group", groups as i64),
        ];
        let x = self.image(x, input);
        self.nodes.node("Conv", &[&x, &weight, &bias], attributes)
    }

    /// Weights of that shape, and biases.
    fn weights(&mut self, at: usize, weights: &Integers, shape: &[usize]) -> [String; 2] {
        let name = |part: &str| format!("layer{}.{part}", at + 1);
        let outputs = weights.biases.len();
        let bytes = weights.weights.iter().map(|&weight| weight as u8).collect();
        let steps = self.nodes.bytes(name("weight"), INT8, shape, bytes);
        let scale = self.nodes.floats(&name("scale"), &[outputs], &weights.scales);
        let zero = self.nodes.bytes(name("zero"), INT8, &[outputs], vec![0; outputs]);
        let weight = self.nodes.node("DequantizeLinear", &[&steps, &scale, &zero], vec![int("axis", 0)]);
        [weight, self.nodes.floats(&name("bias"), &[outputs], &weights.float_biases)]
    }
}

fn windows(Geometry { kernel, stride, .. }: Geometry) -> Vec<AttributeProto> {
    vec![ints("kernel_shape", &kernel), ints("strides", &[stride; 2])]
}
