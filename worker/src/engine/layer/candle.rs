//! Layers on Candle's operators and autograd, for everything that has no kernel of ours.
//!
//! A new layer is a function of (x, parameters), like `candle_nn`'s modules. Bits do not depend on the number
//! of threads: Candle divides outputs among its threads, never the terms of a sum. They may depend on the
//! type of CPU and on the C library: `Layer::is_the_librarys` in `common` names these layers.

use super::{Deliver, Layer, kept};
use candle_core::{Result, Tensor, Var};

/// Constant added to a variance before the square root (PyTorch's default).
const NORM_EPS: f32 = 1e-5;

/// A layer that is a differentiable function of its input and its parameters.
pub struct CandleLayer<F> {
    function: F,
    /// Indices of its tensors among the network's parameters, in the order in which `function` takes them.
    places: Vec<usize>,
    /// Whether anything before it is trained.
    input_gradient: bool,
    kept: Option<Graph>,
}

/// A forward pass that Candle has recorded.
struct Graph {
    x: Var,
    parameters: Vec<Var>,
    y: Tensor,
}

impl<F: Fn(&Tensor, &[Tensor]) -> Result<Tensor> + Send> CandleLayer<F> {
    /// The layer of this function. `places` are the indices of its tensors among the network's parameters.
    /// `input_gradient` says whether anything before it is trained.
    pub fn new(function: F, places: &[usize], input_gradient: bool) -> Self {
        Self { function, places: places.to_vec(), input_gradient, kept: None }
    }
}

impl<F: Fn(&Tensor, &[Tensor]) -> Result<Tensor> + Send> Layer for CandleLayer<F> {
    fn forward(&mut self, parameters: &[Tensor], x: Tensor, keep: bool) -> Result<Tensor> {
        let own = self.places.iter().map(|&place| &parameters[place]);
        if !keep {
            let own: Vec<Tensor> = own.cloned().collect();
            return (self.function)(&x, &own)?.contiguous();
        }
        let x = Var::from_tensor(&x)?;
        let own = own.map(Var::from_tensor).collect::<Result<Vec<Var>>>()?;
        let tensors: Vec<Tensor> = own.iter().map(|own| own.as_tensor().clone()).collect();
        let y = (self.function)(x.as_tensor(), &tensors)?.contiguous()?;
        self.kept = Some(Graph { x, parameters: own, y: y.clone() });
        Ok(y.detach())
    }

    fn backward(
        &mut self,
        _parameters: &[Tensor],
        grad: &Tensor,
        deliver: &mut Deliver<'_>,
    ) -> Result<Option<Tensor>> {
        let Graph { x, parameters, y } = kept(&mut self.kept)?;
        // The gradient of the sum of y times a constant is y's own gradient, times that constant.
        let gradients = (y * grad)?.sum_all()?.backward()?;
        let of = |variable: &Var| match gradients.get(variable.as_tensor()) {
            Some(gradient) => gradient.contiguous(),
            None => variable.as_tensor().zeros_like(),
        };
        for (&place, parameter) in self.places.iter().zip(&parameters) {
            deliver(place, &of(parameter)?)?;
        }
        self.input_gradient.then(|| of(&x)).transpose()
    }
}

/// `x · Φ(x)`, with Φ from the error function.
///
/// # Errors
/// When the tensor library fails.
pub fn gelu(x: &Tensor, _parameters: &[Tensor]) -> Result<Tensor> {
    x.gelu_erf()
}

/// Normalises the last dimension to mean 0 and variance 1, then scales by `parameters[0]` and shifts by
/// `parameters[1]`.
///
/// # Errors
/// When the tensor library fails.
pub fn layer_norm(x: &Tensor, parameters: &[Tensor]) -> Result<Tensor> {
    // candle-nn's fused operator has no backward pass.
    candle_nn::ops::layer_norm_slow(x, &parameters[0], &parameters[1], NORM_EPS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::op::testing::variable;
    use crate::engine::op::to_vec;
    use candle_core::Device;

    /// Compares the gradients of input and parameters with central differences in f32, for the sum of
    /// weighted outputs.
    fn check<F: Fn(&Tensor, &[Tensor]) -> Result<Tensor> + Send + Copy>(function: F, shapes: &[&[usize]]) {
        const H: f32 = 5e-3;
        let operands: Vec<Tensor> =
            (1..).zip(shapes).map(|(seed, shape)| variable(seed, shape, 1.0).as_tensor().detach()).collect();
        let places: Vec<usize> = (0..shapes.len() - 1).collect();
        let mut layer = CandleLayer::new(function, &places, true);
        let y = layer.forward(&operands[1..], operands[0].clone(), true).unwrap();
        let weights = variable(9, y.dims(), 1.0).as_tensor().detach();
        let mut gradients = vec![None; shapes.len()];
        let mut deliver = |place: usize, gradient: &Tensor| {
            gradients[place + 1] = Some(to_vec(gradient)?);
            Ok(())
        };
        let dx = layer.backward(&operands[1..], &weights, &mut deliver).unwrap();
        gradients[0] = dx.map(|dx| to_vec(&dx).unwrap());
        let value = |operands: &[Tensor]| {
            let y = function(&operands[0], &operands[1..]).unwrap();
            let terms = to_vec(&(y * &weights).unwrap()).unwrap();
            terms.into_iter().map(f64::from).sum::<f64>()
        };
        for (which, gradient) in gradients.iter().enumerate() {
            let gradient = gradient.as_ref().expect("every operand's gradient is delivered");
            for at in 0..gradient.len() {
                let moved = |by: f32| {
                    let mut values = to_vec(&operands[which]).unwrap();
                    values[at] += by;
                    let mut moved = operands.clone();
                    moved[which] = Tensor::from_vec(values, shapes[which], &Device::Cpu).unwrap();
                    value(&moved)
                };
                let slope = (moved(H) - moved(-H)) / f64::from(2.0 * H);
                let error = (slope - f64::from(gradient[at])).abs();
                assert!(error < 5e-3, "operand {which}, element {at}: {} is not {slope}", gradient[at]);
            }
        }
    }

    #[test]
    fn gradients_equal_finite_differences() {
        check(gelu, &[&[3, 5]]);
        check(layer_norm, &[&[3, 6], &[6], &[6]]);
        check(layer_norm, &[&[1, 2, 2, 4], &[4], &[4]]);
    }

    #[test]
    fn outputs_are_pytorchs() {
        // torch.nn.functional.gelu and layer_norm (eps 1e-5, no scale and shift) of [-1, 0, 2, 3], in f64.
        let x = Tensor::new(&[[-1.0f32, 0.0, 2.0, 3.0]], &Device::Cpu).unwrap();
        let one = Tensor::ones(4, candle_core::DType::F32, &Device::Cpu).unwrap();
        let zero = one.zeros_like().unwrap();
        for (y, torch) in [
            (gelu(&x, &[]), [-0.158_655_253_9, 0.0, 1.954_499_736_1, 2.995_950_305_9]),
            (
                layer_norm(&x, &[one, zero]),
                [-1.264_908_530_6, -0.632_454_265_3, 0.632_454_265_3, 1.264_908_530_6],
            ),
        ] {
            for (got, want) in to_vec(&y.unwrap()).unwrap().into_iter().zip(torch) {
                assert!((f64::from(got) - want).abs() < 1e-5, "{got} is not {want}");
            }
        }
    }
}
