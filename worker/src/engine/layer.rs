//! Executable layers, which compute forwards, and backwards from what they kept.
//!
//! Activations are `[n, h, w, c]` or `[n, values]`, contiguous f32. A layer belongs to one network on one
//! thread. [`operator`] has the layers that are operators of a weight and a bias.

pub mod activation;
pub mod avg_pool;
pub mod batch_norm;
pub mod dropout;
pub mod flatten;
pub mod group_norm;
pub mod layer_norm;
pub mod max_pool;
pub mod operator;
pub mod residual;

use candle_core::{Result, Tensor};
use common::rng::LeafAddress;

/// Callback for the gradient of one of the network's parameters: the tensor's index in layout order, and its
/// values.
pub type Deliver<'a> = dyn FnMut(usize, &Tensor) -> Result<()> + 'a;

/// What a forward pass is for, and what it reads.
#[derive(Clone, Copy, Debug)]
pub struct Pass<'a> {
    /// All tensors of the network, in layout order.
    pub parameters: &'a [Tensor],
    /// The leaf that is trained on, from which random choices follow; `None` in an evaluation. While
    /// training, a layer keeps what [`backward`](Layer::backward) needs, until that is called.
    pub training: Option<LeafAddress>,
}

/// A step of a network's computation.
pub trait Layer: Send {
    /// The output for `x`.
    ///
    /// # Errors
    /// When the tensor library fails.
    fn forward(&mut self, pass: Pass<'_>, x: Tensor) -> Result<Tensor>;

    /// Delivers the gradients of the layer's parameters, given that of its last output. `parameters` are
    /// those of the forward pass. Returns the gradient of its last input, or `None` if nothing before it is
    /// trained.
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
