//! The layers that a network can have, and their text form.
//!
//! A kind of layer stands in three places: here with its name and settings, in `infer` with its shapes and
//! tensors, and in the worker's engine with its arithmetic.

use super::activation::Activation;
use crate::text::{Call, TextError, parsed};
use std::fmt;
use std::str::FromStr;

/// All kinds of layer, as an error lists them.
const KINDS: &str = "conv(OUTPUTS,KERNEL,stride=,padding=,groups=,bias=), maxpool(WINDOW,stride=), \
    avgpool(WINDOW,stride=), globalavgpool, flatten, dense(OUTPUTS), dense, relu, leaky_relu, gelu, silu, \
    tanh, sigmoid, dropout(RATE), batchnorm, groupnorm(GROUPS), layernorm, residual, shortcut, add";

/// A layer of a network, or a place where its values branch or join.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Layer {
    /// `conv(OUTPUTS,KERNEL)`, with `stride=`, `padding=`, `groups=` and `bias=`: convolution, with zeros
    /// around the image (`torch.nn.Conv2d`).
    Conv(Convolution),
    /// `maxpool(WINDOW)`, with `stride=`: maximum of a window; pixels left over at the edge are dropped
    /// (`torch.nn.MaxPool2d`).
    MaxPool(Window),
    /// `avgpool(WINDOW)`, with `stride=`: mean of a window; pixels left over at the edge are dropped
    /// (`torch.nn.AvgPool2d`).
    AvgPool(Window),
    /// `globalavgpool`: the mean of each channel, as a vector.
    GlobalAvgPool,
    /// `flatten`: an image as a vector, channels first (`torch.nn.Flatten`).
    Flatten,
    /// `dense(OUTPUTS)`, or `dense` for one output per class: `x · wᵀ + b` (`torch.nn.Linear`).
    Dense {
        /// Number of outputs; `None` for one per class.
        outputs: Option<usize>,
    },
    /// A function of each value.
    Activation(Activation),
    /// `dropout(RATE)`: while training, sets each value to 0 with this probability and divides the others by
    /// 1 - rate (Srivastava et al. 2014; `torch.nn.Dropout`).
    Dropout {
        /// Probability, at least 0 and below 1.
        rate: f32,
    },
    /// `batchnorm`: normalises each channel, or value of a vector, by the mean and variance over a leaf's
    /// samples and pixels, then scales and shifts it (Ioffe and Szegedy 2015; `torch.nn.BatchNorm2d`,
    /// momentum 0.1, eps 1e-5). An evaluation uses the running mean and variance.
    BatchNorm,
    /// `groupnorm(GROUPS)`: normalises each of so many groups of a sample's channels, then scales and shifts
    /// each channel (Wu and He 2018; `torch.nn.GroupNorm`, eps 1e-5).
    GroupNorm {
        /// Number of groups, which divides the channels.
        groups: usize,
    },
    /// `layernorm`: normalises a vector, or each pixel over its channels, then scales and shifts each value
    /// (Ba et al. 2016; `torch.nn.LayerNorm`, eps 1e-5).
    LayerNorm,
    /// `residual`: the values branch. The layers up to `add`, or up to `shortcut`, are one branch.
    Residual,
    /// `shortcut`: the layers from here to `add` are the other branch, which begins with the values before
    /// `residual`. Without it, these values themselves are the other branch.
    Shortcut,
    /// `add`: the sum of both branches (He et al. 2016).
    Add,
}

/// Settings of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolution {
    /// Number of output channels.
    pub outputs: usize,
    /// Rows and columns of the kernel.
    pub kernel: usize,
    /// Rows and columns between two places of the kernel, 1 unless set.
    pub stride: usize,
    /// Rows and columns of zeros on each side of the image, 0 unless set.
    pub padding: usize,
    /// Number of groups of channels that are convolved apart from each other, 1 unless set.
    pub groups: usize,
    /// Whether a bias is added, true unless set. In front of a batchnorm it would have no effect.
    pub bias: bool,
}

/// Settings of a pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Rows and columns of a window.
    pub window: usize,
    /// Rows and columns between two windows; the window's, unless set.
    pub stride: usize,
}

impl Window {
    /// Windows of that many rows and columns that do not overlap.
    #[must_use]
    pub fn apart(window: usize) -> Self {
        Self { window, stride: window }
    }

    /// Number of places of the window along a side of that many pixels.
    #[must_use]
    pub fn places(&self, size: usize) -> usize {
        size.checked_sub(self.window).map_or(0, |left| left / self.stride + 1)
    }
}

