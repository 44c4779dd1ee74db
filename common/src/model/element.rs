//! Numbers of other types as f32.

use std::fmt;

/// The type of a tensor's numbers, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Element {
    F16,
    Bf16,
    F32,
    F64,
}

impl Element {
    /// Bytes of a number.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// The numbers as f32, each rounded to the nearest one, and of two equally near ones to the even one.
    /// Bytes left over at the end are dropped.
    #[must_use]
    pub fn to_f32(self, bytes: &[u8]) -> Vec<f32> {
        let pairs = || bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair));
        match self {
            Self::F16 => pairs().map(of_half).collect(),
            Self::Bf16 => pairs().map(|bits| f32::from_bits(u32::from(bits) << 16)).collect(),
            Self::F32 => bytes.as_chunks().0.iter().map(|four| f32::from_le_bytes(*four)).collect(),
            Self::F64 => bytes.as_chunks().0.iter().map(|eight| f64::from_le_bytes(*eight) as f32).collect(),
        }
    }
}

/// The number with these bits of IEEE 754's binary16, which every f32 can hold exactly.
fn of_half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let exponent = i32::from(bits >> 10 & 0x1f);
    let fraction = f32::from(bits & 0x3ff);
    let power = |exponent: i32| f32::from_bits(((exponent + 127) as u32) << 23);
    sign * match exponent {
        0 => fraction * power(-24),
        0x1f if fraction == 0.0 => f32::INFINITY,
        0x1f => f32::NAN,
        _ => (1024.0 + fraction) * power(exponent - 25),
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::F32 => "F32",
            Self::F64 => "F64",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_other_types_become_the_nearest_f32() {
        let halves =
            [(0x3c00, 1.0), (0xc000, -2.0), (0x3555, 0.333_251_95), (0x7bff, 65504.0), (0x8000, -0.0)];
        for (bits, value) in halves {
            let got = Element::F16.to_f32(&u16::to_le_bytes(bits));
            assert_eq!(got[0].to_bits(), f32::to_bits(value), "{bits:x}");
        }
        let smallest = 1.0 / f32::from_bits(0x4b80_0000);
        assert_eq!(smallest * 16_777_216.0, 1.0);
        let small = [(0x0001, smallest), (0x03ff, 1023.0 * smallest), (0x0400, 1024.0 * smallest)];
        for (bits, value) in small {
            assert_eq!(Element::F16.to_f32(&u16::to_le_bytes(bits)), [value]);
        }
        assert!(
            Element::F16.to_f32(&[0, 0x7c])[0].is_infinite() && Element::F16.to_f32(&[1, 0x7c])[0].is_nan()
        );
        assert_eq!(Element::Bf16.to_f32(&[0x80, 0x3f, 0x49, 0xc0, 7]), [1.0, -3.140_625]);
        assert_eq!(Element::F64.to_f32(&0.1f64.to_le_bytes()), [0.1f32]);
        assert_eq!(Element::F64.to_f32(&1e300f64.to_le_bytes()), [f32::INFINITY]);
        assert_eq!(Element::F32.to_f32(&1.5f32.to_le_bytes()), [1.5]);
    }
}
