//! A network as a list of layers: its text form, and what follows from the form of the samples.
//!
//! [`Layers`] is what a person types and a checkpoint keeps. [`Architecture`] is a list that fits a data set: every layer
//! can follow the one before it, the last one has a value for each class, and sizes are bounded, whoever named them.

use super::infer::{LayerProblem, Shape};
use super::layer::Layer;
use super::params::{Layout, TensorSpec};
use super::zoo;
use crate::data::spec::DataSpec;
use crate::text::{Call, TEXT_BYTES_MAX, TextError, words};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Most layers of a network.
pub const LAYERS_MAX: usize = 256;
/// Most parameters of a network: a gigabyte of f32.
pub const PARAMETERS_MAX: usize = 1 << 28;
/// Most values that the layers of a network have between them for one sample: 64 MB of f32.
pub const ACTIVATIONS_MAX: usize = 1 << 24;

/// A list of layers, not yet for any data.
///
/// ```
/// use common::model::architecture::Layers;
///
/// let network: Layers = "flatten dense(64) relu dense".parse().unwrap();
/// assert_eq!(network.to_string(), "flatten dense(64) relu dense");
/// assert_eq!("mlp(64)".parse(), Ok(network));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layers(Vec<Layer>);

/// A network for samples of one form.
///
/// ```
/// use common::data::spec::DataSpec;
/// use common::model::architecture::Architecture;
///
/// let grey = DataSpec::new(28, 28, 1, 10).unwrap();
/// let network = Architecture::new(grey, "flatten dense".parse().unwrap()).unwrap();
/// assert_eq!(network.layout().len(), 28 * 28 * 10 + 10);
/// let wrong = Architecture::new(grey, "conv(8,3) dense".parse().unwrap());
/// let message = "layer 2, dense on 26x26x8: it needs a vector: put flatten before it";
/// assert_eq!(wrong.unwrap_err().to_string(), message);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Architecture {
    input: DataSpec,
    layers: Layers,
    /// What goes into each layer, and what comes out of the last one.
    shapes: Vec<Shape>,
    layout: Layout,
    /// For each layer, where its tensors stand among all in layout order.
    places: Vec<Vec<usize>>,
}

/// Why a list of layers is not a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// Too many layers, or none.
    #[error("a network has 1 to {LAYERS_MAX} layers, got {got}")]
    Count {
        /// Layers given.
        got: usize,
    },
    /// A layer that is none.
    #[error("layer {number}: {source}")]
    Text {
        /// Its place, from 1.
        number: usize,
        /// What is wrong.
        source: TextError,
    },
    /// A text that is longer than a network's can be.
    #[error("a network's text has at most {TEXT_BYTES_MAX} bytes, got {got}")]
    Length {
        /// Bytes given.
        got: usize,
    },
    /// A layer that can't follow the one before it.
    #[error("layer {number}, {layer} on {input}: {problem}")]
    Layer {
        /// Its place, from 1.
        number: usize,
        /// The layer.
        layer: String,
        /// What comes into it.
        input: Shape,
        /// What is wrong.
        problem: LayerProblem,
    },
    /// The last layer's output is not a value for each class.
    #[error("the last layer gives {got}, and there are {classes} classes: end with dense")]
    Output {
        /// What it gives.
        got: Shape,
        /// Number of classes.
        classes: usize,
    },
    /// More parameters than a network may have.
    #[error("with layer {number}, {layer}, the network has more than {PARAMETERS_MAX} parameters")]
    Parameters {
        /// Place of the layer with which there are too many, from 1.
        number: usize,
        /// The layer.
        layer: String,
    },
    /// More values between layers than a network may have for a sample.
    #[error("with layer {number}, {layer}, a sample has more than {ACTIVATIONS_MAX} values between layers")]
    Activations {
        /// Place of the layer with which there are too many, from 1.
        number: usize,
        /// The layer.
        layer: String,
    },
}

impl Layers {
    /// A list of 1 to [`LAYERS_MAX`] layers.
    ///
    /// # Errors
    /// When there are more, or none.
    pub fn new(layers: Vec<Layer>) -> Result<Self, ModelError> {
        match layers.len() {
            1..=LAYERS_MAX => Ok(Self(layers)),
            got => Err(ModelError::Count { got }),
        }
    }

    /// The layers, input side first.
    #[must_use]
    pub fn as_slice(&self) -> &[Layer] {
        &self.0
    }

    /// The network's name where it has one, else its layers.
    #[must_use]
    pub fn short_name(&self) -> String {
        let text = self.to_string();
        let widths: Vec<usize> = self.0.iter().filter_map(hidden).collect();
        let is_it = |settings: &[usize], named: &zoo::Named| (named.layers)(settings).as_ref() == Some(&text);
        let named = zoo::ALL.iter().find_map(|named| {
            if is_it(&[], named) {
                Some(named.name.to_owned())
            } else if is_it(&widths, named) {
                let widths: Vec<String> = widths.iter().map(ToString::to_string).collect();
                Some(format!("{}({})", named.name, widths.join(",")))
            } else {
                None
            }
        });
        named.unwrap_or(text)
    }
}

