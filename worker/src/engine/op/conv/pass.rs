//! What goes into a pass and what comes out of it, the same on every path.

use super::Geometry;

/// Operands of a forward pass.
#[derive(Clone, Copy, Debug)]
pub struct Forward<'a> {
    /// The sizes.
    pub geometry: &'a Geometry,
    /// `[n, height, width, inputs]`
    pub x: &'a [f32],
    /// `[outputs, inputs, kernel rows, kernel columns]`
    pub w: &'a [f32],
    /// `[outputs]`
    pub b: &'a [f32],
}

/// What a forward pass gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// `[n, out rows, out columns, outputs]`
    pub y: Vec<f32>,
    /// One a value: the place in the window that reached it, or [`CLOSED`](super::CLOSED).
    pub codes: Vec<u32>,
}

/// Operands of a backward pass.
#[derive(Clone, Copy, Debug)]
pub struct Backward<'a> {
    /// The sizes.
    pub geometry: &'a Geometry,
    /// As in the forward pass.
    pub x: &'a [f32],
    /// As in the forward pass.
    pub w: &'a [f32],
    /// The forward pass's.
    pub codes: &'a [u32],
    /// The gradient of its `y`.
    pub grad: &'a [f32],
    /// Whether x itself needs a gradient.
    pub input_gradient: bool,
}

/// What a backward pass gives: gradients, each in its operand's layout.
#[derive(Debug)]
pub struct Gradients {
    /// Of x, where it was asked for.
    pub x: Option<Vec<f32>>,
    /// Of the weights.
    pub w: Vec<f32>,
    /// Of the bias.
    pub b: Vec<f32>,
}

impl Output {
    /// Empty, with the capacity that is needed: what is not zeroed first is written once.
    pub(super) fn empty(geometry: &Geometry) -> Self {
        let (rows, columns) = geometry.out();
        let len = geometry.n * rows * columns * geometry.outputs;
        Self { y: Vec::with_capacity(len), codes: Vec::with_capacity(len) }
    }
}
