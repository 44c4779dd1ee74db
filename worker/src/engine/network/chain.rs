//! A forward pass that remembers its layers, and the backward pass along them.
//!
//! The layers are Candle's custom operators and would do in any of its graphs, but these networks are chains: no
//! gradient has two sources. Candle's gradient store would still add each to zeros first, on threads of its own.
//! Here a layer's activations are dropped as soon as its gradients are there.

use crate::engine::op::borrow;
use candle_core::{CustomOp3, Result, Tensor};

/// A layer's trained tensors, and where the first stands in the network's parameters.
pub(super) struct Parameters<'a> {
    pub(super) weight_at: usize,
    pub(super) weight: &'a Tensor,
    pub(super) bias_at: usize,
    pub(super) bias: &'a Tensor,
}

/// The layers that a batch has passed, first to last.
#[derive(Default)]
pub(super) struct Chain<'a> {
    steps: Vec<Step<'a>>,
}

enum Step<'a> {
    Layer {
        operator: Box<dyn CustomOp3>,
        parameters: Parameters<'a>,
        x: Tensor,
        y: Tensor,
    },
    /// From `[n, h, w, c]`.
    ChannelsFirst([usize; 4]),
}

impl<'a> Chain<'a> {
    /// The layer's output.
    pub(super) fn layer(
        &mut self,
        x: Tensor,
        parameters: Parameters<'a>,
        operator: impl CustomOp3 + 'static,
    ) -> Result<Tensor> {
        let y = x.apply_op3_no_bwd(parameters.weight, parameters.bias, &operator)?;
        self.steps.push(Step::Layer { operator: Box::new(operator), parameters, x, y: y.clone() });
        Ok(y)
    }

    /// `[n, h, w, c]` → `[n, c · h · w]`, as PyTorch flattens.
    pub(super) fn channels_first(&mut self, x: &Tensor) -> Result<Tensor> {
        let (n, h, w, c) = x.dims4()?;
        self.steps.push(Step::ChannelsFirst([n, h, w, c]));
        Tensor::from_vec(transposed(&borrow(x)?, h * w, c), (n, c * h * w), x.device())
    }

    /// Hands each parameter's gradient to `deliver` with the parameter's place, given the last output's gradient.
    pub(super) fn backward(
        mut self,
        mut grad: Tensor,
        mut deliver: impl FnMut(usize, &Tensor) -> Result<()>,
    ) -> Result<()> {
        while let Some(step) = self.steps.pop() {
            match step {
                Step::ChannelsFirst([n, h, w, c]) => {
                    let values = transposed(&borrow(&grad)?, c, h * w);
                    grad = Tensor::from_vec(values, (n, h, w, c), grad.device())?;
                }
                Step::Layer {
                    operator,
                    parameters: Parameters { weight_at, weight, bias_at, bias },
                    x,
                    y,
                } => {
                    let (dx, dw, db) = operator.bwd(&x, weight, bias, &y, &grad)?;
                    for (at, gradient) in [(weight_at, dw), (bias_at, db)] {
                        if let Some(gradient) = gradient {
                            deliver(at, &gradient)?;
                        }
                    }
                    // Only the first layer gives none.
                    let Some(dx) = dx else { break };
                    grad = dx;
                }
            }
        }
        Ok(())
    }
}

/// Matrices `[rows, columns]`, one after the other, with rows and columns exchanged.
fn transposed(matrices: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut result = vec![0.0; matrices.len()];
    let pairs = matrices.chunks_exact(rows * columns).zip(result.chunks_exact_mut(rows * columns));
    for (from, to) in pairs {
        for (column, to) in to.chunks_exact_mut(rows).enumerate() {
            to.iter_mut().zip(from[column..].iter().step_by(columns)).for_each(|(to, from)| *to = *from);
        }
    }
    result
}
