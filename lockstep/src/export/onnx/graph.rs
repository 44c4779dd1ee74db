//! Layers as nodes of a graph.
//!
//! Values are `[N, C, H, W]`, or `[N, C]` after a flatten, as in ONNX's own operators. What opset 13 has no
//! operator for is written as several: GELU by Erf, SiLU by Sigmoid, group norm by InstanceNormalization over
//! reshaped groups, layer norm by means. Dropout does nothing once a network is trained, and is left out.

use super::proto::{AttributeProto, NodeProto, TensorProto};
use super::{FLOAT, INPUT, OUTPUT};
use common::checkpoint::Model;
use common::data::normalize::{Channel, Normalization};
use common::model::activation::Activation;
use common::model::infer::Shape;
use common::model::layer::{Convolution, Layer, Window};

/// Code of i64 as a tensor's type.
pub(super) const INT64: i32 = 7;
/// Added to variances before the root is taken, in all normalizations.
const EPSILON: f32 = 1e-5;
/// Codes of an attribute's type.
const OF_FLOAT: i32 = 1;
const OF_INT: i32 = 2;
const OF_INTS: i32 = 7;

/// The nodes of a network, and the tensors that they name.
pub(super) struct Graph<'a> {
    model: &'a Model,
    pub(super) nodes: Vec<NodeProto>,
    pub(super) initializers: Vec<TensorProto>,
}

impl<'a> Graph<'a> {
    /// The graph from [`INPUT`] to [`OUTPUT`].
    pub(super) fn of(model: &'a Model) -> Self {
        let mut graph = Self { model, nodes: Vec::new(), initializers: Vec::new() };
        let mut x = graph.normalized();
        // Per open residual: the values before it, and the body's once its shortcut has begun.
        let mut open: Vec<(String, Option<String>)> = Vec::new();
        let architecture = &model.architecture;
        let layers = architecture.layers().as_slice().iter().zip(architecture.shapes());
        for (at, (layer, input)) in layers.enumerate() {
            x = match layer {
                Layer::Residual => {
                    open.push((x.clone(), None));
                    x
                }
                Layer::Shortcut => match open.last_mut() {
                    Some((before, body)) => {
                        *body = Some(x);
                        before.clone()
                    }
                    None => x,
                },
                Layer::Add => match open.pop() {
                    Some((_, Some(body))) => graph.node("Add", &[&body, &x], Vec::new()),
                    Some((before, None)) => graph.node("Add", &[&x, &before], Vec::new()),
                    None => x,
                },
                layer => graph.layer(at, *layer, *input, &x),
            };
        }
        graph.named_output(&x);
        graph
    }

    /// The input in the model's normalization.
    fn normalized(&mut self) -> String {
        let Normalization::Standard(channels) = &self.model.normalization else { return INPUT.to_owned() };
        let mut constant = |name: &str, value: fn(&Channel) -> f64| {
            let values: Vec<f32> = channels.iter().map(|channel| value(channel) as f32).collect();
            self.floats(name, &[1, channels.len(), 1, 1], &values)
        };
        let mean = constant("normalize.mean", Channel::mean);
        let deviation = constant("normalize.deviation", Channel::deviation);
        let centred = self.node("Sub", &[INPUT, &mean], Vec::new());
        self.node("Div", &[&centred, &deviation], Vec::new())
    }

    fn layer(&mut self, at: usize, layer: Layer, input: Shape, x: &str) -> String {
        match layer {
            Layer::Conv(conv) => self.convolution(at, conv, x),
            Layer::MaxPool(window) => self.node("MaxPool", &[x], windows(window)),
            Layer::AvgPool(window) => self.node("AveragePool", &[x], windows(window)),
            Layer::GlobalAvgPool => {
                let means = self.node("GlobalAveragePool", &[x], Vec::new());
                self.node("Flatten", &[&means], vec![int("axis", 1)])
            }
            Layer::Flatten => self.node("Flatten", &[x], vec![int("axis", 1)]),
            Layer::Dense { .. } => {
                let [weight, bias] = self.tensors(at, ["weight", "bias"]);
                self.node("Gemm", &[x, &weight, &bias], vec![int("transB", 1)])
            }
            Layer::Activation(activation) => self.activation(activation, x),
            Layer::BatchNorm => {
                let [weight, bias, mean, variance] =
                    self.tensors(at, ["weight", "bias", "running_mean", "running_var"]);
                let inputs = [x, &weight, &bias, &mean, &variance];
                self.node("BatchNormalization", &inputs, vec![float("epsilon", EPSILON)])
            }
            Layer::GroupNorm { groups } => self.group_norm(at, groups, input, x),
            Layer::LayerNorm => self.layer_norm(at, input, x),
            Layer::Dropout { .. } | Layer::Residual | Layer::Shortcut | Layer::Add => x.to_owned(),
        }
    }

    fn convolution(&mut self, at: usize, conv: Convolution, x: &str) -> String {
        let Convolution { kernel, stride, padding, groups, bias, .. } = conv;
        let [weight] = self.tensors(at, ["weight"]);
        let bias = bias.then(|| self.tensors(at, ["bias"]));
        let mut inputs = vec![x, weight.as_str()];
        inputs.extend(bias.iter().flatten().map(String::as_str));
        let attributes = vec![
            ints("kernel_shape", &[kernel; 2]),
            ints("strides", &[stride; 2]),
            ints("pads", &[padding; 4]),
            int("group", groups as i64),
        ];
        self.node("Conv", &inputs, attributes)
    }

