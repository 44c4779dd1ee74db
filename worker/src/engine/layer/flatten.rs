//! `[n, h, w, c]` → `[n, c · h · w]`: channels first, as PyTorch flattens. The dense weights rely on this
//! order.

use super::{Deliver, Layer, Pass, kept};
use crate::engine::op::borrow;
use candle_core::{Result, Tensor};

/// A layer that flattens images.
#[derive(Default)]
pub struct Flatten {
    /// Shape of the last input.
    kept: Option<(usize, usize, usize, usize)>,
}

impl Layer for Flatten {
    fn forward(&mut self, pass: Pass<'_>, x: Tensor) -> Result<Tensor> {
        let (n, h, w, c) = x.dims4()?;
        self.kept = pass.training.map(|_| (n, h, w, c));
        if c == 1 || h * w == 1 {
            return x.reshape((n, c * h * w));
        }
        Tensor::from_vec(transposed(&borrow(&x)?, h * w, c), (n, c * h * w), x.device())
    }

    fn backward(
        &mut self,
        _parameters: &[Tensor],
        grad: &Tensor,
        _deliver: &mut Deliver<'_>,
    ) -> Result<Option<Tensor>> {
        let (n, h, w, c) = kept(&mut self.kept)?;
        if c == 1 || h * w == 1 {
            return grad.reshape((n, h, w, c)).map(Some);
        }
        let values = transposed(&borrow(grad)?, c, h * w);
        Tensor::from_vec(values, (n, h, w, c), grad.device()).map(Some)
    }
}

/// Transposes each matrix `[rows, columns]` of a sequence.
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
