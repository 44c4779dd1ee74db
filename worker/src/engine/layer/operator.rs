//! Layers with a weight and a bias that one of our own operators computes: convolutions and dense layers.

use super::{Deliver, Layer, kept};
use candle_core::{CustomOp3, Result, Tensor};

/// A layer that applies an operator to (x, weight, bias).
pub struct Operator<Op> {
    op: Op,
    /// Indices of weight and bias among the network's parameters.
    places: [usize; 2],
    /// Input and output of the last forward pass.
    kept: Option<(Tensor, Tensor)>,
}

impl<Op: CustomOp3 + Send> Operator<Op> {
    /// A layer whose weight and bias have these indices among the network's parameters.
    pub fn new(op: Op, places: [usize; 2]) -> Self {
        Self { op, places, kept: None }
    }
}

impl<Op: CustomOp3 + Send> Layer for Operator<Op> {
    fn forward(&mut self, parameters: &[Tensor], x: Tensor, keep: bool) -> Result<Tensor> {
        let [weight, bias] = self.places.map(|place| &parameters[place]);
        let y = x.apply_op3_no_bwd(weight, bias, &self.op)?;
        self.kept = keep.then(|| (x, y.clone()));
        Ok(y)
    }

    fn backward(
        &mut self,
        parameters: &[Tensor],
        grad: &Tensor,
        deliver: &mut Deliver<'_>,
    ) -> Result<Option<Tensor>> {
        let (x, y) = kept(&mut self.kept)?;
        let [weight, bias] = self.places.map(|place| &parameters[place]);
        let (dx, dw, db) = self.op.bwd(&x, weight, bias, &y, grad)?;
        for (place, gradient) in self.places.into_iter().zip([dw, db]) {
            if let Some(gradient) = gradient {
                deliver(place, &gradient)?;
            }
        }
        Ok(dx)
    }
}
