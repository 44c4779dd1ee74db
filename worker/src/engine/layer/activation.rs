//! Functions of each value, where no kernel computes them along with the layer before.
//!
//! exp, tanh and the error function are those of the `libm` crate, whose bits are the same on every CPU. At 0
//! ReLU passes no gradient, and the leaky one its slope, as in PyTorch. A NaN stays one.

use super::{Deliver, Layer, Pass, kept};
use crate::engine::op::borrow;
use crate::engine::op::elementwise::{map, zip};
use candle_core::{Result, Tensor};
use common::model::activation::Activation;
use std::f32::consts::FRAC_1_SQRT_2;

/// 1 / sqrt(2π).
const NORMAL_PEAK: f32 = 0.398_942_3;

/// A layer that applies a function to each value.
pub struct Function {
    activation: Activation,
    /// Input and output of the last forward pass.
    kept: Option<(Tensor, Tensor)>,
}

impl Function {
    /// The layer of this function.
    #[must_use]
    pub fn new(activation: Activation) -> Self {
        Self { activation, kept: None }
    }
}

/// f(x) for each value.
fn values(activation: Activation, x: &[f32]) -> Vec<f32> {
    match activation {
        Activation::Relu => map(x, |x| if x <= 0.0 { 0.0 } else { x }),
        Activation::LeakyRelu { slope } => map(x, |x| if x > 0.0 { x } else { slope * x }),
        Activation::Gelu => map(x, |x| x * normal_share(x)),
        Activation::Silu => map(x, |x| x * sigmoid(x)),
        Activation::Tanh => map(x, libm::tanhf),
        Activation::Sigmoid => map(x, sigmoid),
    }
}

/// f'(x) · grad for each value, given x and y = f(x).
fn gradients(activation: Activation, x: &[f32], y: &[f32], grad: &[f32]) -> Vec<f32> {
    match activation {
        Activation::Relu => zip(x, grad, |x, grad| if x <= 0.0 { 0.0 } else { grad }),
        Activation::LeakyRelu { slope } => zip(x, grad, |x, grad| if x > 0.0 { grad } else { slope * grad }),
        Activation::Gelu => {
            let density = |x: f32| NORMAL_PEAK * libm::expf(-0.5 * x * x);
            zip(x, grad, |x, grad| grad * (normal_share(x) + x * density(x)))
        }
        Activation::Silu => {
            let slope = |x: f32, share: f32| share * (1.0 + x * (1.0 - share));
            zip(x, grad, |x, grad| grad * slope(x, sigmoid(x)))
        }
        Activation::Tanh => zip(y, grad, |y, grad| grad * (1.0 - y * y)),
        Activation::Sigmoid => zip(y, grad, |y, grad| grad * (y * (1.0 - y))),
    }
}

/// 1 / (1 + exp(-x)).
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + libm::expf(-x))
}

/// Φ(x), the share of the normal distribution below x.
fn normal_share(x: f32) -> f32 {
    0.5 * (1.0 + libm::erff(x * FRAC_1_SQRT_2))
}

impl Layer for Function {
    fn forward(&mut self, pass: Pass<'_>, x: Tensor) -> Result<Tensor> {
        let y = Tensor::from_vec(values(self.activation, &borrow(&x)?), x.shape(), x.device())?;
        self.kept = pass.training.map(|_| (x, y.clone()));
        Ok(y)
    }

    fn backward(
        &mut self,
        _parameters: &[Tensor],
        grad: &Tensor,
        _deliver: &mut Deliver<'_>,
    ) -> Result<Option<Tensor>> {
        let (x, y) = kept(&mut self.kept)?;
        let dx = gradients(self.activation, &borrow(&x)?, &borrow(&y)?, &borrow(grad)?);
        Tensor::from_vec(dx, grad.shape(), grad.device()).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each function at -2, -0.5, 0, 1 and 3, in f64 by PyTorch 2.15: values, then slopes.
    const TORCH: [(&str, [f64; 5], [f64; 5]); 6] = [
        ("relu", [0.0, 0.0, 0.0, 1.0, 3.0], [0.0, 0.0, 0.0, 1.0, 1.0]),
        ("leaky_relu", [-0.02, -0.005, 0.0, 1.0, 3.0], [0.01, 0.01, 0.01, 1.0, 1.0]),
        (
            "gelu",
            [-0.045_500_263_9, -0.154_268_769_4, 0.0, 0.841_344_746_1, 2.995_950_305_9],
            [-0.085_231_801_5, 0.132_504_875_4, 0.5, 1.083_315_470_6, 1.011_945_647_8],
        ),
        (
            "silu",
            [-0.238_405_844_0, -0.188_770_334_4, 0.0, 0.731_058_578_6, 2.857_722_380_5],
            [-0.090_784_245_0, 0.260_039_036_5, 0.5, 0.927_670_511_9, 1.088_104_198_7],
        ),
        (
            "tanh",
            [-0.964_027_580_1, -0.462_117_157_3, 0.0, 0.761_594_156_0, 0.995_054_753_7],
            [0.070_650_824_9, 0.786_447_732_9, 1.0, 0.419_974_341_6, 0.009_866_037_2],
        ),
        (
            "sigmoid",
            [0.119_202_922_0, 0.377_540_668_8, 0.5, 0.731_058_578_6, 0.952_574_126_8],
            [0.104_993_585_4, 0.235_003_712_2, 0.25, 0.196_611_933_2, 0.045_176_659_7],
        ),
    ];

    #[test]
    fn values_and_slopes_are_pytorchs() {
        let x = [-2.0, -0.5, 0.0, 1.0, 3.0];
        for (name, torch_values, torch_slopes) in TORCH {
            let common::model::layer::Layer::Activation(activation) = name.parse().unwrap() else {
                panic!("{name} is an activation")
            };
            let y = values(activation, &x);
            let slopes = gradients(activation, &x, &y, &[1.0; 5]);
            for (got, want) in y.iter().chain(&slopes).zip(torch_values.iter().chain(&torch_slopes)) {
                assert!((f64::from(*got) - want).abs() < 5e-7, "{name}: {got} is not {want}");
            }
            let y = values(activation, &[f32::NAN]);
            assert!(
                y[0].is_nan() && gradients(activation, &[f32::NAN], &y, &[f32::NAN])[0].is_nan(),
                "{name}"
            );
        }
    }
}
