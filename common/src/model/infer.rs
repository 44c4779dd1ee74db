//! Shape inference: a layer's output shape, and the tensors that it trains.

use super::layer::Layer;
use super::params::Start;
use std::fmt;

/// Largest number of output values or channels of a layer.
pub const OUTPUTS_MAX: usize = 1 << 16;
/// Largest kernel of a convolution, in rows and columns.
pub const KERNEL_MAX: usize = 15;

/// The shape of one sample's values between two layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "field names say all")]
pub enum Shape {
    /// An image with rows, columns and channels.
    Image { height: usize, width: usize, channels: usize },
    /// A vector of this many values.
    Vector(usize),
}

impl Shape {
    /// Number of values for one sample.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Image { height, width, channels } => height * width * channels,
            Self::Vector(len) => *len,
        }
    }

    /// Whether there are no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image { height, width, channels } => write!(f, "{height}x{width}x{channels}"),
            Self::Vector(len) => write!(f, "{len} values"),
        }
    }
}

/// Reason why a layer can't follow the one before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum LayerProblem {
    /// The layer works on images and gets a vector.
    #[error("it needs an image, and flatten stands before it")]
    NeedsImage,
    /// The layer works on vectors and gets an image.
    #[error("it needs a vector: put flatten before it")]
    NeedsVector,
    /// The kernel or window is larger than the image.
    #[error("its window does not fit the image")]
    Window,
    /// The layer would normalise a single value, which always gives 0.
    #[error("it normalises a vector, or a pixel's channels, and here that is a single value")]
    OneValue,
    /// A size is out of its range.
    #[error("its {what} must be {min} to {max}")]
    Range { what: &'static str, min: usize, max: usize },
}

/// A trained tensor of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerTensor {
    /// Last part of the tensor's name, such as `weight`.
    pub part: &'static str,
    /// Sizes of the dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Kind of initial values.
    pub start: Start,
}

impl Layer {
    /// Prefix of its tensors' names, before a number that counts the layers with that prefix; `None` if it
    /// trains none.
    #[must_use]
    pub fn prefix(&self) -> Option<&'static str> {
        match self {
            Self::Conv { .. } => Some("conv"),
            Self::Dense { .. } => Some("fc"),
            Self::LayerNorm => Some("norm"),
            Self::MaxPool { .. } | Self::Flatten | Self::Relu | Self::Gelu => None,
        }
    }

    /// Output shape for one sample.
    ///
    /// # Errors
    /// When the layer can't follow an output of that shape, or its settings are out of range.
    pub fn output(&self, input: Shape, classes: usize) -> Result<Shape, LayerProblem> {
        let image = || match input {
            Shape::Image { height, width, channels } => Ok((height, width, channels)),
            Shape::Vector(_) => Err(LayerProblem::NeedsImage),
        };
        match *self {
            Self::Conv { outputs, kernel } => {
                in_range("outputs", outputs, 1, OUTPUTS_MAX)?;
                in_range("kernel", kernel, 1, KERNEL_MAX)?;
                let (height, width, _) = image()?;
                if kernel > height.min(width) {
                    return Err(LayerProblem::Window);
                }
                Ok(Shape::Image { height: height - kernel + 1, width: width - kernel + 1, channels: outputs })
            }
            Self::MaxPool { window } => {
                in_range("window", window, 2, KERNEL_MAX)?;
                let (height, width, channels) = image()?;
                if window > height.min(width) {
                    return Err(LayerProblem::Window);
                }
                Ok(Shape::Image { height: height / window, width: width / window, channels })
            }
            Self::Flatten => image().map(|_| Shape::Vector(input.len())),
            Self::Dense { outputs } => {
                let outputs = outputs.unwrap_or(classes);
                in_range("outputs", outputs, 1, OUTPUTS_MAX)?;
                match input {
                    Shape::Vector(_) => Ok(Shape::Vector(outputs)),
                    Shape::Image { .. } => Err(LayerProblem::NeedsVector),
                }
            }
            Self::LayerNorm if last(input) < 2 => Err(LayerProblem::OneValue),
            Self::Relu | Self::Gelu | Self::LayerNorm => Ok(input),
        }
    }

    /// The tensors that the layer trains, for an input and an output of these shapes.
    #[must_use]
    pub fn tensors(&self, input: Shape, output: Shape) -> Vec<LayerTensor> {
        let tensor = |part, shape, start| LayerTensor { part, shape, start };
        let outputs = last(output);
        match *self {
            Self::Conv { kernel, .. } => vec![
                tensor("weight", vec![outputs, last(input), kernel, kernel], Start::Drawn),
                tensor("bias", vec![outputs], Start::Zeros),
            ],
            Self::Dense { .. } => vec![
                tensor("weight", vec![outputs, last(input)], Start::Drawn),
                tensor("bias", vec![outputs], Start::Zeros),
            ],
            Self::LayerNorm => vec![
                tensor("weight", vec![outputs], Start::Ones),
                tensor("bias", vec![outputs], Start::Zeros),
            ],
            Self::MaxPool { .. } | Self::Flatten | Self::Relu | Self::Gelu => Vec::new(),
        }
    }
}

/// Number of channels of an image, or of values of a vector.
fn last(shape: Shape) -> usize {
    match shape {
        Shape::Image { channels, .. } => channels,
        Shape::Vector(len) => len,
    }
}

fn in_range(what: &'static str, got: usize, min: usize, max: usize) -> Result<(), LayerProblem> {
    if (min..=max).contains(&got) { Ok(()) } else { Err(LayerProblem::Range { what, min, max }) }
}