impl Layer {
    /// `relu`.
    pub const RELU: Self = Self::Activation(Activation::Relu);
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conv(conv) => conv.fmt(f),
            Self::MaxPool(window) => window.write("maxpool", f),
            Self::AvgPool(window) => window.write("avgpool", f),
            Self::GlobalAvgPool => f.write_str("globalavgpool"),
            Self::Flatten => f.write_str("flatten"),
            Self::Dense { outputs: Some(outputs) } => write!(f, "dense({outputs})"),
            Self::Dense { outputs: None } => f.write_str("dense"),
            Self::Activation(activation) => activation.fmt(f),
            Self::Dropout { rate } => write!(f, "dropout({rate})"),
            Self::BatchNorm => f.write_str("batchnorm"),
            Self::GroupNorm { groups } => write!(f, "groupnorm({groups})"),
            Self::LayerNorm => f.write_str("layernorm"),
            Self::Residual => f.write_str("residual"),
            Self::Shortcut => f.write_str("shortcut"),
            Self::Add => f.write_str("add"),
        }
    }
}

impl fmt::Display for Convolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { outputs, kernel, stride, padding, groups, bias } = self;
        write!(f, "conv({outputs},{kernel}")?;
        for (name, value, default) in [("stride", stride, 1), ("padding", padding, 0), ("groups", groups, 1)]
        {
            if *value != default {
                write!(f, ",{name}={value}")?;
            }
        }
        f.write_str(if *bias { ")" } else { ",bias=false)" })
    }
}

impl Window {
    fn write(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { window, stride } = self;
        if stride == window {
            write!(f, "{name}({window})")
        } else {
            write!(f, "{name}({window},stride={stride})")
        }
    }
}

impl FromStr for Layer {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let call = Call::parse(text)?;
        if let Some(activation) = Activation::parse(&call) {
            return activation.map(Self::Activation);
        }
        let plain = |layer| if call.arguments.is_empty() { Ok(layer) } else { Err(call.settings("")) };
        match call.name {
            "conv" => convolution(&call).map(Self::Conv),
            "maxpool" => window(&call).map(Self::MaxPool),
            "avgpool" => window(&call).map(Self::AvgPool),
            "dense" => match call.positional()?[..] {
                [] => Ok(Self::Dense { outputs: None }),
                [outputs] => Ok(Self::Dense { outputs: Some(outputs) }),
                _ => Err(call.settings("OUTPUTS, or nothing for one a class")),
            },
            "dropout" => match call.positional()?[..] {
                [rate] if (0.0..1.0).contains(&rate) => Ok(Self::Dropout { rate }),
                _ => Err(call.settings("a rate, at least 0 and below 1")),
            },
            "groupnorm" => match call.positional()?[..] {
                [groups] => Ok(Self::GroupNorm { groups }),
                _ => Err(call.settings("GROUPS")),
            },
            "globalavgpool" => plain(Self::GlobalAvgPool),
            "flatten" => plain(Self::Flatten),
            "batchnorm" => plain(Self::BatchNorm),
            "layernorm" => plain(Self::LayerNorm),
            "residual" => plain(Self::Residual),
            "shortcut" => plain(Self::Shortcut),
            "add" => plain(Self::Add),
            name => Err(TextError::Unknown { got: crate::text::shortened(name), known: KINDS.to_owned() }),
        }
    }
}

fn convolution(call: &Call<'_>) -> Result<Convolution, TextError> {
    const EXPECTED: &str = "OUTPUTS,KERNEL and, if set, stride=, padding=, groups=, bias=";
    let (sizes, [stride, padding, groups, bias]) =
        call.mixed(["stride", "padding", "groups", "bias"], EXPECTED)?;
    let &[outputs, kernel] = &sizes[..] else { return Err(call.settings(EXPECTED)) };
    let number = |text: Option<&str>, default| text.map_or(Ok(default), |text| parsed(call.name, text));
    Ok(Convolution {
        outputs: parsed(call.name, outputs)?,
        kernel: parsed(call.name, kernel)?,
        stride: number(stride, 1)?,
        padding: number(padding, 0)?,
        groups: number(groups, 1)?,
        bias: bias.map_or(Ok(true), |text| parsed("bias", text))?,
    })
}

fn window(call: &Call<'_>) -> Result<Window, TextError> {
    const EXPECTED: &str = "WINDOW and, if set, stride=";
    let (sizes, [stride]) = call.mixed(["stride"], EXPECTED)?;
    let &[window] = &sizes[..] else { return Err(call.settings(EXPECTED)) };
    let window = parsed(call.name, window)?;
    Ok(Window { window, stride: stride.map_or(Ok(window), |text| parsed(call.name, text))? })
}
