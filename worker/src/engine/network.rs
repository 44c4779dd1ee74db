//! A network: from flat parameters and samples to gradients, losses and predictions.
//!
//! A [`Network`] belongs to one thread. Parameters come in `common`'s flat layout and PyTorch's shapes;
//! gradients go back the same way. `common::model` decides which tensors a network has, and `fuse` what
//! computes a layer. A layer's activations are dropped as soon as its gradients are there.
//!
//! Memory grows with a leaf's samples by what the forward pass keeps. For the CNN that is 66 kB per sample,
//! and 95 kB while the second layer's gradients are made (6 MB for 64 samples). For an MLP it is 4 bytes for
//! each input and unit, twice. Parameters, their gradient, and a second copy of the current layer's gradient
//! are added to that.

use crate::engine::chain::Chain;
use crate::engine::fuse;
use crate::engine::layer::Pass;
use crate::engine::op::loss::Taught;
use crate::engine::op::{borrow, loss, to_vec};
use candle_core::{DType, Device, Tensor};
use common::data::normalize::{Normalization, Table};
use common::data::samples::Samples;
use common::data::spec::DataSpec;
use common::model::architecture::Architecture;
use common::rng::LeafAddress;
use common::train::augment::{Augmentation, Augmented, Mixed};
use common::train::distil::{Blend, Teacher};
use common::train::objective::Objective;
use common::train::pseudo::Guess;
use common::train::quantise;
use std::ops::Range;
use std::sync::Arc;

/// A network with its current parameters.
pub struct Network {
    model: Architecture,
    /// Tensors in layout order.
    parameters: Vec<Tensor>,
    layers: Chain,
    normalization: Normalization,
    /// The input for each value of a byte.
    input: Table,
    augment: Augmentation,
    objective: Objective,
    rounds_weights: bool,
    teacher: Option<Lessons>,
}

/// The network that another one learns from.
struct Lessons {
    teacher: Arc<Teacher>,
    blend: Blend,
    network: Box<Network>,
}

/// Result of a leaf's backward pass.
#[derive(Clone, Debug, PartialEq)]
pub struct LeafGradient {
    /// Gradient of the SUM of the samples' losses; flat, in layout order. In the places of running statistics
    /// it has what the leaf measured, times its samples.
    pub gradient: Vec<f32>,
    /// Sum of the samples' losses without class weights, in nats.
    pub loss_sum: f64,
    /// Most likely class of each sample.
    pub predictions: Vec<u16>,
}

/// Result of a leaf's forward pass.
#[derive(Clone, Debug, PartialEq)]
pub struct LeafEvaluation {
    /// Sum of the samples' losses, in nats.
    pub loss_sum: f64,
    /// Most likely class of each sample.
    pub predictions: Vec<u16>,
}

/// What a network takes the samples of a leaf for.
#[derive(Clone, Debug, PartialEq)]
pub struct LeafGuesses {
    /// Sum of the losses that the samples have if the guesses are right, in nats: it is finite where the
    /// network's numbers are.
    pub loss_sum: f64,
    /// A guess for each sample.
    pub guesses: Vec<Guess>,
}

