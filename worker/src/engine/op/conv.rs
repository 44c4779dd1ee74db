//! Convolution with bias and, if asked, ReLU and 2x2 max pooling in one operator.
//!
//! x `[n, h, w, in]`, weights `[out, in / groups, kh, kw]`, bias `[out]` → `[n, rows, columns, out]` with
//! rows = (h + 2 padding - kh) / stride + 1, rounded down, and columns likewise; both are halved (rounded
//! down) by the pooling. It is PyTorch's `Conv2d`: zeros on all four sides, one stride both ways, and the
//! channels of a group see each other alone. This file has the shapes and chooses a path; each path is a
//! module with the arithmetic:
//!
//! | path | pass | for |
//! |---|---|---|
//! | `single` | both | a network's first layer: one input channel, 3x3, pooled, x without gradient |
//! | `live` | backward | stride 1, pooled, or ReLU without padding; patch rows of a multiple of 16 values |
//! | `dense` | both | one group of up to 512 output channels, or every channel alone |
//! | `plain` | both | the rest, which is several groups of channels: by matrix products |
//!
//! `single` keeps its nine weights in registers and skips blank paper. `live` visits only the windows that a
//! gradient passes, which are few. `dense` makes no patch matrix. `plain` is the reference of all others.
//!
//! All paths but `plain` are written once for every instruction set, which is chosen at run time. They add
//! every sum in one order with fused multiply-adds, so their bits are the same on any CPU; those of `plain`
//! are, by the definition of [`matmul`](super::matmul). `dense` gives `plain`'s bits, but for its sums by
//! Winograd's algorithm and for a kernel with ReLU that slides, whose sum is never cut.
//!
//! Besides its results (y and a code of 4 bytes per value, or the operands' gradients) a pass holds its
//! weights once or twice in its own layout (Winograd's are 16/9 as large), and buffers for one to sixteen
//! images: 0.5 MB for the CNN's layers.
//!
//! Gradients: ReLU passes none at 0. Of equal maxima in a window the first in row-major order gets the whole
//! gradient, as in PyTorch. With ReLU or pooling the forward pass stores one code per value ([`CLOSED`] or
//! the place in the window), so the backward pass does not read the activations again.

mod dense;
mod epilogue;
mod live;
mod pad;
mod pass;
mod plain;
mod registers;
mod single;
mod tile;
mod weights;

pub use pass::{Backward, Forward, Gradients, Output};

use super::{borrow, values};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use pulp::Arch;
use std::sync::Mutex;

/// Code of an output that ReLU set to 0: no gradient passes.
pub const CLOSED: u32 = 4;

/// What a convolution is, apart from the sizes of its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Rows and columns between neighbouring positions of the kernel.
    pub stride: usize,
    /// Rows and columns of zeros on each of the input's four sides.
    pub padding: usize,
    /// Number of groups: each takes its share of the input channels to its share of the output channels.
    pub groups: usize,
    /// Whether a ReLU follows the convolution.
    pub relu: bool,
    /// Whether 2x2 max pooling follows.
    pub pool: bool,
    /// Whether x needs a gradient; the first layer's input does not.
    pub input_gradient: bool,
}

impl Default for Settings {
    /// A convolution alone: stride 1, no padding, one group, and a gradient for x.
    fn default() -> Self {
        Self { stride: 1, padding: 0, groups: 1, relu: false, pool: false, input_gradient: true }
    }
}

/// The sizes of one convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Number of images in the batch.
    pub n: usize,
    /// Height of the input.
    pub height: usize,
    /// Width of the input.
    pub width: usize,
    /// Number of input channels.
    pub inputs: usize,
    /// Number of output channels.
    pub outputs: usize,
    /// Height of the kernel.
    pub kernel_h: usize,
    /// Width of the kernel.
    pub kernel_w: usize,
    /// Rows and columns between neighbouring positions of the kernel.
    pub stride: usize,
    /// Rows and columns of zeros on each side of the input.
    pub padding: usize,
    /// Number of groups of channels.
    pub groups: usize,
    /// Whether a ReLU follows the convolution.
    pub relu: bool,
    /// Whether 2x2 max pooling follows.
    pub pool: bool,
}

impl Geometry {
    /// Rows and columns of the input with its zeros.
    #[must_use]
    pub fn padded(&self) -> (usize, usize) {
        (self.height + 2 * self.padding, self.width + 2 * self.padding)
    }

    /// Rows and columns of the convolution's output before pooling.
    #[must_use]
    pub fn map(&self) -> (usize, usize) {
        let (height, width) = self.padded();
        ((height - self.kernel_h) / self.stride + 1, (width - self.kernel_w) / self.stride + 1)
    }

    /// Rows and columns of the output.
    #[must_use]
    pub fn out(&self) -> (usize, usize) {
        let (rows, columns) = self.map();
        if self.pool { (rows / 2, columns / 2) } else { (rows, columns) }
    }

    /// Number of inputs of one output value: the rows of the weight matrix.
    #[must_use]
    pub fn patch(&self) -> usize {
        self.kernel_h * self.kernel_w * self.inputs / self.groups
    }

