//! A model's answers to images, computed by several threads.
//!
//! Images are cut into batches of 64, and batch i is computed by whoever is free. An answer depends on
//! its image alone, so the number of threads shows in nothing but the time.

use common::checkpoint::Model;
use common::data::samples::Samples;
use common::reduce::parallel;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use worker::engine::network::{Network, NetworkError};

/// Images that are computed together.
const BATCH: usize = 64;

/// What a model says of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer {
    /// Most likely class; of equals the first.
    pub class: u16,
    /// Its probability, 0 to 1: the softmax of the logits.
    pub probability: f64,
    /// Second most likely class.
    pub runner_up: u16,
    /// Probability of the second class.
    pub runner_up_probability: f64,
    /// Cross-entropy of the image's label, in nats.
    pub loss: f64,
}

/// The network of a model, ready to compute.
///
/// # Errors
/// When the tensor library fails.
pub fn network(model: &Model) -> Result<Network, NetworkError> {
    let mut network = Network::new(&model.architecture)?.with_normalization(model.normalization.clone());
    network.load(&model.params)?;
    Ok(network)
}

/// Logits of all samples, `[n, classes]`.
///
/// # Errors
/// When the samples are of another form than the model's input, or the tensor library fails.
pub fn logits(model: &Model, samples: &Samples, threads: NonZeroUsize) -> Result<Vec<f32>, NetworkError> {
    let count = samples.len().div_ceil(BATCH);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut network = network(model)?;
        let mut done = Vec::new();
        loop {
            let batch = next.fetch_add(1, Ordering::Relaxed);
            if batch >= count {
                return Ok(done);
            }
            let places = batch * BATCH..samples.len().min((batch + 1) * BATCH);
            let indices: Vec<u32> = places.map(|index| index as u32).collect();
            done.push((batch, network.logits(&samples.gather(&indices))?));
        }
    };
    let threads = threads.get().min(count.max(1));
    let parts = parallel::all(vec![work; threads]).into_iter();
    let mut batches = parts.collect::<Result<Vec<_>, NetworkError>>()?.concat();
    batches.sort_unstable_by_key(|(batch, _)| *batch);
    Ok(batches.into_iter().flat_map(|(_, logits)| logits).collect())
}

/// The answers that logits `[n, classes]` stand for, to samples with these labels.
///
/// # Panics
/// When there are fewer than two classes, or a label is not a class.
#[must_use]
pub fn answers(logits: &[f32], labels: &[u16]) -> Vec<Answer> {
    let classes = logits.len().checked_div(labels.len()).unwrap_or(1);
    logits.chunks_exact(classes).zip(labels).map(|(row, &label)| answer(row, label)).collect()
}

/// The answer that logits stand for.
///
/// # Panics
/// When there are fewer than two logits, or the label is not a class.
#[must_use]
pub fn answer(logits: &[f32], label: u16) -> Answer {
    let (mut class, mut runner_up) = if logits[1] > logits[0] { (1, 0) } else { (0, 1) };
    for (at, &value) in logits.iter().enumerate().skip(2) {
        if value > logits[class] {
            (class, runner_up) = (at, class);
        } else if value > logits[runner_up] {
            runner_up = at;
        }
    }
    let largest = f64::from(logits[class]);
    let sum: f64 = logits.iter().map(|&value| libm::exp(f64::from(value) - largest)).sum();
    let log_sum = libm::log(sum);
    let probability = |class: usize| libm::exp(f64::from(logits[class]) - largest - log_sum);
    Answer {
        class: class as u16,
        probability: probability(class),
        runner_up: runner_up as u16,
        runner_up_probability: probability(runner_up),
        loss: log_sum - (f64::from(logits[usize::from(label)]) - largest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::checkpoint::Origin;
    use common::data::classes::ClassNames;
    use common::data::normalize::Normalization;
    use common::data::spec::DataSpec;
    use common::model::architecture::Architecture;
    use common::model::params::Init;

    #[test]
    fn an_answer_has_the_two_most_likely_classes() {
        let answer = answer(&[0.0, 2.0, 1.0, 2.0], 2);
        assert_eq!((answer.class, answer.runner_up), (1, 3));
        assert_eq!(answer.probability.to_bits(), answer.runner_up_probability.to_bits());
        let total = 1.0 + 2.0 * libm::exp(2.0) + libm::exp(1.0);
        assert!((answer.probability - libm::exp(2.0) / total).abs() < 1e-15);
        assert!((answer.loss + libm::log(libm::exp(1.0) / total)).abs() < 1e-15);
    }

    #[test]
    fn logits_that_are_far_apart_overflow_nothing() {
        let answer = answer(&[-1e30, 1e30], 0);
        assert_eq!((answer.class, answer.probability, answer.runner_up_probability), (1, 1.0, 0.0));
        assert!(answer.loss > 1e30 && answer.loss.is_finite());
    }

    #[test]
    fn answers_do_not_depend_on_the_number_of_threads() {
        let spec = DataSpec::new(6, 6, 1, 3).unwrap();
        let architecture = Architecture::parse(spec, "conv(4,3) relu flatten dense").unwrap();
        let params = Init::He.draw(architecture.layout(), 1);
        let model = Model {
            architecture,
            params,
            normalization: Normalization::Unit,
            classes: ClassNames::numbers(3),
            origin: Origin::default(),
        };
        let pixels = (0..150 * 36).map(|i| (i * 37 % 251) as u8).collect();
        let samples = Samples::new(spec, pixels, vec![2; 150]).unwrap();
        let by = |threads| logits(&model, &samples, NonZeroUsize::new(threads).unwrap()).unwrap();
        assert_eq!(by(1).len(), 150 * 3);
        assert_eq!(by(1), by(3));
        let answers = answers(&by(1), samples.labels());
        assert_eq!((answers.len(), answers[149]), (150, answer(&by(1)[149 * 3..], 2)));
    }
}
