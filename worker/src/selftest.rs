//! This machine's arithmetic as one number, for the coordinator to compare with the others'.
//!
//! What is computed stands in [`common::selftest`]; it takes some milliseconds.

use crate::engine::network::{Network, NetworkError};
use common::selftest::{Digester, NumericsDigest, canned};

/// Computes the canned gradients.
///
/// # Errors
/// When the tensor library fails.
pub fn digest() -> Result<NumericsDigest, NetworkError> {
    let mut digester = Digester::default();
    for canned in canned() {
        let mut network = Network::new(&canned.model)?;
        network.load(&canned.parameters)?;
        let leaf = network.gradient(&canned.samples)?;
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
