//! Operands and results of a pass, the same for every path.

use super::Geometry;

/// Operands of a forward pass.
#[derive(Clone, Copy, Debug)]
pub struct Forward<'a> {
    /// Sizes of the convolution.
    pub geometry: &'a Geometry,
    /// Input `[n, height, width, inputs]`.
    pub x: &'a [f32],
    /// Weights `[outputs, inputs / groups, kernel rows, kernel columns]`.
    pub w: &'a [f32],
    /// Bias, one value per output channel.
    pub b: &'a [f32],
}

/// Results of a forward pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// Output `[n, out rows, out columns, outputs]`.
    pub y: Vec<f32>,
    /// Code per value: the place in the window of the maximum, or [`CLOSED`](super::CLOSED). None without
    /// ReLU and pooling, as all values are open then.
    pub codes: Vec<u32>,
}

/// Operands of a backward pass.
#[derive(Clone, Copy, Debug)]
pub struct Backward<'a> {
    /// Sizes of the convolution.
    pub geometry: &'a Geometry,
    /// Input of the forward pass.
    pub x: &'a [f32],
    /// Weights of the forward pass.
    pub w: &'a [f32],
    /// Codes of the forward pass.
    pub codes: &'a [u32],
    /// Gradient of the forward pass's `y`.
    pub grad: &'a [f32],
    /// Whether x needs a gradient.
    pub input_gradient: bool,
}

/// Results of a backward pass: gradients, each in its operand's layout.
#[derive(Debug)]
pub struct Gradients {
    /// Gradient of x, if it is needed.
    pub x: Option<Vec<f32>>,
    /// Gradient of the weights.
    pub w: Vec<f32>,
    /// Gradient of the bias.
    pub b: Vec<f32>,
}

impl Output {
    /// Empty gradients with the needed capacity, so that values which need no zeroing are written once.
    pub(super) fn empty(geometry: &Geometry) -> Self {
        let (rows, columns) = geometry.out();
        let len = geometry.n * rows * columns * geometry.outputs;
        Self {
            y: Vec::with_capacity(len),
            codes: Vec::with_capacity(if geometry.has_codes() { len } else { 0 }),
        }
    }
}
