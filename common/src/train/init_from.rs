//! The identity of first values that come from a file: a digest over them, and which tensors are drawn
//! nevertheless.
//!
//! As text: `sha256(DIGEST)`, or `sha256(DIGEST,fc2.bias,fc2.weight)` with the names of the drawn tensors.
//! The file's name and format are no part of it: the same values make the same run.

use super::config::hex;
use super::patterns::Patterns;
use crate::model::params::Layout;
use crate::text::{Call, TextError};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// Name of the digest in the text.
const SHA256: &str = "sha256";
/// Hexadecimal digits of a digest.
const DIGITS: usize = 64;

/// First values from a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitFrom {
    digest: String,
    /// Names of the tensors that are drawn, sorted.
    reset: BTreeSet<String>,
}

/// A pattern of drawn tensors that matches none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pattern} matches no tensor of the network; they are {tensors}")]
pub struct NoTensor {
    /// The pattern.
    pub pattern: String,
    /// Names of all tensors in the network.
    pub tensors: String,
}

impl InitFrom {
    /// The identity of these first values of a network, of which the `reset` ones were drawn.
    #[must_use]
    pub fn new(layout: &Layout, values: &[f32], reset: BTreeSet<String>) -> Self {
        let mut hash = Sha256::new();
        for (tensor, range) in layout.iter().filter(|(tensor, _)| !reset.contains(&tensor.name)) {
            hash.update(format!("{} {:?}\n", tensor.name, tensor.shape));
            values[range].iter().for_each(|value| hash.update(value.to_le_bytes()));
        }
        Self { digest: hex(&hash.finalize()), reset }
    }

    /// Whether all drawn tensors are the network's.
    #[must_use]
    pub fn fits(&self, layout: &Layout) -> bool {
        self.reset.iter().all(|name| layout.find(name).is_some())
    }
}

/// Names of the network's tensors that the patterns choose.
///
/// # Errors
/// When a pattern chooses none.
pub fn chosen(patterns: &Patterns, layout: &Layout) -> Result<BTreeSet<String>, NoTensor> {
    let names = || layout.iter().map(|(tensor, _)| tensor.name.as_str());
    for pattern in patterns.iter() {
        if !names().any(|name| super::patterns::matches(pattern, name)) {
            let tensors = names().collect::<Vec<_>>().join(", ");
            return Err(NoTensor { pattern: pattern.to_owned(), tensors });
        }
    }
    Ok(names().filter(|name| patterns.choose(name)).map(str::to_owned).collect())
}

impl fmt::Display for InitFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SHA256}({}", self.digest)?;
        self.reset.iter().try_for_each(|name| write!(f, ",{name}"))?;
        f.write_str(")")
    }
}

impl FromStr for InitFrom {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let call = Call::parse(text)?;
        let expected = || call.settings("a digest of 64 digits, and names of tensors in their order");
        let values: Vec<String> = call.positional()?;
        let Some((digest, names)) = values.split_first().filter(|_| call.name == SHA256) else {
            return Err(expected());
        };
        let is_digit = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        let is_valid = digest.len() == DIGITS && digest.bytes().all(is_digit) && names.is_sorted();
        let reset: BTreeSet<String> = names.iter().cloned().collect();
        let is_valid = is_valid && reset.len() == names.len() && !reset.contains("");
        if is_valid { Ok(Self { digest: digest.clone(), reset }) } else { Err(expected()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::digits::SPEC;
    use crate::model::architecture::Architecture;

    fn layout() -> Layout {
        Architecture::parse(SPEC, "mlp(2)").unwrap().layout().clone()
    }

    #[test]
    fn the_identity_is_of_what_was_loaded_and_of_what_was_drawn() {
        let layout = layout();
        let values = vec![0.5; layout.len()];
        let named = |patterns: &str| chosen(&patterns.parse().unwrap(), &layout).unwrap();
        let whole = InitFrom::new(&layout, &values, BTreeSet::new());
        let head = InitFrom::new(&layout, &values, named("fc2.*"));
        assert_ne!(whole, head);
        let mut other_head = values.clone();
        other_head[layout.find("fc2.bias").unwrap().1].fill(1.0);
        assert_eq!(InitFrom::new(&layout, &other_head, named("fc2.bias fc2.weight")), head);
        assert_ne!(InitFrom::new(&layout, &other_head, BTreeSet::new()), whole);
        for one in [whole, head] {
            assert_eq!(one.to_string().parse(), Ok(one.clone()));
            assert!(one.fits(&layout));
        }
        let digest = "0".repeat(64);
        let other: InitFrom = format!("sha256({digest},fc9.bias)").parse().unwrap();
        assert!(!other.fits(&layout));
        for bad in [
            "none",
            "sha256(0)",
            &format!("md5({digest})"),
            &format!("sha256({digest},)"),
            &format!("sha256({digest},b,a)"),
            &format!("sha256({digest},a,a)"),
            &format!("sha256({})", "0".repeat(63) + "A"),
        ] {
            assert!(bad.parse::<InitFrom>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pattern_that_matches_nothing_is_refused_with_all_names() {
        let error = chosen(&"fc2.* fc3.*".parse().unwrap(), &layout()).unwrap_err().to_string();
        assert_eq!(
            error,
            "fc3.* matches no tensor of the network; they are fc1.bias, fc1.weight, fc2.bias, fc2.weight"
        );
    }
}
