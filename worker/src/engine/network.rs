//! The networks: from flat parameters and samples to gradients, losses and predictions.
//!
//! A [`Network`] belongs to one thread. Parameters come in `common`'s flat layout and PyTorch's shapes; gradients go
//! back the same way. Which tensors a network has is decided in `common::model`; how they are used, here.
//!
//! Memory grows with a leaf's samples by what the forward pass keeps: for the CNN 66 kB a sample, and 95 kB while the
//! second layer's gradients are made (6 MB for 64 samples); for an MLP 4 bytes for each input and unit, twice. To this
//! come parameters, their gradient, and once more the gradient of the layer at work.

mod chain;

use crate::engine::op::conv::Conv;
use crate::engine::op::linear::Linear;
use crate::engine::op::{borrow, loss, to_vec};
use candle_core::{Device, Tensor};
use chain::{Chain, Parameters};
use common::data::samples::{CLASSES, PIXELS, SIDE, Samples};
use common::model::ModelSpec;
use common::model::params::Layout;

/// A network with its current parameters.
#[derive(Debug)]
pub struct Network {
    spec: ModelSpec,
    layout: Layout,
    /// In layout order.
    parameters: Vec<Tensor>,
}

/// What a leaf's backward pass gives.
#[derive(Clone, Debug, PartialEq)]
pub struct LeafGradient {
    /// Of the SUM of the samples' losses; flat, in layout order.
    pub gradient: Vec<f32>,
    /// Sum of the samples' losses, in nats.
    pub loss_sum: f64,
    /// The likeliest class of each sample.
    pub predictions: Vec<u8>,
}

/// What a leaf's forward pass gives.
#[derive(Clone, Debug, PartialEq)]
pub struct LeafEvaluation {
    /// Sum of the samples' losses, in nats.
    pub loss_sum: f64,
    /// The likeliest class of each sample.
    pub predictions: Vec<u8>,
}

