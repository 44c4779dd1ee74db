//! The value of `--val-split`: how many training samples are held out for validation.

use std::fmt;
use std::str::FromStr;

/// Held-out samples where nothing else is said, unless that is more than a tenth of all.
const DEFAULT: u32 = 5000;
const DEFAULT_SHARE: u32 = 10;

/// A number of samples, or a share of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValSplit {
    /// That many.
    Samples(u32),
    /// That many of a hundred, 1 to 99.
    Percent(u32),
}

impl ValSplit {
    /// How many of `samples` are held out. A share is rounded up.
    #[must_use]
    pub fn of(self, samples: u32) -> u32 {
        match self {
            Self::Samples(held_out) => held_out,
            Self::Percent(percent) => (u64::from(samples) * u64::from(percent)).div_ceil(100) as u32,
        }
    }

    /// How many of `samples` are held out where nothing is said.
    #[must_use]
    pub fn default_of(samples: u32) -> u32 {
        DEFAULT.min(samples / DEFAULT_SHARE)
    }
}

impl FromStr for ValSplit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<u32>().ok();
        match text.strip_suffix('%') {
            None => number(text).map(Self::Samples),
            Some(percent) => number(percent).filter(|percent| (1..100).contains(percent)).map(Self::Percent),
        }
        .ok_or_else(|| "give a number of samples, such as 5000, or a share from 1% to 99%".to_owned())
    }
}

impl fmt::Display for ValSplit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Samples(samples) => write!(f, "{samples}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_or_a_share_is_held_out_and_by_default_the_smaller_of_two() {
        for (text, held_out) in [("0", 0), ("43", 43), ("1%", 7), ("10%", 65), ("99%", 637)] {
            let split: ValSplit = text.parse().unwrap();
            assert_eq!((split.of(643), split.to_string().as_str()), (held_out, text));
        }
        for bad in ["", "0%", "100%", "1.5%", "-1", "10 %", "all", "%"] {
            assert!(bad.parse::<ValSplit>().is_err(), "{bad}");
        }
        let defaults = [9, 643, 49_999, 50_000, u32::MAX].map(ValSplit::default_of);
        assert_eq!(defaults, [0, 64, 4999, 5000, 5000]);
        assert_eq!(ValSplit::Percent(99).of(u32::MAX), 4_252_017_623);
    }
}
