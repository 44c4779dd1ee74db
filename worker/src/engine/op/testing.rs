//! Helpers of the operators' tests: reproducible inputs, and comparison with finite differences.

use candle_core::{Device, Result, Tensor, Var};
use common::rng::Stream;

/// Random values in [-1, 1), `n` in number; they depend only on `stream`.
pub(crate) fn noise(stream: u64, n: usize) -> Vec<f32> {
    let mut stream = Stream::new(17, "operator test", &[stream]);
    (0..n).map(|_| stream.between(-1.0, 1.0)).collect()
}

/// A variable of this shape, filled with noise times `scale`.
pub(crate) fn variable(stream: u64, shape: &[usize], scale: f32) -> Var {
    let values: Vec<f32> = noise(stream, shape.iter().product()).iter().map(|v| v * scale).collect();
    Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap()).unwrap()
}

/// Compares every variable's gradient of the loss Σ weights · output with central differences at some
/// elements.
///
/// The loss is summed in f64, so what limits the difference over ±h is the rounding of each output over h. An
/// element whose step crosses a kink (ReLU, max) can be far off: one in ten may be.
pub(crate) fn check_gradients(variables: &[&Var], output: impl Fn() -> Result<Tensor>) {
    const H: f32 = 2e-4;
    const TOLERANCE: f64 = 1e-2;
    let y = output().unwrap();
    let weights = variable(99, y.dims(), 1.0);
    let weight_values = super::to_vec(&weights).unwrap();
    let grads = (y * weights.as_tensor()).unwrap().sum_all().unwrap().backward().unwrap();
    let loss = || {
        let y = super::to_vec(&output().unwrap()).unwrap();
        y.iter().zip(&weight_values).map(|(y, w)| f64::from(*y) * f64::from(*w)).sum::<f64>()
    };
    let mut pick = Stream::new(3, "finite differences", &[]);
    for (which, variable) in variables.iter().enumerate() {
        let gradient = super::to_vec(grads.get(variable.as_tensor()).expect("a gradient")).unwrap();
        let values = super::to_vec(variable.as_tensor()).unwrap();
        let largest = gradient.iter().fold(0.0f64, |m, v| m.max(f64::from(v.abs())));
        let mut picked = pick.permutation(values.len() as u32);
        picked.truncate(60);
        let mut wrong = Vec::new();
        for at in picked.iter().map(|&at| at as usize) {
            let moved = |h: f32| {
                let mut values = values.clone();
                values[at] += h;
                variable.set(&Tensor::from_vec(values, variable.shape(), &Device::Cpu).unwrap()).unwrap();
                loss()
            };
            let numeric = (moved(H) - moved(-H)) / (2.0 * f64::from(H));
            moved(0.0);
            if (numeric - f64::from(gradient[at])).abs() > TOLERANCE * largest.max(1e-3) {
                wrong.push((at, numeric, gradient[at]));
            }
        }
        assert!(
            wrong.len() * 10 <= picked.len(),
            "variable {which}: (index, numeric, ours) {wrong:?}, largest {largest}"
        );
    }
}
