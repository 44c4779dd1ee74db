//! Distillation: besides its labels a network learns from the outputs of another one, its teacher.
//!
//! ```text
//! loss of a sample = (1 - w) · CE(target, softmax(z)) + w · T² · KL(softmax(t / T) || softmax(z / T))
//! ```
//!
//! Here z are the network's logits and t those of the teacher, w is the weight and T the temperature, which
//! softens both (Hinton et al. 2015). The T² makes up for the gradients, which a temperature divides by as
//! much. The divergence has the cross-entropy's gradient, and is 0 where both agree.
//!
//! The teacher sees the very images that the network sees, as they were changed and mixed (Beyer et al.
//! 2021), without dropout and with its running statistics. A sample's class weights are for both parts.

use super::config::hex;
use crate::data::normalize::Normalization;
use crate::data::spec::DataSpec;
use crate::model::architecture::Architecture;
use crate::text::{Call, TextError};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// Name of the digest in a teacher's text.
const SHA256: &str = "sha256";
/// Hexadecimal digits of a digest.
const DIGITS: usize = 64;
/// Smallest and largest temperature.
pub const TEMPERATURES: [f64; 2] = [0.1, 100.0];

/// A network that another one learns from.
#[derive(Clone, Debug, PartialEq)]
pub struct Teacher {
    /// Form of the images, and layers.
    pub architecture: Architecture,
    /// Weights as a flat vector in layout order.
    pub params: Vec<f32>,
    /// How pixels become its input.
    pub normalization: Normalization,
}

/// How labels and teacher share in the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Blend {
    /// Share of the teacher, 0 to 1.
    pub weight: f64,
    /// By what the logits of both are divided before they are compared.
    pub temperature: f64,
}

/// What a teacher computes follows from this: the SHA-256 of its network, weights and normalization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TeacherId(String);

/// The setting of a run that is distilled.
#[derive(Clone, Debug, PartialEq)]
pub struct Distillation {
    /// Which teacher it is. Where its file lies is no part of it.
    pub teacher: TeacherId,
    /// How labels and teacher share in the loss.
    pub blend: Blend,
}

impl Teacher {
    /// Which teacher it is.
    #[must_use]
    pub fn id(&self) -> TeacherId {
        let mut hash = Sha256::new();
        hash.update(format!("{}\n{}\n{}\n", self.form(), self.architecture.layers(), self.normalization));
        self.params.iter().for_each(|value| hash.update(value.to_le_bytes()));
        TeacherId(hex(&hash.finalize()))
    }

    /// Form of the images that it is for.
    #[must_use]
    pub fn form(&self) -> DataSpec {
        self.architecture.input()
    }
}

impl Default for Blend {
    /// Nine tenths of the teacher, softened by 4.
    fn default() -> Self {
        Self { weight: 0.9, temperature: 4.0 }
    }
}

impl Blend {
    /// Whether the weight is in its range.
    #[must_use]
    pub fn weight_fits(self) -> bool {
        (0.0..=1.0).contains(&self.weight)
    }

    /// Whether the temperature is in its range.
    #[must_use]
    pub fn temperature_fits(self) -> bool {
        (TEMPERATURES[0]..=TEMPERATURES[1]).contains(&self.temperature)
    }
}

impl fmt::Display for TeacherId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SHA256}({})", self.0)
    }
}

impl FromStr for TeacherId {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let call = Call::parse(text)?;
        let values: Vec<String> = call.positional()?;
        let is_digit = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        match &values[..] {
            [digest] if call.name == SHA256 && digest.len() == DIGITS && digest.bytes().all(is_digit) => {
                Ok(Self(digest.clone()))
            }
            _ => Err(call.settings("a digest of 64 digits")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::digits::SPEC;
    use crate::model::params::Init;

    #[test]
    fn all_that_a_teacher_computes_with_is_in_its_identity() {
        let architecture = Architecture::parse(SPEC, "mlp(2)").unwrap();
        let params = Init::He.draw(architecture.layout(), 1);
        let teacher = Teacher { architecture, params, normalization: Normalization::Unit };
        let id = teacher.id();
        assert_eq!(id.to_string().parse(), Ok(id.clone()));
        let mut other = teacher.clone();
        other.params[3] += 1.0;
        let normalization = "standard(mean=0.5,deviation=0.5)".parse().unwrap();
        // As many parameters, in another network.
        let architecture = Architecture::parse(SPEC, "flatten dense(2) tanh dense").unwrap();
        assert_eq!(architecture.layout().len(), teacher.params.len());
        for other in
            [other, Teacher { normalization, ..teacher.clone() }, Teacher { architecture, ..teacher }]
        {
            assert_ne!(other.id(), id);
        }
        for bad in ["", "sha256()", "sha256(00)", &format!("md5({})", "0".repeat(64))] {
            assert!(bad.parse::<TeacherId>().is_err(), "{bad}");
        }
        assert!(format!("sha256({})", "A".repeat(64)).parse::<TeacherId>().is_err());
    }

    #[test]
    fn blends_have_their_ranges() {
        let fits = |weight, temperature| {
            let blend = Blend { weight, temperature };
            [blend.weight_fits(), blend.temperature_fits()]
        };
        assert_eq!(fits(0.0, 0.1), [true; 2]);
        assert_eq!(fits(1.0, 100.0), [true; 2]);
        assert_eq!(fits(-0.1, 0.0), [false; 2]);
        assert_eq!(fits(1.1, 101.0), [false; 2]);
        assert_eq!(fits(f64::NAN, f64::NAN), [false; 2]);
    }
}
