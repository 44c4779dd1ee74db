//! `linear(x, w, b) = x · wᵀ + b`, with ReLU if asked: x `[n, in]`, w `[out, in]`, b `[out]` → `[n, out]`.
//!
//! The gradient of ReLU at exactly 0 is 0, as in PyTorch.

use super::matmul::{Into, View, matmul};
use super::{borrow, values};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use std::borrow::Cow;

/// The layer as a Candle operator.
#[derive(Debug)]
pub struct Linear {
    relu: bool,
    /// Whether x needs a gradient; the first layer's input does not.
    input_gradient: bool,
}

impl Linear {
    /// A layer with or without ReLU. `input_gradient` says whether x needs a gradient.
    #[must_use]
    pub fn new(relu: bool, input_gradient: bool) -> Self {
        Self { relu, input_gradient }
    }
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (n, inputs) = x_layout.shape().dims2()?;
        let (out, w_inputs) = w_layout.shape().dims2()?;
        if w_inputs != inputs || b_layout.shape().dims1()? != out {
            candle_core::bail!("linear: x [{n}, {inputs}] does not fit w [{out}, {w_inputs}]");
        }
        let bias = values(b, b_layout)?;
        let mut y = Vec::with_capacity(n * out);
        (0..n).for_each(|_| y.extend_from_slice(bias));
        let w = View::new(values(w, w_layout)?, out, inputs);
        matmul(&mut y, View::new(values(x, x_layout)?, n, inputs), w.transposed(), Into::Add);
        if self.relu {
            y.iter_mut().for_each(|v| *v = if *v > 0.0 { *v } else { 0.0 });
        }
        Ok((CpuStorage::F32(y), (n, out).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (n, inputs) = x.dims2()?;
        let out = w.dim(0)?;
        let mut grad = Cow::Borrowed(grad);
        if self.relu {
            let open = |(&g, &y): (&f32, &f32)| if y > 0.0 { g } else { 0.0 };
            let masked = borrow(&grad)?.iter().zip(&*borrow(y)?).map(open).collect();
            grad = Cow::Owned(Tensor::from_vec(masked, (n, out), y.device())?);
        }
        let x_values = borrow(x)?;
        let w_values = borrow(w)?;
        let grad = borrow(&grad)?;
        let dy = View::new(&grad, n, out);
        let mut dw = vec![0.0; out * inputs];
        matmul(&mut dw, dy.transposed(), View::new(&x_values, n, inputs), Into::Replace);
        let mut db = vec![0.0; out];
        for row in grad.chunks_exact(out) {
            db.iter_mut().zip(row).for_each(|(sum, g)| *sum += g);
        }
        let dx = if self.input_gradient {
            let mut dx = vec![0.0; n * inputs];
            matmul(&mut dx, dy, View::new(&w_values, out, inputs), Into::Replace);
            Some(Tensor::from_vec(dx, x.shape(), x.device())?)
        } else {
            None
        };
        let dw = Tensor::from_vec(dw, w.shape(), w.device())?;
        Ok((dx, Some(dw), Some(Tensor::from_vec(db, b.shape(), b.device())?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::op::testing::{check_gradients, variable};

    fn linear(x: &Tensor, w: &Tensor, b: &Tensor, relu: bool) -> Result<Tensor> {
        x.apply_op3(w, b, Linear::new(relu, true))
    }

    #[test]
    fn gradients_equal_finite_differences() {
        for relu in [false, true] {
            let x = variable(1, &[3, 7], 1.0);
            let w = variable(2, &[5, 7], 1.0);
            let b = variable(3, &[5], 1.0);
            check_gradients(&[&x, &w, &b], || linear(&x, &w, &b, relu));
        }
    }

    #[test]
    fn relu_passes_no_gradient_at_zero() {
        let x = variable(1, &[1, 2], 0.0);
        let w = variable(2, &[1, 2], 1.0);
        let b = variable(3, &[1], 0.0);
        let grads = linear(&x, &w, &b, true).unwrap().sum_all().unwrap().backward().unwrap();
        assert_eq!(super::super::to_vec(grads.get(b.as_tensor()).unwrap()).unwrap(), [0.0]);
    }

    #[test]
    fn shapes_that_do_not_fit_are_an_error() {
        let x = variable(1, &[3, 6], 1.0);
        let w = variable(2, &[5, 7], 1.0);
        let b = variable(3, &[5], 1.0);
        assert!(linear(&x, &w, &b, true).is_err());
    }
}
