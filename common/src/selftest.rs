//! The self-test of a machine's arithmetic, which every worker runs at its start: the gradients that it
//! computes, and the digest of their bits, part by part.
//!
//! What this program's kernels compute has one definition, so its digest is a constant here: [`PROMISED`]. A
//! machine that gets another one (another build, a fault) computes other bits than the program promises. A
//! CPU without fused multiply-add computes the same bits, slowly. Equal digests prove nothing about sizes
//! outside the self-test.

use crate::data::samples::Samples;
use crate::data::spec::DataSpec;
use crate::model::architecture::Architecture;
use crate::model::params::Init;
use crate::rng::{LeafAddress, Stream};
use crate::train::augment::{Augmentation, Augmented};
use crate::train::objective::{ClassWeights, Objective};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

/// Digest of the self-test on every CPU: a property of the program, like its version.
///
/// It changes only with [`NUMERICS_VERSION`](crate::train::config::NUMERICS_VERSION).
pub const PROMISED: NumericsDigest = NumericsDigest(0xdc2c_9862_d850_508e);

/// Seed of all random values of the self-test: any number, but the same in every build.
const SEED: u64 = 1;

/// A part of the self-test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Matrix products: dense layers.
    Dense,
    /// The paths of the convolutions, and pooling.
    Convolution,
    /// The loss of given logits, and its gradient, with which every gradient begins; augmentation.
    Loss,
    /// Normalisations, activations and poolings, dropout and residuals.
    Layers,
}

impl Part {
    /// All parts, in the order of their digits.
    pub const ALL: [Self; 4] = [Self::Dense, Self::Convolution, Self::Loss, Self::Layers];

    /// Place of the part's lowest bit in a digest of 64 bits.
    fn shift(self) -> u32 {
        match self {
            Self::Dense => 48,
            Self::Convolution => 32,
            Self::Loss => 16,
            Self::Layers => 0,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dense => "dense layers",
            Self::Convolution => "convolutions",
            Self::Loss => "loss and augmentation",
            Self::Layers => "other layers",
        })
    }
}

/// Digest of the self-test's gradients: 16 bits for each part. As text, 16 hexadecimal digits, four for each
/// part in the order of [`Part::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct NumericsDigest(pub u64);

impl NumericsDigest {
    /// The parts in which two digests differ.
    #[must_use]
    pub fn differing(self, other: Self) -> Vec<Part> {
        let differs = |part: &Part| (self.0 ^ other.0) >> part.shift() & 0xffff != 0;
        Part::ALL.into_iter().filter(differs).collect()
    }
}

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

/// Networks of the self-test: (part, side of the square image, layers, samples of each leaf).
///
/// Together they have products of one row, of few, of more columns of x than a chunk has places (1,100), of
/// more samples than that (520) and of sizes that nothing divides; every path of the convolutions, forwards
/// and backwards; and every other kind of layer.
const NETWORKS: &[(Part, usize, &str, &[usize])] = &[
    (Part::Dense, 28, "mlp(41)", &[1, 9]),
    (Part::Dense, 12, "flatten dense(9) relu dense(1100) relu dense(33) relu dense", &[1, 3, 9, 64]),
    (Part::Dense, 5, "flatten dense(70) relu dense", &[520]),
    (Part::Convolution, 28, "cnn", &[1, 9]),
    (Part::Convolution, 28, "lenet5", &[3]),
    (Part::Convolution, 12, "conv(16,3) relu maxpool(2) conv(5,2) maxpool(2) flatten dense", &[64]),
    (
        Part::Convolution,
        11,
        "conv(16,3,padding=1) conv(16,3,padding=1) relu conv(32,3,stride=2,padding=1) conv(32,3,padding=1,groups=32) \
         relu conv(20,1,stride=2) relu conv(6,5,padding=2,groups=2) globalavgpool dense",
        &[1, 6],
    ),
    (Part::Layers, 8, "conv(4,3) gelu layernorm flatten dense(9) tanh layernorm dense", &[3]),
    (
        Part::Layers,
        9,
        "conv(6,3) batchnorm relu avgpool(3,stride=2) groupnorm(2) silu flatten dense",
        &[1, 5],
    ),
    (
        Part::Layers,
        12,
        "conv(8,3) residual conv(8,3,padding=1) batchnorm shortcut sigmoid add relu maxpool(3,stride=2) \
         dropout(0.3) leaky_relu globalavgpool batchnorm dense",
        &[7],
    ),
];

/// One gradient of the self-test: a model, its parameters and the samples of a leaf.
#[derive(Clone, Debug)]
pub struct SelfTest {
    /// What it tests.
    pub part: Part,
    /// The network that computes the gradient.
    pub model: Architecture,
    /// Parameters as a flat vector, in layout order.
    pub parameters: Vec<f32>,
    /// Samples of the leaf.
    pub samples: Samples,
}

/// All gradients of networks in the self-test.
pub fn self_tests() -> impl Iterator<Item = SelfTest> {
    NETWORKS.iter().flat_map(|&(part, side, layers, leaves)| {
        let data = DataSpec::new(side, side, 1, 10).expect("a small square");
        let model = Architecture::parse(data, layers).expect("a network that fits the images");
        let parameters = Init::He.draw(model.layout(), SEED);
        leaves.iter().map(move |&leaf| SelfTest {
            part,
            model: model.clone(),
            parameters: parameters.clone(),
            samples: draw(data, leaf),
        })
    })
}