    fn activation(&mut self, activation: Activation, x: &str) -> String {
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

    fn group_norm(&mut self, at: usize, groups: usize, input: Shape, x: &str) -> String {
        let apart = self.integers(&[0, groups as i64, -1]);
        let sizes: Vec<i64> = sizes(input).into_iter().map(|size| size as i64).collect();
        let together = self.integers(&[&[0], &sizes[..]].concat());
        let grouped = self.node("Reshape", &[x, &apart], Vec::new());
        let number = self.nodes.len();
        let ones = self.floats(&format!("ones{number}"), &[groups], &vec![1.0; groups]);
        let zeros = self.floats(&format!("zeros{number}"), &[groups], &vec![0.0; groups]);
        let inputs = [grouped.as_str(), &ones, &zeros];
        let normal = self.node("InstanceNormalization", &inputs, vec![float("epsilon", EPSILON)]);
        let normal = self.node("Reshape", &[&normal, &together], Vec::new());
        self.scaled(at, input, &normal)
    }

    /// Over the channels of each pixel, or all values of a vector.
    fn layer_norm(&mut self, at: usize, input: Shape, x: &str) -> String {
        let over_channels = || vec![ints("axes", &[1]), int("keepdims", 1)];
        let epsilon = self.constant(EPSILON);
        let mean = self.node("ReduceMean", &[x], over_channels());
        let centred = self.node("Sub", &[x, &mean], Vec::new());
        let squares = self.node("Mul", &[&centred, &centred], Vec::new());
        let variance = self.node("ReduceMean", &[&squares], over_channels());
        let sum = self.node("Add", &[&variance, &epsilon], Vec::new());
        let deviation = self.node("Sqrt", &[&sum], Vec::new());
        let normal = self.node("Div", &[&centred, &deviation], Vec::new());
        self.scaled(at, input, &normal)
    }

    /// Each channel times the layer's weight, plus its bias.
    fn scaled(&mut self, at: usize, input: Shape, x: &str) -> String {
        let channels = input.channels();
        let shape = if matches!(input, Shape::Image { .. }) { vec![channels, 1, 1] } else { vec![channels] };
        let [weight, bias] = ["weight", "bias"].map(|part| {
            let (name, values) = self.values(at, part);
            self.floats(&name, &shape, &values)
        });
        let product = self.node("Mul", &[x, &weight], Vec::new());
        self.node("Add", &[&product, &bias], Vec::new())
    }

    /// Adds a node, and returns the name of its output.
    fn node(&mut self, op_type: &str, inputs: &[&str], attribute: Vec<AttributeProto>) -> String {
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

    /// Calls the value of that name the output.
    fn named_output(&mut self, x: &str) {
        let names = self.nodes.iter_mut().flat_map(|node| node.output.iter_mut().chain(&mut node.input));
        names.filter(|name| *name == x).for_each(|name| OUTPUT.clone_into(name));
    }

    /// Name and values of a tensor of layer `at`.
    fn values(&self, at: usize, part: &str) -> (String, Vec<f32>) {
        let architecture = &self.model.architecture;
        let mut places = architecture.places(at).iter();
        let tensor = places.find_map(|&place| {
            let found = architecture.layout().iter().nth(place);
            found.filter(|(spec, _)| spec.name.rsplit('.').next() == Some(part))
        });
        let (spec, range) = tensor.expect("the layer has this tensor");
        (spec.name.clone(), self.model.params[range].to_vec())
    }

    /// Adds tensors of layer `at` in their own shapes, and returns their names.
    fn tensors<const N: usize>(&mut self, at: usize, parts: [&str; N]) -> [String; N] {
        parts.map(|part| {
            let (name, values) = self.values(at, part);
            let shape = self.model.architecture.layout().find(&name).map(|(spec, _)| spec.shape.clone());
            self.floats(&name, &shape.unwrap_or_default(), &values)
        })
    }

    /// Adds a tensor, and returns its name.
    fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) -> String {
        self.initializers.push(TensorProto {
            dims: shape.iter().map(|&size| size as i64).collect(),
            data_type: Some(FLOAT),
            name: name.to_owned(),
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        });
        name.to_owned()
    }

    /// Adds a number, and returns its name.
    fn constant(&mut self, value: f32) -> String {
        let name = format!("constant{}", self.initializers.len());
        self.floats(&name, &[], &[value])
    }

    /// Adds a shape, and returns its name.
    fn integers(&mut self, values: &[i64]) -> String {
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

/// Sizes of a sample's values, channels first.
fn sizes(shape: Shape) -> Vec<usize> {
    match shape {
        Shape::Image { height, width, channels } => vec![channels, height, width],
        Shape::Vector(len) => vec![len],
    }
}

fn windows(Window { window, stride }: Window) -> Vec<AttributeProto> {
    vec![ints("kernel_shape", &[window; 2]), ints("strides", &[stride; 2])]
}

fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { name: name.to_owned(), f: Some(value), r#type: Some(OF_FLOAT), ..Default::default() }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.to_owned(), i: Some(value), r#type: Some(OF_INT), ..Default::default() }
}

fn ints(name: &str, values: &[usize]) -> AttributeProto {
    let ints = values.iter().map(|&value| value as i64).collect();
    AttributeProto { name: name.to_owned(), ints, r#type: Some(OF_INTS), ..Default::default() }
}
