//! Residual blocks (He et al. 2016): the sum of two branches with the same input, with ReLU if asked.

use super::{Deliver, Layer, Pass, kept};
use crate::engine::chain::Chain;
use crate::engine::op::borrow;
use crate::engine::op::elementwise::zip;
use candle_core::{Result, Tensor};

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

/// The sum, or 0 where a ReLU follows and it is not above 0.
fn sum(left: &Tensor, right: &Tensor, relu: bool) -> Result<Tensor> {
    let values = [borrow(left)?, borrow(right)?];
    let open = |sum: f32| if sum <= 0.0 { 0.0 } else { sum };
    let sums = match relu {
        true => zip(&values[0], &values[1], |left, right| open(left + right)),
        false => zip(&values[0], &values[1], |left, right| left + right),
    };
    Tensor::from_vec(sums, left.shape(), left.device())
}

impl Layer for Residual {
    fn forward(&mut self, pass: Pass<'_>, x: Tensor) -> Result<Tensor> {
        let shortcut = self.shortcut.forward(pass, x.clone())?;
        let body = self.body.forward(pass, x)?;
        let y = sum(&body, &shortcut, self.relu)?;
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
            let passed = zip(&borrow(&y)?, &borrow(&grad)?, |y, grad| if y <= 0.0 { 0.0 } else { grad });
            grad = Tensor::from_vec(passed, grad.shape(), grad.device())?;
        }
        let body = self.body.backward(parameters, grad.clone(), deliver)?;
        let shortcut = self.shortcut.backward(parameters, grad, deliver)?;
        match (body, shortcut) {
            (Some(body), Some(shortcut)) if self.input_gradient => sum(&body, &shortcut, false).map(Some),
            _ => Ok(None),
        }
    }
}