/// Logits `[n, classes]` of the loss's test, with their labels and the number of classes: rows of all
/// magnitudes, from nearly equal to far beyond what an exponential holds.
#[must_use]
pub fn logits() -> (Vec<f32>, Vec<u16>, usize) {
    const ROWS: usize = 240;
    const CLASSES: usize = 10;
    let mut stream = Stream::new(SEED, "canned logits", &[]);
    let scales = [1e-3, 0.3, 2.0, 9.0, 40.0, 800.0];
    let scales = scales.iter().cycle().flat_map(|&scale| [scale; CLASSES]);
    let logits = scales.take(ROWS * CLASSES).map(|scale| scale * stream.between(-1.0, 1.0)).collect();
    let labels = (0..ROWS).map(|_| stream.below(CLASSES as u32) as u16).collect();
    (logits, labels, CLASSES)
}

/// What smooths and weights the loss in its second test, where samples are mixed.
#[must_use]
pub fn objective() -> Objective {
    let class_weights = ClassWeights::balanced(&[9, 3, 1, 4, 7, 2, 6, 5, 8, 10]);
    Objective { label_smoothing: 0.1, class_weights }
}

/// Samples that were changed in every way there is: pixels, and the shares that were mixed.
#[must_use]
pub fn augmented() -> Augmented {
    let data = DataSpec::new(19, 14, 2, 10).expect("a small picture");
    let all = "rotate(33) shift(0.2) scale(0.3) shear(20) elastic(1.5,3) flip(0.5) crop(2) erase(0.5,0.4) mixup(0.7)";
    let all: Augmentation = all.parse().expect("words of an augmentation");
    all.apply(draw(data, 240), LeafAddress { seed: SEED, step: 0, leaf: 0 })
}

/// Random images, half of them dark as digits are: the `live` path looks for zeros.
fn draw(data: DataSpec, samples: usize) -> Samples {
    let mut stream = Stream::new(SEED, "canned samples", &[samples as u64]);
    let pixels =
        (0..samples * data.image_bytes()).map(|_| stream.below(511).saturating_sub(255) as u8).collect();
    let labels = (0..samples).map(|_| stream.below(data.classes() as u32) as u16).collect();
    Samples::new(data, pixels, labels).expect("pixels and labels of one number of samples")
}

/// Digest of gradients, leaf by leaf.
#[derive(Clone, Debug, Default)]
pub struct Digester([Sha256; Part::ALL.len()]);

impl Digester {
    /// Adds a gradient and a loss to a part's digest.
    pub fn leaf(&mut self, part: Part, gradient: &[f32], loss_sum: f64) {
        let hash = &mut self.0[part as usize];
        gradient.iter().for_each(|value| hash.update(value.to_bits().to_le_bytes()));
        hash.update(loss_sum.to_bits().to_le_bytes());
    }

    /// The digest of all that was added.
    #[must_use]
    pub fn finish(self) -> NumericsDigest {
        let parts = Part::ALL.into_iter().zip(self.0).map(|(part, hash)| {
            let hash = hash.finalize();
            (u64::from(hash[0]) << 8 | u64::from(hash[1])) << part.shift()
        });
        NumericsDigest(parts.sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(part: Part, gradient: &[f32], loss_sum: f64) -> NumericsDigest {
        let mut digester = Digester::default();
        digester.leaf(part, gradient, loss_sum);
        digester.finish()
    }

    #[test]
    fn one_bit_of_a_gradient_or_a_loss_changes_its_parts_digest_alone() {
        for part in Part::ALL {
            let reference = digest(part, &[1.0, 2.0], 3.0);
            assert_eq!(reference, digest(part, &[1.0, 2.0], 3.0));
            let next = digest(part, &[1.0, f32::from_bits(2.0f32.to_bits() + 1)], 3.0);
            assert_eq!(reference.differing(next), [part]);
            let next = digest(part, &[1.0, 2.0], f64::from_bits(3.0f64.to_bits() + 1));
            assert_eq!(reference.differing(next), [part]);
            assert_ne!(digest(part, &[0.0], 0.0), digest(part, &[-0.0], 0.0));
        }
    }

    #[test]
    fn a_digest_reads_back_from_text() {
        let digest = NumericsDigest(0x0012_3456_789a_bcde);
        assert_eq!(NumericsDigest::try_from(digest.to_string()), Ok(digest));
        assert_eq!(digest.to_string(), "00123456789abcde");
        assert_eq!(digest.differing(digest), []);
    }

    #[test]
    fn the_samples_are_always_the_same_and_half_dark() {
        let [tests, again] = [(); 2].map(|()| self_tests().collect::<Vec<_>>());
        for (test, again) in tests.iter().zip(&again) {
            assert_eq!((&test.parameters, &test.samples), (&again.parameters, &again.samples));
        }
        let cnn = &tests[0].samples;
        let dark = cnn.pixels().iter().filter(|&&pixel| pixel == 0).count();
        assert!((dark * 2).abs_diff(cnn.pixels().len()) < cnn.pixels().len() / 10);
    }
}
