//! A chain of executable layers: a network, or a branch of one.

use super::fuse::Computed;
use super::layer::{Deliver, Pass};
use candle_core::{Result, Tensor};

/// Layers of which each takes the output of the one before.
pub struct Chain {
    layers: Vec<Computed>,
    /// Number of leading layers that nothing needs a gradient of. The backward pass ends there.
    without_gradient: usize,
}

impl Chain {
    pub(super) fn new(layers: Vec<Computed>, without_gradient: usize) -> Self {
        Self { layers, without_gradient }
    }

    /// The output for `x`. An activation is dropped as soon as no layer needs it.
    ///
    /// # Errors
    /// When the tensor library fails.
    pub fn forward(&mut self, pass: Pass<'_>, x: Tensor) -> Result<Tensor> {
        self.layers.iter_mut().try_fold(x, |x, layer| layer.forward(pass, x))
    }

    /// Delivers the gradients of all parameters, given that of the last output. Returns the gradient of the
    /// input, or `None` if nothing before it is trained.
    ///
    /// # Errors
    /// When the tensor library fails, or no forward pass for training went before.
    pub fn backward(
        &mut self,
        parameters: &[Tensor],
        grad: Tensor,
        deliver: &mut Deliver<'_>,
    ) -> Result<Option<Tensor>> {
        let mut grad = grad;
        for layer in self.layers[self.without_gradient..].iter_mut().rev() {
            match layer.backward(parameters, &grad, deliver)? {
                Some(before) => grad = before,
                None => return Ok(None),
            }
        }
        Ok((self.without_gradient == 0).then_some(grad))
    }
}
