//! A network as a list of layers: its text form, and the shapes that follow from the form of the samples.
//!
//! [`Layers`] is the list that a person types and a checkpoint keeps. [`Architecture`] is a list that fits a
//! data set: every layer can follow the one before it, the last one has a value for each class, and sizes are
//! bounded, whoever chose them.

use super::branch::Open;
use super::infer::{LayerProblem, LayerTensor, Shape};
use super::layer::Layer;
use super::params::{Layout, TensorSpec};
use super::zoo;
use crate::data::spec::DataSpec;
use crate::text::{Call, TEXT_BYTES_MAX, TextError, words};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Largest number of layers in a network.
pub const LAYERS_MAX: usize = 256;
/// Largest number of parameters in a network: a gigabyte of f32.
pub const PARAMETERS_MAX: usize = 1 << 28;
/// Largest number of values between a network's layers for one sample: 64 MB of f32.
pub const ACTIVATIONS_MAX: usize = 1 << 24;

/// A list of layers that is not yet checked against any data.
///
/// ```
/// use common::model::architecture::Layers;
///
/// let network: Layers = "flatten dense(64) relu dense".parse().unwrap();
/// assert_eq!(network.to_string(), "flatten dense(64) relu dense");
/// assert_eq!("mlp(64)".parse(), Ok(network));
/// ```
#[derive(Clone, Debug, PartialEq)]
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
/// let message = "layer 2, dense on 26x26x8: it needs a vector: put flatten or globalavgpool before it";
/// assert_eq!(wrong.unwrap_err().to_string(), message);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Architecture {
    input: DataSpec,
    layers: Layers,
    /// Input shape of each layer, then the output shape of the last one.
    shapes: Vec<Shape>,
    layout: Layout,
    /// Indices of each layer's tensors in layout order.
    places: Vec<Vec<usize>>,
}

