//! Layers as nodes of a graph.
//!
//! Values are `[N, C, H, W]`, or `[N, C]` after a flatten, as in ONNX's own operators. What opset 13 has no
//! operator for is written as several: GELU by Erf, SiLU by Sigmoid, group norm by InstanceNormalization over
//! reshaped groups, layer norm by means. Dropout does nothing once a network is trained, and is left out.

use super::INPUT;
use super::nodes::{Nodes, float, int, ints};
use super::proto::AttributeProto;
use common::checkpoint::Model;
use common::data::normalize::{Channel, Normalization};
use common::model::infer::Shape;
use common::model::layer::{Convolution, Layer, Window};

/// Added to variances before the root is taken, in all normalizations.
const EPSILON: f32 = 1e-5;

/// The nodes of a network, and the tensors that they name.
pub(super) struct Graph<'a> {
    model: &'a Model,
    nodes: Nodes,
}

impl<'a> Graph<'a> {
    /// The graph from [`INPUT`] to [`OUTPUT`].
    pub(super) fn of(model: &'a Model) -> Nodes {
        let mut graph = Self { model, nodes: Nodes::default() };
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
                    Some((_, Some(body))) => graph.nodes.node("Add", &[&body, &x], Vec::new()),
                    Some((before, None)) => graph.nodes.node("Add", &[&x, &before], Vec::new()),
                    None => x,
                },
                layer => graph.layer(at, *layer, *input, &x),
            };
        }
        graph.nodes.named_output(&x);
        graph.nodes
    }

    /// The input in the model's normalization.
    fn normalized(&mut self) -> String {
        let Normalization::Standard(channels) = &self.model.normalization else { return INPUT.to_owned() };
        let mut constant = |name: &str, value: fn(&Channel) -> f64| {
            let values: Vec<f32> = channels.iter().map(|channel| value(channel) as f32).collect();
            self.nodes.floats(name, &[1, channels.len(), 1, 1], &values)
        };
        let mean = constant("normalize.mean", Channel::mean);
        let deviation = constant("normalize.deviation", Channel::deviation);
        let centred = self.nodes.node("Sub", &[INPUT, &mean], Vec::new());
        self.nodes.node("Div", &[&centred, &deviation], Vec::new())
    }

    fn layer(&mut self, at: usize, layer: Layer, input: Shape, x: &str) -> String {
        match layer {
            Layer::Conv(conv) => self.convolution(at, conv, x),
            Layer::MaxPool(window) => self.nodes.node("MaxPool", &[x], windows(window)),
            Layer::AvgPool(window) => self.nodes.node("AveragePool", &[x], windows(window)),
            Layer::GlobalAvgPool => {
                let means = self.nodes.node("GlobalAveragePool", &[x], Vec::new());
                self.nodes.node("Flatten", &[&means], vec![int("axis", 1)])
            }
            Layer::Flatten => self.nodes.node("Flatten", &[x], vec![int("axis", 1)]),
            Layer::Dense { .. } => {
                let [weight, bias] = self.tensors(at, ["weight", "bias"]);
                self.nodes.node("Gemm", &[x, &weight, &bias], vec![int("transB", 1)])
            }
            Layer::Activation(activation) => self.nodes.activation(activation, x),
            Layer::BatchNorm => {
                let [weight, bias, mean, variance] =
                    self.tensors(at, ["weight", "bias", "running_mean", "running_var"]);
                let inputs = [x, &weight, &bias, &mean, &variance];
                self.nodes.node("BatchNormalization", &inputs, vec![float("epsilon", EPSILON)])
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
        self.nodes.node("Conv", &inputs, attributes)
    }

    fn group_norm(&mut self, at: usize, groups: usize, input: Shape, x: &str) -> String {
        let apart = self.nodes.integers(&[0, groups as i64, -1]);
        let sizes: Vec<i64> = sizes(input).into_iter().map(|size| size as i64).collect();
        let together = self.nodes.integers(&[&[0], &sizes[..]].concat());
        let grouped = self.nodes.node("Reshape", &[x, &apart], Vec::new());
        let number = self.nodes.nodes.len();
        let ones = self.nodes.floats(&format!("ones{number}"), &[groups], &vec![1.0; groups]);
        let zeros = self.nodes.floats(&format!("zeros{number}"), &[groups], &vec![0.0; groups]);
        let inputs = [grouped.as_str(), &ones, &zeros];
        let normal = self.nodes.node("InstanceNormalization", &inputs, vec![float("epsilon", EPSILON)]);
        let normal = self.nodes.node("Reshape", &[&normal, &together], Vec::new());
        self.scaled(at, input, &normal)
    }

    /// Over the channels of each pixel, or all values of a vector.
    fn layer_norm(&mut self, at: usize, input: Shape, x: &str) -> String {
        let over_channels = || vec![ints("axes", &[1]), int("keepdims", 1)];
        let epsilon = self.nodes.constant(EPSILON);
        let mean = self.nodes.node("ReduceMean", &[x], over_channels());
        let centred = self.nodes.node("Sub", &[x, &mean], Vec::new());
        let squares = self.nodes.node("Mul", &[&centred, &centred], Vec::new());
        let variance = self.nodes.node("ReduceMean", &[&squares], over_channels());
        let sum = self.nodes.node("Add", &[&variance, &epsilon], Vec::new());
        let deviation = self.nodes.node("Sqrt", &[&sum], Vec::new());
        let normal = self.nodes.node("Div", &[&centred, &deviation], Vec::new());
        self.scaled(at, input, &normal)
    }

    /// Each channel times the layer's weight, plus its bias.
    fn scaled(&mut self, at: usize, input: Shape, x: &str) -> String {
        let channels = input.channels();
        let shape = if matches!(input, Shape::Image { .. }) { vec![channels, 1, 1] } else { vec![channels] };
        let [weight, bias] = ["weight", "bias"].map(|part| {
            let (name, values) = self.values(at, part);
            self.nodes.floats(&name, &shape, &values)
        });
        let product = self.nodes.node("Mul", &[x, &weight], Vec::new());
        self.nodes.node("Add", &[&product, &bias], Vec::new())
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
            self.nodes.floats(&name, &shape.unwrap_or_default(), &values)
        })
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