/// Reason why a network can't compute.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum NetworkError {
    /// The samples have another form than the network's input.
    #[error("samples of {got} for a network on {expected}")]
    Samples { expected: DataSpec, got: DataSpec },
    /// The number of parameters is that of another model.
    #[error("{got} parameters for a model of {expected}")]
    Parameters { expected: usize, got: usize },
    /// The leaf has no samples.
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
    /// When the tensor library fails.
    pub fn new(model: &Architecture) -> Result<Self, NetworkError> {
        let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu);
        let tensors = model.layout().iter();
        let parameters = tensors.map(|(tensor, _)| zeros(&tensor.shape)).collect::<Result<_, _>>()?;
        let layers = fuse::chain(model, 0..model.layers().as_slice().len(), false);
        let normalization = Normalization::Unit;
        let input = Table::new(&normalization);
        Ok(Self {
            model: model.clone(),
            parameters,
            layers,
            normalization,
            input,
            augment: Augmentation::default(),
            objective: Objective::default(),
            rounds_weights: false,
            teacher: None,
        })
    }

    /// The same network, which is given its samples in that normalization instead of p / 255.
    #[must_use]
    pub fn with_normalization(self, normalization: Normalization) -> Self {
        Self { input: Table::new(&normalization), normalization, ..self }
    }

    /// The same network, which is trained on images that are changed like this, with this loss.
    #[must_use]
    pub fn with_objective(self, augment: Augmentation, objective: Objective) -> Self {
        Self { augment, objective, ..self }
    }

    /// The same network, which computes with rounded weights (`common::train::quantise`), or not. It counts
    /// for parameters that are loaded from now on.
    #[must_use]
    pub fn with_rounded_weights(self, rounds_weights: bool) -> Self {
        Self { rounds_weights, ..self }
    }

    /// The same network, which learns from a teacher for samples of the same form, or from none.
    ///
    /// # Errors
    /// When the teacher has another number of parameters than its network, or the tensor library fails.
    pub fn with_teacher(self, teacher: Option<&(Arc<Teacher>, Blend)>) -> Result<Self, NetworkError> {
        let lessons = |(teacher, blend): &(Arc<Teacher>, Blend)| -> Result<Lessons, NetworkError> {
            let network = Self::new(&teacher.architecture)?;
            let mut network = network.with_normalization(teacher.normalization.clone());
            network.load(&teacher.params)?;
            Ok(Lessons { teacher: Arc::clone(teacher), blend: *blend, network: Box::new(network) })
        };
        Ok(Self { teacher: teacher.map(lessons).transpose()?, ..self })
    }

    /// Whether it computes with rounded weights.
    #[must_use]
    pub fn rounds_weights(&self) -> bool {
        self.rounds_weights
    }

    /// Whether it learns from this teacher, or from none.
    #[must_use]
    pub fn learns_from(&self, teacher: Option<&(Arc<Teacher>, Blend)>) -> bool {
        match (&self.teacher, teacher) {
            (None, None) => true,
            (Some(own), Some((teacher, blend))) => {
                own.blend == *blend && (Arc::ptr_eq(&own.teacher, teacher) || own.teacher == *teacher)
            }
            _ => false,
        }
    }

    /// How its samples are normalized.
    #[must_use]
    pub fn normalization(&self) -> &Normalization {
        &self.normalization
    }

    /// How its images are changed while training, and what training minimises.
    #[must_use]
    pub fn objective(&self) -> (Augmentation, &Objective) {
        (self.augment, &self.objective)
    }

    /// Architecture of the network.
    #[must_use]
    pub fn model(&self) -> &Architecture {
        &self.model
    }

    /// Replaces all parameters with flat values in layout order.
    ///
    /// # Errors
    /// When the number of values is not that of the parameters.
    pub fn load(&mut self, parameters: &[f32]) -> Result<(), NetworkError> {
        let layout = self.model.layout();
        if parameters.len() != layout.len() {
            return Err(NetworkError::Parameters { expected: layout.len(), got: parameters.len() });
        }
        for ((tensor, range), own) in layout.iter().zip(&mut self.parameters) {
            let mut values = parameters[range].to_vec();
            if self.rounds_weights {
                quantise::round(tensor, &mut values);
            }
            *own = Tensor::from_vec(values, tensor.shape.as_slice(), &Device::Cpu)?;
        }
        Ok(())
    }

    /// Forward and backward pass over one leaf. The changes to its images, and other random choices, follow
    /// from its address.
    ///
    /// # Errors
    /// When there are no samples, or they are of another form, or the tensor library fails.
    pub fn gradient(&mut self, samples: &Samples, leaf: LeafAddress) -> Result<LeafGradient, NetworkError> {
        if self.augment.is_none() {
            return self.gradient_of(samples, Vec::new(), leaf);
        }
        let Augmented { samples, mixed } = self.augment.apply(samples.clone(), leaf);
        self.gradient_of(&samples, mixed, leaf)
    }

    fn gradient_of(
        &mut self,
        samples: &Samples,
        mixed: Vec<Mixed>,
        leaf: LeafAddress,
    ) -> Result<LeafGradient, NetworkError> {
        let taught = match &mut self.teacher {
            Some(Lessons { network, blend, .. }) => Some(Taught::new(network.logits(samples)?, *blend)),
            None => None,
        };
        let logits = self.forward(samples, Some(leaf))?;
        let mut gradient = vec![0.0; self.model.layout().len()];
        let ranges: Vec<Range<usize>> = self.model.layout().iter().map(|(_, range)| range).collect();
        let mut deliver = |at: usize, values: &Tensor| {
            gradient[ranges[at].clone()].copy_from_slice(&borrow(values)?);
            Ok(())
        };
        let mut loss =
            loss::CrossEntropy::new(samples.labels()).with_objective(self.objective.clone(), mixed);
        if let Some(taught) = taught {
            loss = loss.with_teacher(taught);
        }
        let (loss_sum, grad) = loss.with_gradient(&logits, 1.0)?;
        self.layers.backward(&self.parameters, grad, &mut deliver)?;
        let predictions = loss::predictions(&borrow(&logits)?, samples.spec().classes());
        Ok(LeafGradient { gradient, loss_sum, predictions })
    }

    /// Forward pass over one leaf.
    ///
    /// # Errors
    /// When there are no samples, or they are of another form, or the tensor library fails.
    pub fn evaluate(&mut self, samples: &Samples) -> Result<LeafEvaluation, NetworkError> {
        Ok(score(&self.logits(samples)?, samples))
    }

    /// Forward pass over one leaf, whose labels mean nothing.
    ///
    /// # Errors
    /// When there are no samples, or they are of another form, or the tensor library fails.
    pub fn guess(&mut self, samples: &Samples) -> Result<LeafGuesses, NetworkError> {
        let logits = self.logits(samples)?;
        let classes = samples.spec().classes();
        let predictions = loss::predictions(&logits, classes);
        let loss_sum = loss::loss_sum(&logits, classes, &predictions);
        Ok(LeafGuesses { loss_sum, guesses: guesses(&logits, classes, &predictions) })
    }

    /// Forward pass over one leaf, and what each of its samples is taken for.
    ///
    /// # Errors
    /// When there are no samples, or they are of another form, or the tensor library fails.
    pub fn evaluate_each(&mut self, samples: &Samples) -> Result<(LeafEvaluation, Vec<Guess>), NetworkError> {
        let logits = self.logits(samples)?;
        let evaluation = score(&logits, samples);
        let guesses = guesses(&logits, samples.spec().classes(), &evaluation.predictions);
        Ok((evaluation, guesses))
    }

    /// Output of the last layer, `[n, classes]`, before softmax.
    ///
    /// # Errors
    /// When there are no samples, or they are of another form, or the tensor library fails.
    pub fn logits(&mut self, samples: &Samples) -> Result<Vec<f32>, NetworkError> {
        Ok(to_vec(&self.forward(samples, None)?)?)
    }

    fn forward(&mut self, samples: &Samples, training: Option<LeafAddress>) -> Result<Tensor, NetworkError> {
        if samples.is_empty() {
            return Err(NetworkError::Empty);
        }
        let expected = self.model.input();
        let got = samples.spec();
        if expected != got {
            return Err(NetworkError::Samples { expected, got });
        }
        let shape = (samples.len(), got.height(), got.width(), got.channels());
        let x = Tensor::from_vec(self.input.apply(samples.pixels()), shape, &Device::Cpu)?;
        Ok(self.layers.forward(Pass { parameters: &self.parameters, training }, x)?)
    }
}

/// The predictions with their probabilities.
fn guesses(logits: &[f32], classes: usize, predictions: &[u16]) -> Vec<Guess> {
    let guess = |(row, &class): (&[f32], &u16)| {
        Guess::new(class, loss::softmax(row).nth(usize::from(class)).unwrap_or(0.0))
    };
    logits.chunks_exact(classes).zip(predictions).map(guess).collect()
}

fn score(logits: &[f32], samples: &Samples) -> LeafEvaluation {
    let classes = samples.spec().classes();
    let loss_sum = loss::loss_sum(logits, classes, samples.labels());
    LeafEvaluation { loss_sum, predictions: loss::predictions(logits, classes) }
}

#[cfg(test)]
mod random;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
