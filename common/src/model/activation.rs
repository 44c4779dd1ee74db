//! Activation functions: their names, and their text form. The worker's engine has their arithmetic.

use crate::text::{Call, TextError};
use std::fmt;

/// Slope of `leaky_relu` below 0, unless another is set (PyTorch's default).
const SLOPE: f32 = 0.01;

/// A function that is applied to each value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// `relu`: max(x, 0).
    Relu,
    /// `leaky_relu`, `leaky_relu(SLOPE)`: x above 0, slope · x below (Maas et al. 2013;
    /// `torch.nn.LeakyReLU`).
    LeakyRelu {
        /// Slope below 0, in `[0, 1]`.
        slope: f32,
    },
    /// `gelu`: x · Φ(x), with the error function (Hendrycks and Gimpel 2016; `torch.nn.GELU`).
    Gelu,
    /// `silu`: x · σ(x), also called swish (Elfwing et al. 2017; `torch.nn.SiLU`).
    Silu,
    /// `tanh`: the hyperbolic tangent.
    Tanh,
    /// `sigmoid`: σ(x) = 1 / (1 + exp(-x)).
    Sigmoid,
}

impl Activation {
    /// Parses an activation; `None` if the name is not one.
    pub(super) fn parse(call: &Call<'_>) -> Option<Result<Self, TextError>> {
        let activation = match call.name {
            "relu" => Self::Relu,
            "gelu" => Self::Gelu,
            "silu" => Self::Silu,
            "tanh" => Self::Tanh,
            "sigmoid" => Self::Sigmoid,
            "leaky_relu" => return Some(leaky_relu(call)),
            _ => return None,
        };
        Some(if call.arguments.is_empty() { Ok(activation) } else { Err(call.settings("")) })
    }
}

fn leaky_relu(call: &Call<'_>) -> Result<Activation, TextError> {
    match call.positional::<f32>()?[..] {
        [] => Ok(Activation::LeakyRelu { slope: SLOPE }),
        [slope] if (0.0..=1.0).contains(&slope) => Ok(Activation::LeakyRelu { slope }),
        _ => Err(call.settings("nothing, or a slope from 0 to 1")),
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relu => f.write_str("relu"),
            Self::LeakyRelu { slope } if *slope == SLOPE => f.write_str("leaky_relu"),
            Self::LeakyRelu { slope } => write!(f, "leaky_relu({slope})"),
            Self::Gelu => f.write_str("gelu"),
            Self::Silu => f.write_str("silu"),
            Self::Tanh => f.write_str("tanh"),
            Self::Sigmoid => f.write_str("sigmoid"),
        }
    }
}
