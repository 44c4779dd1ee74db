//! The self-test: a digest of this machine's arithmetic, for the coordinator to compare with other workers'.
//!
//! [`common::selftest`] defines what is computed; it takes some milliseconds.

use crate::engine::network::{Network, NetworkError};
use common::selftest::{Digester, NumericsDigest, self_tests};

/// Computes the gradients of the self-test and their digest.
///
/// # Errors
/// When the tensor library fails.
pub fn digest() -> Result<NumericsDigest, NetworkError> {
    let mut digester = Digester::default();
    for test in self_tests() {
        let mut network = Network::new(&test.model)?;
        network.load(&test.parameters)?;
        let leaf = network.gradient(&test.samples)?;
        digester.leaf(&leaf.gradient, leaf.loss_sum);
    }
    Ok(digester.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_agrees_with_itself() {
        assert_eq!(digest().unwrap(), digest().unwrap());
    }
}