/// Reason why a list of layers is not a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum ModelError {
    /// The list has no layers, or too many.
    #[error("a network has 1 to {LAYERS_MAX} layers, got {got}")]
    Count { got: usize },
    /// A word is not a layer.
    #[error("layer {number}: {source}")]
    Text {
        /// Position of the word in the list, from 1.
        number: usize,
        source: TextError,
    },
    /// The text is longer than any network's can be.
    #[error("a network's text has at most {TEXT_BYTES_MAX} bytes, got {got}")]
    Length { got: usize },
    /// A layer can't follow the one before it.
    #[error("layer {number}, {layer} on {input}: {problem}")]
    Layer {
        /// Position of the layer, from 1.
        number: usize,
        layer: String,
        input: Shape,
        problem: Box<LayerProblem>,
    },
    /// A residual's branches are not joined.
    #[error("layer {number}, residual, has no add behind it")]
    Open {
        /// Position of the residual, from 1.
        number: usize,
    },
    /// The last layer's output is not a value for each class.
    #[error("the last layer gives {got}, and there are {classes} classes: end with dense")]
    Output { got: Shape, classes: usize },
    /// The network has more parameters than allowed.
    #[error("with layer {number}, {layer}, the network has more than {PARAMETERS_MAX} parameters")]
    Parameters {
        /// Position of the layer that exceeds the limit, from 1.
        number: usize,
        layer: String,
    },
    /// A sample has more values between layers than allowed.
    #[error("with layer {number}, {layer}, a sample has more than {ACTIVATIONS_MAX} values between layers")]
    Activations {
        /// Position of the layer that exceeds the limit, from 1.
        number: usize,
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

    /// Layers of the network, from input to output.
    #[must_use]
    pub fn as_slice(&self) -> &[Layer] {
        &self.0
    }

    /// Name of the network if it has one, else its layers.
    #[must_use]
    pub fn short_name(&self) -> String {
        let text = self.to_string();
        let widths: Vec<usize> = self.0.iter().filter_map(hidden).collect();
        let residuals = self.0.iter().filter(|layer| **layer == Layer::Residual).count();
        // What the numbers behind a name can be.
        for settings in [vec![], widths, vec![residuals / 3]] {
            let is_it = |named: &&zoo::Named| (named.layers)(&settings).as_ref() == Some(&text);
            if let Some(named) = zoo::ALL.iter().find(is_it) {
                let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
                let settings = settings.join(",");
                return named.name.to_owned()
                    + &if settings.is_empty() { settings } else { format!("({settings})") };
            }
        }
        text
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

    /// Parses a network's name, such as `cnn` or `mlp(64,32)`, or layers, such as `flatten dense(64) relu
    /// dense`.
    fn from_str(text: &str) -> Result<Self, ModelError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(ModelError::Length { got: text.len() });
        }
        if let Some(layers) = by_name(text) {
            return layers?.parse();
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

/// The layers of a named network, as text; `None` if the text begins with no network's name.
fn by_name(text: &str) -> Option<Result<String, ModelError>> {
    let call = Call::parse(text).ok()?;
    let named = zoo::ALL.iter().find(|named| named.name == call.name)?;
    let layers = call.positional().ok().and_then(|settings: Vec<usize>| (named.layers)(&settings));
    Some(layers.ok_or_else(|| ModelError::Text { number: 1, source: call.settings(named.settings) }))
}

impl Architecture {
    /// The network with these layers for samples of that form.
    ///
    /// # Errors
    /// When a layer does not fit, the last one's output is not a value for each class, or a limit is
    /// exceeded.
    pub fn new(input: DataSpec, layers: Layers) -> Result<Self, ModelError> {
        let classes = input.classes();
        let mut shape =
            Shape::Image { height: input.height(), width: input.width(), channels: input.channels() };
        let mut shapes = vec![shape];
        let mut tensors = Vec::new();
        let mut names = Vec::new();
        let mut numbers = BTreeMap::<&str, usize>::new();
        let mut open = Open::default();
        let [mut parameters, mut activations] = [0usize; 2];
        for (at, layer) in layers.0.iter().enumerate() {
            let number = at + 1;
            let text = || layer.to_string();
            let refused = |problem| {
                let problem = Box::new(problem);
                ModelError::Layer { number, layer: layer.to_string(), input: shape, problem }
            };
            let output = layer.output(shape, classes).map_err(refused)?;
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
                let LayerTensor { shape, start, role, .. } = tensor;
                tensors.push(TensorSpec { name, shape, start, role });
            }
            names.push(own);
            if parameters > PARAMETERS_MAX {
                return Err(ModelError::Parameters { number, layer: text() });
            }
            shape = open.follow(number, *layer, output).map_err(refused)?;
            shapes.push(shape);
        }
        if let Some(number) = open.left_over() {
            return Err(ModelError::Open { number });
        }
        if shape != Shape::Vector(classes) {
            return Err(ModelError::Output { got: shape, classes });
        }
        let layout = Layout::new(tensors);
        let place = |name: &String| layout.iter().position(|(tensor, _)| tensor.name == *name);
        let places = names.iter().map(|own| own.iter().filter_map(place).collect()).collect();
        Ok(Self { input, layers, shapes, layout, places })
    }

    /// The network described by `text`, for samples of that form.
    ///
    /// # Errors
    /// When the text describes no network, or one that does not fit.
    pub fn parse(input: DataSpec, text: &str) -> Result<Self, ModelError> {
        Self::new(input, text.parse()?)
    }

    /// Form of the samples.
    #[must_use]
    pub fn input(&self) -> DataSpec {
        self.input
    }

    /// Layers of the network, from input to output.
    #[must_use]
    pub fn layers(&self) -> &Layers {
        &self.layers
    }

    /// Input shape of each layer, then the output shape of the last one: one more than there are layers.
    #[must_use]
    pub fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    /// Position, from 1, of the first layer that normalises over a leaf's samples alone, and so needs two of
    /// them: a batchnorm of a vector, or of an image of one pixel.
    #[must_use]
    pub fn needs_two_samples(&self) -> Option<usize> {
        let is_one = |shape: &Shape| shape.len() == shape.channels();
        let mut layers = self.layers.0.iter().zip(&self.shapes);
        layers.position(|(layer, input)| *layer == Layer::BatchNorm && is_one(input)).map(|at| at + 1)
    }

    /// Indices of the tensors of layer `at` in layout order, its weight first.
    ///
    /// # Panics
    /// When there is no such layer.
    #[must_use]
    pub fn places(&self, at: usize) -> &[usize] {
        &self.places[at]
    }

    /// Layout of the trained tensors: `conv1.weight`, `conv1.bias`, `fc1.weight`, ... They are numbered by
    /// kind from the input on, and shaped as in PyTorch's `state_dict`.
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
