//! `lockstep compress`: what a smaller model still gets right, beside the model that it was made of.

use crate::answers;
use crate::evaluate;
use crate::int8::{self, Quantized};
use common::checkpoint::Model;
use common::data::samples::Samples;
use std::fmt::Write as _;
use std::num::NonZeroUsize;

/// What is measured of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Class of each sample.
    pub classes: Vec<u16>,
    /// Share of the samples whose class is their label.
    pub accuracy: f64,
    /// Bytes of the numbers that the model consists of.
    pub bytes: usize,
}

/// Measures a model.
///
/// # Errors
/// When the samples have another form than the model's input, or the tensor library fails.
pub fn measured(model: &Model, samples: &Samples, threads: NonZeroUsize) -> anyhow::Result<Measured> {
    let logits = evaluate::logits(model, samples, threads)?;
    Ok(Measured::of(&logits, samples, 4 * model.params.len()))
}

/// Logits of a network in whole numbers, `[n, classes]`, and what is measured of it.
///
/// # Panics
/// When the samples are not of the network's input form.
#[must_use]
pub fn measured_int8(network: &Quantized, samples: &Samples, threads: NonZeroUsize) -> (Vec<f32>, Measured) {
    let scale = network.scales.last().map_or(1.0, |scale| scale.scale);
    let steps = int8::run::logits(network, samples, threads);
    let logits: Vec<f32> = steps.into_iter().map(|step| step as f32 * scale).collect();
    let measured = Measured::of(&logits, samples, network.bytes());
    (logits, measured)
}

impl Measured {
    fn of(logits: &[f32], samples: &Samples, bytes: usize) -> Self {
        let answers = answers::answers(logits, samples.labels());
        let classes: Vec<u16> = answers.into_iter().map(|answer| answer.class).collect();
        let right = classes.iter().zip(samples.labels()).filter(|(class, label)| class == label).count();
        let accuracy = right as f64 / samples.len().max(1) as f64;
        Self { classes, accuracy, bytes }
    }
}

/// Number of samples that two models call differently.
#[must_use]
pub fn differing(one: &Measured, other: &Measured) -> usize {
    one.classes.iter().zip(&other.classes).filter(|(one, other)| one != other).count()
}

/// The figures before and after.
#[must_use]
pub fn table(before: &Measured, after: &Measured) -> String {
    let mut text = format!("{:<20}{:>10}  {:>10}\n", "", "before", "after");
    let percent = |of: &Measured| format!("{:.2} %", 100.0 * of.accuracy);
    // Writing to a string can't fail.
    let _ = writeln!(text, "{:<20}{:>10}  {:>10}", "test accuracy", percent(before), percent(after));
    let _ = writeln!(text, "{:<20}{:>10}  {:>10}", "bytes of numbers", before.bytes, after.bytes);
    text
}

/// Samples at equal distances, so that an order by class does no harm.
#[must_use]
pub fn spread(samples: &Samples, count: NonZeroUsize) -> Samples {
    let count = count.get().min(samples.len());
    let indices: Vec<u32> = (0..count).map(|at| (at * samples.len() / count) as u32).collect();
    samples.gather(&indices)
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::data::spec::DataSpec;

    #[test]
    fn samples_are_spread_over_all() {
        let spec = DataSpec::new(1, 1, 1, 2).unwrap();
        let samples = Samples::new(spec, (0..10).collect(), vec![0; 10]).unwrap();
        let spread = |count| spread(&samples, NonZeroUsize::new(count).unwrap()).pixels().to_vec();
        assert_eq!((spread(4), spread(10).len(), spread(99).len()), (vec![0, 2, 5, 7], 10, 10));
    }
}
