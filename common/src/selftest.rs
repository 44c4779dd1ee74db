//! The self-test of a machine's arithmetic, which every worker runs at its start: the gradients that it
//! computes, and the digest of their bits.
//!
//! Equal programs on equal machines give equal digests. Different digests mean that the two machines would
//! compute different bits for a leaf. Equal digests prove nothing about sizes outside the self-test. But they
//! rule out another build, and nearly every other type of CPU: `gemm` chooses its order of addition by
//! instructions and caches.

use crate::data::digits::SPEC;
use crate::data::samples::Samples;
use crate::model::architecture::Architecture;
use crate::model::params::Init;
use crate::rng::Stream;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

/// Seed of all random values of the self-test: any number, but the same in every build.
const SEED: u64 = 1;

/// Digest of the self-test's gradients; 16 hexadecimal digits as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct NumericsDigest(pub u64);

impl From<NumericsDigest> for String {
    fn from(digest: NumericsDigest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for NumericsDigest {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        u64::from_str_radix(&text, 16).map(Self)
    }
}

impl fmt::Display for NumericsDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// One gradient of the self-test: a model, its parameters and the samples of a leaf.
#[derive(Clone, Debug)]
pub struct SelfTest {
    /// The network that computes the gradient.
    pub model: Architecture,
    /// Parameters as a flat vector, in layout order.
    pub parameters: Vec<f32>,
    /// Samples of the leaf.
    pub samples: Samples,
}

/// All gradients of the self-test: every path of the convolutions, and products of long, short and odd inner
/// sizes.
#[must_use]
pub fn self_tests() -> [SelfTest; 2] {
    [("cnn", 9), ("mlp(700,41)", 32)].map(|(text, samples)| {
        let model = Architecture::parse(SPEC, text).expect("a network that fits the digits");
        let parameters = Init::He.draw(model.layout(), SEED);
        SelfTest { model, parameters, samples: draw(samples) }
    })
}

/// Random images, half of them dark as digits are: the `live` path looks for zeros.
fn draw(samples: usize) -> Samples {
    let mut stream = Stream::new(SEED, "canned samples", &[samples as u64]);
    let pixels =
        (0..samples * SPEC.image_bytes()).map(|_| stream.below(511).saturating_sub(255) as u8).collect();
    let labels = (0..samples).map(|_| stream.below(SPEC.classes() as u32) as u16).collect();
    Samples::new(SPEC, pixels, labels).expect("pixels and labels of one number of samples")
}

/// Digest of gradients, leaf by leaf.
#[derive(Clone, Debug, Default)]
pub struct Digester(Sha256);

impl Digester {
    /// Adds a leaf's gradient and loss to the digest.
    pub fn leaf(&mut self, gradient: &[f32], loss_sum: f64) {
        gradient.iter().for_each(|value| self.0.update(value.to_bits().to_le_bytes()));
        self.0.update(loss_sum.to_bits().to_le_bytes());
    }

    /// The digest of all leaves that were added.
    #[must_use]
    pub fn finish(self) -> NumericsDigest {
        let hash = self.0.finalize();
        NumericsDigest(hash.iter().take(8).fold(0, |digest, &byte| digest << 8 | u64::from(byte)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bit_of_a_gradient_or_a_loss_changes_the_digest() {
        let digest = |gradient: &[f32], loss_sum| {
            let mut digester = Digester::default();
            digester.leaf(gradient, loss_sum);
            digester.finish()
        };
        let reference = digest(&[1.0, 2.0], 3.0);
        assert_eq!(reference, digest(&[1.0, 2.0], 3.0));
        assert_ne!(reference, digest(&[1.0, f32::from_bits(2.0f32.to_bits() + 1)], 3.0));
        assert_ne!(reference, digest(&[1.0, 2.0], f64::from_bits(3.0f64.to_bits() + 1)));
        assert_ne!(digest(&[0.0], 0.0), digest(&[-0.0], 0.0));
    }

    #[test]
    fn the_samples_are_always_the_same_and_half_dark() {
        let [cnn, again] = [self_tests()[0].clone(), self_tests()[0].clone()];
        assert_eq!((cnn.parameters, &cnn.samples), (again.parameters, &again.samples));
        let dark = cnn.samples.pixels().iter().filter(|&&pixel| pixel == 0).count();
        assert!((dark * 2).abs_diff(cnn.samples.pixels().len()) < cnn.samples.pixels().len() / 20);
    }
}
