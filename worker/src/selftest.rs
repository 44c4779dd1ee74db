//! The self-test: a digest of this machine's arithmetic, which the coordinator compares with the program's
//! own and with other workers'.
//!
//! [`common::selftest`] defines what is computed; it takes some 20 ms.

use crate::engine::network::{Network, NetworkError};
use crate::engine::op::loss::CrossEntropy;
use candle_core::{Device, Tensor};
use common::rng::LeafAddress;
use common::selftest::{Digester, NumericsDigest, PROMISED, Part, augmented, logits, objective, self_tests};
use common::train::augment::Augmented;
use tracing::warn;

/// Computes the gradients of the self-test and their digest.
///
/// # Errors
/// When the tensor library fails.
pub fn digest() -> Result<NumericsDigest, NetworkError> {
    let mut digester = Digester::default();
    for test in self_tests() {
        let mut network = Network::new(&test.model)?;
        network.load(&test.parameters)?;
        let leaf = network.gradient(&test.samples, LeafAddress::default())?;
        digester.leaf(test.part, &leaf.gradient, leaf.loss_sum);
    }
    let (values, labels, classes) = logits();
    let logits = Tensor::from_vec(values, (labels.len(), classes), &Device::Cpu)?;
    let (loss_sum, gradient) = CrossEntropy::new(&labels).with_gradient(&logits, 1.0)?;
    digester.leaf(Part::Loss, &crate::engine::op::to_vec(&gradient)?, loss_sum);
    let Augmented { samples, mixed } = augmented();
    let pixels = samples.pixels().iter().map(|&pixel| f32::from(pixel));
    let shares = mixed.iter().map(|mixed| mixed.share);
    digester.leaf(Part::Loss, &pixels.chain(shares).collect::<Vec<f32>>(), 0.0);
    let loss = CrossEntropy::new(&labels).with_objective(objective(), mixed);
    let (loss_sum, gradient) = loss.with_gradient(&logits, 1.0)?;
    digester.leaf(Part::Loss, &crate::engine::op::to_vec(&gradient)?, loss_sum);
    Ok(digester.finish())
}

/// Warns where this machine does not compute the bits that are promised: strict coordinators refuse it. Also
/// where it computes them slowly.
pub(crate) fn warn_of_this_machine(digest: NumericsDigest) {
    let differing = PROMISED.differing(digest);
    if !differing.is_empty() {
        let parts = differing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        warn!(
            parts,
            "this machine computes other bits than the program promises: it is faulty, or this is another build"
        );
    }
    if !has_fma() {
        warn!("this CPU has no fused multiply-add: it computes the same bits, but many times slower");
    }
}

/// Whether the CPU multiplies and adds with one rounding.
fn has_fma() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_computes_what_is_promised() {
        let digest = digest().unwrap();
        assert_eq!(digest, PROMISED, "{:?} differ", digest.differing(PROMISED));
    }

    #[test]
    fn a_machine_agrees_with_itself() {
        assert_eq!(digest().unwrap(), digest().unwrap());
    }
}