fn hidden(layer: &Layer) -> Option<usize> {
    match layer {
        Layer::Dense { outputs } => *outputs,
        _ => None,
    }
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, layer) in self.0.iter().enumerate() {
            write!(f, "{}{layer}", if at == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

impl FromStr for Layers {
    type Err = ModelError;

    /// From a network's name, as `cnn` or `mlp(64,32)`, or from layers, as `flatten dense(64) relu dense`.
    fn from_str(text: &str) -> Result<Self, ModelError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(ModelError::Length { got: text.len() });
        }
        if let Some(layers) = by_name(text) {
            return layers.parse();
        }
        let words = words(text);
        if words.len() > LAYERS_MAX {
            return Err(ModelError::Count { got: words.len() });
        }
        let layer = |(at, word): (usize, &&str)| {
            word.parse().map_err(|source| ModelError::Text { number: at + 1, source })
        };
        Self::new(words.iter().enumerate().map(layer).collect::<Result<_, _>>()?)
    }
}

/// The layers of a network that has a name.
fn by_name(text: &str) -> Option<String> {
    let call = Call::parse(text).ok()?;
    let named = zoo::ALL.iter().find(|named| named.name == call.name)?;
    (named.layers)(&call.positional().ok()?)
}

impl Architecture {
    /// The network of these layers for samples of that form.
    ///
    /// # Errors
    /// When a layer does not fit, the last one's output is not a value for each class, or a bound is passed.
    pub fn new(input: DataSpec, layers: Layers) -> Result<Self, ModelError> {
        let (height, width, channels) = (input.height(), input.width(), input.channels());
        let classes = input.classes();
        let mut shape = Shape::Image { height, width, channels };
        let mut shapes = vec![shape];
        let mut tensors = Vec::new();
        let mut names = Vec::new();
        let mut numbers = BTreeMap::<&str, usize>::new();
        let [mut parameters, mut activations] = [0usize; 2];
        for (at, layer) in layers.0.iter().enumerate() {
            let (number, text) = (at + 1, || layer.to_string());
            let output = layer.output(shape, classes).map_err(|problem| ModelError::Layer {
                number,
                layer: text(),
                input: shape,
                problem,
            })?;
            activations = activations.saturating_add(output.len());
            if activations > ACTIVATIONS_MAX {
                return Err(ModelError::Activations { number, layer: text() });
            }
            let prefix = layer.prefix().map(|prefix| {
                let count = numbers.entry(prefix).or_default();
                *count += 1;
                format!("{prefix}{count}")
            });
            let mut own = Vec::new();
            for tensor in layer.tensors(shape, output) {
                let name = format!("{}.{}", prefix.as_deref().unwrap_or_default(), tensor.part);
                let elements = tensor.shape.iter().fold(1usize, |all, &size| all.saturating_mul(size));
                parameters = parameters.saturating_add(elements);
                own.push(name.clone());
                tensors.push(TensorSpec { name, shape: tensor.shape, start: tensor.start });
            }
            names.push(own);
            if parameters > PARAMETERS_MAX {
                return Err(ModelError::Parameters { number, layer: text() });
            }
            shape = output;
            shapes.push(shape);
        }
        if shape != Shape::Vector(classes) {
            return Err(ModelError::Output { got: shape, classes });
        }
        let layout = Layout::new(tensors);
        let place = |name: &String| layout.iter().position(|(tensor, _)| tensor.name == *name);
        let places = names.iter().map(|own| own.iter().filter_map(place).collect()).collect();
        Ok(Self { input, layers, shapes, layout, places })
    }

    /// The network of that text for samples of that form.
    ///
    /// # Errors
    /// When the text names no network, or one that does not fit.
    pub fn parse(input: DataSpec, text: &str) -> Result<Self, ModelError> {
        Self::new(input, text.parse()?)
    }

    /// Form of the samples.
    #[must_use]
    pub fn input(&self) -> DataSpec {
        self.input
    }

    /// The layers, input side first.
    #[must_use]
    pub fn layers(&self) -> &Layers {
        &self.layers
    }

    /// What goes into each layer, then what comes out of the last one: a shape more than there are layers.
    #[must_use]
    pub fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    /// Where the tensors of layer `at` stand among all tensors in layout order, its weight first.
    ///
    /// # Panics
    /// When there is no such layer.
    #[must_use]
    pub fn places(&self, at: usize) -> &[usize] {
        &self.places[at]
    }

    /// The trained tensors: `conv1.weight`, `conv1.bias`, `fc1.weight`, ..., counted by kind from the input on, shaped as
    /// in PyTorch's `state_dict`.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.layers.fmt(f)
    }
}

#[cfg(test)]
mod tests;
