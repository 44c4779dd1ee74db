//! Networks in whole numbers of 8 bits: a quarter of the bytes, and no floating point at all.
//!
//! The scheme is that of Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
//! Integer-Arithmetic-Only Inference": a value is `scale · (q - zero)`, with a `q` of 0 to 255 between
//! layers, and -127 to 127 for weights, where `zero` is 0 and each output channel has a scale of its own.
//! Sums are exact in 32 bits. A layer's sums become the next layer's values by a multiplication with a whole
//! number and a rounded shift, so every program that follows [`run`] gets equal integers.
//!
//! [`plan`] turns a model into steps on values, with batch norms folded into convolutions. [`float`] computes
//! them in f32 on some training images, to see which ranges the values have. [`quantize`] chooses the scales
//! and rounds. [`run`] computes with whole numbers.

pub mod float;
pub mod plan;
pub mod quantize;
pub mod run;

pub use plan::{Plan, PlanError};
pub use quantize::Quantized;

use common::checkpoint::Model;
use common::data::samples::Samples;
use std::num::NonZeroUsize;

/// A model in whole numbers, its values' ranges measured on these samples.
///
/// # Errors
/// When a layer has no form in whole numbers.
///
/// # Panics
/// When the samples are not of the model's input form.
pub fn of(model: &Model, calibration: &Samples, threads: NonZeroUsize) -> Result<Quantized, PlanError> {
    let plan = Plan::of(model)?;
    let ranges = float::ranges(&plan, calibration, threads);
    Ok(Quantized::of(&plan, &ranges))
}

/// A sample's bytes channel by channel, `[channels, height, width]`, as plans and ONNX have them.
#[must_use]
pub fn planar(samples: &Samples, index: usize) -> Vec<u8> {
    let channels = samples.spec().channels();
    let image = samples.image(index);
    (0..channels).flat_map(|channel| image.iter().skip(channel).step_by(channels).copied()).collect()
}

#[cfg(test)]
pub(crate) mod tests;
