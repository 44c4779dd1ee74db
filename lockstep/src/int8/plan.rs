//! A model as a list of steps on values, in a form that can be computed in whole numbers.
//!
//! 1. A value is `[channels, height, width]`; a vector has height and width 1. Value 0 is the image's bytes.
//! 2. Convolutions and dense layers are one kind of step. A batch norm behind one is folded into it; any
//!    other is a step of its own, a 1x1 convolution of each channel. So is a normalization that is not p /
//!    255.
//! 3. A ReLU behind a sum is part of its step. Flatten and dropout are none: values lie channel by channel.

use common::checkpoint::Model;
use common::data::normalize::Normalization;
use common::model::activation::Activation;
use common::model::architecture::Architecture;
use common::model::infer::Shape;
use common::model::layer::{Convolution, Layer, Window};

/// Added to a batch norm's variance before the root is taken.
const EPSILON: f64 = 1e-5;
/// Most products in a sum: more would overflow 32 bits.
const TAPS_MAX: usize = 32_768;

/// Sizes of a value: channels, height, width.
pub type Sizes = [usize; 3];

/// Steps from an image to logits.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan<W> {
    /// Sizes of all values, value 0 the image's.
    pub values: Vec<Sizes>,
    /// Steps in the order in which they are computed; step i gives value i + 1.
    pub steps: Vec<Step<W>>,
}

/// A step: what is computed, and from which values.
#[derive(Clone, Debug, PartialEq)]
pub struct Step<W> {
    /// Values that it takes.
    pub inputs: Vec<usize>,
    /// What it computes.
    pub op: Op<W>,
}

/// What a step computes. `W` is what a convolution has for weights: [`Weights`] before quantization.
#[derive(Clone, Debug, PartialEq)]
pub enum Op<W> {
    /// Sums of products over a window, with a bias.
    Sum {
        /// Places of the window.
        geometry: Geometry,
        /// Weights and biases.
        weights: W,
        /// Whether what is below 0 becomes 0.
        relu: bool,
    },
    /// Maximum over windows.
    Max(Geometry),
    /// Mean over windows.
    Mean(Geometry),
    /// A function of each value.
    Function(Activation),
    /// Sum of two values.
    Add {
        /// Whether what is below 0 becomes 0.
        relu: bool,
    },
}

/// Places of a window on its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Geometry {
    pub kernel: [usize; 2],
    pub stride: usize,
    pub padding: usize,
    /// Groups of channels that are apart from each other; a pooling has one for each channel.
    pub groups: usize,
}

/// Weights and biases of a sum, in f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// `[outputs, inputs / groups, kernel height, kernel width]`.
    pub weights: Vec<f32>,
    /// `[outputs]`.
    pub biases: Vec<f32>,
}

/// Why a model can't be computed in whole numbers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum PlanError {
    /// A layer has no form in whole numbers.
    #[error(
        "layer {number}, {layer}, has no form in whole numbers here; batchnorm has one, so train the network with that"
    )]
    Layer {
        /// Position of the layer, from 1.
        number: usize,
        layer: String,
    },
    /// A sum has too many products.
    #[error("layer {number} adds {taps} products, and {TAPS_MAX} is the most that 32 bits hold")]
    Taps {
        /// Position of the layer, from 1.
        number: usize,
        taps: usize,
    },
}

impl Plan<Weights> {
    /// The plan of a model.
    ///
    /// # Errors
    /// When a layer has no form in whole numbers.
    pub fn of(model: &Model) -> Result<Self, PlanError> {
        let architecture = &model.architecture;
        let mut plan = Self { values: vec![sizes(architecture.shapes()[0])], steps: Vec::new() };
        let mut x = plan.normalized(&model.normalization);
        // Per open residual: the value before it, and the body's once its shortcut has begun.
        let mut open: Vec<(usize, Option<usize>)> = Vec::new();
        for (at, layer) in architecture.layers().as_slice().iter().enumerate() {
            // A value that a branch will take again must not be changed behind its step.
            let is_free = open.iter().all(|(before, body)| *before != x && *body != Some(x));
            x = match *layer {
                Layer::Residual => {
                    open.push((x, None));
                    x
                }
                Layer::Shortcut => match open.last_mut() {
                    Some((before, body)) => {
                        *body = Some(x);
                        *before
                    }
                    None => x,
                },
                Layer::Add => match open.pop() {
                    Some((before, body)) => {
                        let inputs = body.map_or(vec![x, before], |body| vec![body, x]);
                        plan.push(inputs, Op::Add { relu: false }, plan.values[x])
                    }
                    None => x,
                },
                Layer::RELU if is_free && plan.rectified() => x,
                Layer::BatchNorm if is_free && plan.folded(architecture, &model.params, at) => x,
                layer => plan.layer(model, at, layer, x)?,
            };
        }
        Ok(plan)
    }

