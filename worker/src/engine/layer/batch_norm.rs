//! Batch normalisation (Ioffe and Szegedy 2015), with ReLU if asked.
//!
//! ```text
//! training:    y = (x - mean) / sqrt(variance + eps) · weight + bias
//! evaluation:  the same with the running mean and variance
//! ```
//!
//! A leaf is normalised by itself: mean and variance of a channel are those of the leaf's samples and pixels,
//! so a leaf's bits don't depend on what else a step has. What the leaf measured goes where its gradient
//! would be, times its samples: the mean, and the variance with one place fewer in its denominator, as in
//! PyTorch. With a single place in the leaf, whose variance is 0, that is 0.

use super::{Deliver, Layer, Pass, kept};
use crate::engine::op::borrow;
use crate::engine::op::channels::{Affine, Moments, moments};
use candle_core::{Result, Tensor};

/// Constant added to a variance before the square root (PyTorch's default).
pub(super) const EPS: f64 = 1e-5;

/// A batch normalisation.
pub struct BatchNorm {
    /// Indices of weight, bias, running mean and running variance among the network's parameters.
    places: [usize; 4],
    relu: bool,
    /// Whether anything before it is trained.
    input_gradient: bool,
    kept: Option<Kept>,
}

struct Kept {
    x: Tensor,
    affine: Affine,
    mean: Vec<f32>,
    /// Mean of the squared differences from the mean.
    variance: Vec<f64>,
}

impl BatchNorm {
    /// A layer with or without ReLU. `places` are the indices of weight, bias, running mean and running
    /// variance among the network's parameters. `input_gradient` says whether anything before is trained.
    #[must_use]
    pub fn new(places: [usize; 4], relu: bool, input_gradient: bool) -> Self {
        Self { places, relu, input_gradient, kept: None }
    }

    /// The layer's function, for that mean and variance of each channel.
    fn affine(&self, parameters: &[Tensor], mean: &[f32], variance: &[f64]) -> Result<Affine> {
        let [weight, bias, ..] = self.places;
        let weight = borrow(&parameters[weight])?;
        let scale =
            |(weight, variance): (&f32, &f64)| (f64::from(*weight) * inverse_deviation(*variance)) as f32;
        let scale: Vec<f32> = weight.iter().zip(variance).map(scale).collect();
        Ok(Affine::new(mean, &scale, &borrow(&parameters[bias])?, self.relu))
    }
}

/// 1 / sqrt(variance + eps).
pub(super) fn inverse_deviation(variance: f64) -> f64 {
    1.0 / (variance + EPS).sqrt()
}

impl Layer for BatchNorm {
    fn forward(&mut self, pass: Pass<'_>, x: Tensor) -> Result<Tensor> {
        let [.., running_mean, running_variance] = self.places.map(|place| &pass.parameters[place]);
        let values = borrow(&x)?;
        let mut y = vec![0.0; values.len()];
        if pass.training.is_some() {
            let moments = moments(&values, running_mean.dim(0)?);
            let mean: Vec<f32> = moments.iter().map(|moments| moments.mean as f32).collect();
            let variance: Vec<f64> = moments.iter().map(Moments::variance).collect();
            let affine = self.affine(pass.parameters, &mean, &variance)?;
            affine.apply(&values, &mut y);
            self.kept = Some(Kept { x: x.clone(), affine, mean, variance });
        } else {
            let variance: Vec<f64> = borrow(running_variance)?.iter().map(|&value| value.into()).collect();
            self.affine(pass.parameters, &borrow(running_mean)?, &variance)?.apply(&values, &mut y);
        }
        Tensor::from_vec(y, x.shape(), x.device())
    }

    fn backward(
        &mut self,
        _parameters: &[Tensor],
        grad: &Tensor,
        deliver: &mut Deliver<'_>,
    ) -> Result<Option<Tensor>> {
        let Kept { x, affine, mean, variance } = kept(&mut self.kept)?;
        let channels = mean.len();
        let samples = x.dim(0)? as f64;
        let values = borrow(&x)?;
        let rows = (values.len() / channels) as f64;
        let grad = borrow(grad)?;
        let [of_grad, weighted] = affine.gradient_sums(&values, &grad, channels);
        let inverse: Vec<f64> = variance.iter().map(|&variance| inverse_deviation(variance)).collect();
        let [weight, bias, running_mean, running_variance] = self.places;
        let mut give = |place: usize, value: &dyn Fn(usize) -> f64| {
            let values: Vec<f32> = (0..channels).map(|channel| value(channel) as f32).collect();
            deliver(place, &Tensor::from_vec(values, channels, x.device())?)
        };
        give(weight, &|channel| weighted[channel] * inverse[channel])?;
        give(bias, &|channel| of_grad[channel])?;
        give(running_mean, &|channel| samples * f64::from(mean[channel]))?;
        give(running_variance, &|channel| samples * variance[channel] * rows / (rows - 1.0).max(1.0))?;
        if !self.input_gradient {
            return Ok(None);
        }
        let scale = affine.scale(channels);
        let per_row = |sum: f64, channel: usize| f64::from(scale[channel]) * sum / rows;
        let offset: Vec<f32> = (0..channels).map(|at| per_row(of_grad[at], at) as f32).collect();
        let slope = |at: usize| (per_row(weighted[at], at) * inverse[at] * inverse[at]) as f32;
        let slope: Vec<f32> = (0..channels).map(slope).collect();
        let mut dx = vec![0.0; values.len()];
        affine.input_gradient(&values, &grad, [&offset, &slope], &mut dx);
        Tensor::from_vec(dx, x.shape(), x.device()).map(Some)
    }
}
