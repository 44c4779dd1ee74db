//! A model that is asked about digits.

use super::glyph::{Field, SIDE};
use super::views::{self, VIEWS};
use crate::answers;
use common::checkpoint::Model;
use common::data::samples::Samples;
use common::data::spec::DataSpec;
use worker::engine::network::{Network, NetworkError};

/// Most inputs that are computed together.
pub const BATCH: usize = 64;

/// A model that is asked, and what it takes.
pub struct Reader {
    model: Box<dyn Compute + Send>,
    spec: DataSpec,
}

/// Who computes with a model: a network of the caller's own, or one that others ask too.
pub trait Compute {
    /// Logits of inputs that lie one after the other in `pixels`, at most [`BATCH`] of them.
    ///
    /// # Errors
    /// When the tensor library fails, or the answer comes too late.
    fn logits(&mut self, pixels: &[u8]) -> Result<Vec<f32>, ComputeError>;
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ComputeError {
    /// The tensor library fails.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// It failed for several that asked at once.
    #[error("{0}")]
    Shared(String),
    /// The answer did not come in time.
    #[error("the answer did not come in time")]
    Late,
}

/// A network of one's own.
struct Own {
    network: Network,
    spec: DataSpec,
}

impl Compute for Own {
    fn logits(&mut self, pixels: &[u8]) -> Result<Vec<f32>, ComputeError> {
        Ok(logits(&mut self.network, self.spec, pixels.to_vec())?)
    }
}

/// Logits of inputs that lie one after the other.
///
/// # Errors
/// When the tensor library fails.
///
/// # Panics
/// When the last input is cut off.
pub fn logits(network: &mut Network, spec: DataSpec, pixels: Vec<u8>) -> Result<Vec<f32>, NetworkError> {
    let labels = vec![0; pixels.len() / spec.image_bytes()];
    let samples = Samples::new(spec, pixels, labels);
    network.logits(&samples.expect("as many inputs as labels, each label a class"))
}

/// What a model makes of one input.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Probability of each class; of a digit the mean over its views.
    pub probabilities: Vec<f64>,
    /// Views whose most likely class is the most likely of all, and number of views.
    pub agreeing: [usize; 2],
}

/// Whether a model reads digits: it takes 28 x 28 pixels in grey, and its classes are 0 to 9.
#[must_use]
pub fn reads_digits(model: &Model) -> bool {
    let input = model.architecture.input();
    let form = [input.height(), input.width(), input.channels(), input.classes()];
    form == [SIDE, SIDE, 1, 10] && model.classes.are_numbers()
}

impl Reader {
    /// Makes a model ready.
    ///
    /// # Errors
    /// When the tensor library fails.
    pub fn new(model: &Model) -> Result<Self, NetworkError> {
        let spec = model.architecture.input();
        Ok(Self::of(Box::new(Own { network: answers::network(model)?, spec }), spec))
    }

    /// Asks `model`, which takes inputs of this form.
    #[must_use]
    pub fn of(model: Box<dyn Compute + Send>, spec: DataSpec) -> Self {
        Self { model, spec }
    }

    /// The verdict on each digit, from all its views.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn digits(&mut self, fields: &[Field]) -> Result<Vec<Verdict>, ComputeError> {
        let views: Vec<Field> = fields.iter().flat_map(views::all).collect();
        let each = self.probabilities(views.as_flattened())?;
        Ok(each.chunks_exact(VIEWS).map(Verdict::of).collect())
    }

    /// The verdict on each of the inputs in `pixels`.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn inputs(&mut self, pixels: &[u8]) -> Result<Vec<Verdict>, ComputeError> {
        Ok(self.probabilities(pixels)?.chunks_exact(1).map(Verdict::of).collect())
    }

    fn probabilities(&mut self, pixels: &[u8]) -> Result<Vec<Vec<f64>>, ComputeError> {
        let (bytes, classes) = (self.spec.image_bytes(), self.spec.classes());
        let mut all = Vec::with_capacity(pixels.len() / bytes);
        for batch in pixels.chunks(BATCH * bytes) {
            all.extend(self.model.logits(batch)?.chunks_exact(classes).map(softmax));
        }
        Ok(all)
    }
}

impl Verdict {
    fn of(views: &[Vec<f64>]) -> Self {
        let classes = views[0].len();
        let mean = |class: usize| views.iter().map(|view| view[class]).sum::<f64>() / views.len() as f64;
        let probabilities: Vec<f64> = (0..classes).map(mean).collect();
        let [class, _] = best_two(&probabilities);
        let agreeing = views.iter().filter(|view| best_two(view)[0] == class).count();
        Self { probabilities, agreeing: [agreeing, views.len()] }
    }

    /// The two most likely classes; of equals the first.
    #[must_use]
    pub fn best_two(&self) -> [usize; 2] {
        best_two(&self.probabilities)
    }
}

fn best_two(probabilities: &[f64]) -> [usize; 2] {
    let (mut first, mut second) = if probabilities[1] > probabilities[0] { (1, 0) } else { (0, 1) };
    for (at, &value) in probabilities.iter().enumerate().skip(2) {
        if value > probabilities[first] {
            (first, second) = (at, first);
        } else if value > probabilities[second] {
            second = at;
        }
    }
    [first, second]
}

fn softmax(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::MIN, f32::max);
    let parts: Vec<f64> =
        logits.iter().map(|&value| libm::exp(f64::from(value) - f64::from(largest))).collect();
    let sum: f64 = parts.iter().sum();
    parts.into_iter().map(|part| part / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_the_mean_of_the_views() {
        let verdict = Verdict::of(&[vec![0.6, 0.3, 0.1], vec![0.2, 0.7, 0.1], vec![0.1, 0.8, 0.1]]);
        assert_eq!((verdict.best_two(), verdict.agreeing), ([1, 0], [2, 3]));
        assert!((verdict.probabilities[1] - 0.6).abs() < 1e-12);
        let sum: f64 = softmax(&[1000.0, 0.0, -1000.0]).iter().sum();
        assert!((sum - 1.0).abs() < 1e-12);
    }
}
