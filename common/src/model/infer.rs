//! Shape inference: a layer's output shape, and its tensors. `branch` has the shapes where values branch and
//! join.

use super::layer::{Convolution, Layer, Window};
use super::params::{Role, Start};
use std::fmt;

/// Largest number of output values or channels of a layer.
pub const OUTPUTS_MAX: usize = 1 << 16;
/// Largest kernel, window, stride and padding, in rows and columns.
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

    /// Number of channels of an image, or of values of a vector.
    #[must_use]
    pub fn channels(&self) -> usize {
        match *self {
            Self::Image { channels, .. } => channels,
            Self::Vector(len) => len,
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
    #[error("it needs an image, and gets a vector")]
    NeedsImage,
    /// The layer works on vectors and gets an image.
    #[error("it needs a vector: put flatten or globalavgpool before it")]
    NeedsVector,
    /// The kernel or window is larger than the image.
    #[error("its window does not fit the image")]
    Window,
    /// The layer would normalise a single value, which always gives 0.
    #[error("it normalises the values of one sample together, and here that is a single value")]
    OneValue,
    /// The channels can't be divided into that many groups.
    #[error("{channels} channels can't be divided into {groups} groups")]
    Groups { channels: usize, groups: usize },
    /// A size is out of its range.
    #[error("its {what} must be {min} to {max}")]
    Range { what: &'static str, min: usize, max: usize },
    /// A shortcut or an add has no residual of its own.
    #[error("no residual before it is open")]
    NoResidual,
    /// A residual has two shortcuts.
    #[error("its residual has a shortcut already")]
    TwoShortcuts,
    /// The two branches have different shapes.
    #[error(
        "its branches give {body} and {shortcut}: end the first with a shortcut that changes the shape as it does, \
         such as shortcut conv(OUTPUTS,1,stride=2)"
    )]
    Branches { body: Shape, shortcut: Shape },
}

/// A tensor of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerTensor {
    /// Last part of the tensor's name, such as `weight`.
    pub part: &'static str,
    /// Sizes of the dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Kind of initial values.
    pub start: Start,
    /// How a step changes it.
    pub role: Role,
}

impl Layer {
    /// Prefix of its tensors' names, before a number that counts the layers with that prefix; `None` if it
    /// has none.
    #[must_use]
    pub fn prefix(&self) -> Option<&'static str> {
        match self {
            Self::Conv(_) => Some("conv"),
            Self::Dense { .. } => Some("fc"),
            Self::BatchNorm => Some("bn"),
            Self::GroupNorm { .. } => Some("gn"),
            Self::LayerNorm => Some("norm"),
            Self::MaxPool(_)
            | Self::AvgPool(_)
            | Self::GlobalAvgPool
            | Self::Flatten
            | Self::Activation(_)
            | Self::Dropout { .. }
            | Self::Residual
            | Self::Shortcut
            | Self::Add => None,
        }
    }

    /// Output shape for one sample. Where values branch or join it is the input's: `branch` knows more.
    ///
    /// # Errors
    /// When the layer can't follow an output of that shape, or its settings are out of range.
    pub fn output(&self, input: Shape, classes: usize) -> Result<Shape, LayerProblem> {
        match *self {
            Self::Conv(conv) => conv.output(input),
            Self::MaxPool(window) | Self::AvgPool(window) => window.output(input),
            Self::GlobalAvgPool => image(input).map(|(_, _, channels)| Shape::Vector(channels)),
            Self::Flatten => image(input).map(|_| Shape::Vector(input.len())),
            Self::Dense { outputs } => {
                let outputs = outputs.unwrap_or(classes);
                in_range("outputs", outputs, 1, OUTPUTS_MAX)?;
                match input {
                    Shape::Vector(_) => Ok(Shape::Vector(outputs)),
                    Shape::Image { .. } => Err(LayerProblem::NeedsVector),
                }
            }
            Self::GroupNorm { groups } => {
                in_range("groups", groups, 1, OUTPUTS_MAX)?;
                divided(input.channels(), groups)?;
                if input.len() / groups < 2 { Err(LayerProblem::OneValue) } else { Ok(input) }
            }
            Self::LayerNorm if input.channels() < 2 => Err(LayerProblem::OneValue),
            Self::Activation(_)
            | Self::Dropout { .. }
            | Self::BatchNorm
            | Self::LayerNorm
            | Self::Residual
            | Self::Shortcut
            | Self::Add => Ok(input),
        }
    }

    /// Number of multiplications, each with an addition, for one sample: those of convolutions and dense
    /// layers.
    #[must_use]
    pub fn multiply_adds(&self, input: Shape, output: Shape) -> usize {
        match self {
            Self::Conv(Convolution { kernel, groups, .. }) => {
                output.len() * kernel * kernel * input.channels() / groups
            }
            Self::Dense { .. } => output.len() * input.len(),
            _ => 0,
        }
    }

    /// The layer's tensors, for an input and an output of these shapes: first its weight, then its bias.
    #[must_use]
    pub fn tensors(&self, input: Shape, output: Shape) -> Vec<LayerTensor> {
        let tensor = |part, shape, start| LayerTensor { part, shape, start, role: Role::Trained };
        let outputs = output.channels();
        let mut tensors = match *self {
            Self::Conv(Convolution { kernel, groups, .. }) => {
                vec![tensor("weight", vec![outputs, input.channels() / groups, kernel, kernel], Start::Drawn)]
            }
            Self::Dense { .. } => vec![tensor("weight", vec![outputs, input.channels()], Start::Drawn)],
            Self::BatchNorm | Self::GroupNorm { .. } | Self::LayerNorm => {
                vec![tensor("weight", vec![outputs], Start::Ones)]
            }
            _ => return Vec::new(),
        };
        if !matches!(self, Self::Conv(Convolution { bias: false, .. })) {
            tensors.push(tensor("bias", vec![outputs], Start::Zeros));
        }
        if *self == Self::BatchNorm {
            for (part, start) in [("running_mean", Start::Zeros), ("running_var", Start::Ones)] {
                tensors.push(LayerTensor { role: Role::Running, ..tensor(part, vec![outputs], start) });
            }
        }
        tensors
    }
}

