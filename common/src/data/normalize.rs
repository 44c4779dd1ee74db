//! How the bytes of pixels become the numbers that a network is given.
//!
//! `unit` is p / 255 in f32. `standard` is (p / 255 - mean) / deviation, with a mean and a standard deviation
//! for each channel over the samples that are trained on, without those held out. Both come from sums of
//! whole numbers, so they depend on the samples alone, whatever their order, and on one rounding for each
//! operation of f64. A value is computed in f64 and rounded to f32 once. A byte has 256 values, so each
//! channel is a [`Table`], and no CPU has a say in it.
//!
//! A channel that is the same everywhere has a deviation of 0 and is divided by 1 instead ([`Measured`] says
//! which ones).

use crate::data::samples::Samples;
use crate::text::{Call, TextError};
use std::fmt;
use std::str::FromStr;

/// Smallest deviation: below that of any samples there can be, and with it all values are finite in f32.
const DEVIATION_MIN: f64 = 1e-20;
/// Values of a byte.
const BYTES: usize = 256;
/// Largest value of a byte.
const BYTE_MAX: f64 = 255.0;

/// How pixels are normalized.
///
/// ```
/// use common::data::normalize::{Normalization, Table};
///
/// let standard: Normalization = "standard(mean=0.5,deviation=0.25)".parse().unwrap();
/// let table = Table::new(&standard);
/// assert_eq!(table.apply(&[0, 255]), [-2.0, 2.0]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Normalization {
    /// p / 255.
    #[default]
    Unit,
    /// (p / 255 - mean) / deviation. No channels as long as the samples are not known.
    Standard(Vec<Channel>),
}

/// Mean and standard deviation of a channel's p / 255; always within their bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Channel {
    mean: f64,
    deviation: f64,
}

/// Neither number is a NaN.
impl Eq for Channel {}

/// Numbers that are not a channel's mean and deviation.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("a mean is 0 to 1, and here {mean}; a deviation is {DEVIATION_MIN:e} to 1, and here {deviation}")]
#[allow(missing_docs, reason = "field names say all")]
pub struct ChannelError {
    pub mean: f64,
    pub deviation: f64,
}

/// A normalization by the samples that it was measured on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Mean and deviation of each channel.
    pub normalization: Normalization,
    /// Channels with one value everywhere, which are divided by 1.
    pub constant: Vec<usize>,
}

/// The number for each value of a byte, by channel; one table where it is the same for all channels.
#[derive(Clone, Debug, PartialEq)]
pub struct Table(Vec<[f32; BYTES]>);

impl Channel {
    /// The channel with this mean and deviation.
    ///
    /// # Errors
    /// When one of them is out of its bounds.
    pub fn new(mean: f64, deviation: f64) -> Result<Self, ChannelError> {
        let is_valid = (0.0..=1.0).contains(&mean) && (DEVIATION_MIN..=1.0).contains(&deviation);
        if is_valid { Ok(Self { mean, deviation }) } else { Err(ChannelError { mean, deviation }) }
    }

    /// Mean of p / 255, 0 to 1.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Standard deviation of p / 255, above 0 and at most 1.
    #[must_use]
    pub fn deviation(&self) -> f64 {
        self.deviation
    }

    /// The channel in which each value of a byte is there so many times, and whether it has one value only.
    fn of(counts: &[u64; BYTES]) -> (Self, bool) {
        let over = |weight: fn(u128) -> u128| {
            let terms = (0u128..).zip(counts).map(|(value, &count)| weight(value) * u128::from(count));
            terms.sum::<u128>()
        };
        // At most 2^48 pixels: no product below reaches 2^113.
        let [count, sum, squares] = [over(|_| 1), over(|value| value), over(|value| value * value)];
        if count == 0 {
            return (Self { mean: 0.0, deviation: 1.0 }, true);
        }
        let mean = sum as f64 / count as f64 / BYTE_MAX;
        let spread = count * squares - sum * sum;
        let deviation = if spread == 0 { 1.0 } else { (spread as f64).sqrt() / count as f64 / BYTE_MAX };
        (Self { mean: mean.min(1.0), deviation }, spread == 0)
    }

