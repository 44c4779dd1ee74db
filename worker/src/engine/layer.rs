//! Executable layers, which compute forwards, and backwards from what they kept.
//!
//! Activations are `[n, h, w, c]` or `[n, values]`, contiguous f32. A layer belongs to one network on one
//! thread. [`operator`] has the layers with kernels of our own, [`candle`] those on Candle's operators and
//! autograd.

pub mod candle;
pub mod flatten;
pub mod max_pool;
pub mod operator;
pub mod relu;

use candle_core::{Result, Tensor};

/// Callback for the gradient of one of the network's parameters: the tensor's index in layout order, and its
/// values.
pub type Deliver<'a> = dyn FnMut(usize, &Tensor) -> Result<()> + 'a;

/// A step of a network's computation.
pub trait Layer: Send {
    /// The output for `x`. With `keep` the layer keeps what [`backward`](Self::backward) needs, until that is
    /// called. `parameters` has all tensors of the network, in layout order.
    ///
    /// # Errors
    /// When the tensor library fails.
    fn forward(&mut self, parameters: &[Tensor], x: Tensor, keep: bool) -> Result<Tensor>;

    /// Delivers the gradients of the layer's parameters, given that of its last output. Returns the gradient
    /// of its last input, or `None` if nothing before it is trained.
    ///
    /// # Errors
    /// When the tensor library fails, or nothing was kept.
    fn backward(
        &mut self,
        parameters: &[Tensor],
        grad: &Tensor,
        deliver: &mut Deliver<'_>,
    ) -> Result<Option<Tensor>>;
}

/// The kept values of a layer, or the error of a backward pass without a forward pass.
fn kept<T>(kept: &mut Option<T>) -> Result<T> {
    match kept.take() {
        Some(kept) => Ok(kept),
        None => candle_core::bail!("a backward pass without a forward pass before it"),
    }
}