    fn layer(&mut self, model: &Model, at: usize, layer: Layer, x: usize) -> Result<usize, PlanError> {
        let [channels, height, width] = self.values[x];
        let output = sizes(model.architecture.shapes()[at + 1]);
        let windows = |Window { window, stride }| Geometry {
            kernel: [window; 2],
            stride,
            padding: 0,
            groups: channels,
        };
        let part = |name| tensor(&model.architecture, &model.params, at, name);
        Ok(match layer {
            Layer::Conv(Convolution { outputs, kernel, stride, padding, groups, bias }) => {
                let geometry = Geometry { kernel: [kernel; 2], stride, padding, groups };
                let biases = if bias { part("bias") } else { vec![0.0; outputs] };
                let weights = Weights { weights: part("weight"), biases };
                in_bounds(at, channels / groups * kernel * kernel)?;
                self.push(vec![x], Op::Sum { geometry, weights, relu: false }, output)
            }
            Layer::Dense { .. } => {
                // Over all values of an image that was flattened.
                let geometry = Geometry { kernel: [height, width], stride: 1, padding: 0, groups: 1 };
                let weights = Weights { weights: part("weight"), biases: part("bias") };
                in_bounds(at, channels * height * width)?;
                self.push(vec![x], Op::Sum { geometry, weights, relu: false }, output)
            }
            Layer::MaxPool(window) => self.push(vec![x], Op::Max(windows(window)), output),
            Layer::AvgPool(window) => self.push(vec![x], Op::Mean(windows(window)), output),
            Layer::GlobalAvgPool => {
                let geometry = Geometry { kernel: [height, width], stride: 1, padding: 0, groups: channels };
                self.push(vec![x], Op::Mean(geometry), output)
            }
            Layer::BatchNorm => {
                let (factors, terms) = batch_norm(&model.architecture, &model.params, at);
                self.each_channel(x, &factors, &terms)
            }
            Layer::Activation(activation) => {
                self.push(vec![x], Op::Function(activation), [channels, height, width])
            }
            Layer::Flatten | Layer::Dropout { .. } | Layer::Residual | Layer::Shortcut | Layer::Add => x,
            Layer::GroupNorm { .. } | Layer::LayerNorm => {
                return Err(PlanError::Layer { number: at + 1, layer: layer.to_string() });
            }
        })
    }

    /// The image in the model's normalization.
    fn normalized(&mut self, normalization: &Normalization) -> usize {
        let Normalization::Standard(channels) = normalization else { return 0 };
        let factors: Vec<f64> = channels.iter().map(|channel| 1.0 / channel.deviation()).collect();
        let terms: Vec<f64> = channels.iter().map(|channel| -channel.mean() / channel.deviation()).collect();
        self.each_channel(0, &factors, &terms)
    }

    /// Each channel times its factor, plus its term.
    fn each_channel(&mut self, x: usize, factors: &[f64], terms: &[f64]) -> usize {
        let sizes = self.values[x];
        let geometry = Geometry { kernel: [1; 2], stride: 1, padding: 0, groups: sizes[0] };
        let [weights, biases] = [factors, terms].map(|of| of.iter().map(|&value| value as f32).collect());
        self.push(vec![x], Op::Sum { geometry, weights: Weights { weights, biases }, relu: false }, sizes)
    }

    fn push(&mut self, inputs: Vec<usize>, op: Op<Weights>, output: Sizes) -> usize {
        self.steps.push(Step { inputs, op });
        self.values.push(output);
        self.steps.len()
    }

    /// Makes a ReLU part of the last step, if that is a sum.
    fn rectified(&mut self) -> bool {
        match self.steps.last_mut().map(|step| &mut step.op) {
            Some(Op::Sum { relu, .. } | Op::Add { relu }) => {
                *relu = true;
                true
            }
            _ => false,
        }
    }

    /// Folds a batch norm into the last step, if that is a sum without a ReLU.
    fn folded(&mut self, architecture: &Architecture, params: &[f32], at: usize) -> bool {
        let Some(Step { op: Op::Sum { weights, relu: false, .. }, .. }) = self.steps.last_mut() else {
            return false;
        };
        let (factors, terms) = batch_norm(architecture, params, at);
        let taps = weights.weights.len() / factors.len();
        for (kernel, factor) in weights.weights.chunks_exact_mut(taps).zip(&factors) {
            kernel.iter_mut().for_each(|weight| *weight = (f64::from(*weight) * factor) as f32);
        }
        for (bias, (factor, term)) in weights.biases.iter_mut().zip(factors.iter().zip(&terms)) {
            *bias = (f64::from(*bias) * factor + term) as f32;
        }
        true
    }
}

fn in_bounds(at: usize, taps: usize) -> Result<(), PlanError> {
    if taps > TAPS_MAX { Err(PlanError::Taps { number: at + 1, taps }) } else { Ok(()) }
}

fn sizes(shape: Shape) -> Sizes {
    match shape {
        Shape::Image { height, width, channels } => [channels, height, width],
        Shape::Vector(len) => [len, 1, 1],
    }
}

/// Values of a tensor of layer `at`.
fn tensor(architecture: &Architecture, params: &[f32], at: usize, part: &str) -> Vec<f32> {
    let mut places = architecture.places(at).iter();
    let found = places.find_map(|&place| {
        let (spec, range) = architecture.layout().iter().nth(place)?;
        (spec.name.rsplit('.').next() == Some(part)).then_some(range)
    });
    params[found.expect("the layer has this tensor")].to_vec()
}

/// Factor and term of each channel.
fn batch_norm(architecture: &Architecture, params: &[f32], at: usize) -> (Vec<f64>, Vec<f64>) {
    let part = |name| tensor(architecture, params, at, name).into_iter().map(f64::from);
    let scale = part("weight").zip(part("running_var"));
    let factors: Vec<f64> = scale.map(|(weight, variance)| weight / (variance + EPSILON).sqrt()).collect();
    let means = part("running_mean").zip(&factors);
    let terms = part("bias").zip(means).map(|(bias, (mean, factor))| bias - mean * factor).collect();
    (factors, terms)
}
