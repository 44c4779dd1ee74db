//! The layers that a network can have, and their text form.
//!
//! A kind of layer stands in three places: here with its name and settings, in `infer` with its shapes and
//! tensors, and in the worker's engine with its arithmetic.

use crate::text::{Call, TextError};
use std::fmt;
use std::str::FromStr;

/// All kinds of layer, as an error lists them.
const KINDS: &str =
    "conv(OUTPUTS,KERNEL), maxpool(WINDOW), flatten, dense(OUTPUTS), dense, relu, gelu, layernorm";

/// A layer of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "field names say all")]
pub enum Layer {
    /// `conv(OUTPUTS,KERNEL)`: convolution with bias, stride 1, without padding (`torch.nn.Conv2d`).
    Conv {
        /// Number of output channels.
        outputs: usize,
        /// Rows and columns of the kernel.
        kernel: usize,
    },
    /// `maxpool(WINDOW)`: maximum of windows that do not overlap; pixels left over at the edge are dropped
    /// (`torch.nn.MaxPool2d`).
    MaxPool {
        /// Rows and columns of a window.
        window: usize,
    },
    /// `flatten`: an image as a vector, channels first (`torch.nn.Flatten`).
    Flatten,
    /// `dense(OUTPUTS)`, or `dense` for one output per class: `x · wᵀ + b` (`torch.nn.Linear`).
    Dense {
        /// Number of outputs; `None` for one per class.
        outputs: Option<usize>,
    },
    /// `relu`: max(x, 0).
    Relu,
    /// `gelu`: x · Φ(x), computed with the error function (Hendrycks and Gimpel 2016; `torch.nn.GELU`).
    Gelu,
    /// `layernorm`: normalises a vector, or each pixel over its channels, then scales and shifts each value
    /// (Ba et al. 2016; `torch.nn.LayerNorm`, eps 1e-5).
    LayerNorm,
}

impl Layer {
    /// Whether the tensor library computes it. Then its bits may differ between types of CPU, while those of
    /// all other layers have one definition.
    #[must_use]
    pub fn is_the_librarys(self) -> bool {
        matches!(self, Self::Gelu | Self::LayerNorm)
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conv { outputs, kernel } => write!(f, "conv({outputs},{kernel})"),
            Self::MaxPool { window } => write!(f, "maxpool({window})"),
            Self::Flatten => f.write_str("flatten"),
            Self::Dense { outputs: Some(outputs) } => write!(f, "dense({outputs})"),
            Self::Dense { outputs: None } => f.write_str("dense"),
            Self::Relu => f.write_str("relu"),
            Self::Gelu => f.write_str("gelu"),
            Self::LayerNorm => f.write_str("layernorm"),
        }
    }
}

impl FromStr for Layer {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let call = Call::parse(text)?;
        let numbers: Vec<usize> = call.positional()?;
        match (call.name, &numbers[..]) {
            ("conv", &[outputs, kernel]) => Ok(Self::Conv { outputs, kernel }),
            ("conv", _) => Err(call.settings("OUTPUTS,KERNEL")),
            ("maxpool", &[window]) => Ok(Self::MaxPool { window }),
            ("maxpool", _) => Err(call.settings("WINDOW")),
            ("dense", []) => Ok(Self::Dense { outputs: None }),
            ("dense", &[outputs]) => Ok(Self::Dense { outputs: Some(outputs) }),
            ("dense", _) => Err(call.settings("OUTPUTS, or nothing for one a class")),
            ("flatten", []) => Ok(Self::Flatten),
            ("relu", []) => Ok(Self::Relu),
            ("gelu", []) => Ok(Self::Gelu),
            ("layernorm", []) => Ok(Self::LayerNorm),
            ("flatten" | "relu" | "gelu" | "layernorm", _) => Err(call.settings("")),
            (name, _) => {
                Err(TextError::Unknown { got: crate::text::shortened(name), known: KINDS.to_owned() })
            }
        }
    }
}
