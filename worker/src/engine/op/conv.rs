//! Convolution without padding, stride 1, with bias and, if asked, ReLU and 2x2 max pooling in one operator.
//!
//! x `[n, h, w, in]`, weights `[out, in, kh, kw]`, bias `[out]` → `[n, h-kh+1, w-kw+1, out]`, halved (rounded
//! down) by the pooling. This file has the shapes and chooses a path; each path is a module with the
//! arithmetic:
//!
//! | path | pass | for |
//! |---|---|---|
//! | `plain` | both | any shape, by matrix products: the reference of all others |
//! | `single` | both | a network's first layer: one input channel, 3x3, pooled, x without gradient |
//! | `winograd` | forward | 3x3, pooled, input and output channels in 16s |
//! | `direct` | forward | output channels in 16s |
//! | `live` | backward | kernel columns times input channels in 16s |
//!
//! Without ReLU the forward pass is `plain`'s. All paths but `plain` are written once for every instruction
//! set, which is chosen at run time. They add every sum in one order with fused multiply-adds, so their bits
//! are the same on any CPU; those of `plain` are, by the definition of [`matmul`](super::matmul).
//!
//! Besides its results (y and a code of 4 bytes per value, or the operands' gradients) a pass holds its
//! weights once or twice in its own layout (Winograd's are 16/9 as large), and buffers for one to four
//! images: 0.5 MB for the CNN below.
//!
//! Gradients: ReLU passes none at 0. Of equal maxima in a window the first in row-major order gets the whole
//! gradient, as in PyTorch. The forward pass stores one code per value ([`CLOSED`] or the place in the
//! window), so the backward pass does not read the activations again.

mod direct;
mod epilogue;
mod live;
mod pass;
mod plain;
mod registers;
mod single;
mod tile;
mod weights;
mod winograd;

pub use pass::{Backward, Forward, Gradients, Output};

use super::{borrow, values};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use pulp::Arch;
use std::sync::Mutex;

/// Code of an output that ReLU set to 0: no gradient passes.
pub const CLOSED: u32 = 4;

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
    /// Whether a ReLU follows the convolution.
    pub relu: bool,
    /// Whether 2x2 max pooling follows.
    pub pool: bool,
}

impl Geometry {
    /// Rows and columns of the convolution's output before pooling.
    #[must_use]
    pub fn map(&self) -> (usize, usize) {
        (self.height - self.kernel_h + 1, self.width - self.kernel_w + 1)
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
        self.kernel_h * self.kernel_w * self.inputs
    }

    /// Number of images whose inputs fit the L1 cache together: 1 to 4, as more gain nothing.
    fn block(&self) -> usize {
        const L1_VALUES: usize = 8192;
        (L1_VALUES / (self.height * self.width * self.inputs)).clamp(1, 4)
    }

    fn of(x: &Shape, w: &Shape, b: &Shape, relu: bool, pool: bool) -> Result<Self> {
        let (n, height, width, inputs) = x.dims4()?;
        let (outputs, w_inputs, kernel_h, kernel_w) = w.dims4()?;
        let geometry = Self { n, height, width, inputs, outputs, kernel_h, kernel_w, relu, pool };
        let fits = w_inputs == inputs && b.dims1()? == outputs && kernel_h > 0 && kernel_w > 0;
        if !fits || height < kernel_h || width < kernel_w || geometry.out().0 * geometry.out().1 == 0 {
            candle_core::bail!("convolution: x {x:?} does not fit weights {w:?}, pooling {pool}");
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
    if !geometry.relu {
        plain::forward(pass)
    } else if single::fits(geometry) {
        single::forward(arch, pass)
    } else if winograd::fits(geometry) {
        winograd::forward(arch, pass)
    } else if direct::fits(geometry) {
        direct::forward(arch, pass)
    } else {
        plain::forward(pass)
    }
}

/// Chooses the path of the backward pass and runs it with the instructions of `arch`.
fn backward_on(arch: Arch, pass: Backward<'_>) -> Gradients {
    if single::fits(pass.geometry) && !pass.input_gradient {
        single::backward(arch, pass)
    } else if live::fits(pass.geometry) {
        live::backward(arch, pass)
    } else {
        plain::backward(pass)
    }
}

/// The layer as a Candle operator, for one forward and one backward pass.
#[derive(Debug)]
pub struct Conv {
    relu: bool,
    pool: bool,
    /// Whether x needs a gradient; the first layer's input does not.
    input_gradient: bool,
    /// Codes of the forward pass, one per output value.
    codes: Mutex<Vec<u32>>,
}

impl Conv {
    /// A layer with or without ReLU and 2x2 max pooling. `input_gradient` says whether x needs a gradient.
    #[must_use]
    pub fn new(relu: bool, pool: bool, input_gradient: bool) -> Self {
        Self { relu, pool, input_gradient, codes: Mutex::new(Vec::new()) }
    }
}

impl CustomOp3 for Conv {
    fn name(&self) -> &'static str {
        match (self.relu, self.pool) {
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
        let geometry =
            Geometry::of(x_layout.shape(), w_layout.shape(), b_layout.shape(), self.relu, self.pool)?;
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
        let geometry = Geometry::of(x.shape(), w.shape(), b.shape(), self.relu, self.pool)?;
        let codes = self.codes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let gradients = backward(Backward {
            geometry: &geometry,
            x: &borrow(x)?,
            w: &borrow(w)?,
            codes: &codes,
            grad: &borrow(grad)?,
            input_gradient: self.input_gradient,
        });
        let dx = gradients.x.map(|dx| Tensor::from_vec(dx, x.shape(), x.device())).transpose()?;
        let dw = Tensor::from_vec(gradients.w, w.shape(), w.device())?;
        Ok((dx, Some(dw), Some(Tensor::from_vec(gradients.b, b.shape(), b.device())?)))
    }
}

#[cfg(test)]
mod tests;
