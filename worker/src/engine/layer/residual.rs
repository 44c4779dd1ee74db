//! Residual blocks (He et al. 2016): the sum of two branches with the same input, with ReLU if asked.

use super::{Deliver, Layer, Pass, kept};
use crate::engine::chain::Chain;
use crate::engine::op::borrow;
use candle_core::{Result, Tensor};
use common::simd;

/// A residual block.
pub struct Residual {
    body: Chain,
    /// The other branch; without layers it passes its input on.
    shortcut: Chain,
    relu: bool,
    /// Whether anything before it is trained.
    input_gradient: bool,
    /// Output of the last forward pass.
    kept: Option<Tensor>,
}

impl Residual {
    /// The block of these branches, with or without ReLU behind the sum. `input_gradient` says whether
    /// anything before is trained.
    #[must_use]
    pub fn new(body: Chain, shortcut: Chain, relu: bool, input_gradient: bool) -> Self {
        Self { body, shortcut, relu, input_gradient, kept: None }
    }
}

impl Layer for Residual {
    fn forward(&mut self, pass: Pass<'_>, x: Tensor) -> Result<Tensor> {
        let shortcut = self.shortcut.forward(pass, x.clone())?;
        let body = self.body.forward(pass, x)?;
        let relu = self.relu;
        let [left, right] = [borrow(&body)?, borrow(&shortcut)?];
        let sums = simd::widest(|| {
            let sums = left.iter().zip(&*right).map(|(left, right)| left + right);
            sums.map(|sum| if relu && sum <= 0.0 { 0.0 } else { sum }).collect::<Vec<f32>>()
        });
        let y = Tensor::from_vec(sums, body.shape(), body.device())?;
        self.kept = pass.training.map(|_| y.clone());
        Ok(y)
    }

    fn backward(
        &mut self,
        parameters: &[Tensor],
        grad: &Tensor,
        deliver: &mut Deliver<'_>,
    ) -> Result<Option<Tensor>> {
        let y = kept(&mut self.kept)?;
        let mut grad = grad.clone();
        if self.relu {
            let passed = simd::widest(|| -> Result<Vec<f32>> {
                let passed = |(&grad, &y): (&f32, &f32)| if y <= 0.0 { 0.0 } else { grad };
                Ok(borrow(&grad)?.iter().zip(&*borrow(&y)?).map(passed).collect())
            });
            grad = Tensor::from_vec(passed?, grad.shape(), grad.device())?;
        }
        let body = self.body.backward(parameters, grad.clone(), deliver)?;
        let shortcut = self.shortcut.backward(parameters, grad, deliver)?;
        let (Some(body), Some(shortcut), true) = (body, shortcut, self.input_gradient) else {
            return Ok(None);
        };
        let [left, right] = [borrow(&body)?, borrow(&shortcut)?];
        let sum = simd::widest(|| left.iter().zip(&*right).map(|(left, right)| left + right).collect());
        Tensor::from_vec::<_, f32>(sum, body.shape(), body.device()).map(Some)
    }
}
