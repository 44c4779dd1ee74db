//! The networks: from flat parameters and samples to gradients, losses and predictions.
//!
//! A [`Network`] belongs to one thread. Parameters come in `common`'s flat layout and PyTorch's shapes; gradients go
//! back the same way. Which tensors a network has is decided in `common::model`; how they are used, here.

use crate::op::conv::{conv_relu, conv_relu_pool};
use crate::op::linear::linear;
use crate::op::{loss, to_vec};
use candle_core::{Device, Tensor, Var};
use common::model::ModelSpec;
use common::params::Layout;
use common::sample::{CLASSES, PIXELS, SIDE, Samples};

/// A network with its current parameters.
#[derive(Debug)]
pub struct Network {
    spec: ModelSpec,
    layout: Layout,
    /// In layout order.
    variables: Vec<Var>,
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
        let zeros = |shape: &[usize]| Var::zeros(shape, candle_core::DType::F32, &Device::Cpu);
        let variables = layout.iter().map(|(tensor, _)| zeros(&tensor.shape)).collect::<Result<_, _>>()?;
        Ok(Self { spec: spec.clone(), layout, variables })
    }

    /// Replaces all parameters: flat, in layout order.
    ///
    /// # Errors
    /// When there are not as many as the model has.
    pub fn load(&mut self, parameters: &[f32]) -> Result<(), NetworkError> {
        if parameters.len() != self.layout.len() {
            return Err(NetworkError::Parameters { expected: self.layout.len(), got: parameters.len() });
        }
        for ((tensor, range), variable) in self.layout.iter().zip(&self.variables) {
            variable.set(&Tensor::from_slice(&parameters[range], tensor.shape.as_slice(), &Device::Cpu)?)?;
        }
        Ok(())
    }

    /// Forward and backward pass over one leaf.
    ///
    /// # Errors
    /// When there are no samples, or the tensor library fails.
    pub fn gradient(&mut self, samples: &Samples) -> Result<LeafGradient, NetworkError> {
        let logits = self.forward(samples)?;
        let grads = loss::cross_entropy_sum(&logits, samples.labels())?.backward()?;
        let mut gradient = vec![0.0; self.layout.len()];
        for ((_, range), variable) in self.layout.iter().zip(&self.variables) {
            if let Some(grad) = grads.get(variable.as_tensor()) {
                gradient[range].copy_from_slice(&to_vec(grad)?);
            }
        }
        let LeafEvaluation { loss_sum, predictions } = score(&to_vec(&logits)?, samples);
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
        Ok(to_vec(&self.forward(samples)?.detach())?)
    }

    fn forward(&self, samples: &Samples) -> Result<Tensor, NetworkError> {
        if samples.is_empty() {
            return Err(NetworkError::Empty);
        }
        let pixels: Vec<f32> = samples.pixels().iter().map(|&p| f32::from(p) / 255.0).collect();
        let logits = match &self.spec {
            ModelSpec::Cnn => {
                self.cnn(Tensor::from_vec(pixels, (samples.len(), SIDE, SIDE, 1), &Device::Cpu)?)
            }
            ModelSpec::Mlp { hidden } => self.dense(flat(pixels, samples.len())?, hidden.len()),
            ModelSpec::Linear => self.dense(flat(pixels, samples.len())?, 0),
        };
        Ok(logits?)
    }

    /// x: `[n, 28, 28, 1]`.
    fn cnn(&self, x: Tensor) -> candle_core::Result<Tensor> {
        let x = conv_relu_pool(&x, self.parameter("conv1.weight")?, self.parameter("conv1.bias")?, false)?;
        let x = conv_relu_pool(&x, self.parameter("conv2.weight")?, self.parameter("conv2.bias")?, true)?;
        let x = conv_relu(&x, self.parameter("conv3.weight")?, self.parameter("conv3.bias")?, true)?;
        // PyTorch flattens channels first; the dense weights count on it.
        let x = x.permute((0, 3, 1, 2))?.flatten_from(1)?;
        let x = linear(&x, self.parameter("fc1.weight")?, self.parameter("fc1.bias")?, true, true)?;
        linear(&x, self.parameter("fc2.weight")?, self.parameter("fc2.bias")?, false, true)
    }

    /// x: `[n, 784]`; `hidden` layers with ReLU, then one without.
    fn dense(&self, mut x: Tensor, hidden: usize) -> candle_core::Result<Tensor> {
        for layer in 0..=hidden {
            let name = |part| format!("fc{}.{part}", layer + 1);
            let (w, b) = (self.parameter(&name("weight"))?, self.parameter(&name("bias"))?);
            x = linear(&x, w, b, layer < hidden, layer > 0)?;
        }
        Ok(x)
    }

    fn parameter(&self, name: &str) -> candle_core::Result<&Tensor> {
        match self.layout.iter().position(|(tensor, _)| tensor.name == name) {
            Some(at) => Ok(self.variables[at].as_tensor()),
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
