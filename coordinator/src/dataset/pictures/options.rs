//! How pictures become samples, as a person chooses it: the values of the flags, and the same as text behind
//! a folder's name.
//!
//! The text is `FOLDER?image-size=32x32,grayscale,fit=pad,test-split=10%`, with those options that were
//! given, in this order. It is the data set's name, and `--dataset` takes it too: a checkpoint says how its
//! pictures were read, in words that can be given again.

use clap::ValueEnum;
use common::data::spec::SIDE_MAX;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

/// Options of a folder of pictures; what is not given has the default that its flag describes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PictureOptions {
    /// Size to which every picture is brought.
    pub size: Option<ImageSize>,
    /// Whether colours are reduced to grey.
    pub grayscale: bool,
    /// How a picture of another shape is brought to the size.
    pub fit: Option<Fit>,
    /// Test pictures of a folder without a part for the test.
    pub test_split: Option<TestSplit>,
}

/// The value of `--image-size`: 1 to [`SIDE_MAX`] pixels each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "field names say all")]
pub struct ImageSize {
    pub height: usize,
    pub width: usize,
}

/// The value of `--fit`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Fit {
    /// The largest part of that shape in the middle of the picture, as torchvision's `Resize` with
    /// `CenterCrop` and Keras' `crop_to_aspect_ratio`.
    #[default]
    Crop,
    /// The whole picture, with black beside or above and below it, as Keras' `pad_to_aspect_ratio`.
    Pad,
    /// The whole picture, in another shape.
    Stretch,
}

/// The value of `--test-split`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestSplit {
    /// So many pictures.
    Count(NonZeroU32),
    /// So many of a hundred, 1 to 99.
    Percent(u8),
}

/// Share of the pictures that is the test where nobody says how many.
pub(super) const TEST_SPLIT: TestSplit = TestSplit::Percent(10);

impl PictureOptions {
    /// These options, and `others` where there is none.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self {
            size: self.size.or(others.size),
            grayscale: self.grayscale || others.grayscale,
            fit: self.fit.or(others.fit),
            test_split: self.test_split.or(others.test_split),
        }
    }

    /// Flag of the first option that is given.
    #[must_use]
    pub fn first_flag(&self) -> Option<&'static str> {
        let given = [
            ("--image-size", self.size.is_some()),
            ("--grayscale", self.grayscale),
            ("--fit", self.fit.is_some()),
            ("--test-split", self.test_split.is_some()),
        ];
        given.into_iter().find_map(|(flag, given)| given.then_some(flag))
    }
}

impl fmt::Display for PictureOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = [
            self.size.map(|size| format!("image-size={size}")),
            self.grayscale.then(|| "grayscale".to_owned()),
            self.fit.map(|fit| format!("fit={fit}")),
            self.test_split.map(|split| format!("test-split={split}")),
        ];
        f.write_str(&options.into_iter().flatten().collect::<Vec<_>>().join(","))
    }
}

impl FromStr for PictureOptions {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut options = Self::default();
        for option in text.split(',').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                None if option == "grayscale" => options.grayscale = true,
                Some(("image-size", size)) => options.size = Some(size.parse()?),
                Some(("fit", fit)) => options.fit = Some(Fit::from_str(fit, false)?),
                Some(("test-split", split)) => options.test_split = Some(split.parse()?),
                _ => return Err(format!("{option} is no option of a folder of pictures")),
            }
        }
        Ok(options)
    }
}

impl fmt::Display for ImageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.height, self.width)
    }
}

impl FromStr for ImageSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let side = |text: &str| text.parse().ok().filter(|side| (1..=SIDE_MAX).contains(side));
        let sides = text.split_once('x').and_then(|(height, width)| Some((side(height)?, side(width)?)));
        let (height, width) = sides
            .ok_or_else(|| format!("a size is HEIGHTxWIDTH, such as 32x32, each from 1 to {SIDE_MAX}"))?;
        Ok(Self { height, width })
    }
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crop => "crop",
            Self::Pad => "pad",
            Self::Stretch => "stretch",
        })
    }
}

impl fmt::Display for TestSplit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl FromStr for TestSplit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let split = match text.strip_suffix('%') {
            None => text.parse().ok().map(Self::Count),
            Some(percent) => {
                percent.parse().ok().filter(|percent| (1..=99).contains(percent)).map(Self::Percent)
            }
        };
        split.ok_or_else(|| "it is a number of pictures, or a share from 1% to 99%".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_written_as_they_are_read() {
        let all = "image-size=32x48,grayscale,fit=pad,test-split=10%";
        for text in ["", all, "grayscale", "fit=stretch,test-split=7"] {
            assert_eq!(text.parse::<PictureOptions>().unwrap().to_string(), text);
        }
        assert_eq!(all.parse::<PictureOptions>().unwrap().size, Some(ImageSize { height: 32, width: 48 }));
    }

    #[test]
    fn values_out_of_range_and_unknown_options_are_refused() {
        for size in ["32", "0x32", "32x257", "x", "32x", "32 x 32", "-1x1"] {
            assert!(size.parse::<ImageSize>().is_err(), "{size}");
        }
        for split in ["0", "0%", "100%", "10.5%", "ten", ""] {
            assert!(split.parse::<TestSplit>().is_err(), "{split}");
        }
        for options in ["size=32x32", "grayscale=1", "fit=Crop", "fit"] {
            assert!(options.parse::<PictureOptions>().is_err(), "{options}");
        }
    }

    #[test]
    fn what_is_given_twice_is_taken_from_the_first() {
        let both = |one: &str, other: &str| {
            one.parse::<PictureOptions>().unwrap().or(other.parse().unwrap()).to_string()
        };
        assert_eq!(both("fit=pad", "image-size=8x8,fit=crop"), "image-size=8x8,fit=pad");
    }
}