    /// Rows and columns of the map that count: pooling discards what fills no window.
    fn counted(&self) -> (usize, usize) {
        let (rows, columns) = self.out();
        if self.pool { (2 * rows, 2 * columns) } else { (rows, columns) }
    }

    /// Whether the backward pass needs codes.
    fn has_codes(&self) -> bool {
        self.relu || self.pool
    }

    /// Values of one image of x.
    fn image(&self) -> usize {
        self.height * self.width * self.inputs
    }

    /// Whether the kernel slides over the input as it is: stride 1, no padding, one group.
    fn slides(&self) -> bool {
        (self.stride, self.padding, self.groups) == (1, 0, 1)
    }

    /// Number of images whose inputs fit the L1 cache together: 1 to 4, as more gain nothing.
    fn block(&self) -> usize {
        const L1_VALUES: usize = 8192;
        (L1_VALUES / self.image()).clamp(1, 4)
    }

    fn of(x: &Shape, w: &Shape, b: &Shape, settings: &Settings) -> Result<Self> {
        let (n, height, width, inputs) = x.dims4()?;
        let (outputs, w_inputs, kernel_h, kernel_w) = w.dims4()?;
        let Settings { stride, padding, groups, relu, pool, .. } = *settings;
        let geometry = Self {
            n,
            height,
            width,
            inputs,
            outputs,
            kernel_h,
            kernel_w,
            stride,
            padding,
            groups,
            relu,
            pool,
        };
        let padded =
            |size: usize| padding.checked_mul(2).is_some_and(|zeros| zeros.checked_add(size).is_some());
        let positive = [stride, groups, kernel_h, kernel_w].into_iter().all(|size| size > 0);
        let fits = positive
            && padded(height)
            && padded(width)
            && inputs.is_multiple_of(groups)
            && outputs.is_multiple_of(groups)
            && w_inputs == inputs / groups
            && b.dims1()? == outputs
            && geometry.padded().0 >= kernel_h
            && geometry.padded().1 >= kernel_w;
        if !fits || geometry.out().0 * geometry.out().1 == 0 {
            candle_core::bail!("convolution: x {x:?} does not fit weights {w:?} with {settings:?}");
        }
        Ok(geometry)
    }
}

/// The forward pass, with the best instructions of this machine.
#[must_use]
pub fn forward(pass: Forward<'_>) -> Output {
    forward_on(Arch::new(), pass)
}

/// The backward pass, with the best instructions of this machine.
#[must_use]
pub fn backward(pass: Backward<'_>) -> Gradients {
    backward_on(Arch::new(), pass)
}

/// Chooses the path of the forward pass and runs it with the instructions of `arch`.
fn forward_on(arch: Arch, pass: Forward<'_>) -> Output {
    let geometry = pass.geometry;
    if geometry.relu && single::fits(geometry) {
        single::forward(arch, pass)
    } else if dense::fits(geometry) {
        dense::forward(arch, pass)
    } else {
        plain::forward(pass)
    }
}

/// Chooses the path of the backward pass and runs it with the instructions of `arch`.
fn backward_on(arch: Arch, pass: Backward<'_>) -> Gradients {
    let geometry = pass.geometry;
    if single::fits(geometry) && !pass.input_gradient {
        single::backward(arch, pass)
    } else if live::fits(geometry) {
        live::backward(arch, pass)
    } else if dense::fits(geometry) {
        dense::backward(arch, pass)
    } else {
        plain::backward(pass)
    }
}

/// The layer as a Candle operator, for one forward and one backward pass.
#[derive(Debug)]
pub struct Conv {
    settings: Settings,
    /// Codes of the forward pass, one per output value.
    codes: Mutex<Vec<u32>>,
}

impl Conv {
    /// A layer with these settings.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, codes: Mutex::new(Vec::new()) }
    }
}

impl CustomOp3 for Conv {
    fn name(&self) -> &'static str {
        match (self.settings.relu, self.settings.pool) {
            (true, true) => "conv-relu-pool",
            (true, false) => "conv-relu",
            (false, true) => "conv-pool",
            (false, false) => "conv",
        }
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let geometry = Geometry::of(x_layout.shape(), w_layout.shape(), b_layout.shape(), &self.settings)?;
        let x = values(x, x_layout)?;
        let w = values(w, w_layout)?;
        let b = values(b, b_layout)?;
        let Output { y, codes } = forward(Forward { geometry: &geometry, x, w, b });
        *self.codes.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = codes;
        let (rows, columns) = geometry.out();
        Ok((CpuStorage::F32(y), (geometry.n, rows, columns, geometry.outputs).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let geometry = Geometry::of(x.shape(), w.shape(), b.shape(), &self.settings)?;
        let codes = self.codes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let gradients = backward(Backward {
            geometry: &geometry,
            x: &borrow(x)?,
            w: &borrow(w)?,
            codes: &codes,
            grad: &borrow(grad)?,
            input_gradient: self.settings.input_gradient,
        });
        let dx = gradients.x.map(|dx| Tensor::from_vec(dx, x.shape(), x.device())).transpose()?;
        let dw = Tensor::from_vec(gradients.w, w.shape(), w.device())?;
        Ok((dx, Some(dw), Some(Tensor::from_vec(gradients.b, b.shape(), b.device())?)))
    }
}

#[cfg(test)]
mod tests;