/// Why a network can't do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The architecture is not one.
    #[error(transparent)]
    Spec(#[from] common::model::ModelError),
    /// Parameters of another model.
    #[error("{got} parameters for a model of {expected}")]
    Parameters {
        /// The model's.
        expected: usize,
        /// Those given.
        got: usize,
    },
    /// No samples.
    #[error("a leaf without samples")]
    Empty,
    /// The tensor library failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl Network {
    /// A network with all parameters zero.
    ///
    /// # Errors
    /// When the architecture's sizes are out of range.
    pub fn new(spec: &ModelSpec) -> Result<Self, NetworkError> {
        spec.validate()?;
        let layout = spec.layout();
        let zeros = |shape: &[usize]| Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu);
        let parameters = layout.iter().map(|(tensor, _)| zeros(&tensor.shape)).collect::<Result<_, _>>()?;
        Ok(Self { spec: spec.clone(), layout, parameters })
    }

    /// Replaces all parameters: flat, in layout order.
    ///
    /// # Errors
    /// When there are not as many as the model has.
    pub fn load(&mut self, parameters: &[f32]) -> Result<(), NetworkError> {
        if parameters.len() != self.layout.len() {
            return Err(NetworkError::Parameters { expected: self.layout.len(), got: parameters.len() });
        }
        for ((tensor, range), own) in self.layout.iter().zip(&mut self.parameters) {
            *own = Tensor::from_slice(&parameters[range], tensor.shape.as_slice(), &Device::Cpu)?;
        }
        Ok(())
    }

    /// Forward and backward pass over one leaf.
    ///
    /// # Errors
    /// When there are no samples, or the tensor library fails.
    pub fn gradient(&mut self, samples: &Samples) -> Result<LeafGradient, NetworkError> {
        let mut chain = Chain::default();
        let logits = self.forward(samples, &mut chain)?;
        let loss = loss::CrossEntropy::new(samples.labels());
        let mut gradient = vec![0.0; self.layout.len()];
        let ranges: Vec<_> = self.layout.iter().map(|(_, range)| range).collect();
        chain.backward(loss.gradient(&logits, 1.0)?, |at, values| {
            gradient[ranges[at].clone()].copy_from_slice(&borrow(values)?);
            Ok(())
        })?;
        let LeafEvaluation { loss_sum, predictions } = score(&borrow(&logits)?, samples);
        Ok(LeafGradient { gradient, loss_sum, predictions })
    }

    /// Forward pass over one leaf.
    ///
    /// # Errors
    /// When there are no samples, or the tensor library fails.
    pub fn evaluate(&mut self, samples: &Samples) -> Result<LeafEvaluation, NetworkError> {
        Ok(score(&self.logits(samples)?, samples))
    }

    /// The last layer's output, `[n, 10]`, before softmax.
    ///
    /// # Errors
    /// When there are no samples, or the tensor library fails.
    pub fn logits(&mut self, samples: &Samples) -> Result<Vec<f32>, NetworkError> {
        Ok(to_vec(&self.forward(samples, &mut Chain::default())?)?)
    }

    fn forward<'a>(&'a self, samples: &Samples, chain: &mut Chain<'a>) -> Result<Tensor, NetworkError> {
        if samples.is_empty() {
            return Err(NetworkError::Empty);
        }
        let n = samples.len();
        let pixels: Vec<f32> = samples.pixels().iter().map(|&p| f32::from(p) / 255.0).collect();
        let logits = match &self.spec {
            ModelSpec::Cnn => self.cnn(Tensor::from_vec(pixels, (n, SIDE, SIDE, 1), &Device::Cpu)?, chain),
            ModelSpec::Mlp { hidden } => self.dense(flat(pixels, n)?, hidden.len(), chain),
            ModelSpec::Linear => self.dense(flat(pixels, n)?, 0, chain),
        };
        Ok(logits?)
    }

    /// x: `[n, 28, 28, 1]`.
    fn cnn<'a>(&'a self, x: Tensor, chain: &mut Chain<'a>) -> candle_core::Result<Tensor> {
        let x = chain.layer(x, self.layer("conv1")?, Conv::new(true, false))?;
        let x = chain.layer(x, self.layer("conv2")?, Conv::new(true, true))?;
        let x = chain.layer(x, self.layer("conv3")?, Conv::new(false, true))?;
        // PyTorch flattens channels first; the dense weights count on it.
        let x = chain.channels_first(&x)?;
        let x = chain.layer(x, self.layer("fc1")?, Linear::new(true, true))?;
        chain.layer(x, self.layer("fc2")?, Linear::new(false, true))
    }

    /// x: `[n, 784]`; `hidden` layers with ReLU, then one without.
    fn dense<'a>(
        &'a self,
        mut x: Tensor,
        hidden: usize,
        chain: &mut Chain<'a>,
    ) -> candle_core::Result<Tensor> {
        for layer in 0..=hidden {
            let parameters = self.layer(&format!("fc{}", layer + 1))?;
            x = chain.layer(x, parameters, Linear::new(layer < hidden, layer > 0))?;
        }
        Ok(x)
    }

    fn layer(&self, name: &str) -> candle_core::Result<Parameters<'_>> {
        let (weight_at, weight) = self.parameter(&format!("{name}.weight"))?;
        let (bias_at, bias) = self.parameter(&format!("{name}.bias"))?;
        Ok(Parameters { weight_at, weight, bias_at, bias })
    }

    fn parameter(&self, name: &str) -> candle_core::Result<(usize, &Tensor)> {
        match self.layout.iter().position(|(tensor, _)| tensor.name == name) {
            Some(at) => Ok((at, &self.parameters[at])),
            None => candle_core::bail!("the {} model has no parameter {name}", self.spec),
        }
    }
}

fn flat(pixels: Vec<f32>, n: usize) -> candle_core::Result<Tensor> {
    Tensor::from_vec(pixels, (n, PIXELS), &Device::Cpu)
}

fn score(logits: &[f32], samples: &Samples) -> LeafEvaluation {
    let loss_sum = loss::loss_sum(logits, CLASSES, samples.labels());
    LeafEvaluation { loss_sum, predictions: loss::predictions(logits, CLASSES) }
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
