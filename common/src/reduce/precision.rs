//! The precision of gradients on the wire, and its effect on their sums.
//!
//! With bf16 every node of the reduction tree has a value that bf16 can hold. A leaf's gradient is rounded
//! once, and so is every sum of two nodes, whoever adds them. So it does not matter which nodes a worker
//! sends, and each takes half the bytes. Sums are computed in f32.

use crate::simd::{self, Loops};
use crate::text::{TextError, shortened};
use std::fmt;
use std::str::FromStr;

/// Data type of gradients on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floating point.
    #[default]
    F32,
    /// bfloat16: the upper 16 bits of an f32, with its range and 8 bits of precision.
    Bf16,
}

impl Precision {
    /// Bytes of a value on the wire.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }

    /// Rounds each value to the nearest one of this precision, ties to even.
    #[inline(always)]
    pub fn round(self, values: &mut [f32]) {
        match self {
            Self::F32 => {}
            Self::Bf16 => values.iter_mut().for_each(|value| *value = widen(narrow(*value))),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        })
    }
}

impl FromStr for Precision {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        match text {
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            _ => Err(TextError::Unknown { got: shortened(text), known: "f32 and bf16".to_owned() }),
        }
    }
}

/// The bit of a number's sign.
const SIGN: u32 = 1 << 31;

/// Whether every value is finite.
///
/// The loop reads every value as an integer. It takes two thirds of the time of one that calls
/// [`f32::is_finite`], or of one that returns early.
#[must_use]
pub fn are_finite(values: &[f32]) -> bool {
    simd::widest(Finite(values))
}

struct Finite<'a>(&'a [f32]);

impl Loops for Finite<'_> {
    type Output = bool;

    #[inline(always)]
    fn run(self) -> bool {
        // A non-finite value's exponent is all ones: adding one carries into the sign.
        const ONE_IN_EXPONENT: u32 = 1 << 23;
        self.0.iter().fold(0, |seen, value| seen | ((value.to_bits() & !SIGN) + ONE_IN_EXPONENT)) < SIGN
    }
}

/// The largest magnitude among `values`; 0 if there are none, infinite or a NaN if one of them is not finite.
///
/// The loop compares integers, as in [`are_finite`]: without the sign, a float's bits are ordered like its
/// value.
#[must_use]
pub fn largest_magnitude(values: &[f32]) -> f32 {
    simd::widest(Largest(values))
}

struct Largest<'a>(&'a [f32]);

impl Loops for Largest<'_> {
    type Output = f32;

    #[inline(always)]
    fn run(self) -> f32 {
        // Signed integers: most vector units have a signed maximum, but no unsigned one.
        let magnitude = |value: &f32| (value.to_bits() & !SIGN) as i32;
        let largest = self.0.iter().fold(0_i32, |seen, value| seen.max(magnitude(value)));
        f32::from_bits(largest as u32)
    }
}

/// The nearest bf16, ties to even; a NaN stays one.
#[must_use]
#[inline(always)]
pub fn narrow(value: f32) -> u16 {
    let bits = value.to_bits();
    let nearest = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    // Rounding could carry a NaN into infinity or beyond.
    let quiet = bits >> 16 | 0x40;
    (if value.is_nan() { quiet } else { nearest }) as u16
}

/// The bf16 number as an f32.
#[must_use]
#[inline(always)]
pub fn widen(bf16: u16) -> f32 {
    f32::from_bits(u32::from(bf16) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bf16_survives_and_others_go_to_the_nearest_or_even() {
        for bits in (0..=u16::MAX).filter(|&bits| !widen(bits).is_nan()) {
            assert_eq!(narrow(widen(bits)), bits);
        }
        let one = 1.0f32.to_bits();
        for (offset, steps) in [(0x7fff, 0), (0x8000, 0), (0x8001, 1), (0x1_7fff, 1), (0x1_8000, 2)] {
            assert_eq!(u32::from(narrow(f32::from_bits(one + offset))), (one >> 16) + steps, "{offset:x}");
        }
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        for nan in [f32::NAN, -f32::NAN, f32::from_bits(0x7fff_ffff), f32::from_bits(0x7f80_0001)] {
            assert!(widen(narrow(nan)).is_nan());
        }
        assert_eq!(widen(narrow(f32::NEG_INFINITY)), f32::NEG_INFINITY);
        assert_eq!(widen(narrow(f32::MAX)), f32::INFINITY, "beyond the largest bf16");
    }

    #[test]
    fn one_value_that_is_not_finite_is_noticed_wherever_it_lies() {
        let mut values = [f32::MAX, f32::MIN, 0.0, -0.0, f32::from_bits(1), f32::MIN_POSITIVE].repeat(7);
        assert!(are_finite(&values) && are_finite(&[]));
        let smallest_nan = f32::from_bits(0x7f80_0001);
        for bad in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -f32::NAN, smallest_nan, -smallest_nan] {
            for at in 0..values.len() {
                let good = std::mem::replace(&mut values[at], bad);
                assert!(!are_finite(&values), "{bad} at {at}");
                assert!(!largest_magnitude(&values).is_finite(), "{bad} at {at}");
                values[at] = good;
            }
        }
    }

    #[test]
    fn the_largest_magnitude_is_found_wherever_it_lies() {
        let mut values = [1.5, -2.5, 0.0, -0.0, f32::from_bits(1), f32::MIN_POSITIVE].repeat(7);
        assert_eq!((largest_magnitude(&values), largest_magnitude(&[])), (2.5, 0.0));
        for (at, large) in (0..values.len()).zip([f32::MAX, f32::MIN, 2.75, -1e30].into_iter().cycle()) {
            let usual = std::mem::replace(&mut values[at], large);
            assert_eq!(largest_magnitude(&values), large.abs(), "{large} at {at}");
            values[at] = usual;
        }
    }

    #[test]
    fn rounding_twice_is_rounding_once() {
        let mut once = [0.1, -3.3e7, 1e-40];
        Precision::Bf16.round(&mut once);
        let mut twice = once;
        Precision::Bf16.round(&mut twice);
        assert_eq!(once, twice);
        Precision::F32.round(&mut twice);
        assert_eq!(once, twice);
    }
}
