//! Layer normalisation (Ba et al. 2016): a vector, or each pixel over its channels.
//!
//! ```text
//! y = (x - mean) / sqrt(variance + eps) · weight + bias
//! ```
//!
//! The sums over a row run in f64: eight sums, of every eighth value each, are added in order.

use super::batch_norm::inverse_deviation;
use super::{Deliver, Layer, Pass, kept};
use crate::engine::op::borrow;
use candle_core::{Result, Tensor};

/// A layer normalisation.
pub struct LayerNorm {
    /// Indices of weight and bias among the network's parameters.
    places: [usize; 2],
    /// Whether anything before it is trained.
    input_gradient: bool,
    /// Input, and mean and 1 / sqrt(variance + eps) of each row.
    kept: Option<(Tensor, Vec<(f64, f64)>)>,
}

impl LayerNorm {
    /// A layer; `places` are the indices of weight and bias among the network's parameters. `input_gradient`
    /// says whether anything before is trained.
    #[must_use]
    pub fn new(places: [usize; 2], input_gradient: bool) -> Self {
        Self { places, input_gradient, kept: None }
    }
}

/// The sum of a row's terms.
fn sum(terms: impl Iterator<Item = f64>) -> f64 {
    let mut sums = [0.0; 8];
    for (at, term) in terms.enumerate() {
        sums[at % 8] += term;
    }
    sums.iter().sum()
}

impl Layer for LayerNorm {
    fn forward(&mut self, pass: Pass<'_>, x: Tensor) -> Result<Tensor> {
        let [weight, bias] = self.places.map(|place| &pass.parameters[place]);
        let [weight, bias] = [borrow(weight)?, borrow(bias)?];
        let values = borrow(&x)?;
        let count = weight.len() as f64;
        let mut y = Vec::with_capacity(values.len());
        let mut measured = Vec::with_capacity(values.len() / weight.len());
        for row in values.chunks_exact(weight.len()) {
            let mean = sum(row.iter().map(|&x| f64::from(x))) / count;
            let deviation = |&x: &f32| f64::from(x) - mean;
            let variance = sum(row.iter().map(|x| deviation(x) * deviation(x))) / count;
            let inverse = inverse_deviation(variance);
            let constants = weight.iter().zip(&*bias);
            y.extend(row.iter().zip(constants).map(|(x, (&weight, &bias))| {
                (deviation(x) * inverse * f64::from(weight) + f64::from(bias)) as f32
            }));
            measured.push((mean, inverse));
        }
        self.kept = pass.training.map(|_| (x.clone(), measured));
        Tensor::from_vec(y, x.shape(), x.device())
    }

    fn backward(
        &mut self,
        parameters: &[Tensor],
        grad: &Tensor,
        deliver: &mut Deliver<'_>,
    ) -> Result<Option<Tensor>> {
        let (x, measured) = kept(&mut self.kept)?;
        let weight = borrow(&parameters[self.places[0]])?;
        let values = borrow(&x)?;
        let count = weight.len() as f64;
        let mut grad = borrow(grad)?.to_vec();
        let [mut of_weight, mut of_bias] = [(); 2].map(|()| vec![0.0; weight.len()]);
        let rows = values.chunks_exact(weight.len()).zip(grad.chunks_exact_mut(weight.len()));
        for ((x, grad), (mean, inverse)) in rows.zip(measured) {
            let normalised = |at: usize| (f64::from(x[at]) - mean) * inverse;
            let scaled = |grad: &[f32], at: usize| f64::from(grad[at]) * f64::from(weight[at]);
            for (at, &grad) in grad.iter().enumerate() {
                of_weight[at] += f64::from(grad) * normalised(at);
                of_bias[at] += f64::from(grad);
            }
            if self.input_gradient {
                let offset = sum((0..x.len()).map(|at| scaled(grad, at))) / count;
                let slope = sum((0..x.len()).map(|at| scaled(grad, at) * normalised(at))) / count;
                for at in 0..x.len() {
                    grad[at] = (inverse * (scaled(grad, at) - offset - normalised(at) * slope)) as f32;
                }
            }
        }
        for (place, gradient) in self.places.into_iter().zip([of_weight, of_bias]) {
            let gradient: Vec<f32> = gradient.into_iter().map(|value| value as f32).collect();
            deliver(place, &Tensor::from_vec(gradient, weight.len(), x.device())?)?;
        }
        self.input_gradient.then(|| Tensor::from_vec(grad, x.shape(), x.device())).transpose()
    }
}
