//! Group normalisation (Wu and He 2018): each group of a sample's channels is normalised over its pixels.
//!
//! ```text
//! y = (x - mean) / sqrt(variance + eps) · weight + bias
//! ```
//!
//! Mean and variance belong to a sample and a group, weight and bias to a channel.

use super::batch_norm::inverse_deviation;
use super::{Deliver, Layer, Pass, kept};
use crate::engine::op::borrow;
use crate::engine::op::channels::{Affine, Moments, moments};
use candle_core::{Result, Tensor};

/// A group normalisation.
pub struct GroupNorm {
    groups: usize,
    /// Indices of weight and bias among the network's parameters.
    places: [usize; 2],
    /// Whether anything before it is trained.
    input_gradient: bool,
    kept: Option<Kept>,
}

struct Kept {
    x: Tensor,
    samples: Vec<Sample>,
}

/// The function that one sample was normalised by.
struct Sample {
    affine: Affine,
    /// 1 / sqrt(variance + eps) of each group.
    inverse: Vec<f64>,
}

impl GroupNorm {
    /// A layer with that many groups. `places` are the indices of weight and bias among the network's
    /// parameters. `input_gradient` says whether anything before is trained.
    #[must_use]
    pub fn new(groups: usize, places: [usize; 2], input_gradient: bool) -> Self {
        Self { groups, places, input_gradient, kept: None }
    }

    /// The function for one sample's values `x`.
    fn measure(&self, x: &[f32], weight: &[f32], bias: &[f32]) -> Sample {
        let width = weight.len() / self.groups;
        let of_channels = moments(x, weight.len());
        let of_group = |channels: &[Moments]| {
            let mut all = channels[0];
            channels[1..].iter().for_each(|channel| all.join(*channel));
            all
        };
        let of_groups: Vec<Moments> = of_channels.chunks_exact(width).map(of_group).collect();
        let mean = of_groups.iter().flat_map(|group| std::iter::repeat_n(group.mean as f32, width));
        let mean: Vec<f32> = mean.collect();
        let inverse: Vec<f64> = of_groups.iter().map(|group| inverse_deviation(group.variance())).collect();
        let scale = |(channel, weight): (usize, &f32)| (f64::from(*weight) * inverse[channel / width]) as f32;
        let scale: Vec<f32> = weight.iter().enumerate().map(scale).collect();
        Sample { affine: Affine::new(&mean, &scale, bias, false), inverse }
    }
}

impl Layer for GroupNorm {
    fn forward(&mut self, pass: Pass<'_>, x: Tensor) -> Result<Tensor> {
        let [weight, bias] = self.places.map(|place| &pass.parameters[place]);
        let [weight, bias] = [borrow(weight)?, borrow(bias)?];
        let values = borrow(&x)?;
        let mut y = vec![0.0; values.len()];
        let mut samples = Vec::new();
        let size = values.len() / x.dim(0)?;
        for (x, y) in values.chunks_exact(size).zip(y.chunks_exact_mut(size)) {
            let sample = self.measure(x, &weight, &bias);
            sample.affine.apply(x, y);
            samples.push(sample);
        }
        self.kept = pass.training.map(|_| Kept { x: x.clone(), samples });
        Tensor::from_vec(y, x.shape(), x.device())
    }

    fn backward(
        &mut self,
        parameters: &[Tensor],
        grad: &Tensor,
        deliver: &mut Deliver<'_>,
    ) -> Result<Option<Tensor>> {
        let Kept { x, samples } = kept(&mut self.kept)?;
        let weight = borrow(&parameters[self.places[0]])?;
        let channels = weight.len();
        let width = channels / self.groups;
        let values = borrow(&x)?;
        let size = values.len() / samples.len();
        let count = (size / self.groups) as f64;
        let grad = borrow(grad)?;
        let mut dx = vec![0.0; if self.input_gradient { values.len() } else { 0 }];
        let mut dx_of_samples = dx.chunks_exact_mut(size);
        let [mut of_weight, mut of_bias] = [(); 2].map(|()| vec![0.0; channels]);
        let inputs = values.chunks_exact(size).zip(grad.chunks_exact(size));
        for (Sample { affine, inverse }, (x, grad)) in samples.iter().zip(inputs) {
            let [of_grad, weighted] = affine.gradient_sums(x, grad, channels);
            for channel in 0..channels {
                of_bias[channel] += of_grad[channel];
                of_weight[channel] += weighted[channel] * inverse[channel / width];
            }
            let Some(dx) = dx_of_samples.next() else { continue };
            // A group's sum of weight · sum / count, times its factor, for each of its channels.
            let of_group = |sums: &[f64], factor: &dyn Fn(f64) -> f64| {
                let terms: Vec<f64> = sums.iter().zip(&*weight).map(|(sum, &w)| sum * f64::from(w)).collect();
                let groups = terms.chunks_exact(width).zip(inverse);
                let value = |(group, &inverse): (&[f64], &f64)| {
                    (group.iter().sum::<f64>() / count * factor(inverse)) as f32
                };
                groups.map(value).flat_map(|value| std::iter::repeat_n(value, width)).collect::<Vec<f32>>()
            };
            let offset = of_group(&of_grad, &|inverse| inverse);
            let slope = of_group(&weighted, &|inverse| inverse * inverse * inverse);
            affine.input_gradient(x, grad, [&offset, &slope], dx);
        }
        for (place, gradient) in self.places.into_iter().zip([of_weight, of_bias]) {
            let gradient: Vec<f32> = gradient.into_iter().map(|value| value as f32).collect();
            deliver(place, &Tensor::from_vec(gradient, channels, x.device())?)?;
        }
        self.input_gradient.then(|| Tensor::from_vec(dx, x.shape(), x.device())).transpose()
    }
}
