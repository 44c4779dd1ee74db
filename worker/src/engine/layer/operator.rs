//! Layers with a weight, and a bias or none, that one operator computes: convolutions and dense layers.

use super::{Deliver, Layer, Pass, kept};
use candle_core::{CustomOp3, DType, Result, Tensor};

/// A layer that applies an operator to (x, weight, bias).
pub struct Operator<Op> {
    op: Op,
    /// Index of the weight among the network's parameters.
    weight: usize,
    /// Index of the bias, if there is one.
    bias: Option<usize>,
    /// Input and output of the last forward pass.
    kept: Option<(Tensor, Tensor)>,
}

impl<Op: CustomOp3 + Send> Operator<Op> {
    /// A layer whose weight, and bias if it has one, have these indices among the network's parameters.
    pub fn new(op: Op, weight: usize, bias: Option<usize>) -> Self {
        Self { op, weight, bias, kept: None }
    }

    /// The weight and the bias, which is 0 where there is none.
    fn operands(&self, parameters: &[Tensor]) -> Result<[Tensor; 2]> {
        let weight = parameters[self.weight].clone();
        let bias = match self.bias {
            Some(bias) => parameters[bias].clone(),
            None => Tensor::zeros(weight.dim(0)?, DType::F32, weight.device())?,
        };
        Ok([weight, bias])
    }
}

impl<Op: CustomOp3 + Send> Layer for Operator<Op> {
    fn forward(&mut self, pass: Pass<'_>, x: Tensor) -> Result<Tensor> {
        let [weight, bias] = self.operands(pass.parameters)?;
        let y = x.apply_op3_no_bwd(&weight, &bias, &self.op)?;
        self.kept = pass.training.map(|_| (x, y.clone()));
        Ok(y)
    }

    fn backward(
        &mut self,
        parameters: &[Tensor],
        grad: &Tensor,
        deliver: &mut Deliver<'_>,
    ) -> Result<Option<Tensor>> {
        let (x, y) = kept(&mut self.kept)?;
        let [weight, bias] = self.operands(parameters)?;
        let (dx, dw, db) = self.op.bwd(&x, &weight, &bias, &y, grad)?;
        for (place, gradient) in [(Some(self.weight), dw), (self.bias, db)] {
            if let (Some(place), Some(gradient)) = (place, gradient) {
                deliver(place, &gradient)?;
            }
        }
        Ok(dx)
    }
}