    fn value(&self, byte: usize) -> f32 {
        ((byte as f64 / BYTE_MAX - self.mean) / self.deviation) as f32
    }
}

impl Normalization {
    /// Whether it is for samples of so many channels.
    #[must_use]
    pub fn fits(&self, channels: usize) -> bool {
        match self {
            Self::Unit => true,
            Self::Standard(of) => of.len() == channels,
        }
    }

    /// The normalization by mean and deviation over the samples at `indices`.
    ///
    /// # Panics
    /// When an index is out of range.
    #[must_use]
    pub fn measure(samples: &Samples, indices: &[u32]) -> Measured {
        let channels = samples.spec().channels();
        let mut counts = vec![[0u64; BYTES]; channels];
        for &index in indices {
            for pixel in samples.image(index as usize).chunks_exact(channels) {
                for (counts, &value) in counts.iter_mut().zip(pixel) {
                    counts[usize::from(value)] += 1;
                }
            }
        }
        let (of, is_constant): (Vec<Channel>, Vec<bool>) = counts.iter().map(Channel::of).unzip();
        let constant = (0..channels).filter(|&channel| is_constant[channel]).collect();
        Measured { normalization: Self::Standard(of), constant }
    }
}

impl Table {
    /// The numbers of that normalization.
    #[must_use]
    pub fn new(normalization: &Normalization) -> Self {
        Self(match normalization {
            Normalization::Unit => vec![std::array::from_fn(|byte| byte as f32 / 255.0)],
            Normalization::Standard(of) => {
                of.iter().map(|channel| std::array::from_fn(|byte| channel.value(byte))).collect()
            }
        })
    }

    /// The numbers for pixels, channel by channel.
    #[must_use]
    pub fn apply(&self, pixels: &[u8]) -> Vec<f32> {
        match &self.0[..] {
            [one] => pixels.iter().map(|&byte| one[usize::from(byte)]).collect(),
            all => pixels.iter().zip(all.iter().cycle()).map(|(&byte, of)| of[usize::from(byte)]).collect(),
        }
    }
}

impl fmt::Display for Normalization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Standard(of) = self else { return f.write_str("unit") };
        if of.is_empty() {
            return f.write_str("standard");
        }
        let list = |number: fn(&Channel) -> f64| {
            of.iter().map(|channel| number(channel).to_string()).collect::<Vec<_>>().join(" ")
        };
        write!(f, "standard(mean={},deviation={})", list(Channel::mean), list(Channel::deviation))
    }
}

impl FromStr for Normalization {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let call = Call::parse(text)?;
        match call.name {
            "unit" if call.arguments.is_empty() => Ok(Self::Unit),
            "standard" if call.arguments.is_empty() => Ok(Self::Standard(Vec::new())),
            "unit" => Err(call.settings("")),
            "standard" => {
                call.expect_keys(&["mean", "deviation"])?;
                let [means, deviations] = [numbers(&call, "mean")?, numbers(&call, "deviation")?];
                let channels = means.iter().zip(&deviations);
                let channels = channels.map(|(&mean, &deviation)| Channel::new(mean, deviation));
                let wanted = || call.settings("a mean of 0 to 1 and a deviation above 0 for each channel");
                let channels = channels.collect::<Result<Vec<_>, _>>().map_err(|_| wanted())?;
                let is_whole = means.len() == deviations.len() && !means.is_empty();
                if is_whole { Ok(Self::Standard(channels)) } else { Err(wanted()) }
            }
            _ => {
                Err(TextError::Unknown { got: crate::text::shortened(text), known: "unit, standard".into() })
            }
        }
    }
}

/// The numbers of a setting, which spaces divide.
fn numbers(call: &Call<'_>, key: &str) -> Result<Vec<f64>, TextError> {
    let text: String = call.key(key)?;
    let number = |word: &str| {
        let error = || TextError::Value { what: key.to_owned(), value: crate::text::shortened(word) };
        word.parse().map_err(|_| error())
    };
    text.split_whitespace().map(number).collect()
}

#[cfg(test)]
mod tests;
