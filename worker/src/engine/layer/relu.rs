//! max(x, 0), used where no kernel computes it along with the layer before. A NaN stays one; at 0 no gradient
//! passes, as in PyTorch.

use super::{Deliver, Layer, kept};
use crate::engine::op::borrow;
use candle_core::{Result, Tensor};

/// A layer that replaces negative numbers by 0.
#[derive(Default)]
pub struct Relu {
    /// Output of the last forward pass.
    kept: Option<Tensor>,
}

impl Layer for Relu {
    fn forward(&mut self, _parameters: &[Tensor], x: Tensor, keep: bool) -> Result<Tensor> {
        let open = |&x: &f32| if x > 0.0 || x.is_nan() { x } else { 0.0 };
        let y = Tensor::from_vec(borrow(&x)?.iter().map(open).collect::<Vec<f32>>(), x.shape(), x.device())?;
        self.kept = keep.then(|| y.clone());
        Ok(y)
    }

    fn backward(
        &mut self,
        _parameters: &[Tensor],
        grad: &Tensor,
        _deliver: &mut Deliver<'_>,
    ) -> Result<Option<Tensor>> {
        let y = kept(&mut self.kept)?;
        let passed = |(&grad, &y): (&f32, &f32)| if y > 0.0 || y.is_nan() { grad } else { 0.0 };
        let passed: Vec<f32> = borrow(grad)?.iter().zip(&*borrow(&y)?).map(passed).collect();
        Tensor::from_vec(passed, grad.shape(), grad.device()).map(Some)
    }
}
