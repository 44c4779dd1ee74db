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
use crate::engine::op::channels::{Affine, squared_deviations, sums};
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
        let channels = weight.len();
        let width = channels / self.groups;
        let count = (x.len() / self.groups) as f64;
        let mean = sums(x, channels);
        let mean = mean.chunks_exact(width).map(|group| (group.iter().sum::<f64>() / count) as f32);
        let mean: Vec<f32> = mean.flat_map(|mean| std::iter::repeat_n(mean, width)).collect();
        let squares = squared_deviations(x, &mean);
        let inverse = |group: &[f64]| inverse_deviation(group.iter().sum::<f64>() / count);
        let inverse: Vec<f64> = squares.chunks_exact(width).map(inverse).collect();
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
        let mut y = Vec::with_capacity(values.len());
        let mut samples = Vec::new();
        for x in values.chunks_exact(values.len() / x.dim(0)?) {
            let sample = self.measure(x, &weight, &bias);
            sample.affine.apply(x, &mut y);
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
        let mut grad = borrow(grad)?.to_vec();
        let [mut of_weight, mut of_bias] = [(); 2].map(|()| vec![0.0; channels]);
        let inputs = values.chunks_exact(size).zip(grad.chunks_exact_mut(size));
        for (Sample { affine, inverse }, (x, grad)) in samples.iter().zip(inputs) {
            let [of_grad, weighted] = affine.gradient_sums(x, grad, channels);
            for channel in 0..channels {
                of_bias[channel] += of_grad[channel];
                of_weight[channel] += weighted[channel] * inverse[channel / width];
            }
            if !self.input_gradient {
                continue;
            }
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
            affine.input_gradient(x, grad, &offset, &slope);
        }
        for (place, gradient) in self.places.into_iter().zip([of_weight, of_bias]) {
            let gradient: Vec<f32> = gradient.into_iter().map(|value| value as f32).collect();
            deliver(place, &Tensor::from_vec(gradient, channels, x.device())?)?;
        }
        self.input_gradient.then(|| Tensor::from_vec(grad, x.shape(), x.device())).transpose()
    }
}