impl Convolution {
    fn output(&self, input: Shape) -> Result<Shape, LayerProblem> {
        let Self { outputs, kernel, stride, padding, groups, .. } = *self;
        in_range("outputs", outputs, 1, OUTPUTS_MAX)?;
        in_range("kernel", kernel, 1, KERNEL_MAX)?;
        in_range("stride", stride, 1, KERNEL_MAX)?;
        in_range("padding", padding, 0, KERNEL_MAX)?;
        in_range("groups", groups, 1, OUTPUTS_MAX)?;
        let (height, width, channels) = image(input)?;
        divided(channels, groups)?;
        divided(outputs, groups)?;
        let window = Window { window: kernel, stride };
        let [height, width] = [height, width].map(|size| window.places(size + 2 * padding));
        fitting(Shape::Image { height, width, channels: outputs })
    }
}

impl Window {
    fn output(&self, input: Shape) -> Result<Shape, LayerProblem> {
        in_range("window", self.window, 2, KERNEL_MAX)?;
        in_range("stride", self.stride, 1, KERNEL_MAX)?;
        let (height, width, channels) = image(input)?;
        fitting(Shape::Image { height: self.places(height), width: self.places(width), channels })
    }
}

/// The shape, unless the window has no place.
fn fitting(shape: Shape) -> Result<Shape, LayerProblem> {
    if shape.is_empty() { Err(LayerProblem::Window) } else { Ok(shape) }
}

fn image(shape: Shape) -> Result<(usize, usize, usize), LayerProblem> {
    match shape {
        Shape::Image { height, width, channels } => Ok((height, width, channels)),
        Shape::Vector(_) => Err(LayerProblem::NeedsImage),
    }
}

fn divided(channels: usize, groups: usize) -> Result<(), LayerProblem> {
    if channels.is_multiple_of(groups) { Ok(()) } else { Err(LayerProblem::Groups { channels, groups }) }
}

fn in_range(what: &'static str, got: usize, min: usize, max: usize) -> Result<(), LayerProblem> {
    if (min..=max).contains(&got) { Ok(()) } else { Err(LayerProblem::Range { what, min, max }) }
}
